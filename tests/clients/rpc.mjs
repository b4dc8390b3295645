// Calls every method of gRPC with the clients of connectrpc.com, over each protocol that the service speaks.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';

const { OMS_URL, OMS_GRPC_URL, OMS_TOKEN } = process.env;
assert(OMS_URL && OMS_GRPC_URL && OMS_TOKEN, 'OMS_URL, OMS_GRPC_URL and OMS_TOKEN have to say which service to call');

const image = execFileSync('node_modules/.bin/buf', ['build', '../../proto', '-o', '-#format=binpb']);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
const service = (name) => registry.getService(`openfoundry.oms.v1.${name}`);
const detail = (error, name) => {
  const found = error.findDetails(registry.getMessage(`google.rpc.${name}`));
  assert.equal(found.length, 1, `one ${name} in ${error}`);
  return found[0];
};

async function rest(method, path, body, headers = {}) {
  const response = await fetch(new URL(path, OMS_URL), {
    method,
    headers: { authorization: `Bearer ${OMS_TOKEN}`, 'content-type': 'application/json', 'x-api-version': 'v2', ...headers },
    body: JSON.stringify(body),
  });
  assert(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}

const property = { name: 'email', dataType: 'STRING', required: true, validators: [{ type: 'maxLength', value: 9 }] };
const customer = await rest('POST', '/api/v1/object-types', { name: 'Customer', displayName: 'Customer', category: 'crm', properties: [property] });
await rest('POST', '/api/v1/object-types', { name: 'Order', displayName: 'Order' });
await rest('PATCH', '/api/v1/object-types/Customer', { displayName: 'Client' }, { 'if-match': '"1"' });
await rest('POST', '/api/v1/link-types', { name: 'places', displayName: 'places', source: 'Customer', target: 'Order', cardinality: 'ONE_TO_MANY', properties: [property] });
await rest('PATCH', '/api/v1/link-types/places', { displayName: 'has placed' }, { 'if-match': '"1"' });

// Notes which methods were called, so that one without a call is noticed.
function watched(client, called) {
  return new Proxy(client, {
    get(target, method) {
      called.add(method);
      return target[method];
    },
  });
}

async function objectTypes(transport) {
  const called = new Set();
  const client = watched(createClient(service('ObjectTypeService'), transport), called);
  const found = await client.getObjectType({ key: { case: 'name', value: 'customer' } });
  assert.equal(found.id, customer.id);
  assert.equal(found.displayName, 'Client');
  assert.equal(found.properties[0].validators[0].value, '9');
  const first = await client.listObjectTypes({ pageSize: 1, includeTotalCount: true });
  assert.deepEqual(first.objectTypes.map((type) => type.name), ['Customer']);
  assert.equal(first.totalCount, 2n);
  const second = await client.listObjectTypes({ pageSize: 1, pageToken: first.nextPageToken });
  assert.deepEqual(second.objectTypes.map((type) => type.name), ['Order']);
  const one = await client.validateObjectInstance({ objectType: { case: 'objectTypeName', value: 'Customer' }, data: { case: 'instance', value: { email: 'a@b.c' } } });
  assert.equal(one.valid, true);
  const many = await client.validateObjectInstances({ objectType: { case: 'objectTypeId', value: customer.id }, instancesJson: ['{"email": "far too long"}', '{"email": "a"}', '{}'] });
  assert.deepEqual(many.results.map((result) => result.violations.map((violation) => violation.code)), [['MAX_LENGTH'], [], ['REQUIRED_FIELD_MISSING']]);
  const key = { case: 'id', value: customer.id };
  const versions = await client.listObjectTypeVersions({ key });
  assert.deepEqual(versions.versions.map((version) => version.version), [2, 1]);
  const old = await client.getObjectTypeVersion({ key, version: 1 });
  assert.equal(old.objectType.displayName, 'Customer');
  const compared = await client.compareObjectTypeVersions({ key, fromVersion: 1, toVersion: 2 });
  assert.deepEqual(compared.changes.map((change) => change.field), ['displayName']);
  await fails(client);
  await watch((request, options) => client.watchObjectTypes(request, options), 'objectType', ['Customer', 'Order'], (displayName, version) =>
    rest('PATCH', '/api/v1/object-types/Order', { displayName }, { 'if-match': `"${version}"` }));
  return called;
}

async function linkTypes(transport) {
  const called = new Set();
  const client = watched(createClient(service('LinkTypeService'), transport), called);
  const found = await client.getLinkType({ key: { case: 'name', value: 'places' } });
  assert.deepEqual([found.source, found.target, found.cardinality], ['Customer', 'Order', 2]);
  const list = await client.listLinkTypes({ source: 'Customer', cardinality: 2 });
  assert.deepEqual(list.linkTypes.map((type) => type.name), ['places']);
  assert.deepEqual((await client.listLinkTypes({ target: 'Customer' })).linkTypes, []);
  const one = await client.validateLinkInstance({ linkType: { case: 'linkTypeName', value: 'places' }, data: { case: 'instance', value: {} } });
  assert.deepEqual(one.violations.map((violation) => violation.pointer), ['/email']);
  const many = await client.validateLinkInstances({ linkType: { case: 'linkTypeName', value: 'places' }, instances: [{ email: 'a' }] });
  assert.equal(many.valid, true);
  const key = { case: 'id', value: found.id };
  assert.equal((await client.listLinkTypeVersions({ key })).versions.length >= 2, true);
  assert.equal((await client.getLinkTypeVersion({ key, version: 1 })).linkType.displayName, 'places');
  assert.equal((await client.compareLinkTypeVersions({ key, fromVersion: 1, toVersion: 2 })).changes[0].field, 'displayName');
  await watch((request, options) => client.watchLinkTypes(request, options), 'linkType', ['places'], (displayName, version) =>
    rest('PATCH', '/api/v1/link-types/places', { displayName }, { 'if-match': `"${version}"` }));
  return called;
}

async function fails(client) {
  const failed = await client.getObjectType({ key: { case: 'name', value: 'Nobody' } }).catch(ConnectError.from);
  assert.equal(failed.code, Code.NotFound);
  assert.deepEqual([detail(failed, 'ErrorInfo').reason, detail(failed, 'ErrorInfo').domain], ['OBJECT_TYPE_NOT_FOUND', 'openfoundry.oms']);
  const refused = await client.listObjectTypes({ pageSize: 201, category: '' }).catch(ConnectError.from);
  assert.equal(refused.code, Code.InvalidArgument);
  assert.deepEqual(detail(refused, 'BadRequest').fieldViolations.map((violation) => violation.field), ['page_size', 'category']);
  const stranger = await client.listObjectTypes({}, { headers: { authorization: 'Bearer nonsense' } }).catch(ConnectError.from);
  assert.equal(stranger.code, Code.Unauthenticated);
}

// The snapshot, then a change that is made meanwhile; then another stream that goes on where this one was left.
async function watch(open, field, names, change) {
  const stop = new AbortController();
  const shown = [];
  let token, version;
  for await (const { resumeToken, event } of open({ start: 2 }, { signal: stop.signal })) {
    token = resumeToken;
    if (event.case === 'snapshot') {
      shown.push(event.value.state.value.name);
      version = event.value.state.value.version;
    }
    if (event.case === 'snapshotComplete') await change(`Number ${version}`, version);
    if (event.case === 'change') {
      assert.equal(event.value.state.value.displayName, `Number ${version}`);
      assert.deepEqual(event.value.changes.map((each) => each.newValue), [event.value.changes[0].newValue]);
      break;
    }
  }
  stop.abort();
  assert.deepEqual(shown.toSorted(), names);
  await change(`Number ${version + 1}`, version + 1);
  const again = new AbortController();
  for await (const { event } of open({ resumeToken: token }, { signal: again.signal })) {
    if (event.case === 'opened') continue;
    assert.equal(event.case, 'change');
    assert.equal(event.value.version, version + 2);
    break;
  }
  again.abort();
}

const interceptors = [(next) => (request) => {
  if (!request.header.has('authorization')) request.header.set('authorization', `Bearer ${OMS_TOKEN}`);
  return next(request);
}];
const options = { baseUrl: OMS_GRPC_URL, httpVersion: '2', interceptors };
const transports = {
  'gRPC': createGrpcTransport(options),
  'gRPC, gzip': createGrpcTransport({ ...options, compressMinBytes: 0 }),
  'gRPC-Web': createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
  'Connect': createConnectTransport({ ...options, httpVersion: '1.1', useBinaryFormat: true }),
  'Connect with JSON and GET': createConnectTransport({ ...options, httpVersion: '1.1', useBinaryFormat: false, useHttpGet: true }),
};
for (const [name, transport] of Object.entries(transports)) {
  for (const [calls, called] of [['ObjectTypeService', await objectTypes(transport)], ['LinkTypeService', await linkTypes(transport)]]) {
    const methods = service(calls).methods.map((method) => method.localName);
    assert.deepEqual([...called].toSorted(), methods.toSorted(), `every method of ${calls} is called`);
  }
  console.log(`${name}: every method answers`);
}
process.exit(0);
