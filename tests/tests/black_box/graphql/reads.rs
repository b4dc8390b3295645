//! What queries answer.

use insta::assert_json_snapshot;
use oms_tests::{App, Client, redact, samples};
use serde_json::{Value, json};

const PROPERTY: &str = "name displayName dataType required unique indexed defaultValue description
    validators { type value } metadata itemType referenceTo { name }";

async fn names(viewer: &Client, field: &str) -> Vec<String> {
    let data = viewer.query(&format!("{{ found: {field} {{ nodes {{ name }} }} }}")).data().await;
    let nodes = data["found"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

/// Five object types and the links between them.
async fn shop(editor: &Client) {
    let with = |name: &str, category: &str, tags: &[&str]| {
        let mut definition = samples::object_type(name);
        definition["category"] = json!(category);
        definition["tags"] = json!(tags);
        definition
    };
    let items = [
        with("Customer", "sales", &["core", "gdpr"]),
        with("Employee", "staff", &["gdpr"]),
        with("Invoice", "sales", &["core"]),
        with("Order", "sales", &["core", "daily"]),
        with("Product", "stock", &[]),
    ];
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let mut contains = samples::link_type("contains", "Order", "Product");
    contains["cardinality"] = json!("MANY_TO_MANY");
    let items = [
        contains,
        samples::link_type("knows", "Customer", "Customer"),
        samples::link_type("pays", "Customer", "Invoice"),
        samples::link_type("places", "Customer", "Order"),
    ];
    editor.post("link-types:batch", &json!({"items": items})).expect(201).await;
}

#[tokio::test]
async fn a_type_with_everything_is_shown_with_everything() {
    let app = App::start().await;
    let editor = app.client("editor");
    let created = editor.post("object-types", &samples::customer()).v2().expect(201).await;
    let document = format!(
        "query ($id: ID!) {{ objectType(id: $id) {{
            __typename id name displayName description category tags
            properties {{ id {PROPERTY} properties {{ id {PROPERTY} }} }}
            baseDatasets {{ datasetRid name }} metadata version createdAt createdBy updatedAt updatedBy
        }} }}"
    );
    let ask = async |id: &Value| editor.graphql(&document, &json!({"id": id})).data().await;
    let found = ask(&created["id"]).await;
    assert_json_snapshot!("object_type", redact(&found));
    for same in [json!("Customer"), json!("cUSTOMER"), json!(created["id"].as_str().unwrap().to_uppercase())] {
        assert_eq!(ask(&same).await, found, "{same}");
    }
    for nothing in ["Nothing", "no name", "", "01890000-0000-7000-8000-000000000000"] {
        assert_eq!(ask(&json!(nothing)).await, json!({"objectType": null}), "{nothing}");
    }
    for (field, expected) in [("createdAt", &created["createdAt"]), ("updatedAt", &created["updatedAt"])] {
        assert_eq!(&found["objectType"][field], expected);
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_counted() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    editor.patch("object-types/Invoice", 1, &json!({"displayName": "A bill"})).expect(200).await;
    for (field, expected) in [
        ("objectTypes", "Customer Employee Invoice Order Product"),
        ("objectTypes(filter: {category: \"sales\"})", "Customer Invoice Order"),
        ("objectTypes(filter: {anyTags: [\"gdpr\", \"daily\"]})", "Customer Employee Order"),
        ("objectTypes(filter: {allTags: [\"core\", \"daily\"]})", "Order"),
        ("objectTypes(filter: {allTags: [\"core\"], category: \"stock\"})", ""),
        ("objectTypes(filter: null, sort: null, pagination: null)", "Customer Employee Invoice Order Product"),
        ("objectTypes(sort: {direction: DESC})", "Product Order Invoice Employee Customer"),
        ("objectTypes(sort: {by: DISPLAY_NAME})", "Invoice Customer Employee Order Product"),
        ("objectTypes(sort: {by: UPDATED_AT, direction: DESC}, pagination: {first: 1})", "Invoice"),
        ("linkTypes", "contains knows pays places"),
        ("linkTypes(filter: {source: \"customer\"})", "knows pays places"),
        ("linkTypes(filter: {target: \"Order\"})", "places"),
        ("linkTypes(filter: {objectType: \"Order\"})", "contains places"),
        ("linkTypes(filter: {cardinality: MANY_TO_MANY})", "contains"),
        ("linkTypes(filter: {source: \"Customer\", target: \"Customer\"})", "knows"),
    ] {
        assert_eq!(names(&viewer, field).await.join(" "), expected, "{field}");
    }
    let document = "{
        all: objectTypes { totalCount }
        sales: objectTypes(filter: {category: \"sales\"}, pagination: {first: 1}) { totalCount nodes { name } }
        links: linkTypes(filter: {objectType: \"Customer\"}) { totalCount }
        one: objectType(id: \"Customer\") {
            outgoingLinkTypes(pagination: {first: 1}) { totalCount nodes { name } }
            incomingLinkTypes { totalCount nodes { name } }
        }
    }";
    let data = viewer.query(document).data().await;
    assert_eq!((&data["all"]["totalCount"], &data["sales"]["totalCount"]), (&json!(5), &json!(3)));
    assert_eq!(data["links"]["totalCount"], 3);
    assert_eq!(data["one"]["outgoingLinkTypes"], json!({"totalCount": 3, "nodes": [{"name": "knows"}]}));
    assert_eq!(data["one"]["incomingLinkTypes"], json!({"totalCount": 1, "nodes": [{"name": "knows"}]}));
}

#[tokio::test]
async fn pages_follow_each_other_by_their_cursors() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    let document = "query ($first: Int, $after: String, $direction: SortDirection!) {
        objectTypes(sort: {by: NAME, direction: $direction}, pagination: {first: $first, after: $after}) {
            edges { cursor node { name } }
            nodes { name }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        }
    }";
    for (direction, expected) in [
        ("ASC", ["Customer", "Employee", "Invoice", "Order", "Product"]),
        ("DESC", ["Product", "Order", "Invoice", "Employee", "Customer"]),
    ] {
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        for expected_next in [true, true, false] {
            let variables = json!({"first": 2, "after": after, "direction": direction});
            let page = viewer.graphql(document, &variables).data().await["objectTypes"].clone();
            let edges = page["edges"].as_array().unwrap();
            let nodes: Vec<_> = edges.iter().map(|edge| edge["node"].clone()).collect();
            assert_eq!(page["nodes"], json!(nodes));
            let info = &page["pageInfo"];
            assert_eq!(info["startCursor"], edges[0]["cursor"]);
            assert_eq!(info["endCursor"], edges[edges.len() - 1]["cursor"]);
            assert_eq!(info["hasNextPage"], expected_next);
            seen.extend(nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()));
            after = info["endCursor"].clone();
        }
        assert_eq!(seen, expected);
        let other = json!({"first": 2, "after": after, "direction": if direction == "ASC" { "DESC" } else { "ASC" }});
        viewer.graphql(document, &other).error("INVALID_CURSOR").await;
    }
    // A cursor of GraphQL is one of REST.
    let page = viewer.query("{ objectTypes(pagination: {first: 2}) { pageInfo { endCursor } } }").data().await;
    let cursor = page["objectTypes"]["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = viewer.get(&format!("object-types?limit=2&cursor={cursor}")).expect(200).await;
    assert_eq!(rest["data"][0]["name"], "Invoice");
    let empty = viewer
        .query("{ objectTypes(filter: {category: \"none\"}) { edges { cursor } pageInfo { endCursor hasNextPage } } }");
    let expected = json!({"objectTypes": {"edges": [], "pageInfo": {"endCursor": null, "hasNextPage": false}}});
    assert_eq!(empty.data().await, expected);
}

#[tokio::test]
async fn nested_pages_follow_each_other_too() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    for version in 1..4 {
        editor.patch("object-types/Order", version, &json!({"displayName": format!("v{version}")})).expect(200).await;
    }
    let links = "query ($after: String) { objectType(id: \"Customer\") {
        links: outgoingLinkTypes(pagination: {first: 2, after: $after}) {
            nodes { name } pageInfo { hasNextPage endCursor }
        }
    } }";
    let versions = "query ($after: String) { objectType(id: \"Order\") {
        links: versions(pagination: {first: 2, after: $after}) { nodes { version } pageInfo { hasNextPage endCursor } }
    } }";
    for (document, first, second) in [
        (links, json!([{"name": "knows"}, {"name": "pays"}]), json!([{"name": "places"}])),
        (versions, json!([{"version": 4}, {"version": 3}]), json!([{"version": 2}, {"version": 1}])),
    ] {
        let page = viewer.query(document).data().await["objectType"]["links"].clone();
        assert_eq!((&page["nodes"], &page["pageInfo"]["hasNextPage"]), (&first, &json!(true)));
        let next = json!({"after": page["pageInfo"]["endCursor"]});
        let page = viewer.graphql(document, &next).data().await["objectType"]["links"].clone();
        assert_eq!((&page["nodes"], &page["pageInfo"]["hasNextPage"]), (&second, &json!(false)));
    }
    // A cursor belongs to its own list.
    let page = viewer.query(links).data().await["objectType"]["links"].clone();
    let other = links.replace("Customer", "Order");
    viewer.graphql(&other, &json!({"after": page["pageInfo"]["endCursor"]})).error("INVALID_CURSOR").await;
}

