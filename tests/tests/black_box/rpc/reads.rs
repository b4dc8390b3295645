//! Types and versions as they were written over REST.

use oms_proto::client::{
    ChangeType, CompareObjectTypeVersionsRequest, GetLinkTypeRequest, GetLinkTypeVersionRequest, GetObjectTypeRequest,
    GetObjectTypeVersionRequest, ListLinkTypeVersionsRequest, ListObjectTypeVersionsRequest, ObjectType,
    compare_object_type_versions_request, get_link_type_request, get_link_type_version_request,
    get_object_type_request, get_object_type_version_request, list_link_type_versions_request,
    list_object_type_versions_request,
};
use oms_tests::{App, Client, Token, samples};
use serde_json::{Value, json};
use tonic::Code;

use super::{Clients, shapes, wire::Failure};

pub(super) fn by_name(name: &str) -> GetObjectTypeRequest {
    GetObjectTypeRequest { key: Some(get_object_type_request::Key::Name(name.to_owned())) }
}

fn by_id(id: &Value) -> GetObjectTypeRequest {
    GetObjectTypeRequest { key: Some(get_object_type_request::Key::Id(id.as_str().unwrap().to_owned())) }
}

fn link(name: &str) -> GetLinkTypeRequest {
    GetLinkTypeRequest { key: Some(get_link_type_request::Key::Name(name.to_owned())) }
}

/// An object type that uses everything there is.
fn everything() -> Value {
    let mut definition = samples::customer();
    definition["metadata"] = json!({
        "text": "고객", "empty": "", "flag": false, "number": 1.5, "nothing": null, "list": [1, "a", [], {}],
        "nested": {"a": {"b": [true]}}, "digits": "12",
    });
    let properties = definition["properties"].as_array_mut().unwrap();
    properties.extend([
        json!({
            "name": "code", "dataType": "STRING", "defaultValue": "",
            "validators": [{"type": "minLength", "value": 0}, {"type": "maxLength", "value": 1_000_000}],
        }),
        json!({"name": "vip", "dataType": "BOOLEAN", "defaultValue": false}),
        json!({"name": "seen", "dataType": "DATETIME", "defaultValue": "2026-11-22T20:19:00Z"}),
        json!({"name": "scores", "dataType": "ARRAY", "itemType": "NUMBER", "defaultValue": [1, 2.5],
            "validators": [{"type": "min", "value": -0.5}, {"type": "max", "value": 1e21}]}),
        json!({"name": "lines", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [
            {"name": "of", "dataType": "REFERENCE", "referenceTo": "Customer", "metadata": {"deep": [1]}},
            {"name": "more", "dataType": "OBJECT", "properties": [{"name": "x", "dataType": "ARRAY"}]},
        ]}),
        json!({"name": "anything", "dataType": "OBJECT", "defaultValue": {"a": [1, null]}}),
        json!({"name": "any", "dataType": "REFERENCE"}),
    ]);
    definition
}

