// Calls the service through the generated client, as a program of its users would.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { ClientError, GraphQLClient } from 'graphql-request';
import { getSdk, type CreateObjectTypeInput, type SummaryFragment } from '../generated/sdk.js';

const { OMS_URL, OMS_TOKEN } = process.env;
const oms = getSdk(
  new GraphQLClient(new URL('/graphql', OMS_URL).href, { headers: { authorization: `Bearer ${OMS_TOKEN}` } }),
);

// A service that is not fresh has other types.
const category = `typed-${randomUUID()}`;
const input = (name: string): CreateObjectTypeInput => ({
  name: `${name}_${category.slice(-12)}`,
  displayName: name,
  category,
  properties: [{ name: 'email', displayName: 'E-mail', dataType: 'STRING', required: true }],
});

async function code(failing: Promise<unknown>): Promise<unknown> {
  const error = await failing.then(
    () => assert.fail('it has to fail'),
    (error: unknown) => error,
  );
  assert(error instanceof ClientError, String(error));
  return error.response.errors?.[0]?.extensions.code;
}

async function create(name: string): Promise<SummaryFragment> {
  return (await oms.create({ input: input(name) })).createObjectType;
}

const [first, second] = [await create('First'), await create('Second')];
assert.deepEqual(first.properties, [{ name: 'email', dataType: 'STRING', required: true }]);
assert.equal(await code(oms.create({ input: input('First') })), 'OBJECT_TYPE_NAME_EXISTS');

const { objectTypes: page } = await oms.list({ category, first: 1 });
assert.deepEqual(page, { nodes: [second], pageInfo: { hasNextPage: true }, totalCount: 2 });

const change = { id: first.id, input: { displayName: 'Changed', category: null }, expectedVersion: first.version };
const { updateObjectType: changed } = await oms.update(change);
assert.deepEqual(changed, { ...first, displayName: 'Changed', category: null, version: 2 });
assert.equal(await code(oms.update(change)), 'VERSION_CONFLICT');

assert.equal(await code(oms.delete({ id: first.id, expectedVersion: 1 })), 'VERSION_CONFLICT');
for (const { id, version } of [changed, second]) {
  assert.equal((await oms.delete({ id, expectedVersion: version })).deleteObjectType, true);
  assert.equal((await oms.read({ id })).objectType, null);
}
console.log('created, listed, updated and deleted; conflicts have their codes');
