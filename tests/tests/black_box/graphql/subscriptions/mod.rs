//! Subscriptions over Server-Sent Events, and whatever else is asked for as a stream of them.

mod resume;
mod shown;
mod transport;

use oms_tests::{Client, EventStream, Frame, samples};
use serde_json::{Value, json};

const ALL: &str = "subscription ($after: String) { events(after: $after) { id type position } }";

/// A subscription with these arguments and fields.
async fn watch(client: &Client, arguments: &str, fields: &str) -> EventStream {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    client.query(&format!("subscription {{ events{arguments} {{ {fields} }} }}")).stream().await
}

/// The next so many events, which come without an error.
async fn events(stream: &mut EventStream, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < count {
        let frame = stream.next_event().await.unwrap_or_else(|| panic!("it ended after {events:?}"));
        events.push(shown(&frame));
    }
    events
}

fn shown(frame: &Frame) -> Value {
    assert_eq!(frame.event.as_deref(), Some("next"), "{frame:?}");
    let result = frame.json();
    assert_eq!(result.get("errors"), None, "{result}");
    result["data"]["events"].clone()
}

async fn positions(stream: &mut EventStream, count: usize) -> Vec<i64> {
    events(stream, count).await.iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

/// The only error of a stream that says nothing else, and then that it is complete.
async fn refused(mut stream: EventStream, code: &str) -> Value {
    assert_eq!(stream.status(), 200);
    let result = loop {
        let frame = stream.next_event().await.unwrap();
        if frame.event.as_deref() == Some("next") {
            break frame.json();
        }
    };
    assert_eq!(result.get("data"), None, "{result}");
    assert_eq!(result["errors"].as_array().unwrap().len(), 1, "{result}");
    assert_eq!(result["errors"][0]["extensions"]["code"], code, "{result}");
    assert!(result["errors"][0]["extensions"]["correlationId"].is_string(), "{result}");
    completes(&mut stream).await;
    result["errors"][0].clone()
}

/// The last frame, and nothing after it; its token.
async fn completes(stream: &mut EventStream) -> Option<String> {
    let frame = stream.next_event().await.unwrap();
    assert_eq!((frame.event.as_deref(), frame.data.as_deref()), (Some("complete"), Some("")));
    assert_eq!(stream.next().await, None);
    frame.id
}

/// Eight writes: one of each type of event but a restored link type.
async fn history(editor: &Client) {
    editor.post("object-types", &samples::customer()).expect(201).await;
    let order = editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    editor.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;
    editor.patch("link-types/places", 1, &json!({"displayName": "orders"})).expect(200).await;
    editor.delete("link-types/places", 2).expect(204).await;
    editor.patch("object-types/Order", 1, &json!({"name": "Purchase", "tags": ["core"]})).expect(200).await;
    editor.delete("object-types/Purchase", 2).expect(204).await;
    editor.post(&format!("object-types/{}/restore", order["id"].as_str().unwrap()), &Value::Null).expect(200).await;
}

/// How many events [`history`] makes.
const HISTORY: usize = 8;

/// `ObjectTypeCreated` as the schema spells it.
fn spelled(event_type: &str) -> String {
    let mut spelled = String::new();
    for letter in event_type.chars() {
        if letter.is_ascii_uppercase() && !spelled.is_empty() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_uppercase());
    }
    spelled
}
