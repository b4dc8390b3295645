//! JSON that says the wrong things.

use oms_tests::{App, samples};
use serde_json::{Value, json};

use super::refused;

fn with(fields: Value) -> Value {
    let mut object_type = samples::object_type("Order");
    object_type.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object_type
}

fn with_property(fields: Value) -> Value {
    let mut property = json!({"name": "p", "dataType": "STRING"});
    property.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    with(json!({"properties": [property]}))
}

fn nested(depth: usize) -> Value {
    let mut property = json!({"name": "p", "dataType": "STRING"});
    for _ in 1..depth {
        property = json!({"name": "p", "dataType": "OBJECT", "properties": [property]});
    }
    with(json!({"properties": [property]}))
}

type Case = (&'static str, Value, &'static str, &'static [&'static str]);

async fn each_is_refused(path: &str, cases: Vec<Case>) {
    let app = App::start().await;
    let editor = app.admin();
    for (what, body, code, places) in cases {
        refused(what, editor.post(path, &body), 400, code, places).await;
    }
    assert!(editor.all("object-types").await.is_empty(), "something was created");
}

#[tokio::test]
async fn object_types() {
    let long = "x".repeat(65);
    let cases: Vec<Case> = vec![
        ("nothing", json!({}), "INVALID_OBJECT_TYPE", &["/name", "/displayName"]),
        ("a list", json!([]), "INVALID_FIELD_TYPE", &[""]),
        ("null", json!(null), "INVALID_FIELD_TYPE", &[""]),
        ("null fields", json!({"name": null, "displayName": null}), "INVALID_OBJECT_TYPE", &["/name", "/displayName"]),
        ("unknown fields", with(json!({"colour": 1, "a/b~c": 2})), "INVALID_OBJECT_TYPE", &["/colour", "/a~1b~0c"]),
        ("a name of 65 characters", with(json!({"name": long})), "INVALID_NAME", &["/name"]),
        ("a name that starts with a digit", with(json!({"name": "1x"})), "INVALID_NAME", &["/name"]),
        ("a Korean name", with(json!({"name": "고객"})), "INVALID_NAME", &["/name"]),
        ("an empty display name", with(json!({"displayName": ""})), "TOO_SHORT", &["/displayName"]),
        ("a long display name", with(json!({"displayName": "고".repeat(256)})), "TOO_LONG", &["/displayName"]),
        (
            "wrong types",
            json!({"name": 1, "displayName": [], "description": 5, "category": true, "tags": "x", "properties": {},
                "metadata": [], "baseDatasets": "x"}),
            "INVALID_OBJECT_TYPE",
            &[
                "/name",
                "/displayName",
                "/description",
                "/category",
                "/tags",
                "/properties",
                "/metadata",
                "/baseDatasets",
            ],
        ),
        (
            "NUL",
            with(json!({"displayName": "a\0", "description": "\0", "category": "\0", "tags": ["\0"],
                "metadata": {"k": ["\0"], "\0": 1}, "properties": [{"name": "p", "dataType": "STRING", "description": "\0"}]})),
            "INVALID_OBJECT_TYPE",
            &[
                "/displayName",
                "/description",
                "/category",
                "/tags/0",
                "/metadata/k/0",
                "/metadata/\u{fffd}",
                "/properties/0/description",
            ],
        ),
        ("an id", with(json!({"id": uuid::Uuid::now_v7()})), "READ_ONLY_FIELD", &["/id"]),
        (
            "a version",
            with(json!({"version": 1, "createdBy": "me"})),
            "INVALID_OBJECT_TYPE",
            &["/version", "/createdBy"],
        ),
        (
            "bad tags",
            with(json!({"tags": ["a", "a", "", "x".repeat(65), 7]})),
            "INVALID_OBJECT_TYPE",
            &["/tags/1", "/tags/2", "/tags/3", "/tags/4"],
        ),
        (
            "too many tags",
            with(json!({"tags": (0..101).map(|n| n.to_string()).collect::<Vec<_>>()})),
            "TOO_MANY_ITEMS",
            &["/tags"],
        ),
        (
            "datasets",
            with(
                json!({"baseDatasets": [{"datasetRid": "r"}, {"datasetRid": "r", "name": "n", "x": 1}, {"datasetRid": "r", "name": "n"}]}),
            ),
            "INVALID_OBJECT_TYPE",
            &["/baseDatasets/0/name", "/baseDatasets/1/x", "/baseDatasets/2/datasetRid"],
        ),
    ];
    each_is_refused("object-types", cases).await;
}

