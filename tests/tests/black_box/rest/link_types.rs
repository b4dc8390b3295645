//! The life of a link type, and what it means for the types that it links.

use insta::assert_json_snapshot;
use oms_tests::{App, Client, redact, samples};
use serde_json::{Value, json};

async fn shop(client: &Client) {
    let types = ["Customer", "Order", "Item"].map(samples::object_type);
    client.post("object-types:batch", &json!({"items": types})).expect(201).await;
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_link_type_has_one_shape_and_shows_its_ends_by_their_current_names() {
    let app = App::start().await;
    let editor = app.client("editor");
    shop(&editor).await;
    let places = json!({
        "name": "places", "displayName": "주문하다", "source": "customer", "target": "Order", "cardinality": "ONE_TO_MANY",
        "category": "sales", "tags": ["core"], "properties": [{"name": "at", "dataType": "DATETIME"}],
    });
    let created = editor.post("link-types", &places).send().await;
    let link = created.expect(201);
    assert_eq!(created.header("etag"), Some("\"1\""));
    assert_json_snapshot!("link_type", redact(&link));
    let path = format!("link-types/{}", link["id"].as_str().unwrap());
    assert_eq!(created.header("location"), Some(format!("/api/v1/{path}").as_str()));
    assert_eq!(editor.get(&path).v2().expect(200).await, link, "the same in every version of the API");

    editor.patch("object-types/Customer", 1, &json!({"name": "Client"})).expect(200).await;
    let renamed = editor.get("link-types/Places").expect(200).await;
    assert_eq!((renamed["source"].as_str(), renamed["version"].as_i64()), (Some("Client"), Some(1)));
    assert_eq!(renamed["sourceObjectTypeId"], link["sourceObjectTypeId"]);

    let turned = editor
        .patch(&path, 1, &json!({"source": "Order", "target": "Item", "cardinality": "MANY_TO_MANY"}))
        .send()
        .await;
    assert_eq!((turned.expect(200)["target"].as_str(), turned.header("etag")), (Some("Item"), Some("\"2\"")));
    let comparison = editor.get(&format!("{path}/versions/compare?from=1&to=2")).expect(200).await;
    assert_json_snapshot!("comparison_of_link_types", redact(&comparison));

    editor.delete(&path, 2).expect(204).await;
    assert_eq!(editor.get(&path).expect(404).await["code"], "LINK_TYPE_NOT_FOUND");
    editor.call(reqwest::Method::POST, &format!("{path}/restore")).expect(200).await;
    assert_eq!(editor.get(&path).expect(200).await["version"], 4);
}

#[tokio::test]
async fn a_type_in_use_stays_unless_its_links_go_with_it() {
    let app = App::start().await;
    let editor = app.client("editor");
    shop(&editor).await;
    editor.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;
    let link = editor.post("link-types", &samples::link_type("contains", "Order", "Item")).expect(201).await;
    let refers = json!({
        "name": "Invoice", "displayName": "Invoice",
        "properties": [{"name": "order", "dataType": "REFERENCE", "referenceTo": "Order"}],
    });
    editor.post("object-types", &refers).expect(201).await;

    let refused = editor.delete("object-types/Order", 1).header("x-correlation-id", "in-use-1").expect(409).await;
    assert_json_snapshot!("problem_in_use", redact(&refused));
    let refused = editor.delete("object-types/Order?cascade=true", 1).expect(409).await;
    assert_eq!(refused["errors"].as_array().unwrap().len(), 1, "a cascade never takes properties: {refused}");

    editor.patch("object-types/Invoice", 1, &json!({"properties": []})).expect(200).await;
    editor.delete("object-types/Order?cascade=true", 1).expect(204).await;
    assert!(editor.all("link-types").await.is_empty());
    let path = format!("link-types/{}", link["id"].as_str().unwrap());
    assert_eq!(editor.get(&format!("{path}/versions/2")).expect(200).await["action"], "DELETE");
    let refused = editor.call(reqwest::Method::POST, &format!("{path}/restore")).expect(400).await;
    assert_eq!(refused["code"], "REFERENCED_TYPE_NOT_FOUND", "its source is still deleted");
    editor.call(reqwest::Method::POST, "object-types/Order/restore").expect(200).await;
    editor.call(reqwest::Method::POST, &format!("{path}/restore")).expect(200).await;
}

#[tokio::test]
async fn links_are_found_by_what_they_link() {
    let app = App::start().await;
    let editor = app.client("editor");
    shop(&editor).await;
    let mut likes = samples::link_type("likes", "Customer", "Item");
    likes["cardinality"] = json!("MANY_TO_MANY");
    let links = json!({"items": [
        samples::link_type("places", "Customer", "Order"),
        samples::link_type("contains", "Order", "Item"),
        samples::link_type("follows", "Customer", "Customer"),
        likes,
    ]});
    editor.post("link-types:batch", &links).expect(201).await;
    let id = editor.get("object-types/Order").expect(200).await["id"].as_str().unwrap().to_owned();
    for (filter, expected) in [
        ("source=customer".to_owned(), &["follows", "likes", "places"][..]),
        ("target=Item".to_owned(), &["contains", "likes"]),
        ("objectType=Customer".to_owned(), &["follows", "likes", "places"]),
        (format!("objectType={id}"), &["contains", "places"]),
        (format!("source=Customer&target={id}"), &["places"]),
        ("cardinality=MANY_TO_MANY".to_owned(), &["likes"]),
        ("source=Nothing".to_owned(), &[]),
    ] {
        assert_eq!(names(&editor.all(&format!("link-types?{filter}")).await), expected, "{filter}");
    }
}
