// Whether the schema composes with those of others, in both libraries that gateways use.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as apollo from '@apollo/composition';
import * as guild from '@theguild/federation-composition';
import { parse } from 'graphql';
import { authorization, endpoint } from './oms.mjs';
import { catalog, owners } from './subgraphs.mjs';

const committedSdl = readFileSync(new URL('../../functions/graphql/schema.graphql', import.meta.url), 'utf8');
const response = await fetch(endpoint, {
  method: 'POST',
  headers: { authorization, 'content-type': 'application/json' },
  body: JSON.stringify({ query: '{ _service { sdl } }' }),
});
const { data, errors } = await response.json();
assert.equal(errors, undefined);
assert.equal(data._service.sdl.trim(), committedSdl.trim(), 'the service serves the SDL of the checkout');

const services = Object.entries({ oms: parse(committedSdl), owners, catalog }).map(([name, typeDefs]) => {
  return { name, typeDefs, url: `http://${name}.test/graphql` };
});
for (const [library, { composeServices }] of Object.entries({ apollo, guild })) {
  const { errors, supergraphSdl } = composeServices(services);
  assert.deepEqual(errors?.map(String) ?? [], [], library);
  const type = parse(supergraphSdl).definitions.find(({ name }) => name?.value === 'ObjectType');
  const fields = type.fields.map(({ name }) => name.value);
  const missing = ['id', 'name', 'displayName', 'ownerTeam', 'tables'].filter((field) => !fields.includes(field));
  assert.deepEqual(missing, [], library);
  const joins = type.directives.filter(({ name }) => name.value === 'join__type').map(({ arguments: all }) => {
    const value = (wanted) => all.find(({ name }) => name.value === wanted)?.value.value;
    return `${value('graph')} by ${value('key')}`;
  });
  assert.deepEqual(joins.sort(), ['CATALOG by name', 'OMS by id', 'OMS by name', 'OWNERS by id'], library);
  console.log(`${library} composes ${services.length} subgraphs, ObjectType has ${fields.length} fields`);
}
