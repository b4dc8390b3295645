//! The life of an object type.

use insta::assert_json_snapshot;
use oms_tests::{App, redact, samples};
use serde_json::{Value, json};

#[tokio::test]
async fn a_created_type_is_answered_in_the_shape_of_the_asked_version() {
    let app = App::start().await;
    let editor = app.client("editor");

    let created = editor.post("object-types", &samples::customer()).send().await;
    let trimmed = created.expect(201);
    assert_eq!(created.header("etag"), Some("\"1\""));
    let id = trimmed["id"].as_str().unwrap();
    assert_eq!(created.header("location"), Some(format!("/api/v1/object-types/{id}").as_str()));
    assert_json_snapshot!("object_type_v1", redact(&trimmed));

    let full = editor.get(&format!("object-types/{id}")).v2().send().await;
    assert_eq!(full.header("etag"), Some("\"1\""));
    assert!(full.header("vary").unwrap().to_lowercase().contains("x-api-version"));
    assert_json_snapshot!("object_type_v2", redact(&full.expect(200)));

    let by_name = editor.get("object-types/cUSTOMER").v2().expect(200).await;
    assert_eq!(by_name, full.json(), "a name is found in any case");
}

#[tokio::test]
async fn an_unchanged_type_is_not_sent_again() {
    let app = App::start().await;
    let editor = app.client("editor");
    let id = editor.post("object-types", &samples::object_type("Order")).expect(201).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("object-types/{id}");

    for known in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\""] {
        let answer = editor.get(&path).header("if-none-match", known).send().await;
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    editor.patch(&path, 1, &json!({"description": "what is bought"})).expect(200).await;
    let answer = editor.get(&path).header("if-none-match", "\"1\"").send().await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"2\"")));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_makes_a_version_that_can_be_compared() {
    let app = App::start().await;
    let editor = app.client("editor");
    let customer = editor.post("object-types", &samples::customer()).v2().expect(201).await;
    let path = format!("object-types/{}", customer["id"].as_str().unwrap());

    let mut properties = customer["properties"].as_array().unwrap().clone();
    properties[0]["name"] = json!("mail");
    properties[1]["validators"] = json!([]);
    properties.remove(2);
    properties.push(json!({"name": "isActive", "dataType": "BOOLEAN"}));
    let patch = json!({
        "description": null, "tags": ["core"], "metadata": {"owner": null, "steward": "kim"}, "properties": properties,
        "changeDescription": "E-mail has a shorter name.",
    });
    let patched =
        editor.patch(&path, 1, &patch).header("content-type", "application/merge-patch+json").v2().send().await;
    let now = patched.expect(200);
    assert_eq!(patched.header("etag"), Some("\"2\""));
    assert_eq!(now["version"], 2);
    assert_eq!(now["createdAt"], customer["createdAt"]);
    assert_eq!(now["displayName"], "고객");
    assert_eq!(now.get("description"), None);
    assert_eq!(now["metadata"], json!({"steward": "kim"}));
    assert_eq!(now["properties"][0]["id"], customer["properties"][0]["id"], "a renamed property stays the same one");

    let again = editor.patch(&path, 2, &patch).v2().expect(200).await;
    assert_eq!(again["version"], 2, "a patch that changes nothing makes no version");
    let lost = editor.patch(&path, 1, &json!({"displayName": "Client"})).send().await;
    assert_eq!(lost.expect(412)["code"], "VERSION_CONFLICT");

    let comparison = editor.get(&format!("{path}/versions/compare?from=1&to=2")).expect(200).await;
    assert_json_snapshot!("comparison", redact(&comparison));
    assert_json_snapshot!("versions", redact(&editor.get(&format!("{path}/versions")).expect(200).await));
    let first = editor.get(&format!("{path}/versions/1")).expect(200).await;
    assert_eq!(first["snapshot"], customer, "a snapshot has one shape, the full one");
    assert_json_snapshot!("version", redact(&first));
    assert_eq!(editor.get(&format!("{path}/versions/3")).expect(404).await["code"], "VERSION_NOT_FOUND");
}

#[tokio::test]
async fn the_versions_of_a_type_come_newest_first_page_by_page() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    for version in 1..5 {
        editor
            .patch("object-types/Order", version, &json!({"displayName": format!("Order {version}")}))
            .expect(200)
            .await;
    }
    let numbers = |page: &Value| -> Vec<i64> {
        page["data"].as_array().unwrap().iter().map(|version| version["version"].as_i64().unwrap()).collect()
    };
    let first = editor.get("object-types/order/versions?limit=3").expect(200).await;
    assert_eq!(numbers(&first), [5, 4, 3]);
    let cursor = first["page"]["nextCursor"].as_str().unwrap();
    let second = editor.get(&format!("object-types/order/versions?limit=3&cursor={cursor}")).expect(200).await;
    assert_eq!(numbers(&second), [2, 1]);
    assert_eq!(second["page"]["nextCursor"], Value::Null);
}

