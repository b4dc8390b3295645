//! Documents that nobody would think of: whatever it is, the answer is JSON, and says that the client is wrong.

use std::collections::BTreeSet;

use oms_tests::{Answer, App, Client, samples};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

/// So many values of a strategy: the same in every run.
fn values<S: Strategy>(strategy: S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(Default::default()),
    );
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn check(answer: &Answer, sent: &str) {
    assert!(answer.status < 500, "{sent:?}: {} {}", answer.status, answer.text);
    let body = answer.json();
    let codes = body["errors"].as_array().into_iter().flatten().map(|error| error["extensions"]["code"].clone());
    for code in codes.chain(body.get("code").cloned()) {
        assert!(code.is_string() && code != "INTERNAL_ERROR", "{sent:?}: {}", answer.text);
    }
}

async fn check_documents(client: &Client, documents: &[String]) {
    for document in documents {
        check(&client.query(document).send().await, document);
    }
}

/// Selections of fields that are there and fields that are not, with arguments that fit and arguments that don't.
fn operation() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "objectTypes?",
        "linkTypes?",
        "(outgoing|incoming)LinkTypes",
        "_entities",
        "_service",
        "__schema",
        "__typename",
        "search(Object|Link)Types",
        "versions",
        "nodes",
        "edges",
        "node",
        "name",
        "id",
        "properties",
        "snapshot",
        "pageInfo",
        "totalCount",
        "source",
        "target",
        "auditLogs",
        "validateObjectInstances",
        "createObjectTypes?",
        "updateLinkType",
        "[a-z_]{1,4}",
    ];
    let value = prop_oneof![
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        "\"[a-zA-Z \\\\\\\\u0-9]{0,6}\"",
        "(true|false|null|ASC|NAME|\\$v)",
        "\\[(1|\"a\"|null)?\\]",
        "\\{(first|name|category|source|by): (1|0|\"A\"|null|NAME|\\$v)\\}",
        "\\{\\}",
    ];
    let argument = (
        "(id|name|query|pagination|filter|sort|input|inputs|instance|instances|representations|version|limit|if)",
        value,
    );
    let arguments = prop::collection::vec(argument, 0..3).prop_map(|arguments| {
        let list: Vec<_> = arguments.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) }
    });
    let leaf = (name, arguments, "( @(skip|include|deprecated)\\(if: (true|false|\\$v)\\))?")
        .prop_map(|(name, arguments, directive)| format!("{name}{arguments}{directive}"));
    let selection = leaf.clone().prop_recursive(5, 40, 4, move |inner| {
        let fields = prop::collection::vec(inner, 1..4).prop_map(|fields| fields.join(" "));
        prop_oneof![
            (leaf.clone(), fields.clone()).prop_map(|(field, inner)| format!("{field} {{ {inner} }}")),
            ("(ObjectType|LinkType|Query|_Entity|Nothing)", fields)
                .prop_map(|(kind, inner)| format!("... on {kind} {{ {inner} }}")),
            Just("...f".to_owned()),
        ]
    });
    let head = "(query|mutation|subscription|query Q\\(\\$v: (Int|String!|JSON|\\[ID!\\]|PaginationInput|Nothing)\
        ( = (1|null|\"A\"))?\\)|)";
    let fragment = "(fragment f on (ObjectType|Query|Nothing) \\{ (id|name|\\.\\.\\.f|__typename) \\})?";
    (head, prop::collection::vec(selection, 1..4), fragment)
        .prop_map(|(head, fields, fragment)| format!("{head} {{ {} }} {fragment}", fields.join(" ")))
}

#[tokio::test]
async fn any_characters_as_a_document_are_refused_in_json() {
    let app = App::start().await;
    let client = app.admin();
    check_documents(&client, &values(any::<String>(), 150)).await;
    check_documents(&client, &values("[{}()\\[\\]!$&.,:=@|\"#\\\\ \n\ta-c0-9-]{0,60}", 300)).await;
    check_documents(
        &client,
        &values("\\{ objectType\\(id: \"[\\\\ux0-9{}\"\u{0}\u{fffe}é한]{0,8}\"?\\) \\{ id \\} \\}", 150),
    )
    .await;
}

