//! What a client is told when something fails: a code, words, every place; of internal causes nothing.

use std::time::{Duration, Instant};

use oms_tests::{App, Call, Client, Settings, samples};
use serde_json::{Value, json};

use crate::bad_input::shows_nothing_of_the_database;

const CREATE: &str = "mutation ($input: CreateObjectTypeInput!) { createObjectType(input: $input) { id } }";
const CREATE_ALL: &str = "mutation ($inputs: [CreateObjectTypeInput!]!) { createObjectTypes(inputs: $inputs) { id } }";
const UPDATE: &str = "mutation ($id: ID!, $input: UpdateObjectTypeInput!, $version: Int) {
    updateObjectType(id: $id, input: $input, expectedVersion: $version) { version }
}";
const CREATE_LINK: &str = "mutation ($input: CreateLinkTypeInput!) { createLinkType(input: $input) { id } }";
const CREATE_LINKS: &str = "mutation ($inputs: [CreateLinkTypeInput!]!) { createLinkTypes(inputs: $inputs) { id } }";
const UPDATE_LINK: &str =
    "mutation ($id: ID!, $input: UpdateLinkTypeInput!) { updateLinkType(id: $id, input: $input) { id } }";

fn input(name: &str) -> Value {
    json!({"name": name, "displayName": name, "properties": []})
}

fn with(mut input: Value, field: &str, value: Value) -> Value {
    input[field] = value;
    input
}

fn link(name: &str) -> Value {
    json!({"name": name, "displayName": name, "source": "Order", "target": "Customer", "cardinality": "ONE_TO_MANY"})
}

fn is_korean(text: &Value) -> bool {
    text.as_str().unwrap().chars().any(|c| ('가'..='힣').contains(&c))
}

