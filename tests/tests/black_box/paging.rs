//! Reading a list page by page while others write.

use std::collections::HashMap;

use oms_tests::{App, Client, samples};
use serde_json::json;

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
