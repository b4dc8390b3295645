//! Where events can be had, as an AsyncAPI 3.0 document that refers to the schemas.

use serde_json::{Map, Value, json};

use crate::{EventType, SOURCE, samples, schema};

/// The file of the committed document.
pub const FILE: &str = "asyncapi.json";

/// The document.
#[must_use]
pub fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:openfoundry:oms:events",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels(),
        "operations": operations(),
        "components": {
            "messages": messages(),
            "messageTraits": { "CloudEvent": cloud_event() },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "apiKey": { "type": "httpApiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn info() -> Value {
    json!({
        "title": "OMS events",
        "version": "1.0.0",
        "description": "Every write of an object type or link type as an event. On every path an event comes at \
            least once, and a repeat has the same id and position. The version gives the order: a consumer drops \
            what is not above the version that it has. In a higher epoch, which a restored database begins, versions \
            are new.",
        "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        "tags": [{ "name": "object types" }, { "name": "link types" }],
    })
}

fn servers() -> Value {
    let region = json!({ "region": { "description": "The AWS region.", "default": "eu-west-1" } });
    json!({
        "kafka": {
            "host": "{broker}",
            "protocol": "kafka-secure",
            "description": "Amazon MSK, or any Kafka.",
            "variables": { "broker": { "description": "One of KAFKA_BROKERS.", "default": "localhost:9092" } },
        },
        "eventBridge": { "host": "events.{region}.amazonaws.com", "protocol": "eventbridge", "variables": region },
        "sqs": { "host": "sqs.{region}.amazonaws.com", "protocol": "sqs", "variables": region },
        "api": {
            "host": "{host}",
            "protocol": "https",
            "description": "The REST API.",
            "variables": { "host": { "description": "Where the API is served.", "default": "localhost:8080" } },
            "security": [
                reference("components/securitySchemes/bearer"),
                reference("components/securitySchemes/apiKey"),
            ],
        },
    })
}

fn channels() -> Value {
    let each: Map<_, _> =
        EventType::ALL.iter().map(|event_type| (event_type.to_string(), message(*event_type))).collect();
    json!({
        "events": {
            "address": "oms-events",
            "title": "The log",
            "description": "The events of an entity are in order, but for repeats and what was redriven. KAFKA_TOPIC \
                gives the topic another name.",
            "servers": [reference("servers/kafka")],
            "messages": each,
            "bindings": { "kafka": { "topic": "oms-events", "bindingVersion": "0.5.0" } },
        },
        "deadLetters": {
            "address": "oms-events-dlq",
            "title": "Dead letters",
            "description": "What Kafka can never take as it is. KAFKA_DLQ_TOPIC gives the topic another name.",
            "servers": [reference("servers/kafka")],
            "messages": { "DeadLetter": reference("components/messages/DeadLetter") },
            "bindings": { "kafka": { "topic": "oms-events-dlq", "bindingVersion": "0.5.0" } },
        },
        "bus": {
            "address": "oms",
            "title": "The bus",
            "description": "EventBridge fans out without order. EVENT_BUS_NAME names the bus.",
            "servers": [reference("servers/eventBridge")],
            "messages": { "BusEvent": reference("components/messages/BusEvent") },
        },
        "queue": {
            "address": "oms-events.fifo",
            "title": "The FIFO queue",
            "description": "For subscribers that need order: one group for each entity, the id of the event drops \
                repeats within five minutes. It is there when RELAY_FIFO_URL is set.",
            "servers": [reference("servers/sqs")],
            "messages": { "Event": reference("components/messages/Event") },
            "bindings": { "sqs": {
                "queue": {
                    "name": "oms-events.fifo",
                    "fifoQueue": true,
                    "deduplicationScope": "messageGroup",
                    "fifoThroughputLimit": "perMessageGroupId",
                },
                "bindingVersion": "0.2.0",
            } },
        },
        "feed": {
            "address": "/api/v1/events",
            "title": "The change feed",
            "description": "Server-sent events, with `Accept: text/event-stream`. `id` is the token to resume after \
                the event, `event` its type, `data` the event on one line. A client that comes back with \
                `Last-Event-ID`, or `after`, misses nothing. The same in pages is described by the OpenAPI document.",
            "servers": [reference("servers/api")],
            "messages": { "Event": reference("components/messages/Event") },
        },
    })
}

fn operations() -> Value {
    let send = |channel: &str, title: &str| json!({ "action": "send", "title": title, "channel": reference(&format!("channels/{channel}")) });
    let mut feed = send("feed", "Streams events to those who watch");
    feed["bindings"] = json!({ "http": { "method": "GET", "bindingVersion": "0.3.0" } });
    json!({
        "publishEvents": send("events", "Publishes every event"),
        "publishDeadLetters": send("deadLetters", "Sets aside what Kafka can't take"),
        "relayToBus": send("bus", "Relays events to the bus"),
        "relayToQueue": send("queue", "Relays events in order"),
        "streamFeed": feed,
    })
}

fn messages() -> Value {
    let mut messages: Map<String, Value> = EventType::ALL
        .iter()
        .map(|&event_type| {
            let event = samples::event(event_type);
            let headers: Map<_, _> =
                samples::headers(&event).into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
            let message = json!({
                "name": event_type.as_str(),
                "title": event_type.as_str(),
                "summary": schema::description(event_type),
                "payload": payload(event_type),
                "traits": [reference("components/messageTraits/CloudEvent")],
                "examples": [{ "name": event_type.as_str(), "headers": headers, "payload": event }],
            });
            (event_type.to_string(), message)
        })
        .collect();
    let any = json!({ "oneOf": EventType::ALL.iter().map(|&event_type| payload(event_type)).collect::<Vec<_>>() });
    let types: Vec<_> = EventType::ALL.iter().map(|event_type| event_type.as_str()).collect();
    let bus_event = json!({
        "type": "object",
        "required": ["source", "detail-type", "detail"],
        "properties": { "source": { "const": SOURCE }, "detail-type": { "enum": types }, "detail": any },
    });
    let original_error = text("Why Kafka could not take it.");
    let more = [
        ("Event", json!({ "name": "Event", "title": "An event of any type", "payload": any })),
        (
            "BusEvent",
            json!({ "name": "BusEvent", "title": "An event as EventBridge delivers it", "payload": bus_event }),
        ),
        (
            "DeadLetter",
            json!({
                "name": "DeadLetter",
                "title": "A message that was set aside",
                "summary": "With the headers of the message; the value may be missing, or nothing that can be read.",
                "headers": {
                    "type": "object",
                    "required": ["original-error"],
                    "properties": { "original-error": original_error },
                },
                "bindings": kafka_key(),
            }),
        ),
    ];
    messages.extend(more.map(|(name, message)| (name.to_owned(), message)));
    messages.into()
}

/// What every message of the log has: CloudEvents 1.0, binary mode of the Kafka protocol binding.
fn cloud_event() -> Value {
    let types: Vec<_> = EventType::ALL.iter().map(|event_type| event_type.as_str()).collect();
    let event_type = json!({ "type": "string", "enum": types });
    json!({
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type",
                "event-type", "event-version"],
            "properties": {
                "ce_specversion": { "const": "1.0" },
                "ce_id": { "type": "string", "format": "uuid", "description": "The id of the event." },
                "ce_source": { "const": SOURCE },
                "ce_type": event_type,
                "ce_time": { "type": "string", "format": "date-time", "description": "When it was written." },
                "ce_subject": { "type": "string", "format": "uuid", "description": "The id of the entity." },
                "ce_dataschema": text("The `$id` of the schema."),
                "content-type": { "const": "application/json" },
                "event-type": event_type,
                "event-version": text("The version of the payload."),
                "correlation-id": text("Ties the event to its request."),
                "traceparent": text("The trace of its request (W3C)."),
                "redriven": { "const": "1", "description": "It was put back by hand, and may come late." },
            },
        },
        "bindings": kafka_key(),
    })
}

fn kafka_key() -> Value {
    let key =
        json!({ "type": "string", "format": "uuid", "description": "The id of the entity; partitioned by murmur2." });
    json!({ "kafka": { "key": key, "bindingVersion": "0.5.0" } })
}

fn message(event_type: EventType) -> Value {
    reference(&format!("components/messages/{event_type}"))
}

fn payload(event_type: EventType) -> Value {
    json!({ "$ref": format!("./{}/{}", schema::FOLDER, schema::file_name(event_type)) })
}

fn reference(to: &str) -> Value {
    json!({ "$ref": format!("#/{to}") })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}
