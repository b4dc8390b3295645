//! Events from the write to whoever listens: the change feed, Kafka, EventBridge and the FIFO queue.

mod feed;
mod kafka;
mod late;
mod poison;
mod relay;
mod sdks;
mod streams;
mod watchers;

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use oms_tests::{Client, Database, Settings, samples, workspace_root};
use reqwest::Method;
use serde_json::{Value, json};

/// One event of each type of object type and link type but restored links: eight writes.
async fn history(editor: &Client) {
    editor.post("object-types", &samples::customer()).expect(201).await;
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    editor.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;
    editor.patch("object-types/Order", 1, &json!({"name": "Purchase", "category": "sales"})).expect(200).await;
    editor.patch("link-types/places", 1, &json!({"displayName": "places an order"})).expect(200).await;
    editor.delete("link-types/places", 2).expect(204).await;
    editor.delete("object-types/Purchase", 2).expect(204).await;
    let deleted = &editor.get("events?type=ObjectTypeDeleted").expect(200).await["data"][0]["entityId"];
    let path = format!("object-types/{}/restore", deleted.as_str().unwrap());
    editor.call(Method::POST, &path).expect(200).await;
}

/// How many events [`history`] makes.
const HISTORY: usize = 8;

fn positions(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["metadata"]["position"].as_i64().unwrap()).collect()
}

/// Fails unless an event is what the schema of its type says.
#[track_caller]
fn assert_valid(event: &Value) {
    static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
        let files = std::fs::read_dir(workspace_root().join("events/schemas")).unwrap();
        let validators = files.map(|file| {
            let file = file.unwrap();
            let schema: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            (file.file_name().into_string().unwrap(), validator)
        });
        validators.collect()
    });
    let file = format!("{}.v1.json", event["type"].as_str().unwrap());
    let errors: Vec<_> = VALIDATORS[&file].iter_errors(event).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{file}: {errors:?} {event}");
}

/// A database, and the settings of a server on it.
async fn database() -> (Database, Settings) {
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    (database, settings)
}
