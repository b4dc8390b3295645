// Calls every method of gRPC with the clients of connectrpc.com, over each protocol that the service speaks, with code that is
// generated from the .proto file as any service would do it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';

const { OMS_URL, OMS_GRPC_URL, OMS_TOKEN } = process.env;
assert(OMS_URL && OMS_GRPC_URL && OMS_TOKEN, 'OMS_URL, OMS_GRPC_URL and OMS_TOKEN have to say which service to call');

// A folder of its own, as other runs may go on beside this one; within the package, so that the code finds its imports.
mkdirSync('generated', { recursive: true });
const folder = mkdtempSync(resolve('generated/rpc-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const plugin = { local: ['node', 'node_modules/.bin/protoc-gen-es'], out: folder, opt: ['target=js', 'import_extension=js'] };
const template = JSON.stringify({ version: 'v2', plugins: [plugin] });
execFileSync('node_modules/.bin/buf', ['generate', '../../proto', '--template', template], {
  // It would keep one where it is called when there is no home folder.
  env: { ...process.env, BUF_CACHE_DIR: resolve('node_modules/.cache/buf') },
  stdio: 'inherit',
});
const generated = (file) => import(pathToFileURL(resolve(folder, file)).href);
const oms = await generated('openfoundry/oms/v1/oms_pb.js');
const { BadRequestSchema, ErrorInfoSchema } = await generated('google/rpc/error_details_pb.js');
const { Cardinality, ChangeType, DataType, EventType, SortBy, WatchStart } = oms;

async function rest(method, path, body, headers = {}) {
  const response = await fetch(new URL(path, OMS_URL), {
    method,
    headers: { authorization: `Bearer ${OMS_TOKEN}`, 'content-type': 'application/json', 'x-api-version': 'v2', ...headers },
    body: JSON.stringify(body),
  });
  assert(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
  return response.json();
}
const rename = (path) => (displayName, version) => rest('PATCH', path, { displayName }, { 'if-match': `"${version}"` });

const email = { name: 'email', dataType: 'STRING', required: true, validators: [{ type: 'maxLength', value: 9 }] };
const metadata = { owner: 'sales', limit: 3 };
const customer = await rest('POST', '/api/v1/object-types', { name: 'Customer', displayName: 'Customer', category: 'crm', tags: ['core', 'sales'], metadata, properties: [email] });
await rest('POST', '/api/v1/object-types', { name: 'Order', displayName: 'Order', tags: ['core'] });
await rename('/api/v1/object-types/Customer')('Client', 1);
await rest('POST', '/api/v1/link-types', { name: 'places', displayName: 'places', source: 'Customer', target: 'Order', cardinality: 'ONE_TO_MANY', properties: [email] });
await rename('/api/v1/link-types/places')('has placed', 1);

const names = (types) => types.map(({ name }) => name);
const codes = ({ violations }) => violations.map(({ pointer, code }) => `${pointer} ${code}`);

async function objectTypes(client) {
  const found = await client.getObjectType({ key: { case: 'name', value: 'customer' } });
  assert.deepEqual([found.id, found.displayName, found.version], [customer.id, 'Client', 2]);
  assert.deepEqual([found.metadata, found.metadataValues], [{ owner: 'sales', limit: '3' }, metadata]);
  assert.equal(found.createdAt.seconds, BigInt(Math.floor(Date.parse(customer.createdAt) / 1000)));
  const [property] = found.properties;
  assert.deepEqual([property.name, property.dataType, property.required], ['email', DataType.STRING, true]);
  assert.deepEqual([property.validators[0].value, property.validators[0].valueTyped.kind], ['9', { case: 'numberValue', value: 9 }]);

  const first = await client.listObjectTypes({ pageSize: 1, includeTotalCount: true });
  assert.deepEqual([names(first.objectTypes), first.totalCount], [['Customer'], 2n]);
  const second = await client.listObjectTypes({ pageSize: 1, pageToken: first.nextPageToken });
  assert.deepEqual([names(second.objectTypes), second.nextPageToken, second.totalCount], [['Order'], '', undefined]);
  const sorted = await client.listObjectTypes({ anyTags: ['core'], sortBy: SortBy.CREATED_AT, descending: true });
  assert.deepEqual(names(sorted.objectTypes), ['Order', 'Customer']);
  for (const filter of [{ category: 'crm' }, { allTags: ['core', 'sales'] }]) {
    assert.deepEqual(names((await client.listObjectTypes(filter)).objectTypes), ['Customer']);
  }

  const objectType = { case: 'objectTypeName', value: 'Customer' };
  const one = await client.validateObjectInstance({ objectType, data: { case: 'instance', value: { email: 'a@b.c' } } });
  assert.deepEqual([one.valid, one.violations], [true, []]);
  const wrong = await client.validateObjectInstance({ objectType, data: { case: 'instanceJson', value: '{"email": 1, "age": 2}' } });
  assert.deepEqual([wrong.valid, codes(wrong).sort()], [false, ['/age UNKNOWN_PROPERTY', '/email INVALID_DATA_TYPE']]);
  const instancesJson = ['{"email": "far too long"}', '{"email": "a"}', '{}'];
  const many = await client.validateObjectInstances({ objectType: { case: 'objectTypeId', value: customer.id }, version: 1, instancesJson });
  assert.deepEqual([many.valid, many.results.map(codes)], [false, [['/email MAX_LENGTH'], [], ['/email REQUIRED_FIELD_MISSING']]]);

  const key = { case: 'id', value: customer.id };
  const { versions } = await client.listObjectTypeVersions({ key });
  assert.deepEqual(versions.map(({ version }) => version), [2, 1]);
  const old = await client.getObjectTypeVersion({ key, version: 1 });
  assert.deepEqual([old.info.version, old.objectType.displayName], [1, 'Customer']);
  const { changes } = await client.compareObjectTypeVersions({ key, fromVersion: 1, toVersion: 2 });
  assert.deepEqual(changes.map(({ field, type }) => [field, type]), [['displayName', ChangeType.MODIFIED]]);

  await fails(client);
  const change = rename('/api/v1/object-types/Order');
  await watch((...asked) => client.watchObjectTypes(...asked), EventType.OBJECT_TYPE_UPDATED, ['Customer', 'Order'], change);
}

async function linkTypes(client) {
  const found = await client.getLinkType({ key: { case: 'name', value: 'PLACES' } });
  assert.deepEqual([found.source, found.target, found.cardinality], ['Customer', 'Order', Cardinality.ONE_TO_MANY]);
  assert.equal(found.sourceObjectTypeId, customer.id);
  const list = await client.listLinkTypes({ source: 'Customer', cardinality: Cardinality.ONE_TO_MANY });
  assert.deepEqual(names(list.linkTypes), ['places']);
  for (const filter of [{ target: 'Customer' }, { cardinality: Cardinality.ONE_TO_ONE }]) {
    assert.deepEqual((await client.listLinkTypes(filter)).linkTypes, []);
  }

  const linkType = { case: 'linkTypeName', value: 'places' };
  const one = await client.validateLinkInstance({ linkType, data: { case: 'instance', value: {} } });
  assert.deepEqual([one.valid, codes(one)], [false, ['/email REQUIRED_FIELD_MISSING']]);
  const many = await client.validateLinkInstances({ linkType, instances: [{ email: 'a' }] });
  assert.deepEqual([many.valid, many.results.map(codes)], [true, [[]]]);

  const key = { case: 'id', value: found.id };
  const { versions } = await client.listLinkTypeVersions({ key });
  assert.deepEqual(versions.map(({ version }) => version).slice(-2), [2, 1]);
  assert.equal((await client.getLinkTypeVersion({ key, version: 1 })).linkType.displayName, 'places');
  const { changes } = await client.compareLinkTypeVersions({ key, fromVersion: 1, toVersion: 2 });
  assert.deepEqual(changes.map(({ field }) => field), ['displayName']);

  const change = rename('/api/v1/link-types/places');
  await watch((...asked) => client.watchLinkTypes(...asked), EventType.LINK_TYPE_UPDATED, ['places'], change);
}

async function fails(client) {
  const failure = async (call, code) => {
    const error = await call.then(() => assert.fail('it should have failed'), ConnectError.from);
    const details = error.findDetails(ErrorInfoSchema);
    assert.deepEqual([Code[error.code], details.length], [Code[code], 1], String(error));
    assert.equal(details[0].domain, 'openfoundry.oms');
    assert(details[0].metadata.correlationId, 'it can be found in the logs');
    return { reason: details[0].reason, violations: error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations) };
  };
  const missing = await failure(client.getObjectType({ key: { case: 'name', value: 'Nobody' } }), Code.NotFound);
  assert.deepEqual(missing, { reason: 'OBJECT_TYPE_NOT_FOUND', violations: [] });
  const refused = await failure(client.listObjectTypes({ pageSize: 201, category: '' }), Code.InvalidArgument);
  assert.deepEqual(refused.violations.map(({ field }) => field), ['page_size', 'category']);
  const headers = { authorization: 'Bearer nonsense' };
  await failure(client.listObjectTypes({}, { headers }), Code.Unauthenticated);
  const stream = client.watchObjectTypes({ resumeToken: 'nonsense' })[Symbol.asyncIterator]();
  const { violations } = await failure(stream.next(), Code.InvalidArgument);
  assert.deepEqual(violations.map(({ field }) => field), ['resume_token']);
}

// The snapshot, then a change that is made meanwhile; then another stream that goes on where this one was left.
async function watch(open, type, shown, change) {
  const said = [];
  let token, version;
  for await (const { resumeToken, event } of open({ start: WatchStart.SNAPSHOT })) {
    token = resumeToken;
    if (event.case === 'heartbeat') continue;
    said.push(event.case === 'snapshot' ? event.value.state.value.name : event.case);
    // The last one is the one that will change.
    if (event.case === 'snapshot' && event.value.state.value.name === shown.at(-1)) version = event.value.state.value.version;
    if (event.case === 'snapshotComplete') await change(`Number ${version}`, version);
    if (event.case === 'change') {
      const { version: made, state, changes } = event.value;
      assert.deepEqual([event.value.type, made, state.value.displayName], [type, version + 1, `Number ${version}`]);
      assert.deepEqual(changes.map(({ newValue }) => newValue.kind), [{ case: 'stringValue', value: `Number ${version}` }]);
      break;
    }
  }
  assert.deepEqual([said[0], ...said.slice(-2)], ['opened', 'snapshotComplete', 'change']);
  assert.deepEqual(said.slice(1, -2).sort(), shown);
  await change('Meanwhile', version + 1);
  for await (const { event } of open({ resumeToken: token })) {
    if (event.case === 'opened' || event.case === 'heartbeat') continue;
    assert.deepEqual([event.case, event.value.version], ['change', version + 2]);
    break;
  }
}

// A client that notes which methods were called, so that one without a call is noticed.
function noted(client, called) {
  return new Proxy(client, {
    get(target, method) {
      called.add(method);
      return target[method];
    },
  });
}

const authenticate = (next) => (request) => {
  if (!request.header.has('authorization')) request.header.set('authorization', `Bearer ${OMS_TOKEN}`);
  return next(request);
};
const options = { baseUrl: OMS_GRPC_URL, interceptors: [authenticate] };
const transports = {
  'gRPC': createGrpcTransport(options),
  'gRPC, gzip': createGrpcTransport({ ...options, sendCompression: compressionGzip, compressMinBytes: 0 }),
  'gRPC-Web': createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
  'Connect over HTTP/2': createConnectTransport({ ...options, httpVersion: '2', useBinaryFormat: true }),
  'Connect with JSON and GET': createConnectTransport({ ...options, httpVersion: '1.1', useBinaryFormat: false, useHttpGet: true }),
};
// What goes over HTTP/1.1; `fetch` does not pass here.
let sent = [];
subscribe('http.client.request.start', ({ request }) => sent.push(request.method));
for (const [name, transport] of Object.entries(transports)) {
  sent = [];
  for (const [service, calls] of [[oms.ObjectTypeService, objectTypes], [oms.LinkTypeService, linkTypes]]) {
    const called = new Set();
    await calls(noted(createClient(service, transport), called));
    const methods = service.methods.map(({ localName }) => localName);
    assert.deepEqual([...called].sort(), methods.sort(), `every method of ${service.typeName} is called`);
  }
  if (name.endsWith('GET')) assert.deepEqual([...new Set(sent)].sort(), ['GET', 'POST'], 'reads by GET, watches by POST');
  console.log(`${name}: every method answers`);
}
// Connections over HTTP/2 stay open.
process.exit(0);