#[tokio::test]
async fn a_deleted_type_is_gone_but_keeps_its_versions_and_can_come_back() {
    let app = App::start().await;
    let editor = app.client("editor");
    let created = editor.post("object-types", &samples::customer()).v2().expect(201).await;
    let path = format!("object-types/{}", created["id"].as_str().unwrap());

    let deleted = editor.delete(&path, 1).send().await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    let gone = editor.get(&path).header("x-correlation-id", "gone-1").send().await;
    assert_eq!(gone.header("content-type"), Some("application/problem+json"));
    assert_json_snapshot!("problem_not_found", redact(&gone.expect(404)));
    assert_eq!(editor.get("object-types/Customer").send().await.status, 404);
    assert_eq!(editor.delete(&path, 2).send().await.status, 404);
    assert_eq!(editor.all("object-types").await, Vec::<Value>::new());
    assert_eq!(editor.get(&format!("{path}/versions/1")).expect(200).await["snapshot"], created);
    assert_eq!(editor.get(&format!("{path}/versions/2")).expect(200).await["action"], "DELETE");

    let restored = editor.call(reqwest::Method::POST, &format!("{path}/restore")).v2().send().await;
    let back = restored.expect(200);
    assert_eq!(restored.header("etag"), Some("\"3\""));
    assert_eq!(back["version"], 3);
    for field in ["id", "name", "properties", "tags", "metadata", "createdAt"] {
        assert_eq!(back[field], created[field], "{field}");
    }
    assert_eq!(editor.get("object-types/Customer").v2().expect(200).await, back);
    let twice = editor.call(reqwest::Method::POST, &format!("{path}/restore")).send().await;
    assert_eq!(twice.expect(409)["code"], "NOT_DELETED");
}

#[tokio::test]
async fn a_name_is_taken_in_any_case_and_free_again_after_the_deletion() {
    let app = App::start().await;
    let editor = app.client("editor");
    let first = editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let taken = editor.post("object-types", &samples::object_type("ORDER")).expect(409).await;
    assert_eq!(
        (taken["code"].as_str(), taken["errors"][0]["pointer"].as_str()),
        (Some("OBJECT_TYPE_NAME_EXISTS"), Some("/name"))
    );

    editor.delete("object-types/order", 1).expect(204).await;
    editor.post("object-types", &samples::object_type("ORDER")).expect(201).await;
    let path = format!("object-types/{}/restore", first["id"].as_str().unwrap());
    let refused = editor.call(reqwest::Method::POST, &path).expect(409).await;
    assert_eq!(refused["code"], "OBJECT_TYPE_NAME_EXISTS", "the name went to another type meanwhile");
}

#[tokio::test]
async fn a_batch_is_created_as_a_whole_or_not_at_all() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;

    let bad = json!({"items": [
        samples::object_type("Customer"),
        {"name": "9", "displayName": ""},
        samples::object_type("customer"),
        {"name": "Item", "displayName": "Item", "colour": 1},
    ]});
    let refused = editor.post("object-types:batch", &bad).expect(400).await;
    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/items/1/name", "/items/1/displayName", "/items/2/name", "/items/3/colour"]);
    let taken = json!({"items": [samples::object_type("Customer"), samples::object_type("order")]});
    let refused = editor.post("object-types:batch", &taken).expect(409).await;
    assert_eq!(refused["errors"][0]["pointer"], "/items/1/name");
    assert_eq!(editor.all("object-types").await.len(), 1, "nothing of a refused batch is there");

    let siblings = json!({"items": [
        {"name": "B", "displayName": "B", "properties": [{"name": "a", "dataType": "REFERENCE", "referenceTo": "a"}]},
        samples::object_type("A"),
    ]});
    let created = editor.post("object-types:batch", &siblings).v2().expect(201).await;
    assert_eq!(created["data"][0]["properties"][0]["referenceTo"], "A", "types of a batch may refer to each other");
    assert_eq!(editor.get("object-types/b").v2().expect(200).await, created["data"][0]);
}

#[tokio::test]
async fn required_references_never_form_a_circle() {
    let app = App::start().await;
    let editor = app.client("editor");
    let pointing = |name: &str, to: Option<&str>| {
        let mut object_type = samples::object_type(name);
        if let Some(to) = to {
            object_type["properties"] =
                json!([{"name": "next", "dataType": "REFERENCE", "referenceTo": to, "required": true}]);
        }
        object_type
    };
    let own = editor.post("object-types", &pointing("Selfish", Some("Selfish"))).expect(409).await;
    assert_eq!(own["code"], "CIRCULAR_REFERENCE");
    editor.post("object-types", &pointing("C", None)).expect(201).await;
    editor.post("object-types", &pointing("B", Some("C"))).expect(201).await;
    editor.post("object-types", &pointing("A", Some("B"))).expect(201).await;
    let closing =
        json!({"properties": [{"name": "next", "dataType": "REFERENCE", "referenceTo": "A", "required": true}]});
    let refused = editor.patch("object-types/C", 1, &closing).expect(409).await;
    assert_eq!(
        (refused["code"].as_str(), refused["errors"][0]["pointer"].as_str()),
        (Some("CIRCULAR_REFERENCE"), Some("/properties/0/referenceTo"))
    );
    let optional = json!({"properties": [{"name": "next", "dataType": "REFERENCE", "referenceTo": "A"}]});
    editor.patch("object-types/C", 1, &optional).expect(200).await;
}