#[tokio::test]
async fn properties() {
    let validators = |list: Value| with_property(json!({"validators": list}));
    let number = |more: Value| {
        let mut body = with_property(more);
        body["properties"][0]["dataType"] = json!("NUMBER");
        body
    };
    let id = uuid::Uuid::now_v7();
    let cases: Vec<Case> = vec![
        (
            "no name and no type",
            with(json!({"properties": [{}]})),
            "INVALID_OBJECT_TYPE",
            &["/properties/0/name", "/properties/0/dataType"],
        ),
        (
            "not an object",
            with(json!({"properties": ["p", null]})),
            "INVALID_OBJECT_TYPE",
            &["/properties/0", "/properties/1"],
        ),
        (
            "an unknown data type",
            with_property(json!({"dataType": "TEXT"})),
            "INVALID_DATA_TYPE",
            &["/properties/0/dataType"],
        ),
        ("an unknown field", with_property(json!({"requird": true})), "UNKNOWN_FIELD", &["/properties/0/requird"]),
        (
            "text for a flag",
            with_property(json!({"required": "yes"})),
            "INVALID_FIELD_TYPE",
            &["/properties/0/required"],
        ),
        (
            "two of one name",
            with(json!({"properties": [{"name": "p", "dataType": "STRING"}, {"name": "p", "dataType": "DATE"}]})),
            "DUPLICATE_PROPERTY_NAME",
            &["/properties/1/name"],
        ),
        (
            "two of one id",
            with(
                json!({"properties": [{"id": id, "name": "p", "dataType": "STRING"}, {"id": id, "name": "q", "dataType": "DATE"}]}),
            ),
            "DUPLICATE_ITEM",
            &["/properties/1/id"],
        ),
        ("an id that is none", with_property(json!({"id": "7"})), "INVALID_VALUE", &["/properties/0/id"]),
        (
            "a broken pattern",
            validators(json!([{"type": "pattern", "value": "("}])),
            "INVALID_PATTERN",
            &["/properties/0/validators/0/value"],
        ),
        (
            "a pattern with a back reference",
            validators(json!([{"type": "pattern", "value": r"(a)\1"}])),
            "INVALID_PATTERN",
            &["/properties/0/validators/0/value"],
        ),
        (
            "a pattern that is too large",
            validators(json!([{"type": "pattern", "value": "(x{1000}){1000}"}])),
            "INVALID_PATTERN",
            &["/properties/0/validators/0/value"],
        ),
        (
            "minLength above maxLength",
            validators(json!([{"type": "minLength", "value": 3}, {"type": "maxLength", "value": 2}])),
            "INVALID_VALIDATOR",
            &["/properties/0/validators"],
        ),
        (
            "min above max",
            number(json!({"validators": [{"type": "min", "value": 0.2}, {"type": "max", "value": 0.1}]})),
            "INVALID_VALIDATOR",
            &["/properties/0/validators"],
        ),
        (
            "a negative length",
            validators(json!([{"type": "maxLength", "value": -1}])),
            "INVALID_VALIDATOR",
            &["/properties/0/validators/0/value"],
        ),
        (
            "an unknown validator",
            validators(json!([{"type": "email", "value": 1}])),
            "INVALID_VALUE",
            &["/properties/0/validators/0/type"],
        ),
        (
            "a number's validator on text",
            validators(json!([{"type": "min", "value": 1}])),
            "INVALID_VALIDATOR",
            &["/properties/0/validators/0/type"],
        ),
        (
            "a default that breaks its validator",
            number(json!({"defaultValue": 9, "validators": [{"type": "max", "value": 5}]})),
            "MAX",
            &["/properties/0/defaultValue"],
        ),
        (
            "a default of another type",
            number(json!({"defaultValue": "9"})),
            "INVALID_DATA_TYPE",
            &["/properties/0/defaultValue"],
        ),
        (
            "fields of other data types",
            with_property(json!({"itemType": "STRING", "properties": [], "referenceTo": "Order"})),
            "INVALID_OBJECT_TYPE",
            &["/properties/0/itemType", "/properties/0/properties", "/properties/0/referenceTo"],
        ),
        (
            "a list of lists",
            with_property(json!({"dataType": "ARRAY", "itemType": "ARRAY"})),
            "INVALID_VALUE",
            &["/properties/0/itemType"],
        ),
        (
            "a reference to a type that is not there",
            with_property(json!({"dataType": "REFERENCE", "referenceTo": "Nobody"})),
            "REFERENCED_TYPE_NOT_FOUND",
            &["/properties/0/referenceTo"],
        ),
        (
            "a reference to an id that is not there",
            with_property(json!({"dataType": "REFERENCE", "referenceTo": id})),
            "REFERENCED_TYPE_NOT_FOUND",
            &["/properties/0/referenceTo"],
        ),
        (
            "properties nested nine levels deep",
            nested(9),
            "TOO_DEEP",
            &[
                "/properties/0/properties/0/properties/0/properties/0/properties/0/properties/0/properties/0/properties/0/properties",
            ],
        ),
        (
            "2,001 properties",
            with(
                json!({"properties": (0..2_001).map(|n| json!({"name": format!("p{n}"), "dataType": "STRING"})).collect::<Vec<_>>()}),
            ),
            "TOO_MANY_ITEMS",
            &["/properties"],
        ),
    ];
    each_is_refused("object-types", cases).await;
}