#[tokio::test]
async fn links_lead_from_type_to_type() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    let document = "{
        linkType(id: \"PLACES\") {
            __typename name cardinality sourceObjectTypeId targetObjectTypeId
            source { id name }
            target {
                id name
                outgoingLinkTypes { nodes { name target { name incomingLinkTypes { nodes { source { name } } } } } }
            }
        }
        self: linkTypeByName(name: \"knows\") { source { name } target { name } }
        nothing: linkType(id: \"Nothing\") { name }
    }";
    let data = viewer.query(document).data().await;
    assert_eq!(data["linkType"]["source"]["id"], data["linkType"]["sourceObjectTypeId"]);
    assert_eq!(data["linkType"]["target"]["id"], data["linkType"]["targetObjectTypeId"]);
    assert_eq!(data["linkType"]["cardinality"], "ONE_TO_MANY");
    let back = &data["linkType"]["target"]["outgoingLinkTypes"]["nodes"][0];
    assert_eq!(
        back,
        &json!({
            "name": "contains",
            "target": {"name": "Product", "incomingLinkTypes": {"nodes": [{"source": {"name": "Order"}}]}},
        })
    );
    assert_eq!(data["self"], json!({"source": {"name": "Customer"}, "target": {"name": "Customer"}}));
    assert_eq!(data["nothing"], Value::Null);

    editor.patch("object-types/Order", 1, &json!({"name": "Purchase"})).expect(200).await;
    let renamed = viewer.query("{ linkType(id: \"places\") { target { name } } }").data().await;
    assert_eq!(renamed["linkType"]["target"]["name"], "Purchase");
}