#[tokio::test]
async fn any_bytes_as_a_body_are_refused_in_json() {
    let app = App::start().await;
    let client = app.admin();
    for bytes in values(prop::collection::vec(any::<u8>(), 0..200), 150) {
        let answer = client.call(reqwest::Method::POST, "/graphql").bytes(bytes.clone()).send().await;
        check(&answer, &format!("{bytes:?}"));
    }
    for query in values("(query|variables|extensions|operationName|[a-z%+&=]{0,5})=[%A-F0-9a-z{}\"+&=:-]{0,30}", 150) {
        let answer = client.get(&format!("/graphql?{query}")).send().await;
        check(&answer, &query);
    }
}

const PAGES: &[&str] = &[
    "",
    "(pagination: {first: 2})",
    "(pagination: {first: 0})",
    "(pagination: {after: \"x\"})",
    "(pagination: null)",
    "(pagination: {first: 200, after: null})",
];
const IDS: &[&str] =
    &["(id: \"Customer\")", "(id: \"knows\")", "(id: \"\")", "(id: 7)", "(id: \"\\u0000\")", "(id: \"no name\")"];
const VERSIONS: &[&str] = &[
    "(id: \"Customer\", version: 1)",
    "(id: \"knows\", version: 1)",
    "(id: \"x\", version: -1)",
    "(id: \"Customer\", version: 2147483647)",
];
const LISTS: &[&str] = &[
    "",
    "(filter: {category: \"sales\"}, sort: {by: UPDATED_AT, direction: DESC})",
    "(filter: {anyTags: [\"\\u0000\"]})",
    "(filter: {allTags: []}, pagination: {first: 1})",
    "(filter: {category: \"%'_\"})",
];
const SEARCHES: &[&str] = &[
    "(query: \"cus\")",
    "(query: \"' & | ! :*\", limit: 100)",
    "(query: \"\\u0000\")",
    "(query: \"고\", limit: 1)",
    "(query: \"a\", limit: -1)",
];
const INSTANCES: &[&str] = &[
    "(objectTypeId: \"Customer\", instances: [{email: \"a\"}, [], null, 1.5, X])",
    "(objectTypeId: \"x\", instances: [])",
    "(objectTypeId: \"Customer\", instances: [{a: {b: {c: [[[{}]]]}}}], version: 1)",
];
const ENTITIES: &[&str] = &[
    "(representations: [{__typename: \"ObjectType\", name: \"Customer\"}, {__typename: \"LinkType\", id: \"x\"}])",
    "(representations: [{__typename: \"ObjectType\", name: \"\\u0000\"}])",
    "(representations: [null])",
    "(representations: [])",
];