/// A text as it is, every other value as its JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The fields of the specification hold the same as texts.
fn check_texts(found: &ObjectType, rest: &Value) {
    let metadata: std::collections::HashMap<_, _> =
        rest["metadata"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect();
    assert_eq!(found.metadata, metadata);
    for (property, rest) in found.properties.iter().zip(rest["properties"].as_array().unwrap()) {
        let default = rest.get("defaultValue").map(text).unwrap_or_default();
        assert_eq!(property.default_value, default, "{}", property.name);
        let rules: Vec<_> = property.validators.iter().map(|validator| validator.value.clone()).collect();
        let wanted: Vec<_> =
            rest["validators"].as_array().unwrap().iter().map(|validator| text(&validator["value"])).collect();
        assert_eq!(rules, wanted, "{}", property.name);
    }
}

async fn written(editor: &Client, path: &str, definition: &Value) -> Value {
    editor.post(path, definition).expect(201).await;
    editor.get(&format!("{path}/{}", definition["name"].as_str().unwrap())).v2().expect(200).await
}

#[tokio::test]
async fn every_field_of_an_object_type_arrives() {
    let app = App::start().await;
    let editor = app.client("editor");
    written(&editor, "object-types", &everything()).await;
    // By another one, so that both actors and both times are told apart.
    app.admin().patch("object-types/Customer", 1, &json!({"displayName": "Client"})).expect(200).await;
    let rest = editor.get("object-types/Customer").v2().expect(200).await;

    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let found = client.get_object_type(by_id(&rest["id"])).await.unwrap().into_inner();
    assert_eq!(shapes::object_type(&found), shapes::of_rest(&rest));
    check_texts(&found, &rest);
    assert_eq!((found.created_by.as_str(), found.updated_by.as_str()), ("tester-editor", "tester-admin"));
    assert_eq!(found.version, 2);
    let refers = found.properties.iter().find(|property| property.name == "referredBy").unwrap();
    assert_eq!(refers.reference_to_id.as_deref(), Some(found.id.as_str()));
    let any = found.properties.iter().find(|property| property.name == "any").unwrap();
    assert_eq!((&any.reference_to, &any.reference_to_id), (&None, &None));

    for name in ["Customer", "customer", "CUSTOMER", "cUsToMeR"] {
        let again = client.get_object_type(by_name(name)).await.unwrap().into_inner();
        assert_eq!(again, found, "{name}");
    }
}

#[tokio::test]
async fn the_least_of_an_object_type_has_nothing_that_was_not_written() {
    let app = App::start().await;
    let rest = written(&app.client("editor"), "object-types", &samples::object_type("Order")).await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let found = client.get_object_type(by_name("Order")).await.unwrap().into_inner();
    assert_eq!(shapes::object_type(&found), shapes::of_rest(&rest));
    assert_eq!((found.category, found.description.as_str(), found.metadata.len()), (None, "", 0));
}

#[tokio::test]
async fn every_field_of_a_link_type_arrives() {
    let app = App::start().await;
    let editor = app.client("editor");
    let customer = written(&editor, "object-types", &samples::object_type("Customer")).await;
    let order = written(&editor, "object-types", &samples::object_type("Order")).await;
    for (name, cardinality) in [("one", "ONE_TO_ONE"), ("places", "ONE_TO_MANY"), ("likes", "MANY_TO_MANY")] {
        let mut definition = everything();
        definition["name"] = json!(name);
        definition["cardinality"] = json!(cardinality);
        (definition["source"], definition["target"]) = (json!("customer"), order["id"].clone());
        let rest = written(&editor, "link-types", &definition).await;
        let mut client = Clients::of(&app.grpc(), "viewer").links;
        let found = client.get_link_type(link(&name.to_uppercase())).await.unwrap().into_inner();
        assert_eq!(shapes::link_type(&found), shapes::of_rest(&rest));
        assert_eq!((found.source.as_str(), found.target.as_str()), ("Customer", "Order"));
        assert_eq!(customer["id"], found.source_object_type_id.as_str());
        assert_eq!(found.metadata["nested"], r#"{"a":{"b":[true]}}"#);
        editor.delete(&format!("link-types/{name}"), 1).expect(204).await;
    }
}

#[tokio::test]
async fn times_are_those_of_the_database_to_the_microsecond() {
    let app = App::start().await;
    let editor = app.client("editor");
    let pool = app.pool().await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for n in 0..5 {
        editor.post("object-types", &samples::object_type(&format!("T{n}"))).expect(201).await;
        editor.patch(&format!("object-types/T{n}"), 1, &json!({"displayName": "changed"})).expect(200).await;
        let found = client.get_object_type(by_name(&format!("T{n}"))).await.unwrap().into_inner();
        let micros = |time: prost_types::Timestamp| {
            assert_eq!(time.nanos % 1_000, 0, "{time}");
            time.seconds * 1_000_000 + i64::from(time.nanos / 1_000)
        };
        let stored: (i64, i64) = sqlx::query_as(
            "SELECT (EXTRACT(EPOCH FROM created_at) * 1000000)::bigint, (EXTRACT(EPOCH FROM updated_at) * 1000000)::bigint
            FROM object_types WHERE id = $1::uuid",
        )
        .bind(&found.id)
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!((micros(found.created_at.unwrap()), micros(found.updated_at.unwrap())), stored);
    }
}

#[tokio::test]
async fn large_numbers_keep_their_digits_as_texts() {
    let app = App::start().await;
    let editor = app.client("editor");
    let numbers = json!({
        "beyond": 9_007_199_254_740_993_u64, "most": u64::MAX, "least": i64::MIN, "fraction": 123_456_789.123_456_79,
        "tiny": 5e-324, "huge": 1.797_693_134_862_315_7e308, "one": 1.0,
    });
    let mut definition = samples::object_type("Order");
    definition["metadata"] = numbers.clone();
    definition["properties"] = json!([
        {"name": "n", "dataType": "NUMBER", "defaultValue": 9_007_199_254_740_993_u64,
            "validators": [{"type": "max", "value": u64::MAX}]},
        {"name": "empty", "dataType": "STRING", "defaultValue": ""},
        {"name": "none", "dataType": "STRING"},
    ]);
    let rest = written(&editor, "object-types", &definition).await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let found = client.get_object_type(by_name("order")).await.unwrap().into_inner();
    for (key, number) in numbers.as_object().unwrap() {
        assert_eq!(found.metadata[key], number.to_string(), "{key}");
    }
    check_texts(&found, &rest);
    assert_eq!(found.properties[0].validators[0].value, "18446744073709551615");
    assert_eq!(shapes::object_type(&found), shapes::of_rest(&rest), "as doubles they are the nearest ones");
    let [_, empty, none] = found.properties.as_slice() else { panic!("{found:?}") };
    assert_eq!((empty.default_value.as_str(), none.default_value.as_str()), ("", ""));
    assert_eq!(empty.default_value_typed.as_ref().map(shapes::value), Some(json!("")));
    assert_eq!(none.default_value_typed, None, "no default is told from an empty one");
}

#[tokio::test]
async fn what_is_nested_more_deeply_than_clients_read_comes_as_its_text() {
    let app = App::start().await;
    let editor = app.client("editor");
    let deep = (0..60).fold(json!("end"), |inner, n| if n % 2 == 0 { json!({ "k": inner }) } else { json!([inner]) });
    let mut property = json!({"name": "p", "dataType": "OBJECT", "metadata": {"deep": deep}});
    for _ in 1..8 {
        property = json!({"name": "p", "dataType": "OBJECT", "properties": [property]});
    }
    let mut definition = samples::object_type("Order");
    definition["metadata"] = json!({"deep": deep, "flat": [[1]]});
    definition["properties"] = json!([{"name": "d", "dataType": "ARRAY", "defaultValue": [deep]}, property]);
    let rest = written(&editor, "object-types", &definition).await;
    let changed = json!({"properties": [], "metadata": {"deep": null}});
    editor.patch("object-types/Order", 1, &changed).expect(200).await;

    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let asked = GetObjectTypeVersionRequest {
        key: Some(get_object_type_version_request::Key::Name("Order".to_owned())),
        version: 1,
    };
    let found = client.get_object_type_version(asked).await.unwrap().into_inner().object_type.unwrap();
    check_texts(&found, &rest);
    let values = shapes::object(found.metadata_values.as_ref().unwrap());
    assert_eq!(values["flat"], json!([[1.0]]));
    let (mut value, mut wanted) = (&values["deep"], &deep);
    while !value.is_string() {
        let at = |json: &Value| if json.is_array() { "/0" } else { "/k" };
        (value, wanted) = (value.pointer(at(value)).unwrap(), wanted.pointer(at(wanted)).unwrap());
    }
    assert_eq!(serde_json::from_str::<Value>(value.as_str().unwrap()).unwrap(), *wanted, "nothing is lost");

    let asked = CompareObjectTypeVersionsRequest {
        key: Some(compare_object_type_versions_request::Key::Name("Order".to_owned())),
        from_version: 2,
        to_version: 1,
    };
    let changes = client.compare_object_type_versions(asked).await.unwrap().into_inner().changes;
    assert!(!changes.is_empty());
}

#[tokio::test]
async fn another_tenant_and_a_deleted_type_are_not_found() {
    let app = App::start().await;
    let editor = app.client("editor");
    let order = written(&editor, "object-types", &samples::object_type("Order")).await;
    editor.post("link-types", &samples::link_type("follows", "Order", "Order")).expect(201).await;
    let (mut own, mut foreign) =
        (Clients::of(&app.grpc(), "viewer"), Clients::with(&app.grpc(), &Token::of("admin").tenant("another")));
    // At home first, so that they are in the cache.
    own.objects.get_object_type(by_name("Order")).await.unwrap();
    own.objects.get_object_type(by_id(&order["id"])).await.unwrap();
    own.links.get_link_type(link("follows")).await.unwrap();
    for asked in [by_name("Order"), by_id(&order["id"])] {
        let failure = Failure::of(&foreign.objects.get_object_type(asked).await.unwrap_err());
        assert_eq!((failure.code, failure.reason()), (Code::NotFound, "OBJECT_TYPE_NOT_FOUND"));
    }
    let failure = Failure::of(&foreign.links.get_link_type(link("follows")).await.unwrap_err());
    assert_eq!((failure.code, failure.reason()), (Code::NotFound, "LINK_TYPE_NOT_FOUND"));

    editor.delete("link-types/follows", 1).expect(204).await;
    editor.delete("object-types/Order", 1).expect(204).await;
    for asked in [by_name("Order"), by_id(&order["id"])] {
        let failure = Failure::of(&own.objects.get_object_type(asked).await.unwrap_err());
        assert_eq!((failure.code, failure.reason()), (Code::NotFound, "OBJECT_TYPE_NOT_FOUND"));
    }
    let failure = Failure::of(&own.links.get_link_type(link("follows")).await.unwrap_err());
    assert_eq!((failure.code, failure.reason()), (Code::NotFound, "LINK_TYPE_NOT_FOUND"));
}

#[tokio::test]
async fn versions_are_kept_beyond_the_end_of_their_type() {
    let app = App::start().await;
    let editor = app.client("editor");
    let customer = written(&editor, "object-types", &everything()).await;
    let patch = json!({"description": null, "tags": ["core"], "changeDescription": "Less is more."});
    let second = editor.patch("object-types/Customer", 1, &patch).v2().expect(200).await;
    let id = customer["id"].as_str().unwrap();
    editor.delete(&format!("object-types/{id}"), 2).expect(204).await;

    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let key = || Some(list_object_type_versions_request::Key::Id(id.to_owned()));
    let rest = editor.get(&format!("object-types/{id}/versions")).expect(200).await;
    let wanted = shapes::of_rest(&rest["data"]);
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let asked = ListObjectTypeVersionsRequest { key: key(), page_size: 2, page_token };
        let page = client.list_object_type_versions(asked).await.unwrap().into_inner();
        seen.extend(page.versions.iter().map(shapes::version));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        assert_eq!(page.versions.len(), 2);
    }
    assert_eq!(Value::Array(seen), wanted, "newest first");

    for (version, wanted) in [(1, &customer), (2, &second)] {
        let asked =
            GetObjectTypeVersionRequest { key: Some(get_object_type_version_request::Key::Id(id.to_owned())), version };
        let found = client.get_object_type_version(asked).await.unwrap().into_inner();
        assert_eq!(shapes::object_type(&found.object_type.unwrap()), shapes::of_rest(wanted));
        assert_eq!(found.info.unwrap().version, version);
    }
    let by_name = ListObjectTypeVersionsRequest {
        key: Some(list_object_type_versions_request::Key::Name("Customer".to_owned())),
        ..ListObjectTypeVersionsRequest::default()
    };
    let failure = Failure::of(&client.list_object_type_versions(by_name).await.unwrap_err());
    assert_eq!(failure.reason(), "OBJECT_TYPE_NOT_FOUND", "its name may be another's by now");
}

#[tokio::test]
async fn what_changed_between_versions_is_what_rest_says() {
    let app = App::start().await;
    let editor = app.client("editor");
    let customer = written(&editor, "object-types", &everything()).await;
    let mut properties = customer["properties"].as_array().unwrap().clone();
    properties[0]["name"] = json!("mail");
    properties[1]["validators"] = json!([]);
    properties.remove(2);
    properties.push(json!({"name": "isActive", "dataType": "BOOLEAN"}));
    let patch = json!({"description": null, "category": "none", "metadata": {"text": null}, "properties": properties});
    editor.patch("object-types/Customer", 1, &patch).expect(200).await;

    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for (from_version, to_version) in [(1, 2), (2, 1), (1, 1)] {
        let asked = CompareObjectTypeVersionsRequest {
            key: Some(compare_object_type_versions_request::Key::Name("CUSTOMER".to_owned())),
            from_version,
            to_version,
        };
        let found = client.compare_object_type_versions(asked).await.unwrap().into_inner();
        assert_eq!(found.from.unwrap().version, from_version);
        assert_eq!(found.to.unwrap().version, to_version);
        let path = format!("object-types/Customer/versions/compare?from={from_version}&to={to_version}");
        let rest = editor.get(&path).expect(200).await;
        let found: Value = found
            .changes
            .iter()
            .map(|change| {
                let kind = match change.r#type() {
                    ChangeType::Added => "added",
                    ChangeType::Modified => "modified",
                    ChangeType::Removed => "removed",
                    ChangeType::Unspecified => "unspecified",
                };
                let mut shape = json!({"field": change.field, "type": kind});
                for (name, value) in [("oldValue", &change.old_value), ("newValue", &change.new_value)] {
                    if let Some(value) = value {
                        shape[name] = shapes::value(value);
                    }
                }
                shape
            })
            .collect();
        assert_eq!(found, shapes::of_rest(&rest["changes"]), "from {from_version} to {to_version}");
    }
}

