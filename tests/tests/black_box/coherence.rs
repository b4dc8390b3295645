//! Two processes over one database and one cache: what one writes, the other answers.

use oms_tests::{App, Client, samples, until};
use serde_json::json;

async fn names(client: &Client, path: &str) -> Vec<String> {
    client.all(path).await.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_one_process_writes_the_other_answers_at_once() {
    let one = App::start().await;
    let two = one.beside().await;
    let (writer, reader) = (one.client("editor"), two.client("viewer"));
    let order = writer.post("object-types", &samples::object_type("Order")).expect(201).await;
    let path = format!("object-types/{}", order["id"].as_str().unwrap());
    writer.post("object-types", &samples::object_type("Customer")).expect(201).await;
    writer.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;

    // Everything is in the cache now.
    assert_eq!(reader.get(&path).expect(200).await["name"], "Order");
    assert_eq!(reader.get("object-types/order").expect(200).await, order);
    assert_eq!(reader.get("link-types/places").expect(200).await["target"], "Order");
    assert_eq!(names(&reader, "object-types").await, ["Customer", "Order"]);
    assert_eq!(reader.get("search?q=purchase").expect(200).await["data"], json!([]));

    writer.patch(&path, 1, &json!({"name": "Purchase"})).expect(200).await;
    assert_eq!(reader.get(&path).expect(200).await["name"], "Purchase");
    reader.get("object-types/order").expect(404).await;
    assert_eq!(reader.get("object-types/purchase").expect(200).await["id"], order["id"]);
    assert_eq!(reader.get("link-types/places").expect(200).await["target"], "Purchase");
    assert_eq!(names(&reader, "object-types").await, ["Customer", "Purchase"]);
    assert_eq!(reader.get("search?q=purchase").expect(200).await["data"].as_array().unwrap().len(), 1);

    let other = writer.post("object-types", &samples::object_type("Order")).expect(201).await;
    assert_eq!(reader.get("object-types/order").expect(200).await["id"], other["id"], "the name has a new owner");

    writer.delete(&format!("{path}?cascade=true"), 2).expect(204).await;
    for gone in [path.as_str(), "object-types/purchase", "link-types/places"] {
        reader.get(gone).expect(404).await;
    }
    assert_eq!(names(&reader, "object-types").await, ["Customer", "Order"]);
    assert_eq!(names(&reader, "link-types").await, Vec::<String>::new());
    writer.call(reqwest::Method::POST, &format!("{path}/restore")).expect(200).await;
    assert_eq!(reader.get(&path).expect(200).await["name"], "Purchase");
}

#[tokio::test]
async fn a_swap_of_two_names_is_seen_by_all() {
    let one = App::start().await;
    let two = one.beside().await;
    let (writer, reader) = (one.client("editor"), two.client("viewer"));
    let items = ["A", "B"].map(samples::object_type);
    let created = writer.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let [a, b] = [0, 1].map(|n| format!("object-types/{}", created["data"][n]["id"].as_str().unwrap()));
    for path in ["object-types/a", "object-types/b", &a, &b] {
        reader.get(path).expect(200).await;
    }
    writer.patch(&a, 1, &json!({"name": "Between"})).expect(200).await;
    writer.patch(&b, 1, &json!({"name": "A"})).expect(200).await;
    writer.patch(&a, 2, &json!({"name": "B"})).expect(200).await;
    assert_eq!(reader.get("object-types/a").expect(200).await["id"], created["data"][1]["id"]);
    assert_eq!(reader.get("object-types/b").expect(200).await["id"], created["data"][0]["id"]);
    assert_eq!(names(&reader, "object-types").await, ["A", "B"]);
}

#[tokio::test]
async fn a_write_that_outlives_its_request_is_seen_by_all() {
    let app = App::with(|settings| settings.set("REQUEST_TIMEOUT_MS", 1_000)).await;
    let (writer, reader) = (app.client("editor"), app.client("viewer"));
    let order = writer.post("object-types", &samples::object_type("Order")).expect(201).await;
    let path = format!("object-types/{}", order["id"].as_str().unwrap());
    reader.get(&path).expect(200).await;

    let pool = app.pool().await;
    let mut blocking = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM object_types FOR UPDATE").execute(&mut *blocking).await.unwrap();
    writer.patch(&path, 1, &json!({"name": "Purchase"})).expect(503).await;
    blocking.rollback().await.unwrap();
    let names = "SELECT name FROM object_types";
    until("the write does not come to its end", async || {
        let name = sqlx::query_scalar::<_, String>(names).fetch_one(&pool).await.unwrap();
        (name == "Purchase").then_some(())
    })
    .await;
    until("the old name is still answered", async || {
        (reader.get(&path).expect(200).await["name"] == "Purchase").then_some(())
    })
    .await;
}
