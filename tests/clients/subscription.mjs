// Subscriptions by graphql-sse, the reference client of GraphQL over SSE: it watches, breaks off, and resumes.
import assert from 'node:assert/strict';
import { createClient } from 'graphql-sse';
import { authorization, endpoint } from './oms.mjs';

const headers = { authorization };
const client = createClient({ url: endpoint, headers, retryAttempts: 0 });
const SUBSCRIPTION = `subscription Watch($after: String, $types: [EventType!]) {
  events(after: $after, types: $types) { type version position resumeToken objectType { name displayName } }
}`;

// A query or a mutation, of which this client asks a stream too.
async function ask(query, variables) {
  const results = [];
  for await (const result of client.iterate({ query, variables })) results.push(result);
  assert.equal(results.length, 1);
  assert.equal(results[0].errors, undefined, JSON.stringify(results[0].errors));
  return results[0].data;
}

// So many events, then it breaks off.
async function watch(count, variables, from = client) {
  const events = [];
  for await (const { data, errors } of from.iterate({ query: SUBSCRIPTION, variables })) {
    assert.equal(errors, undefined, JSON.stringify(errors));
    events.push(data.events);
    if (events.length === count) break;
  }
  return events;
}

const create = 'mutation ($input: CreateObjectTypeInput!) { createObjectType(input: $input) { id } }';
const rename = 'mutation ($id: ID!, $input: UpdateObjectTypeInput!) { updateObjectType(id: $id, input: $input) { version } }';
const { createObjectType } = await ask(create, { input: { name: 'Order', displayName: 'v1', properties: [] } });
const write = (version) => ask(rename, { id: createObjectType.id, input: { displayName: `v${version}` } });
for (const version of [2, 3]) await write(version);

const before = await watch(2, { after: 'earliest' });
assert.deepEqual(before.map(({ version }) => version), [1, 2]);
assert.deepEqual(before[0].objectType, { name: 'Order', displayName: 'v1' });
console.log('it watches, and breaks off after two events');

for (const version of [4, 5]) await write(version);
const resumed = watch(4, { after: before.at(-1).resumeToken });
await write(6);
const after = await resumed;
assert.deepEqual(after.map(({ version, objectType }) => [version, objectType.displayName]), [3, 4, 5, 6].map((v) => [v, `v${v}`]));
console.log('it resumes with all that it missed, nothing twice');

// Each connection asks for its headers anew: so a client that loses it goes on where it was.
let lastEventId = before[0].resumeToken;
const byHeader = createClient({ url: endpoint, headers: () => ({ ...headers, 'last-event-id': lastEventId }), retryAttempts: 0 });
const [second] = await watch(1, { after: 'latest' }, byHeader);
lastEventId = second.resumeToken;
const [third] = await watch(1, { after: 'latest' }, byHeader);
assert.deepEqual([second.version, third.version], [2, 3]);
console.log('it resumes by Last-Event-ID');

for (const [variables, code] of [
  [{ after: 'nonsense' }, 'INVALID_CURSOR'],
  [{ types: ['NOTHING'] }, 'GRAPHQL_VALIDATION_FAILED'],
]) {
  const results = [];
  for await (const result of client.iterate({ query: SUBSCRIPTION, variables })) results.push(result);
  assert.deepEqual(results.map(({ errors }) => errors.map(({ extensions }) => extensions.code)), [[code]]);
}
console.log('it is told what is wrong, and that this is all');
