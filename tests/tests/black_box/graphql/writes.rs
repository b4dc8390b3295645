//! Every mutation, and what comes of it.

use oms_tests::{App, Call, Client, samples};
use serde_json::{Value, json};

const CREATE: &str =
    "mutation ($input: CreateObjectTypeInput!) { createObjectType(input: $input) { id name version } }";
const UPDATE: &str = "mutation ($id: ID!, $input: UpdateObjectTypeInput!, $version: Int) {
    updateObjectType(id: $id, input: $input, expectedVersion: $version) {
        id name displayName description category tags properties { id name } metadata baseDatasets { name } version
    }
}";
const UPDATE_LINK: &str = "mutation ($id: ID!, $input: UpdateLinkTypeInput!, $version: Int) {
    updateLinkType(id: $id, input: $input, expectedVersion: $version) {
        name description cardinality source { name } target { name } properties { name } version
    }
}";

async fn create(editor: &Client, input: &Value) -> Value {
    editor.graphql(CREATE, &json!({"input": input})).data().await["createObjectType"].clone()
}

fn update(editor: &Client, id: &str, input: Value, version: Option<i64>) -> Call {
    editor.graphql(UPDATE, &json!({"id": id, "input": input, "version": version}))
}

#[tokio::test]
async fn what_is_created_is_what_rest_would_have_created() {
    let app = App::start().await;
    let editor = app.client("editor");
    create(&editor, &samples::customer()).await;
    let by_graphql = editor.get("object-types/Customer").v2().expect(200).await;
    let mut other = samples::customer();
    other["name"] = json!("Customer2");
    editor.post("object-types", &other).expect(201).await;
    let mut by_rest = editor.get("object-types/Customer2").v2().expect(200).await;
    by_rest["name"] = json!("Customer");
    assert_eq!(oms_tests::redact(&by_graphql), oms_tests::redact(&by_rest));
    let versions = editor.get("object-types/Customer/versions").expect(200).await;
    assert_eq!(versions["data"][0]["changeDescription"], "The first draft.");
}

#[tokio::test]
async fn null_removes_what_is_there_and_what_is_not_named_stays() {
    let app = App::start().await;
    let editor = app.client("editor");
    let id = create(&editor, &samples::customer()).await["id"].as_str().unwrap().to_owned();

    let changed = update(&editor, &id, json!({"displayName": "A customer"}), Some(1)).data().await;
    let changed = &changed["updateObjectType"];
    assert_eq!((&changed["version"], &changed["displayName"]), (&json!(2), &json!("A customer")));
    assert_eq!((&changed["description"], &changed["category"]), (&json!("Who buys from us."), &json!("sales")));
    assert_eq!(changed["properties"].as_array().unwrap().len(), 6);

    let input = json!({
        "description": null, "category": null, "tags": null, "baseDatasets": null,
        "metadata": {"owner": null, "since": 2026},
    });
    let changed = update(&editor, &id, input, Some(2)).data().await["updateObjectType"].clone();
    for (field, expected) in [
        ("description", Value::Null),
        ("category", Value::Null),
        ("tags", json!([])),
        ("baseDatasets", json!([])),
        ("metadata", json!({"since": 2026})),
        ("displayName", json!("A customer")),
        ("version", json!(3)),
    ] {
        assert_eq!(changed[field], expected, "{field}");
    }

    // A property that keeps its id may have another name; one that is not there any more is removed.
    let email = &changed["properties"][0]["id"];
    let properties =
        json!([{"id": email, "name": "mail", "dataType": "STRING"}, {"name": "tier", "dataType": "NUMBER"}]);
    let renamed = update(&editor, "customer", json!({"properties": properties}), None).data().await;
    let found = renamed["updateObjectType"]["properties"].as_array().unwrap().clone();
    assert_eq!(found[0], json!({"id": email, "name": "mail"}));
    assert_eq!((found.len(), &found[1]["id"]), (2, &changed["properties"][1]["id"]));

    let same = "mutation { updateObjectType(id: \"Customer\", input: {displayName: null}) { id } }";
    let error = editor.query(same).error("REQUIRED_FIELD_MISSING").await;
    assert_eq!(error["extensions"]["errors"][0]["pointer"], "/input/displayName", "{error}");
    // A variable that is not given is as if its field were not there.
    let document = "mutation ($description: String, $category: String) {
        updateObjectType(id: \"Customer\", input: {description: $description, category: $category}) {
            description category
        }
    }";
    let variables = json!({"description": "Buys."});
    editor.graphql(document, &json!({"description": "x", "category": "kept"})).data().await;
    let changed = editor.graphql(document, &variables).data().await;
    assert_eq!(changed["updateObjectType"], json!({"description": "Buys.", "category": "kept"}));
}