#[tokio::test]
async fn a_link_type_has_versions_too() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let follows = written(&editor, "link-types", &samples::link_type("follows", "Order", "Order")).await;
    editor.patch("link-types/follows", 1, &json!({"cardinality": "ONE_TO_ONE"})).expect(200).await;
    editor.delete("link-types/follows", 2).expect(204).await;
    let id = follows["id"].as_str().unwrap();
    let mut client = Clients::of(&app.grpc(), "viewer").links;
    let asked = ListLinkTypeVersionsRequest {
        key: Some(list_link_type_versions_request::Key::Id(id.to_owned())),
        ..ListLinkTypeVersionsRequest::default()
    };
    let page = client.list_link_type_versions(asked).await.unwrap().into_inner();
    let rest = editor.get(&format!("link-types/{id}/versions")).expect(200).await;
    assert_eq!(page.versions.iter().map(shapes::version).collect::<Value>(), shapes::of_rest(&rest["data"]));
    let asked =
        GetLinkTypeVersionRequest { key: Some(get_link_type_version_request::Key::Id(id.to_owned())), version: 1 };
    let found = client.get_link_type_version(asked).await.unwrap().into_inner();
    assert_eq!(shapes::link_type(&found.link_type.unwrap()), shapes::of_rest(&follows));
}
