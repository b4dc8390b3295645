// Whether the AsyncAPI document of the events is one, with the schemas that it refers to.
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Parser, fromFile } from '@asyncapi/parser';

const path = fileURLToPath(new URL('../../events/asyncapi.json', import.meta.url));
const { document, diagnostics } = await fromFile(new Parser(), path).parse();
// Errors and warnings; the rest is advice, like a newer version of AsyncAPI.
const wrong = diagnostics.filter(({ severity }) => severity <= 1);
for (const { code, message, path } of wrong) console.error(`${code} at ${path.join('/')}: ${message}`);
if (!document || wrong.length > 0) process.exit(1);

const topic = document.channels().all().find((channel) => channel.address() === 'oms-events');
const types = topic.messages().all().map((message) => message.name());
assert.equal(types.length, 8, 'every type of event is a message of the topic');
for (const message of topic.messages().all()) {
  const { type, data } = message.payload().json().properties;
  assert.equal(type.const, message.name(), 'the message has the schema of its type');
  assert(data, 'the schema was read');
  assert(message.headers().properties().ce_id, 'the message has the headers of CloudEvents');
}
console.log(`ok: ${document.channels().all().length} channels, ${types.length} types of event`);