#[tokio::test]
async fn a_type_is_created_changed_deleted_and_restored() {
    let app = App::start().await;
    let editor = app.client("editor");
    let id = create(&editor, &json!({"name": "Order", "displayName": "Order", "properties": []})).await["id"].clone();
    let call = |document: &str| editor.graphql(document, &json!({"id": id}));
    let deleted = call("mutation ($id: ID!) { deleteObjectType(id: $id, expectedVersion: 1) }").data().await;
    assert_eq!(deleted["deleteObjectType"], true);
    assert_eq!(call("query ($id: ID!) { objectType(id: $id) { id } }").data().await["objectType"], Value::Null);
    let versions = call("query ($id: ID!) { objectTypeVersions(id: $id) { nodes { version action } } }").data().await;
    assert_eq!(
        versions["objectTypeVersions"]["nodes"],
        json!([{"version": 2, "action": "DELETE"}, {"version": 1, "action": "CREATE"}])
    );
    let restore = "mutation ($id: ID!) { restoreObjectType(id: $id, expectedVersion: 2) { id name version } }";
    let restored = call(restore).data().await;
    assert_eq!(restored["restoreObjectType"], json!({"id": id, "name": "Order", "version": 3}));
    let conflict = call("mutation ($id: ID!) { deleteObjectType(id: $id, expectedVersion: 1) }");
    assert_eq!(conflict.error("VERSION_CONFLICT").await["extensions"]["currentVersion"], 3);
    call("mutation ($id: ID!) { deleteObjectType(id: $id) }").data().await;
    let stale = call(restore).error("VERSION_CONFLICT").await;
    assert_eq!(stale["extensions"]["currentVersion"], 4);
}

#[tokio::test]
async fn links_live_as_object_types_do_and_go_with_a_cascade() {
    let app = App::start().await;
    let editor = app.client("editor");
    for name in ["Customer", "Order", "Invoice"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    let document =
        "mutation ($inputs: [CreateLinkTypeInput!]!) { createLinkTypes(inputs: $inputs) { id name target { name } } }";
    let property = json!([{"name": "since", "dataType": "DATE"}]);
    let mut inputs =
        [samples::link_type("places", "customer", "ORDER"), samples::link_type("pays", "Customer", "Invoice")];
    inputs[0]["properties"] = property.clone();
    let created = editor.graphql(document, &json!({"inputs": inputs})).data().await["createLinkTypes"].clone();
    assert_eq!((&created[0]["target"]["name"], &created[1]["name"]), (&json!("Order"), &json!("pays")));
    let one = "mutation ($input: CreateLinkTypeInput!) { createLinkType(input: $input) { version source { name } } }";
    let own = samples::link_type("refers", "Customer", "Customer");
    let own = editor.graphql(one, &json!({"input": own})).data().await;
    assert_eq!(own["createLinkType"], json!({"version": 1, "source": {"name": "Customer"}}));

    let input = json!({"target": "Invoice", "cardinality": "MANY_TO_MANY", "description": "Since when."});
    let variables = json!({"id": "places", "input": input, "version": 1});
    let changed = editor.graphql(UPDATE_LINK, &variables).data().await["updateLinkType"].clone();
    let expected = json!({
        "name": "places", "description": "Since when.", "cardinality": "MANY_TO_MANY", "source": {"name": "Customer"},
        "target": {"name": "Invoice"}, "properties": [{"name": "since"}], "version": 2,
    });
    assert_eq!(changed, expected);
    let conflict = editor.graphql(UPDATE_LINK, &variables).error("VERSION_CONFLICT").await;
    assert_eq!(conflict["extensions"]["currentVersion"], 2);

    assert_eq!(
        editor.query("mutation { deleteLinkType(id: \"places\", expectedVersion: 2) }").data().await["deleteLinkType"],
        true
    );
    let restore = format!("mutation {{ restoreLinkType(id: {}) {{ version target {{ name }} }} }}", created[0]["id"]);
    let restored = editor.query(&restore).data().await;
    assert_eq!(restored["restoreLinkType"], json!({"version": 4, "target": {"name": "Invoice"}}));

    editor.query("mutation { deleteObjectType(id: \"Customer\") }").error("OBJECT_TYPE_IN_USE").await;
    editor.query("mutation { deleteObjectType(id: \"Customer\", cascade: true) }").data().await;
    let left = editor.query("{ linkTypes { totalCount } objectTypes { nodes { name } } }").data().await;
    assert_eq!(
        left,
        json!({"linkTypes": {"totalCount": 0}, "objectTypes": {"nodes": [{"name": "Invoice"}, {"name": "Order"}]}})
    );
    // Its last version can still be read; what it pointed at can't, where it is gone.
    let last = format!(
        "{{ linkTypeVersion(id: {}, version: 4) {{ snapshot {{ source {{ name }} target {{ name }} }} }} }}",
        created[0]["id"]
    );
    let last = editor.query(&last).data().await;
    assert_eq!(last["linkTypeVersion"]["snapshot"], json!({"source": null, "target": {"name": "Invoice"}}));
}

#[tokio::test]
async fn a_batch_is_written_all_or_none_and_may_refer_to_itself() {
    let app = App::start().await;
    let editor = app.client("editor");
    let document = "mutation ($inputs: [CreateObjectTypeInput!]!) {
        createObjectTypes(inputs: $inputs) { name properties { referenceTo { name } } }
    }";
    let pointing = |name: &str, to: &str| {
        let property = json!({"name": "to", "dataType": "REFERENCE", "referenceTo": to});
        json!({"name": name, "displayName": name, "properties": [property]})
    };
    let bad = json!({"inputs": [pointing("A", "B"), pointing("B", "Nothing")]});
    let error = editor.graphql(document, &bad).error("REFERENCED_TYPE_NOT_FOUND").await;
    assert_eq!(error["extensions"]["errors"][0]["pointer"], "/inputs/1/properties/0/referenceTo", "{error}");
    assert_eq!(editor.all("object-types").await, Vec::<Value>::new());
    let good = json!({"inputs": [pointing("A", "B"), pointing("B", "a")]});
    let created = editor.graphql(document, &good).data().await;
    assert_eq!(
        created["createObjectTypes"],
        json!([
            {"name": "A", "properties": [{"referenceTo": {"name": "B"}}]},
            {"name": "B", "properties": [{"referenceTo": {"name": "A"}}]},
        ])
    );
    let none = editor.graphql(document, &json!({"inputs": []})).send().await;
    let rest = editor.post("object-types:batch", &json!({"items": []})).send().await;
    assert_eq!(none.json().get("errors").is_some(), rest.status != 201, "{}", none.text);
}

