// Whether the messages of Kafka are CloudEvents.
// Each line of the input is one: {"headers": {name: text}, "value": text}.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { HTTP, Kafka } from 'cloudevents';

function check(event, value) {
  // It throws when something is missing or malformed.
  assert(event.validate());
  const data = JSON.parse(value);
  assert.equal(event.specversion, '1.0');
  assert.equal(event.id, data.id);
  assert.equal(event.type, data.type);
  assert.equal(event.source, 'openfoundry.oms');
  assert.equal(event.subject, data.entityId);
  // To the millisecond, which is all that JavaScript keeps.
  assert.equal(Date.parse(event.time), Date.parse(data.timestamp));
  assert.equal(event.datacontenttype, 'application/json');
  assert.deepEqual(event.data, data);
}

let events = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === '') continue;
  const { headers, value } = JSON.parse(line);
  const message = { headers, body: value, value, key: headers.ce_subject };
  assert(Kafka.isEvent(message), `no CloudEvent of Kafka: ${line}`);
  check(Kafka.toEvent(message), value);
  // The same over HTTP, where the prefix is another.
  const http = Object.entries(headers).map(([name, text]) => [name.replace(/^ce_/, 'ce-'), text]);
  check(HTTP.toEvent({ headers: Object.fromEntries(http), body: value }), value);
  events += 1;
}
assert(events > 0, 'there are no messages in the input');
console.log(`ok: ${events} events`);
