// Subgraphs of other teams, which add to the object types of OMS.
import { readFileSync } from 'node:fs';
import { parse } from 'graphql';

// Knows them by id, and says `extend`.
export const owners = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@external"])

  type Query {
    ownedTypes: [ObjectType]!
  }

  extend type ObjectType @key(fields: "id") {
    id: ID! @external
    ownerTeam: String!
  }
`);

// Knows them by name: the example of the README.
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
export const catalog = parse(readme.split('```graphql\n')[1].split('```')[0]);