#[tokio::test]
async fn link_types_batches_and_keys() {
    let cases: Vec<Case> = vec![
        ("nothing", json!({}), "INVALID_LINK_TYPE", &["/name", "/displayName", "/source", "/target", "/cardinality"]),
        (
            "ends that are not there",
            samples::link_type("l", "Nobody", "Nothing"),
            "INVALID_LINK_TYPE",
            &["/source", "/target"],
        ),
        (
            "ends that can't be",
            json!({"name": "l", "displayName": "l", "source": "a b", "target": "1", "cardinality": "MANY"}),
            "INVALID_LINK_TYPE",
            &["/source", "/target", "/cardinality"],
        ),
        (
            "ids of ends",
            json!({"name": "l", "displayName": "l", "source": "A", "target": "A", "cardinality": "ONE_TO_ONE",
                "sourceObjectTypeId": uuid::Uuid::now_v7(), "targetObjectTypeId": 1}),
            "INVALID_LINK_TYPE",
            &["/sourceObjectTypeId", "/targetObjectTypeId"],
        ),
    ];
    each_is_refused("link-types", cases).await;

    let many: Vec<_> = (0..1_001).map(|n| samples::object_type(&format!("T{n}"))).collect();
    let cases: Vec<Case> = vec![
        ("no items", json!({}), "REQUIRED_FIELD_MISSING", &["/items"]),
        ("an empty batch", json!({"items": []}), "TOO_SHORT", &["/items"]),
        ("1,001 items", json!({"items": many}), "TOO_MANY_ITEMS", &["/items"]),
        ("a list alone", json!([samples::object_type("A")]), "INVALID_FIELD_TYPE", &[""]),
        (
            "an unknown field",
            json!({"items": [samples::object_type("A")], "dryRun": true}),
            "UNKNOWN_FIELD",
            &["/dryRun"],
        ),
        ("an item that is none", json!({"items": [samples::object_type("A"), 7]}), "INVALID_FIELD_TYPE", &["/items/1"]),
        (
            "two of one name",
            json!({"items": [samples::object_type("A"), samples::object_type("a")]}),
            "OBJECT_TYPE_NAME_EXISTS",
            &["/items/1/name"],
        ),
    ];
    let (last, cases) = cases.split_last().map(|(last, rest)| (last.clone(), rest.to_vec())).unwrap();
    each_is_refused("object-types:batch", cases).await;
    let app = App::start().await;
    let (what, body, code, places) = last;
    refused(what, app.client("editor").post("object-types:batch", &body), 409, code, places).await;

    let cases: Vec<Case> = vec![
        ("nothing", json!({}), "INVALID_REQUEST", &["/name", "/roles"]),
        ("an unknown role", json!({"name": "k", "roles": ["root"]}), "INVALID_VALUE", &["/roles/0"]),
        (
            "in the past",
            json!({"name": "k", "roles": ["viewer"], "expiresAt": "2020-01-01T00:00:00Z"}),
            "INVALID_VALUE",
            &["/expiresAt"],
        ),
        (
            "not a time",
            json!({"name": "k", "roles": ["viewer"], "expiresAt": "soon"}),
            "INVALID_VALUE",
            &["/expiresAt"],
        ),
    ];
    each_is_refused("api-keys", cases).await;
}

#[tokio::test]
async fn patches_and_instances() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let cases: Vec<Case> = vec![
        ("not an object", json!(7), "INVALID_FIELD_TYPE", &[""]),
        (
            "required fields taken away",
            json!({"name": null, "displayName": null}),
            "INVALID_OBJECT_TYPE",
            &["/name", "/displayName"],
        ),
        ("an unknown field", json!({"colour": 1}), "UNKNOWN_FIELD", &["/colour"]),
        ("an unknown field taken away", json!({"colour": null}), "UNKNOWN_FIELD", &["/colour"]),
        (
            "read-only fields",
            json!({"id": "x", "version": 9, "updatedAt": "now"}),
            "INVALID_OBJECT_TYPE",
            &["/id", "/version", "/updatedAt"],
        ),
        ("NUL", json!({"metadata": {"k": "\0"}}), "INVALID_TEXT", &["/metadata/k"]),
        (
            "a circle of its own",
            json!({"properties": [{"name": "next", "dataType": "REFERENCE", "referenceTo": "Nobody"}, {"name": "next", "dataType": "DATE"}]}),
            "DUPLICATE_PROPERTY_NAME",
            &["/properties/1/name"],
        ),
    ];
    for (what, body, code, places) in cases {
        refused(what, editor.patch("object-types/Order", 1, &body), 400, code, places).await;
    }
    let cases: Vec<Case> = vec![
        ("no instance", json!({}), "REQUIRED_FIELD_MISSING", &["/instance"]),
        ("both", json!({"instance": {}, "instances": []}), "INVALID_VALUE", &["/instances"]),
        ("1,001 instances", json!({"instances": vec![json!({}); 1_001]}), "TOO_MANY_ITEMS", &["/instances"]),
        ("an unknown field", json!({"instance": {}, "strict": true}), "UNKNOWN_FIELD", &["/strict"]),
    ];
    for (what, body, code, places) in cases {
        refused(what, editor.post("object-types/Order/validate", &body), 400, code, places).await;
    }
    assert_eq!(editor.get("object-types/Order").v2().expect(200).await["version"], 1, "nothing was changed");
}
