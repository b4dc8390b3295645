// Subgraphs of other teams, which add to the object types of OMS.
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

// Knows them by name.
export const catalog = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key"])

  type Query {
    tables: [Table!]!
  }

  type Table {
    path: String!
    describes: ObjectType
  }

  type ObjectType @key(fields: "name") {
    name: String!
    tables: [Table!]!
  }
`);