#[tokio::test]
async fn searches_find_one_kind_only_best_first() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    editor
        .post("object-types", &json!({"name": "Note", "displayName": "Note", "description": "About an order."}))
        .expect(201)
        .await;
    let data = viewer
        .query("{ searchObjectTypes(query: \"order\") { name version outgoingLinkTypes { nodes { name } } } }")
        .data()
        .await;
    let found = data["searchObjectTypes"].as_array().unwrap();
    assert_eq!(
        found[0],
        json!({"name": "Order", "version": 1, "outgoingLinkTypes": {"nodes": [{"name": "contains"}]}})
    );
    assert_eq!(found[1]["name"], "Note");
    let data = viewer.query("{ searchObjectTypes(query: \"order\", limit: 1) { name } }").data().await;
    assert_eq!(data["searchObjectTypes"], json!([{"name": "Order"}]));
    let data = viewer.query("{ searchLinkTypes(query: \"plac\") { name target { name } } }").data().await;
    assert_eq!(data["searchLinkTypes"], json!([{"name": "places", "target": {"name": "Order"}}]));
    let data = viewer.query("{ searchLinkTypes(query: \"zzzz\") { name } }").data().await;
    assert_eq!(data["searchLinkTypes"], json!([]));
}

#[tokio::test]
async fn versions_show_what_was_and_what_changed() {
    let app = App::start().await;
    let editor = app.client("editor");
    let created = editor.post("object-types", &samples::customer()).expect(201).await;
    let id = created["id"].as_str().unwrap();
    let patch = json!({"displayName": "Customer", "category": null, "changeDescription": "In English."});
    editor.patch("object-types/Customer", 1, &patch).expect(200).await;
    let document = "query ($id: ID!) {
        objectTypeVersions(id: $id) {
            nodes {
                version action changeDescription createdBy
                snapshot { name displayName category version properties { name } }
            }
        }
        first: objectTypeVersion(id: $id, version: 1) { version action snapshot { displayName category } }
        none: objectTypeVersion(id: $id, version: 3) { version }
        compareObjectTypeVersions(id: $id, version1: 1, version2: 2) {
            objectTypeId version1 { version } version2 { version snapshot { displayName } }
            changes { field oldValue newValue changeType }
        }
    }";
    let data = editor.graphql(document, &json!({"id": id})).data().await;
    assert_json_snapshot!("versions", redact(&data));
    let by_rest = editor.get(&format!("object-types/{id}/versions/compare?from=1&to=2")).expect(200).await;
    let changes = data["compareObjectTypeVersions"]["changes"].as_array().unwrap();
    assert_eq!(by_rest["changes"].as_array().unwrap().len(), changes.len());
    for (change, rest) in changes.iter().zip(by_rest["changes"].as_array().unwrap()) {
        for field in ["field", "oldValue", "newValue"] {
            assert_eq!(rest.get(field).unwrap_or(&Value::Null), &change[field], "{field} of {rest}");
        }
    }

    editor.delete("object-types/Customer", 2).expect(204).await;
    let data = editor
        .graphql("query ($id: ID!) { objectTypeVersions(id: $id) { nodes { action } } }", &json!({"id": id}))
        .data()
        .await;
    let actions: Vec<_> =
        data["objectTypeVersions"]["nodes"].as_array().unwrap().iter().map(|node| node["action"].clone()).collect();
    assert_eq!(actions, ["DELETE", "UPDATE", "CREATE"]);
    editor.query("{ objectTypeVersions(id: \"Customer\") { nodes { version } } }").error("OBJECT_TYPE_NOT_FOUND").await;
}

