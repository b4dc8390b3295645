// Federated queries by Apollo Gateway, which gets the schemas from the running subgraphs and asks them for entities.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { ApolloGateway, IntrospectAndCompose, RemoteGraphQLDataSource } from '@apollo/gateway';
import { buildSubgraphSchema } from '@apollo/subgraph';
import { parse } from 'graphql';
import { createHandler } from 'graphql-http/lib/use/http';
import { authorization, endpoint } from './oms.mjs';
import * as subgraphs from './subgraphs.mjs';

// A service that is not fresh has other types.
const category = `gateway-${randomUUID()}`;
const [customer, order, missing] = ['Customer', 'Order', 'Missing'].map((name) => `${name}_${category.slice(-12)}`);
const ids = {};

async function serve(typeDefs, resolvers) {
  const server = createServer(createHandler({ schema: buildSubgraphSchema({ typeDefs, resolvers }) }));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, url: `http://127.0.0.1:${server.address().port}/graphql` };
}

const team = (id) => (id === ids[customer] ? 'sales' : 'logistics');
const owners = await serve(subgraphs.owners, {
  Query: { ownedTypes: () => [ids[order], randomUUID(), ids[customer]].map((id) => ({ id })) },
  ObjectType: { ownerTeam: ({ id }) => team(id) },
});
const tables = [order, missing, customer].map((name) => ({ path: `lake/${name}`, describes: { name } }));
const catalog = await serve(subgraphs.catalog, {
  Query: { tables: () => tables },
  ObjectType: { tables: ({ name }) => tables.filter(({ describes }) => describes.name === name) },
});

// How many entities OMS was asked for, request by request.
let entityBatches = [];
const gateway = new ApolloGateway({
  supergraphSdl: new IntrospectAndCompose({
    subgraphs: [
      { name: 'oms', url: endpoint },
      { name: 'owners', url: owners.url },
      { name: 'catalog', url: catalog.url },
    ],
    introspectionHeaders: { authorization },
  }),
  buildService: ({ name, url }) =>
    new RemoteGraphQLDataSource({
      url,
      // First by the hash of the query alone, then with the query when OMS does not know it yet.
      apq: name === 'oms',
      willSendRequest({ request, context }) {
        if (context.authorization) request.http.headers.set('authorization', context.authorization);
        const { representations } = request.variables ?? {};
        if (name === 'oms' && representations) entityBatches.push(representations.length);
      },
    }),
});
const { executor, schema } = await gateway.load();

async function ask(query, variables = {}) {
  entityBatches = [];
  const { data, errors } = await executor({
    schema,
    document: parse(query),
    source: query,
    queryHash: query,
    request: { query, variables },
    context: { authorization },
    metrics: {},
  });
  assert.equal(errors, undefined, JSON.stringify(errors));
  // Its objects have no prototype, which a strict comparison would see.
  return JSON.parse(JSON.stringify(data));
}

const properties = [{ name: 'since', displayName: 'Since', dataType: 'DATE' }];
const inputs = [order, customer].map((name) => {
  return { name, displayName: `A ${name}`, category, properties, metadata: { name } };
});
const { createObjectTypes: created } = await ask(
  'mutation ($inputs: [CreateObjectTypeInput!]!) { createObjectTypes(inputs: $inputs) { id name } }',
  { inputs },
);
for (const { id, name } of created) ids[name] = id;
const fields = 'name displayName version metadata properties { name displayName dataType }';
const full = (name) => ({ name, displayName: `A ${name}`, version: 1, metadata: { name }, properties });

const { objectTypes } = await ask(
  `query ($filter: ObjectTypeFilter) {
    objectTypes(filter: $filter) { totalCount nodes { ${fields} ownerTeam tables { path } } }
  }`,
  { filter: { category } },
);
const joined = (name) => ({ ...full(name), ownerTeam: team(ids[name]), tables: [{ path: `lake/${name}` }] });
assert.deepEqual(objectTypes, { totalCount: 2, nodes: [joined(customer), joined(order)] });
console.log('from OMS to the others: fields of all three subgraphs');

const { ownedTypes } = await ask(`{ ownedTypes { ${fields} } }`);
assert.deepEqual(ownedTypes, [full(order), null, full(customer)]);
assert.deepEqual(entityBatches, [3], 'all in one request');
console.log('from another to OMS by id: the one that is missing is null');

const { tables: described } = await ask(`{ tables { path describes { ${fields} ownerTeam } } }`);
const owned = (name) => ({ ...full(name), ownerTeam: team(ids[name]) });
assert.deepEqual(described.map(({ describes }) => describes), [owned(order), null, owned(customer)]);
assert.deepEqual(entityBatches, [3], 'all in one request');
console.log('from another to OMS by name, and from there to a third by id');

await gateway.stop();
for (const { server } of [owners, catalog]) {
  server.close();
  server.closeAllConnections();
}
