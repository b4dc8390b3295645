//! Reading a list page by page while others write.

use std::collections::HashMap;

use oms_tests::{App, Client, samples};
use serde_json::{Value, json};

const STAYING: usize = 60;
const PAGE: usize = 7;

fn staying(n: usize) -> String {
    format!("Staying{n:03}")
}

/// Three writers insert, delete, and update types of their own beside those that stay, until the reader is done.
fn disturb(app: &App) -> tokio::task::JoinSet<()> {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..3 {
        let editor = app.client("editor");
        writers.spawn(async move {
            for n in 0.. {
                // Before, among and after the names that stay.
                let name = format!("{}w{writer}n{n}", ["Another", "Staying030", "Zebra"][n % 3]);
                editor.post("object-types", &samples::object_type(&name)).expect(201).await;
                let path = format!("object-types/{name}");
                editor.patch(&path, 1, &json!({"displayName": format!("{n}")})).expect(200).await;
                if n % 2 == 0 {
                    editor.delete(&path, 2).expect(204).await;
                }
            }
        });
    }
    writers
}

async fn read_all(reader: &Client, sort: &str) -> HashMap<String, usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut cursor = String::new();
    // Sorted by time, the writers' types run ahead of the reader forever: it stops ten pages after it has seen all.
    let mut further = 10;
    while further > 0 {
        let page = reader.get(&format!("object-types?limit={PAGE}&sort={sort}{cursor}")).expect(200).await;
        let items = page["data"].as_array().unwrap();
        assert!(items.len() <= PAGE);
        for item in items {
            *seen.entry(item["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match page["page"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
        further -= usize::from((0..STAYING).all(|n| seen.contains_key(&staying(n))));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_is_listed_exactly_once_in_every_order() {
    let app = App::start().await;
    let editor = app.client("editor");
    let items: Vec<_> =
        (0..STAYING).map(|n| json!({"name": staying(n), "displayName": format!("same for three {}", n / 3)})).collect();
    // In one batch, so that times of creation are equal and the id has to decide.
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;

    let mut writers = disturb(&app);
    for by in ["name", "displayName", "createdAt", "updatedAt"] {
        for direction in ["", "-"] {
            let seen = read_all(&app.client("viewer"), &format!("{direction}{by}")).await;
            for n in 0..STAYING {
                assert_eq!(seen.get(&staying(n)), Some(&1), "{direction}{by}: {}", staying(n));
            }
        }
    }
    assert!(writers.try_join_next().is_none(), "a writer failed, or there was no disturbance");
    writers.shutdown().await;
    let written = editor.get("object-types?limit=1&count=true").expect(200).await;
    assert!(written["page"]["totalCount"].as_u64().unwrap() > STAYING as u64, "there was no disturbance: {written}");
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filter_and_sort() {
    let app = App::start().await;
    let editor = app.client("editor");
    let items: Vec<_> = (0..3).map(|n| samples::object_type(&staying(n))).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let page = editor.get("object-types?limit=1").expect(200).await;
    let cursor = page["page"]["nextCursor"].as_str().unwrap();
    for other in ["object-types?sort=-name&", "object-types?category=x&", "link-types?", "object-types?tag=a&"] {
        let refused = editor.get(&format!("{other}cursor={cursor}")).expect(400).await;
        assert_eq!(refused["code"], "INVALID_CURSOR", "{other}");
    }
    editor.get(&format!("object-types?limit=200&cursor={cursor}")).expect(200).await;
}

#[tokio::test]
async fn every_cursor_is_taken_back_however_long_its_text() {
    let app = App::start().await;
    let editor = app.client("editor");
    let items: Vec<_> =
        ["A", "B"].iter().map(|name| json!({"name": name, "displayName": "\u{10348}".repeat(255)})).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let first = editor.get("object-types?limit=1&sort=displayName").expect(200).await;
    let cursor = first["page"]["nextCursor"].as_str().unwrap();
    let second = editor.get(&format!("object-types?limit=1&sort=displayName&cursor={cursor}")).expect(200).await;
    assert_ne!(first["data"][0]["name"], second["data"][0]["name"]);
    assert_eq!(second["page"]["nextCursor"], Value::Null);
    for list in ["object-types", "audit-logs", "object-types/A/versions"] {
        let refused = app.admin().get(&format!("{list}?cursor={}", "A".repeat(4_000))).expect(400).await;
        assert_eq!(refused["code"], "INVALID_CURSOR", "{list}");
    }
}

#[tokio::test]
async fn cursors_of_versions_and_of_the_audit_log_belong_to_their_question() {
    let app = App::start().await;
    let admin = app.admin();
    for name in ["A", "B"] {
        admin.post("object-types", &json!({"name": name, "displayName": name})).expect(201).await;
        admin.patch(&format!("object-types/{name}"), 1, &json!({"category": "x"})).expect(200).await;
    }
    let next = async |path: &str| {
        let page = admin.get(&format!("{path}limit=1")).expect(200).await;
        page["page"]["nextCursor"].as_str().unwrap().to_owned()
    };
    let (versions, log) = (next("object-types/A/versions?").await, next("audit-logs?action=CREATE&").await);
    let rest = admin.get(&format!("object-types/A/versions?cursor={versions}")).expect(200).await;
    assert_eq!((&rest["data"][0]["version"], rest["data"].as_array().unwrap().len()), (&json!(1), 1));
    let rest = admin.get(&format!("audit-logs?action=CREATE&cursor={log}")).expect(200).await;
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    for (path, status, code) in [
        (format!("object-types/B/versions?cursor={versions}"), 400, "INVALID_CURSOR"),
        (format!("object-types/Nope/versions?cursor={versions}"), 404, "OBJECT_TYPE_NOT_FOUND"),
        (format!("audit-logs?action=UPDATE&cursor={log}"), 400, "INVALID_CURSOR"),
        (format!("audit-logs?cursor={versions}"), 400, "INVALID_CURSOR"),
    ] {
        assert_eq!(admin.get(&path).expect(status).await["code"], code, "{path}");
    }
}

#[tokio::test]
async fn what_is_too_large_for_an_answer_is_shown_without_its_values() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 8_192)).await;
    let admin = app.admin();
    let described = |text: &str| json!({"name": "A", "displayName": "A", "description": text.repeat(10_000)});
    admin.post("object-types", &described("a")).expect(201).await;
    admin.patch("object-types/A", 1, &json!({"description": "b".repeat(10_000)})).expect(200).await;
    let compared = admin.get("object-types/A/versions/compare?from=1&to=2").expect(200).await;
    assert_eq!(compared["changes"], json!([{"field": "description", "type": "modified"}]));

    let log = admin.all("audit-logs").await;
    assert_eq!(log.len(), 2);
    for entry in &log {
        assert_eq!((&entry["truncated"], entry.get("oldValue"), entry.get("newValue")), (&json!(true), None, None));
    }
    admin.post("object-types", &json!({"name": "B", "displayName": "B"})).expect(201).await;
    let log = admin.get("audit-logs?limit=1").expect(200).await;
    assert!(log["data"][0].get("truncated").is_none() && log["data"][0]["newValue"].is_object());
}