/// Sends the request in both languages; it fails with the code, and with these faults, each with its place.
async fn fails(what: &str, call: Call, code: &str, classification: &str, faults: &[(&str, &str)]) -> Value {
    let mut shown = Value::Null;
    for language in ["ko", "en"] {
        let answer = call.again().header("accept-language", language).send().await;
        let what = format!("{what}: {}", answer.text);
        assert_eq!(answer.status, 200, "{what}");
        let error = answer.error(code);
        let extensions = &error["extensions"];
        assert_eq!(extensions["classification"], classification, "{what}");
        assert_eq!(extensions["correlationId"], answer.header("x-correlation-id").unwrap(), "{what}");
        let entries = extensions["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> =
            entries.iter().map(|fault| (fault["pointer"].as_str().unwrap(), fault["code"].as_str().unwrap())).collect();
        assert_eq!(found, faults, "{what}");
        assert!(error["path"].is_array() && error["locations"][0]["line"].is_number(), "{what}");
        for words in entries.iter().map(|fault| &fault["message"]).chain([&error["message"]]) {
            assert_eq!(is_korean(words), language == "ko", "{what}");
        }
        shown = error;
    }
    shown
}

async fn order_and_customer(editor: &Client) {
    let items = ["Order", "Customer"].map(samples::object_type);
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
}

#[tokio::test]
async fn every_fault_of_an_input_is_named_by_its_place_in_the_arguments() {
    let app = App::start().await;
    let editor = app.client("editor");
    order_and_customer(&editor).await;
    let property = |name: &str, data_type: &str| json!({"name": name, "dataType": data_type});
    let one = |document: &str, input: Value| editor.graphql(document, &json!({"input": input}));
    let bad = "BAD_REQUEST";

    fails("a bad name", one(CREATE, input("9")), "INVALID_NAME", bad, &[("/input/name", "INVALID_NAME")]).await;
    let properties = json!([
        property("9", "STRING"),
        {"name": "a", "dataType": "OBJECT", "itemType": "STRING"},
        {"name": "b", "dataType": "REFERENCE", "referenceTo": "No One"},
    ]);
    fails(
        "bad properties",
        one(CREATE, with(input("A"), "properties", properties)),
        "INVALID_OBJECT_TYPE",
        bad,
        &[
            ("/input/properties/0/name", "INVALID_NAME"),
            ("/input/properties/1/itemType", "FIELD_NOT_APPLICABLE"),
            ("/input/properties/2/referenceTo", "INVALID_NAME"),
        ],
    )
    .await;
    let several =
        with(with(with(input("9"), "tags", json!(["a", "a"])), "displayName", json!("")), "metadata", json!([]));
    let error = one(CREATE, several).error("INVALID_OBJECT_TYPE").await;
    let mut places: Vec<_> =
        error["extensions"]["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    places.sort_by_key(Value::to_string);
    assert_eq!(places, ["/input/displayName", "/input/metadata", "/input/name", "/input/tags/1"], "all at once");
    let nested =
        json!([{"name": "a", "dataType": "OBJECT", "properties": [property("x", "STRING"), property("x", "STRING")]}]);
    fails(
        "a name twice, nested",
        one(CREATE, with(input("A"), "properties", nested)),
        "DUPLICATE_PROPERTY_NAME",
        bad,
        &[("/input/properties/0/properties/1/name", "DUPLICATE_PROPERTY_NAME")],
    )
    .await;
    let inputs = json!({"inputs": [input("Good"), input("9"), input("8")]});
    fails(
        "two of three",
        editor.graphql(CREATE_ALL, &inputs),
        "INVALID_OBJECT_TYPE",
        bad,
        &[("/inputs/1/name", "INVALID_NAME"), ("/inputs/2/name", "INVALID_NAME")],
    )
    .await;
    let update = editor.graphql(UPDATE, &json!({"id": "Order", "input": {"name": null, "displayName": ""}}));
    let error = update.error("INVALID_OBJECT_TYPE").await;
    assert!(
        error.to_string().contains("\"/input/name\"") && error.to_string().contains("\"/input/displayName\""),
        "{error}"
    );

    fails("a bad link", one(CREATE_LINK, link("9")), "INVALID_NAME", bad, &[("/input/name", "INVALID_NAME")]).await;
    fails(
        "an end that is not there",
        one(CREATE_LINK, with(link("places"), "source", json!("Nothing"))),
        "REFERENCED_TYPE_NOT_FOUND",
        bad,
        &[("/input/source", "REFERENCED_TYPE_NOT_FOUND")],
    )
    .await;
    let inputs = json!({"inputs": [link("a"), with(link("b"), "target", json!("Nothing"))]});
    fails(
        "an end in a batch",
        editor.graphql(CREATE_LINKS, &inputs),
        "REFERENCED_TYPE_NOT_FOUND",
        bad,
        &[("/inputs/1/target", "REFERENCED_TYPE_NOT_FOUND")],
    )
    .await;
    let too_many = json!({"inputs": (0..1_001).map(|n| input(&format!("T{n}"))).collect::<Vec<_>>()});
    let error = editor.graphql(
        "mutation ($inputs: [CreateObjectTypeInput!]!) { createObjectTypes(inputs: $inputs) { id } }",
        &too_many,
    );
    let error = error.send().await.errors()[0].clone();
    assert_eq!(error["extensions"]["errors"][0]["pointer"], "/inputs", "{error}");
    assert_eq!(error["extensions"]["errors"][0]["code"], "TOO_MANY_ITEMS", "{error}");
}

#[tokio::test]
async fn what_contradicts_the_state_has_the_code_that_it_has_by_rest() {
    let app = App::start().await;
    let editor = app.client("editor");
    order_and_customer(&editor).await;
    editor.post("link-types", &samples::link_type("places", "Customer", "Order")).expect(201).await;
    let one = |document: &str, input: Value| editor.graphql(document, &json!({"input": input}));
    let exists = "OBJECT_TYPE_NAME_EXISTS";

    fails("a name that is taken", one(CREATE, input("ORDER")), exists, "CONFLICT", &[("/input/name", exists)]).await;
    let inputs = json!({"inputs": [input("New"), input("order")]});
    fails("taken, in a batch", editor.graphql(CREATE_ALL, &inputs), exists, "CONFLICT", &[("/inputs/1/name", exists)])
        .await;
    editor.get("object-types/New").expect(404).await;
    let rename = json!({"id": "Customer", "input": {"name": "order"}});
    fails("a rename", editor.graphql(UPDATE, &rename), exists, "CONFLICT", &[("/input/name", exists)]).await;
    let exists = "LINK_TYPE_NAME_EXISTS";
    fails("a link's name", one(CREATE_LINK, link("Places")), exists, "CONFLICT", &[("/input/name", exists)]).await;

    let stale = editor.graphql(UPDATE, &json!({"id": "Order", "input": {"displayName": "x"}, "version": 7}));
    let error = fails("a version that is over", stale, "VERSION_CONFLICT", "CONFLICT", &[]).await;
    assert_eq!(error["extensions"]["currentVersion"], 1);
    for mutation in
        ["deleteObjectType(id: \"Order\", expectedVersion: 2)", "deleteLinkType(id: \"places\", expectedVersion: 2)"]
    {
        let call = editor.query(&format!("mutation {{ {mutation} }}"));
        let error = fails(mutation, call, "VERSION_CONFLICT", "CONFLICT", &[]).await;
        assert_eq!(error["extensions"]["currentVersion"], 1);
    }
    for (mutation, code, classification) in [
        ("deleteObjectType(id: \"Order\")", "OBJECT_TYPE_IN_USE", "CONFLICT"),
        ("restoreObjectType(id: \"Order\") { id }", "NOT_DELETED", "CONFLICT"),
        ("restoreLinkType(id: \"places\") { id }", "NOT_DELETED", "CONFLICT"),
        ("deleteObjectType(id: \"Nothing\")", "OBJECT_TYPE_NOT_FOUND", "NOT_FOUND"),
        ("deleteObjectType(id: \"no name\")", "OBJECT_TYPE_NOT_FOUND", "NOT_FOUND"),
        ("deleteLinkType(id: \"Nothing\")", "LINK_TYPE_NOT_FOUND", "NOT_FOUND"),
        ("restoreLinkType(id: \"01890000-0000-7000-8000-000000000000\") { id }", "LINK_TYPE_NOT_FOUND", "NOT_FOUND"),
        ("updateObjectType(id: \"Nothing\", input: {}) { id }", "OBJECT_TYPE_NOT_FOUND", "NOT_FOUND"),
    ] {
        let answer = editor.query(&format!("mutation {{ {mutation} }}")).send().await;
        let error = answer.error(code);
        assert_eq!(error["extensions"]["classification"], classification, "{mutation}");
        assert_eq!(answer.json()["data"], Value::Null);
    }
    let circle =
        |target: &str| json!([{"name": "to", "dataType": "REFERENCE", "referenceTo": target, "required": true}]);
    let call = editor.graphql(UPDATE, &json!({"id": "Order", "input": {"properties": circle("Customer")}}));
    call.data().await;
    let call = editor.graphql(UPDATE, &json!({"id": "Customer", "input": {"properties": circle("Order")}}));
    let error = call.error("CIRCULAR_REFERENCE").await;
    assert_eq!(error["extensions"]["classification"], "CONFLICT");
    let error = editor.graphql(UPDATE_LINK, &json!({"id": "places", "input": {"cardinality": null}}));
    assert_eq!(error.error("REQUIRED_FIELD_MISSING").await["extensions"]["errors"][0]["pointer"], "/input/cardinality");
}

#[tokio::test]
async fn what_a_list_is_asked_wrongly_is_named_by_its_argument() {
    let app = App::start().await;
    let viewer = app.admin();
    let cases = [
        ("objectTypes(pagination: {first: 0})", "/pagination/first", "INVALID_VALUE"),
        ("objectTypes(pagination: {first: 201})", "/pagination/first", "INVALID_VALUE"),
        ("linkTypes(pagination: {first: -1})", "/pagination/first", "INVALID_VALUE"),
        ("auditLogs(pagination: {first: 201})", "/pagination/first", "INVALID_VALUE"),
        ("objectTypes(pagination: {after: \"nonsense\"})", "/pagination/after", "INVALID_CURSOR"),
        ("objectTypes(pagination: {after: \"\"})", "/pagination/after", "INVALID_CURSOR"),
        ("linkTypes(pagination: {after: \"nonsense\"})", "/pagination/after", "INVALID_CURSOR"),
        ("auditLogs(pagination: {after: \"nonsense\"})", "/pagination/after", "INVALID_CURSOR"),
        ("objectTypes(filter: {category: \"\"})", "/filter/category", "TOO_SHORT"),
        ("objectTypes(filter: {anyTags: [\"a\", \"\"]})", "/filter/anyTags/1", "TOO_SHORT"),
        ("linkTypes(filter: {allTags: [\"\"]})", "/filter/allTags/0", "TOO_SHORT"),
        ("linkTypes(filter: {source: \"no name\"})", "/filter/source", "INVALID_NAME"),
        ("linkTypes(filter: {objectType: \"\"})", "/filter/objectType", "INVALID_NAME"),
        ("auditLogs(filter: {entityId: \"x\"})", "/filter/entityId", "INVALID_VALUE"),
        ("auditLogs(filter: {actor: \"\"})", "/filter/actor", "TOO_SHORT"),
    ];
    for (field, pointer, code) in cases {
        let call = viewer.query(&format!("{{ {field} {{ nodes {{ id }} }} }}"));
        fails(field, call, code, "BAD_REQUEST", &[(pointer, code)]).await;
    }
    for (field, pointer) in [
        ("searchObjectTypes(query: \"\")", "/query"),
        ("searchLinkTypes(query: \"a\", limit: 0)", "/limit"),
        ("searchLinkTypes(query: \"a\", limit: 101)", "/limit"),
        ("searchObjectTypes(query: \"a\", limit: -5)", "/limit"),
    ] {
        let error = viewer.query(&format!("{{ {field} {{ id }} }}")).send().await.errors()[0].clone();
        assert_eq!(error["extensions"]["classification"], "BAD_REQUEST", "{field} {error}");
        assert_eq!(error["extensions"]["errors"][0]["pointer"], pointer, "{field} {error}");
    }
    viewer.post("object-types", &samples::object_type("Order")).expect(201).await;
    let call = viewer.query("{ objectType(id: \"Order\") { versions(pagination: {first: 0}) { nodes { version } } } }");
    let error =
        fails("a nested page", call, "INVALID_VALUE", "BAD_REQUEST", &[("/pagination/first", "INVALID_VALUE")]).await;
    assert_eq!(error["path"], json!(["objectType", "versions"]));
}

#[tokio::test]
async fn a_field_that_fails_leaves_the_others_alone() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    viewer.query("{ __typename }").data().await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let document =
        "{ good: objectType(id: \"Order\") { name } bad: objectTypeVersion(id: \"Order\", version: 0) { version } }";
    let answer = viewer.query(document).send().await;
    assert_eq!(answer.json()["data"]["good"]["name"], "Order", "{}", answer.text);
    let missing = viewer.query("{ objectTypeVersion(id: \"Order\", version: 99) { version } }").data().await;
    assert_eq!(missing, json!({"objectTypeVersion": null}));
    let error =
        viewer.query("{ compareObjectTypeVersions(id: \"Order\", version1: 1, version2: 99) { objectTypeId } }");
    assert_eq!(error.error("VERSION_NOT_FOUND").await["extensions"]["classification"], "NOT_FOUND");
}

#[tokio::test]
async fn what_does_not_fit_the_schema_says_where() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let none = Value::Null;
    for (document, variables, code) in [
        ("{ nothing }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectType { id } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectType(id: \"A\") }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectType(id: \"A\", colour: \"red\") { id } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ linkTypes(filter: {cardinality: MANY}) { nodes { id } } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectTypes(pagination: {first: \"5\"}) { nodes { id } } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectTypes(filter: {colour: \"red\"}) { nodes { id } } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { objectType(id: $id) { id } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { objectType(id: $id) { id } }", &json!({"id": null}), "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { objectType(id: $id) { id } }", &json!({"id": {"a": 1}}), "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectType(id: $id) { id } }", &json!({"id": "A"}), "GRAPHQL_VALIDATION_FAILED"),
        (CREATE, &json!({"input": {"name": "A"}}), "GRAPHQL_VALIDATION_FAILED"),
        (
            CREATE,
            &json!({"input": {"name": "A", "displayName": "A", "properties": [], "colour": "red"}}),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("{ auditLogs(filter: {since: \"yesterday\"}) { nodes { id } } }", &none, "GRAPHQL_VALIDATION_FAILED"),
        ("{ objectType(id: \"A\" { id } }", &none, "GRAPHQL_PARSE_FAILED"),
        ("", &none, "GRAPHQL_PARSE_FAILED"),
        ("fragment f on ObjectType { id }", &none, "GRAPHQL_PARSE_FAILED"),
        ("{ objectType(id: \"\\uD800\") { id } }", &none, "GRAPHQL_PARSE_FAILED"),
    ] {
        for language in ["en", "ko"] {
            let call = app.admin().graphql(document, variables).header("accept-language", language);
            let answer = call.header("accept", "application/graphql-response+json").send().await;
            let what = format!("{document} {variables}: {}", answer.text);
            assert_eq!(answer.status, 400, "{what}");
            let errors = answer.errors();
            assert_eq!(answer.json().get("data"), None, "{what}");
            for error in errors {
                assert_eq!(error["extensions"]["code"], code, "{what}");
                assert_eq!(error["extensions"]["classification"], "BAD_REQUEST", "{what}");
                assert!(error["extensions"]["correlationId"].is_string(), "{what}");
            }
        }
    }
    viewer.query("{ __typename }").data().await;
}

#[tokio::test]
async fn a_broken_row_shows_a_correlation_id_and_nothing_else() {
    let app = App::with(|settings| settings.remove("REDIS_URL")).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let broken = "UPDATE object_types SET properties = '[{\"secretPlan\": 1}]'";
    sqlx::query(broken).execute(&app.pool().await).await.unwrap();
    for document in [
        "{ objectType(id: \"Order\") { id } }",
        "{ objectTypes { nodes { id } } }",
        "{ a: objectType(id: \"Order\") { id } b: objectTypeByName(name: \"Order\") { id } }",
    ] {
        for (language, korean) in [("en", false), ("ko", true)] {
            let call = editor.query(document).header("accept-language", language).header("x-correlation-id", "find-me");
            let answer = call.send().await;
            for error in answer.errors() {
                assert_eq!(is_korean(&error["message"]), korean, "{error}");
                let expected =
                    json!({"code": "INTERNAL_ERROR", "classification": "INTERNAL_ERROR", "correlationId": "find-me"});
                assert_eq!(error["extensions"], expected, "{error}");
            }
            assert!(!answer.text.contains("secretPlan") && !answer.text.contains("properties"), "{}", answer.text);
            shows_nothing_of_the_database(&answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_it_says_so_and_nothing_of_it() {
    let limits = |settings: Settings| {
        settings.set("DB_ACQUIRE_TIMEOUT_MS", 1_000).set("REQUEST_TIMEOUT_MS", 3_000).remove("REDIS_URL")
    };
    let (app, proxy) = App::counted(limits).await;
    let editor = app.client("editor");
    order_and_customer(&editor).await;
    let documents = [
        "{ objectType(id: \"Order\") { id } }",
        "{ objectTypes { nodes { id } } }",
        "{ searchObjectTypes(query: \"a\") { id } }",
        "{ _entities(representations: [{__typename: \"ObjectType\", name: \"Order\"}]) { __typename } }",
        "mutation { updateObjectType(id: \"Order\", input: {displayName: \"lost\"}) { id } }",
        "mutation { deleteObjectType(id: \"Customer\") }",
    ];
    proxy.cut();
    for document in documents {
        let answer = editor.query(document).send().await;
        for error in answer.errors() {
            assert_eq!(error["extensions"]["code"], "SERVICE_UNAVAILABLE", "{document}: {}", answer.text);
            assert_eq!(error["extensions"]["classification"], "SERVICE_UNAVAILABLE", "{document}");
            assert_eq!(error["extensions"].get("errors"), None, "{document}");
        }
        let text = answer.text.to_lowercase();
        assert!(!text.contains("127.0.0.1") && !text.contains("connect") && !text.contains("pool"), "{text}");
        shows_nothing_of_the_database(&text);
    }
    proxy.restore();
    oms_tests::until("no new connection was made", async || {
        let answer = editor.query(documents[0]).send().await.json();
        answer.get("errors").is_none().then_some(())
    })
    .await;

    proxy.freeze();
    for document in &documents[..3] {
        let started = Instant::now();
        let answer = editor.query(document).send().await;
        assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
        assert!(answer.text.contains("SERVICE_UNAVAILABLE"), "{document}: {} {}", answer.status, answer.text);
    }
    proxy.restore();
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_in_the_words_of_the_client() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 20_000)).await;
    let editor = app.client("editor");
    let items: Vec<_> =
        (0..100).map(|n| with(samples::object_type(&format!("T{n}")), "description", json!("x".repeat(200)))).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let document = "{ objectTypes(pagination: {first: 100}) { nodes { id name description } } }";
    let error = editor.query(document).error("ANSWER_TOO_LARGE").await;
    assert!(error["message"].as_str().unwrap().contains("20000"), "{error}");
    editor.query(&document.replace("100", "10")).data().await;
    let written = "mutation { createObjectType(
        input: {name: \"Large\", displayName: \"L\", properties: [], description: \"%\"}
    ) {
        a: description b: description c: description d: description e: description
    } }";
    let call = editor.query(&written.replace('%', &"x".repeat(4_900)));
    let error = call.error("ANSWER_TOO_LARGE").await;
    assert!(error["message"].as_str().unwrap().contains("mutations were carried out"), "{error}");
    editor.get("object-types/Large").expect(200).await;
}

#[tokio::test]
async fn a_value_that_is_asked_for_again_and_again_does_not_fill_the_memory() {
    let app = App::start().await;
    let editor = app.client("editor");
    let large = with(samples::object_type("Large"), "metadata", json!({"text": "x".repeat(1_000_000)}));
    editor.post("object-types", &large).expect(201).await;
    // A hundred megabytes, if nobody stopped it.
    let again: String = (0..100).map(|n| format!("m{n}: metadata ")).collect();
    let error = editor.query(&format!("{{ objectType(id: \"Large\") {{ {again} }} }}")).error("ANSWER_TOO_LARGE").await;
    assert!(error["message"].as_str().unwrap().contains("5242880"), "{error}");
    let data = editor.query("{ objectType(id: \"Large\") { a: metadata b: metadata } }").data().await;
    assert_eq!(data["objectType"]["a"], large["metadata"]);
}
