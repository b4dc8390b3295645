//! How often a request goes to PostgreSQL: counted on the wire, not in the code.

use oms_tests::{App, Client, PostgresProxy, samples};
use serde_json::{Value, json};

async fn counted<T>(proxy: &PostgresProxy, expected: u64, what: &str, work: impl Future<Output = T>) -> T {
    let (done, statements) = proxy.count(work).await;
    assert_eq!(statements, expected, "{what}");
    done
}

fn id(created: &Value) -> String {
    created["id"].as_str().unwrap().to_owned()
}

async fn with_references(editor: &Client) -> (String, String) {
    let target = editor.post("object-types", &samples::object_type("Target")).expect(201).await;
    let owner = editor.post("object-types", &samples::object_type("Owner")).expect(201).await;
    (id(&target), id(&owner))
}

#[tokio::test]
async fn with_a_cache_reads_cost_at_most_one_query_and_writes_one_statement() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let editor = app.client("editor");
    let order = samples::object_type("Order");
    let path = format!(
        "object-types/{}",
        id(&counted(&proxy, 1, "create", editor.post("object-types", &order).expect(201)).await)
    );

    counted(&proxy, 0, "get by id right after the write", editor.get(&path).expect(200)).await;
    counted(&proxy, 0, "get by name right after the write", editor.get("object-types/ORDER").expect(200)).await;
    counted(&proxy, 1, "list", editor.get("object-types?count=true").expect(200)).await;
    counted(&proxy, 0, "the same list", editor.get("object-types?count=true").expect(200)).await;
    counted(&proxy, 1, "search", editor.get("search?q=order").expect(200)).await;
    counted(&proxy, 0, "the same search", editor.get("search?q=order").expect(200)).await;

    let rename = json!({"name": "Purchase"});
    counted(&proxy, 1, "update with its base cached", editor.patch(&path, 1, &rename).expect(200)).await;
    counted(&proxy, 0, "get after the update", editor.get("object-types/purchase").expect(200)).await;
    counted(&proxy, 1, "the old name", editor.get("object-types/order").expect(404)).await;
    counted(&proxy, 1, "list after the update", editor.get("object-types?count=true").expect(200)).await;

    counted(&proxy, 1, "delete with its base cached", editor.delete(&path, 2).expect(204)).await;
    counted(&proxy, 1, "get of what is deleted", editor.get(&path).expect(404)).await;
}

#[tokio::test]
async fn a_type_that_another_process_wrote_costs_one_query_once() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let editor = app.client("editor");
    let items: Vec<_> = ["A", "B"].map(samples::object_type).into();
    let created = editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let path = format!("object-types/{}", id(&created["data"][0]));
    counted(&proxy, 1, "get of what is not cached", editor.get(&path).expect(200)).await;
    counted(&proxy, 0, "get again", editor.get(&path).expect(200)).await;
    let patch = json!({"displayName": "b"});
    counted(&proxy, 2, "update without its base cached", editor.patch("object-types/B", 1, &patch).expect(200)).await;
}

#[tokio::test]
async fn an_update_with_new_required_references_costs_one_statement_more_for_the_lock() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let editor = app.client("editor");
    let (target, owner) = with_references(&editor).await;
    let refer =
        json!({"properties": [{"name": "to", "dataType": "REFERENCE", "referenceTo": target, "required": true}]});
    counted(&proxy, 2, "lock and write", editor.patch(&format!("object-types/{owner}"), 1, &refer).expect(200)).await;
    let keep = json!({"description": "keeps its reference"});
    counted(&proxy, 1, "no new reference", editor.patch(&format!("object-types/{owner}"), 2, &keep).expect(200)).await;
}

#[tokio::test]
async fn links_cost_what_object_types_cost() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let editor = app.client("editor");
    with_references(&editor).await;
    let link = samples::link_type("points", "Owner", "Target");
    let path =
        format!("link-types/{}", id(&counted(&proxy, 1, "create", editor.post("link-types", &link).expect(201)).await));
    counted(&proxy, 1, "get after the create", editor.get(&path).expect(200)).await;
    counted(&proxy, 0, "get again", editor.get(&path).expect(200)).await;
    counted(&proxy, 1, "update", editor.patch(&path, 1, &json!({"displayName": "Points"})).expect(200)).await;
    counted(&proxy, 0, "get after the update", editor.get(&path).expect(200)).await;
    counted(&proxy, 1, "list by an end", editor.get("link-types?source=Owner").expect(200)).await;
    counted(&proxy, 0, "the same list", editor.get("link-types?source=Owner").expect(200)).await;
}

#[tokio::test]
async fn without_a_cache_a_get_costs_one_query_and_an_update_two() {
    let (app, proxy) = App::counted(|settings| settings.remove("REDIS_URL")).await;
    let editor = app.client("editor");
    let (target, owner) = with_references(&editor).await;
    let path = format!("object-types/{owner}");
    for _ in 0..2 {
        counted(&proxy, 1, "get by id", editor.get(&path).expect(200)).await;
        counted(&proxy, 1, "get by name", editor.get("object-types/owner").expect(200)).await;
        counted(&proxy, 1, "list", editor.get("object-types?count=true").expect(200)).await;
    }
    counted(&proxy, 2, "update", editor.patch(&path, 1, &json!({"displayName": "o"})).expect(200)).await;
    let refer =
        json!({"properties": [{"name": "to", "dataType": "REFERENCE", "referenceTo": target, "required": true}]});
    counted(&proxy, 3, "update with a new required reference", editor.patch(&path, 2, &refer).expect(200)).await;
    counted(&proxy, 2, "delete", editor.delete(&path, 3).expect(204)).await;
}

#[tokio::test]
async fn a_thousand_cost_as_much_as_one() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let editor = app.client("editor");
    let batch = |range: std::ops::Range<u32>| {
        let items: Vec<_> = range.map(|n| samples::object_type(&format!("T{n}"))).collect();
        json!({"items": items})
    };
    counted(&proxy, 1, "a batch of one", editor.post("object-types:batch", &batch(0..1)).expect(201)).await;
    let created =
        counted(&proxy, 1, "a batch of 1,000", editor.post("object-types:batch", &batch(1..1_001)).expect(201)).await;
    assert_eq!(created["data"].as_array().unwrap().len(), 1_000);
    let list = editor.get("object-types?limit=200&count=true");
    let page = counted(&proxy, 1, "a page of 200", list.expect(200)).await;
    assert_eq!(page["page"]["totalCount"], 1_001);
}