/// Fields of a type, with arguments to choose from, and the type that they lead to.
const FIELDS: &[(&str, &[&str], &str, &str)] = &[
    ("Query", IDS, "objectType", "ObjectType"),
    ("Query", IDS, "linkType", "LinkType"),
    ("Query", LISTS, "objectTypes", "ObjectTypes"),
    ("Query", LISTS, "linkTypes", "LinkTypes"),
    ("Query", SEARCHES, "searchObjectTypes", "ObjectType"),
    ("Query", SEARCHES, "searchLinkTypes", "LinkType"),
    ("Query", VERSIONS, "objectTypeVersion", "Version"),
    ("Query", IDS, "objectTypeVersions", "Versions"),
    ("Query", INSTANCES, "validateObjectInstances", "Result"),
    ("Query", ENTITIES, "_entities", "Entity"),
    ("Query", PAGES, "auditLogs", "AuditLogs"),
    ("ObjectTypes", &[""], "nodes", "ObjectType"),
    ("ObjectTypes", &["", " @skip(if: true)", " @include(if: true)"], "totalCount", ""),
    ("LinkTypes", &[""], "nodes", "LinkType"),
    ("LinkTypes", &[""], "totalCount", ""),
    ("Versions", &[""], "nodes", "Version"),
    ("AuditLogs", &[""], "nodes { newValue metadata } edges", "Edge"),
    ("Edge", &[""], "cursor", ""),
    ("ObjectType", PAGES, "outgoingLinkTypes", "LinkTypes"),
    ("ObjectType", PAGES, "incomingLinkTypes", "LinkTypes"),
    ("ObjectType", PAGES, "versions", "Versions"),
    ("ObjectType", &[""], "properties", "Property"),
    ("ObjectType", &[""], "name metadata tags", ""),
    ("LinkType", &[""], "source", "ObjectType"),
    ("LinkType", &[""], "target", "ObjectType"),
    ("LinkType", &[""], "properties", "Property"),
    ("LinkType", &[""], "cardinality version", ""),
    ("Version", &[""], "version action", ""),
    ("Version", &[""], "__typename", ""),
    ("Property", &[""], "referenceTo", "ObjectType"),
    ("Property", &[""], "defaultValue validators { type value }", ""),
    ("Result", &[""], "valid errors { pointer message }", ""),
    ("Entity", &[""], "... on ObjectType", "ObjectType"),
    ("Entity", &[""], "... on LinkType", "LinkType"),
];

/// A selection that fits the schema, as the choices have it.
fn selection(kind: &str, depth: usize, choices: &mut impl Iterator<Item = usize>) -> String {
    let possible: Vec<_> = FIELDS.iter().filter(|field| field.0 == kind && (depth > 0 || field.3.is_empty())).collect();
    let mut text = "__typename".to_owned();
    for n in 0..3 {
        let (Some(which), Some(arguments)) = (choices.next(), choices.next()) else { break };
        let Some((_, variants, name, inner)) = (!possible.is_empty()).then(|| possible[which % possible.len()]) else {
            break;
        };
        let arguments = variants[arguments % variants.len()];
        // Fields of the same name with other arguments would contradict each other.
        let alias = if kind == "Query" { format!("a{n}: ") } else { String::new() };
        if text.contains(name) && kind != "Query" {
            continue;
        }
        text.push_str(&format!(" {alias}{name}{arguments}"));
        if !inner.is_empty() {
            text.push_str(&format!(" {{ {} }}", selection(inner, depth.saturating_sub(1), choices)));
        }
    }
    text
}

#[tokio::test]
async fn any_operation_is_answered_in_json() {
    let app = App::start().await;
    let client = app.admin();
    let variables =
        [Value::Null, json!({"v": 1}), json!({"v": {"first": 1}}), json!({"v": ["A"]}), json!({"v": "A", "w": null})];
    for (n, document) in values(operation(), 300).iter().enumerate() {
        check(&client.graphql(document, &variables[n % variables.len()]).send().await, document);
    }
}

#[tokio::test]
async fn any_operation_that_fits_the_schema_is_answered_in_json() {
    let app = App::start().await;
    let client = app.admin();
    client.post("object-types", &samples::customer()).expect(201).await;
    client.post("link-types", &samples::link_type("knows", "Customer", "Customer")).expect(201).await;
    let (mut good, mut failed) = (0, BTreeSet::new());
    for choices in values(prop::collection::vec(0_usize..1_000, 2..60), 300) {
        let document = format!("{{ {} }}", selection("Query", 5, &mut choices.into_iter()));
        let answer = client.query(&document).send().await;
        check(&answer, &document);
        match answer.json()["errors"][0]["extensions"]["code"].as_str() {
            Some(code) => drop(failed.insert(code.to_owned())),
            None => good += 1,
        }
    }
    // It would be no use if all of it were refused for the same reason.
    assert!(good > 50 && failed.len() > 3, "{good} were answered, {failed:?}");
}
