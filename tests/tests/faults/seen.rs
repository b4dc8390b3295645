//! What a consumer makes of the events that it sees.

use std::collections::{BTreeMap, HashMap};

use oms_tests::Client;
use serde_json::Value;

/// Events of one transport, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By id: what came first, as it came.
    first: HashMap<String, Value>,
    /// Versions of each entity, in the order of first occurrences.
    versions: HashMap<String, Vec<i64>>,
    repeats: usize,
}

impl Seen {
    /// One more. A repeat has to be the same event.
    pub(crate) fn add(&mut self, event: Value) {
        let id = event["id"].as_str().unwrap();
        if let Some(first) = self.first.get(id) {
            assert_eq!(*first, event, "a repeat is the same event");
            self.repeats += 1;
            return;
        }
        let (entity, version) = (event["entityId"].as_str().unwrap(), event["data"]["version"].as_i64().unwrap());
        self.versions.entry(entity.to_owned()).or_default().push(version);
        self.first.insert(id.to_owned(), event);
    }

    /// How many different ones.
    pub(crate) fn events(&self) -> usize {
        self.first.len()
    }

    /// How many came again.
    pub(crate) fn repeats(&self) -> usize {
        self.repeats
    }

    /// Fails unless every position from 1 on is there, and every version of each entity up to these.
    pub(crate) fn assert_complete<'a>(&self, versions: impl Iterator<Item = (&'a str, i64)>) {
        let mut positions: Vec<i64> =
            self.first.values().map(|event| event["metadata"]["position"].as_i64().unwrap()).collect();
        positions.sort_unstable();
        let gap = positions.iter().zip(1_i64..).find(|(position, expected)| *position != expected);
        assert_eq!(gap, None, "a gap among {} positions", positions.len());
        let mut entities = 0;
        for (entity, last) in versions {
            let mut seen = self.versions[entity].clone();
            seen.sort_unstable();
            assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "versions of {entity}");
            entities += 1;
        }
        assert_eq!(entities, self.versions.len(), "nothing else was written");
    }

    /// Fails unless each entity's versions came in order.
    pub(crate) fn assert_in_order(&self) {
        for (entity, versions) in &self.versions {
            assert!(versions.is_sorted(), "{entity} came in another order: {versions:?}");
        }
    }

    /// What is left after the last event of each entity, by id: what a consumer has that keeps the latest version.
    pub(crate) fn rebuilt(&self) -> BTreeMap<String, Value> {
        let mut last: HashMap<&str, &Value> = HashMap::new();
        for event in self.first.values() {
            let known = last.entry(event["entityId"].as_str().unwrap()).or_insert(event);
            if event["data"]["version"].as_i64() > known["data"]["version"].as_i64() {
                *known = event;
            }
        }
        let live = last.into_iter().filter(|(_, event)| !event["type"].as_str().unwrap().ends_with("Deleted"));
        live.map(|(entity, event)| {
            let kind = if event["data"]["linkType"].is_null() { "objectType" } else { "linkType" };
            (entity.to_owned(), without_names_of_others(event["data"][kind].clone()))
        })
        .collect()
    }
}

/// Everything that the service has, by id.
pub(crate) async fn stored(viewer: &Client) -> BTreeMap<String, Value> {
    let mut stored = BTreeMap::new();
    for collection in ["object-types", "link-types"] {
        for item in viewer.all(collection).await {
            stored.insert(item["id"].as_str().unwrap().to_owned(), without_names_of_others(item));
        }
    }
    stored
}

/// The ends of a link are shown by the names that they have, or had at the write; their ids stay.
fn without_names_of_others(mut item: Value) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.remove("source");
        fields.remove("target");
    }
    item
}
