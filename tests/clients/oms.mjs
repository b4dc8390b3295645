// The service under test: where it is, and who calls it.
import assert from 'node:assert/strict';

const { OMS_URL, OMS_TOKEN } = process.env;
assert(OMS_URL && OMS_TOKEN, 'OMS_URL and OMS_TOKEN have to say which service to call, and as whom');

export const endpoint = new URL('/graphql', OMS_URL).href;
export const authorization = `Bearer ${OMS_TOKEN}`;