#[tokio::test]
async fn versions_of_links_are_shown_as_those_of_object_types() {
    let app = App::start().await;
    let editor = app.client("editor");
    shop(&editor).await;
    editor.patch("link-types/places", 1, &json!({"cardinality": "ONE_TO_ONE", "target": "Invoice"})).expect(200).await;
    let document = "{
        linkType(id: \"places\") { versions { nodes { version snapshot { cardinality target { name } } } } }
        linkTypeVersions(id: \"places\", pagination: {first: 1}) { nodes { version action } pageInfo { hasNextPage } }
        linkTypeVersion(id: \"places\", version: 1) { snapshot { target { name } } }
        compareLinkTypeVersions(id: \"places\", version1: 1, version2: 2) { linkTypeId changes { field changeType } }
    }";
    let data = editor.query(document).data().await;
    let expected = json!([
        {"version": 2, "snapshot": {"cardinality": "ONE_TO_ONE", "target": {"name": "Invoice"}}},
        {"version": 1, "snapshot": {"cardinality": "ONE_TO_MANY", "target": {"name": "Order"}}},
    ]);
    assert_eq!(data["linkType"]["versions"]["nodes"], expected);
    assert_eq!(
        data["linkTypeVersions"],
        json!({"nodes": [{"version": 2, "action": "UPDATE"}], "pageInfo": {"hasNextPage": true}})
    );
    assert_eq!(data["linkTypeVersion"]["snapshot"]["target"]["name"], "Order");
    let changes = data["compareLinkTypeVersions"]["changes"].as_array().unwrap();
    let changes: Vec<_> = changes.iter().map(|change| change["field"].as_str().unwrap()).collect();
    assert!(changes.contains(&"cardinality") && changes.iter().any(|field| field.starts_with("target")), "{changes:?}");
}

#[tokio::test]
async fn instances_are_valid_or_it_is_said_where_they_are_not() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::customer()).expect(201).await;
    let mut link = samples::link_type("knows", "Customer", "Customer");
    link["properties"] = json!([{"name": "since", "dataType": "DATE", "required": true}]);
    editor.post("link-types", &link).expect(201).await;
    let document = "query ($instance: JSON!, $instances: [JSON!]!, $version: Int) {
        validateObjectInstance(objectTypeId: \"customer\", instance: $instance) {
            valid errors { pointer code message } truncated
        }
        validateObjectInstances(objectTypeId: \"Customer\", instances: $instances, version: $version) {
            valid errors { pointer code }
        }
        validateLinkInstance(linkTypeId: \"knows\", instance: {since: \"yesterday\"}) { valid errors { pointer } }
        validateLinkInstances(linkTypeId: \"knows\", instances: [{since: \"2026-01-01\"}, {}]) {
            valid errors { pointer code }
        }
    }";
    let bad = json!({"email": "nobody", "tier": 9, "address": {"zip": 7}, "colour": "red"});
    let good = json!({"email": "a@b"});
    let call = editor.graphql(document, &json!({"instance": bad, "instances": [good, bad, 7], "version": 1}));
    let korean = call.again().header("accept-language", "ko").data().await;
    let data = call.data().await;
    assert_json_snapshot!("validation", data);
    let words = |data: &Value| data["validateObjectInstance"]["errors"][0]["message"].clone();
    assert_ne!(words(&korean), words(&data));
    let by_rest = editor.post("object-types/Customer/validate", &json!({"instance": bad})).expect(200).await;
    let places = |errors: &Value| -> Vec<Value> {
        errors.as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect()
    };
    let rest = places(&by_rest["errors"]);
    let shown = places(&data["validateObjectInstance"]["errors"]);
    assert_eq!(shown.len(), rest.len(), "{by_rest}");
    editor
        .query("{ validateObjectInstance(objectTypeId: \"Nothing\", instance: {}) { valid } }")
        .error("OBJECT_TYPE_NOT_FOUND")
        .await;
}

#[tokio::test]
async fn entities_are_found_by_either_key_and_null_when_they_are_not_there() {
    let app = App::start().await;
    let (editor, viewer) = (app.client("editor"), app.client("viewer"));
    shop(&editor).await;
    let ids = viewer.query("{ objectType(id: \"Order\") { id } linkType(id: \"places\") { id } }").data().await;
    let document = "query ($r: [_Any!]!) { _entities(representations: $r) {
        __typename
        ... on ObjectType { name outgoingLinkTypes { nodes { name } } }
        ... on LinkType { name target { name } }
    } }";
    let representations = json!([
        {"__typename": "LinkType", "name": "places"},
        {"__typename": "ObjectType", "id": ids["objectType"]["id"]},
        {"__typename": "ObjectType", "name": "Nothing"},
        {"__typename": "ObjectType", "id": ids["linkType"]["id"]},
        {"__typename": "LinkType", "id": ids["linkType"]["id"], "extra": 7},
    ]);
    let data = viewer.graphql(document, &json!({"r": representations})).data().await;
    let link = json!({"__typename": "LinkType", "name": "places", "target": {"name": "Order"}});
    let object =
        json!({"__typename": "ObjectType", "name": "Order", "outgoingLinkTypes": {"nodes": [{"name": "contains"}]}});
    assert_eq!(data["_entities"], json!([link, object, null, null, link]));
    for wrong in [
        json!({"__typename": "Invoice", "id": "1"}),
        json!({"__typename": "ObjectType"}),
        json!({"id": "Order"}),
        json!(7),
    ] {
        let answer = viewer.graphql(document, &json!({"r": [wrong]})).send().await;
        assert!(answer.status == 200 && !answer.errors().is_empty(), "{wrong}: {}", answer.text);
        assert_eq!(answer.errors()[0]["extensions"]["classification"], "BAD_REQUEST", "{wrong}: {}", answer.text);
    }
    let sdl = viewer.query("{ _service { sdl } }").data().await;
    let committed =
        std::fs::read_to_string(oms_tests::workspace_root().join("functions/graphql/schema.graphql")).unwrap();
    assert_eq!(sdl["_service"]["sdl"].as_str().unwrap().trim(), committed.trim());
}