#[tokio::test]
async fn several_mutations_are_carried_out_one_after_the_other() {
    let app = App::start().await;
    let editor = app.client("editor");
    let document = "mutation {
        first: createObjectType(input: {name: \"A\", displayName: \"1\", properties: []}) { version }
        second: updateObjectType(id: \"A\", input: {displayName: \"2\"}, expectedVersion: 1) { version displayName }
        third: updateObjectType(id: \"A\", input: {name: \"B\"}, expectedVersion: 2) {
            version name versions { nodes { version } }
        }
        fourth: createObjectType(input: {name: \"A\", displayName: \"again\", properties: []}) { version }
        fifth: deleteObjectType(id: \"B\", expectedVersion: 3)
    }";
    let data = editor.query(document).data().await;
    assert_eq!(
        data,
        json!({
            "first": {"version": 1},
            "second": {"version": 2, "displayName": "2"},
            "third": {
                "version": 3, "name": "B", "versions": {"nodes": [{"version": 3}, {"version": 2}, {"version": 1}]},
            },
            "fourth": {"version": 1},
            "fifth": true,
        })
    );
    let names: Vec<_> = editor.all("object-types").await.iter().map(|found| found["displayName"].clone()).collect();
    assert_eq!(names, ["again"]);
}

#[tokio::test]
async fn a_mutation_that_is_selected_twice_is_carried_out_once() {
    let app = App::start().await;
    let editor = app.client("editor");
    let create = "createObjectType(input: {name: \"A\", displayName: \"a\", properties: []})";
    let document =
        format!("mutation {{ {create} {{ name }} ...f }} fragment f on Mutation {{ {create} {{ version }} }}");
    assert_eq!(editor.query(&document).data().await["createObjectType"], json!({"name": "A", "version": 1}));
}

#[tokio::test]
async fn each_field_of_a_repeated_mutation_is_answered_as_before_and_done_once() {
    let app = App::start().await;
    let editor = app.client("editor");
    let document = "mutation ($name: String!) {
        a: createObjectType(input: {name: $name, displayName: \"a\", properties: []}) { id version createdAt }
        b: createObjectType(input: {name: \"B\", displayName: \"b\", properties: []}) { id version }
        c: updateObjectType(id: \"B\", input: {displayName: \"changed\"}) { version }
    }";
    let call = |name: &str, key: &str| editor.graphql(document, &json!({"name": name})).key(key);
    let first = call("A", "k-1").data().await;
    assert_ne!(first["a"]["id"], first["b"]["id"], "each field has its own answer");
    editor.patch("object-types/A", 1, &json!({"displayName": "meanwhile"})).expect(200).await;
    assert_eq!(call("A", "k-1").data().await, first, "as it was answered then, not as it is now");
    assert_eq!(editor.all("object-types").await.len(), 2);

    for error in call("Other", "k-1").send().await.errors() {
        assert_eq!(error["extensions"]["code"], "IDEMPOTENCY_KEY_REUSED");
    }
    editor.get("object-types/Other").expect(404).await;
    let taken = call("A", "k-2").send().await.errors();
    assert!(taken.iter().all(|error| error["extensions"]["code"] == "OBJECT_TYPE_NAME_EXISTS"), "{taken:?}");

    let query = editor.query("{ objectType(id: \"A\") { displayName } }").key("k-1").data().await;
    assert_eq!(query["objectType"]["displayName"], "meanwhile", "a query has no need of a key");
    let bad = editor.graphql(document, &json!({"name": "A"})).key("").send().await;
    assert_eq!(bad.status, 400, "{}", bad.text);
}

#[tokio::test]
async fn of_the_same_mutation_many_times_at_once_one_writes() {
    let app = App::start().await;
    let editor = app.client("editor");
    let call =
        editor.query("mutation { createObjectType(input: {name: \"A\", displayName: \"a\", properties: []}) { id } }");
    let call = call.key("k");
    let answers = futures::future::join_all((0..16).map(|_| call.again().data())).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(editor.all("object-types").await.len(), 1);
}

#[tokio::test]
async fn of_those_who_expect_the_same_version_one_wins_and_the_others_see_what_is_there() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let calls = (0..8).map(|n| update(&editor, "Order", json!({"displayName": format!("by {n}")}), Some(1)).send());
    let answers = futures::future::join_all(calls).await;
    let lost: Vec<_> = answers.iter().filter(|answer| answer.json().get("errors").is_some()).collect();
    assert_eq!(lost.len(), 7);
    for answer in lost {
        assert_eq!(answer.error("VERSION_CONFLICT")["extensions"]["currentVersion"], 2);
    }
}

#[tokio::test]
async fn a_mutation_is_in_the_audit_log_with_who_and_from_where() {
    let app = App::start().await;
    let (editor, admin) = (app.client("editor"), app.admin());
    let input = json!({"name": "Order", "displayName": "Order", "properties": [], "changeDescription": "why"});
    let call = editor.graphql(CREATE, &json!({"input": input}));
    call.header("x-correlation-id", "order-42").header("user-agent", "tests/1").data().await;
    update(&editor, "Order", json!({"displayName": "주문"}), None).data().await;
    let document = "query ($filter: AuditLogFilter, $pagination: PaginationInput) {
        auditLogs(filter: $filter, pagination: $pagination) {
            nodes { id entityType entityId action actor ipAddress userAgent oldValue newValue metadata createdAt }
            pageInfo { hasNextPage endCursor }
        }
    }";
    let ask = async |filter: Value, pagination: Value| {
        let variables = json!({"filter": filter, "pagination": pagination});
        admin.graphql(document, &variables).data().await["auditLogs"].clone()
    };
    let all = ask(json!({"entityType": "object_type"}), json!(null)).await;
    let nodes = all["nodes"].as_array().unwrap();
    let by_rest = admin.all("audit-logs?entityType=object_type").await;
    assert_eq!(nodes.len(), by_rest.len());
    for (node, entry) in nodes.iter().zip(&by_rest) {
        for (field, value) in node.as_object().unwrap() {
            assert_eq!(entry.get(field).unwrap_or(&Value::Null), value, "{field}");
        }
    }
    let first = &nodes[1];
    assert_eq!((&first["actor"], &first["userAgent"]), (&json!("tester-editor"), &json!("tests/1")));
    assert_eq!(
        (&first["metadata"]["correlationId"], &first["metadata"]["changeDescription"]),
        (&json!("order-42"), &json!("why"))
    );
    for (filter, expected) in [
        (json!({"action": "UPDATE"}), 1),
        (json!({"actor": "nobody"}), 0),
        (json!({"entityId": first["entityId"]}), 2),
        (json!({"since": "2100-01-01T00:00:00Z"}), 0),
        (json!({"until": "2100-01-01T00:00:00+09:00", "entityType": "object_type"}), 2),
    ] {
        assert_eq!(ask(filter.clone(), json!(null)).await["nodes"].as_array().unwrap().len(), expected, "{filter}");
    }
    let page = ask(json!({"entityType": "object_type"}), json!({"first": 1})).await;
    assert_eq!((&page["nodes"][0], &page["pageInfo"]["hasNextPage"]), (&nodes[0], &json!(true)));
    let rest =
        ask(json!({"entityType": "object_type"}), json!({"first": 1, "after": page["pageInfo"]["endCursor"]})).await;
    assert_eq!((&rest["nodes"][0], &rest["pageInfo"]["hasNextPage"]), (&nodes[1], &json!(false)));
}
