// Whether the endpoint is GraphQL over HTTP to the letter: every audit of graphql-http, the SHOULDs and MAYs too.
import assert from 'node:assert/strict';
import { serverAudits } from 'graphql-http';
import { authorization, endpoint } from './oms.mjs';

const fetchFn = (url, init) => fetch(url, { ...init, headers: { ...init?.headers, authorization } });
const failed = [];
const audits = serverAudits({ url: endpoint, fetchFn });
for (const audit of audits) {
  const { id, name, status, reason } = await audit.fn();
  if (status !== 'ok') failed.push(`${status} ${id} ${name}: ${reason}`);
}
console.log(`${audits.length - failed.length} of ${audits.length} audits pass`);
assert.deepEqual(failed, []);
assert(audits.length >= 61, 'graphql-http 1.23 has 61 audits');
