//! What a query may cost. Whatever is refused has not touched the database.

use std::fmt::Write;

use oms_tests::{App, Call, Client, PostgresProxy, Settings};
use serde_json::{Value, json};

/// So many pieces, made of their numbers.
fn repeat(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = write!(text, "{} ", piece(n));
        text
    })
}

/// `objectType` and what is in it, so many levels deep in all, three at a time by way of links.
fn nested(depth: usize) -> String {
    let mut inner = "id".to_owned();
    let mut levels = 1;
    // Levels from the inside: a field of an object type, then `target`, `nodes`, `outgoingLinkTypes`.
    while levels + 1 < depth {
        let field = ["target", "nodes", "outgoingLinkTypes(pagination: {first: 1})"][(levels - 1) % 3];
        inner = format!("{field} {{ {inner} }}");
        levels += 1;
    }
    match (levels - 1) % 3 {
        0 => format!("{{ objectType(id: \"A\") {{ {inner} }} }}"),
        1 => format!("{{ linkType(id: \"A\") {{ {inner} }} }}"),
        _ => format!("{{ linkTypes(pagination: {{first: 1}}) {{ {inner} }} }}"),
    }
}

fn fragments_that_double(levels: usize) -> String {
    let doubling = |n: usize| format!("fragment f{n} on ObjectType {{ ...f{next} ...f{next} }}", next = n + 1);
    format!(
        "{{ objectType(id: \"A\") {{ ...f0 }} }} {} fragment f{levels} on ObjectType {{ id }}",
        repeat(levels, doubling)
    )
}

async fn refused(proxy: &PostgresProxy, what: &str, call: Call, code: &str) {
    let (answer, statements) = proxy.count(call.send()).await;
    let shown: String = answer.text.chars().take(500).collect();
    assert_eq!(statements, 0, "{what}: {shown}");
    let errors = answer.errors();
    assert_eq!(errors[0]["extensions"]["code"], code, "{what}: {shown}");
    assert_eq!(answer.json().get("data"), None, "{what}: {shown}");
    assert!(answer.text.len() < 100_000, "{what}: {} bytes of answer", answer.text.len());
}

#[tokio::test]
async fn a_hostile_document_is_refused_without_touching_the_database() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let viewer = app.client("viewer");
    let aliases = |count| format!("{{ {} }}", repeat(count, |n| format!("a{n}: objectType(id: \"A\") {{ id }}")));
    let nest = |depth: usize, open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let field =
        |argument: &str| format!("{{ validateObjectInstance(objectTypeId: \"A\", instance: {argument}) {{ valid }} }}");
    for (what, document, code) in [
        ("10,000 aliases", aliases(10_000), "QUERY_TOO_LARGE"),
        ("500 aliases", aliases(500), "TOO_MANY_ALIASES"),
        ("a depth of 1,000", nest(1_000, "{ a ", "}"), "QUERY_TOO_DEEP"),
        ("a depth of 1,000 that never ends", "{ a ".repeat(1_000), "QUERY_TOO_DEEP"),
        ("1,000 inline fragments in each other", format!("{{ {} }}", nest(1_000, "... { ", "}")), "QUERY_TOO_DEEP"),
        ("a list of 1,000 lists", field(&nest(1_000, "[", "]")), "QUERY_TOO_DEEP"),
        ("an object of 1,000 objects", field(&nest(1_000, "{a: ", "}").replacen(": }", ": 1}", 1)), "QUERY_TOO_DEEP"),
        ("a type of 1,000 lists", format!("query ($a: {}) {{ __typename }}", nest(1_000, "[", "]")), "QUERY_TOO_DEEP"),
        (
            "a fragment in itself",
            "{ objectType(id: \"A\") { ...f } } fragment f on ObjectType { id ...f }".to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "fragments in a circle",
            "{ objectType(id: \"A\") { ...a } } fragment a on ObjectType { ...b } \
            fragment b on ObjectType { id ...c } fragment c on ObjectType { ...a }"
                .to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "fragments in a circle that nobody uses",
            "{ objectType(id: \"A\") { id } } fragment a on ObjectType { ...b } fragment b on ObjectType { ...a }"
                .to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "a circle by way of a field",
            "{ objectType(id: \"A\") { ...f } } \
            fragment f on ObjectType { outgoingLinkTypes { nodes { target { ...f } } } }"
                .to_owned(),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("fragments that double 30 times", fragments_that_double(30), "QUERY_TOO_COMPLEX"),
        ("fragments that double 900 times", fragments_that_double(900), "QUERY_TOO_COMPLEX"),
        (
            "1,000 directives",
            format!("{{ objectType(id: \"A\") {{ id {} }} }}", "@include(if: true) ".repeat(1_000)),
            "TOO_MANY_DIRECTIVES",
        ),
        ("100,000 spaces and nothing", " ".repeat(100_000), "GRAPHQL_PARSE_FAILED"),
        ("a string that never ends", format!("{{ a(b: \"{}", "x".repeat(100_000)), "GRAPHQL_PARSE_FAILED"),
        ("a block string that never ends", format!("{{ a(b: \"\"\"{}", "x\n".repeat(50_000)), "GRAPHQL_PARSE_FAILED"),
        (
            "9,000 fields that are not there",
            format!("{{ {} }}", repeat(9_000, |n| format!("x{n}"))),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "3,000 fragments that are not there",
            format!("{{ {} }}", repeat(3_000, |n| format!("...x{n}"))),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "1,000 fields that contradict each other",
            format!("{{ {} }}", repeat(1_000, |n| format!("objectType(id: {n}) {{ id }}"))),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "lists in lists",
            "{ objectTypes(pagination: {first: 200}) { nodes { outgoingLinkTypes(pagination: {first: 200}) { nodes {
            target { incomingLinkTypes(pagination: {first: 200}) { nodes { id } } } } } } } }"
                .to_owned(),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "numbers that no machine has",
            "{ objectTypeVersion(id: \"A\", version: 1e999999) { version } }".to_owned(),
            "GRAPHQL_PARSE_FAILED",
        ),
    ] {
        refused(&proxy, what, viewer.query(&document), code).await;
    }
}

/// What tools ask for when they start: the query of graphql-js.
const INTROSPECTION: &str = "query IntrospectionQuery {
    __schema {
        queryType { name } mutationType { name } subscriptionType { name }
        types { ...FullType }
        directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
    }
}
fragment FullType on __Type {
    kind name description specifiedByURL
    fields(includeDeprecated: true) {
        name description args(includeDeprecated: true) { ...InputValue } type { ...TypeRef }
        isDeprecated deprecationReason
    }
    inputFields(includeDeprecated: true) { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
    possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue {
    name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
}
fragment TypeRef on __Type {
    kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
        kind name ofType { kind name ofType { kind name ofType { kind name } } }
    } } } } } }
}";

#[tokio::test]
async fn introspection_has_its_price() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let viewer = app.client("viewer");
    let standard = viewer.query(INTROSPECTION).data().await;
    assert!(standard["__schema"]["types"].as_array().unwrap().len() > 30);

    let level =
        |n: usize| format!("fragment F{} on __Type {{ fields {{ type {{ ...F{n} ofType {{ ...F{n} }} }} }} }}", n + 1);
    let around = format!("{} fragment F0 on __Type {{ name }}", repeat(5, level));
    let often = format!("{{ {} }} {around}", repeat(100, |n| format!("a{n}: __schema {{ types {{ ...F5 }} }}")));
    refused(&proxy, "the schema in circles", viewer.query(&often), "QUERY_TOO_COMPLEX").await;
}

#[tokio::test]
async fn five_megabytes_are_not_read() {
    let (app, proxy) = App::counted(|settings| settings).await;
    let viewer = app.client("viewer");
    for document in ["{ objectType(id: \"A\") { id } } ".repeat(170_000), "#".repeat(5_000_000), " ".repeat(5_000_000)]
    {
        let (answer, statements) = proxy.count(viewer.query(&document).send()).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.expect(413)["code"], "BODY_TOO_LARGE");
        assert_eq!(statements, 0);
    }
    // Just below the limit of the body, it is the tokens.
    let fields = format!("{{ {} }}", "id ".repeat(1_300_000));
    refused(&proxy, "four megabytes of fields", viewer.query(&fields), "QUERY_TOO_LARGE").await;
}

/// Sends the document; it is refused with this code, or with none at all.
async fn check(client: &Client, what: &str, document: &str, variables: &Value, code: Option<&str>) {
    let answer = client.graphql(document, variables).send().await;
    let shown: String = answer.text.chars().take(500).collect();
    let found = answer.json()["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
    assert_eq!(found.as_deref(), code, "{what}: {shown}");
}

const ENTITIES: &str = "query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }";

fn representations(count: usize) -> Value {
    json!({"r": vec![json!({"__typename": "ObjectType", "name": "Nothing"}); count]})
}

#[tokio::test]
async fn each_limit_takes_what_is_just_inside_and_nothing_more() {
    let app = App::start().await;
    let viewer = app.client("viewer");
    let none = Value::Null;
    let aliases = |count| format!("{{ {} }}", repeat(count, |n| format!("a{n}: __typename")));
    let directives = |count| format!("{{ __typename {} }}", repeat(count, |_| "@include(if: true)".to_owned()));
    // Two brackets, and one token for each field: each is the same one, so that it is answered once.
    let tokens = |count: usize| format!("{{ {} }}", "__typename, # one more\n".repeat(count - 2));
    // A page of 100 costs one, and 100 times what is in `nodes` with `nodes` itself.
    let fields = |count| {
        format!(
            "{{ objectTypes(pagination: {{first: 100}}) {{ nodes {{ {} }} }} }}",
            repeat(count, |n| format!("a{n}: id"))
        )
    };

    check(&viewer, "20 levels", &nested(20), &none, None).await;
    check(&viewer, "21 levels", &nested(21), &none, Some("QUERY_TOO_DEEP")).await;
    check(&viewer, "100 aliases", &aliases(100), &none, None).await;
    check(&viewer, "101 aliases", &aliases(101), &none, Some("TOO_MANY_ALIASES")).await;
    check(&viewer, "50 directives", &directives(50), &none, None).await;
    check(&viewer, "51 directives", &directives(51), &none, Some("TOO_MANY_DIRECTIVES")).await;
    check(&viewer, "10,000 tokens", &tokens(10_000), &none, None).await;
    check(&viewer, "10,001 tokens", &tokens(10_001), &none, Some("QUERY_TOO_LARGE")).await;
    check(&viewer, "1,000 entities", ENTITIES, &representations(1_000), None).await;
    check(&viewer, "1,001 entities", ENTITIES, &representations(1_001), Some("TOO_MANY_ENTITIES")).await;

    let small = App::with(|settings| settings.set("GRAPHQL_MAX_COMPLEXITY", 1_001)).await;
    let viewer = small.client("viewer");
    check(&viewer, "nine fields of 100 types", &fields(9), &none, None).await;
    check(&viewer, "ten fields of 100 types", &fields(10), &none, Some("QUERY_TOO_COMPLEX")).await;
}

#[tokio::test]
async fn each_limit_is_a_setting() {
    let limits = |settings: Settings| {
        settings
            .set("GRAPHQL_MAX_DEPTH", 5)
            .set("GRAPHQL_MAX_ALIASES", 2)
            .set("GRAPHQL_MAX_DIRECTIVES", 1)
            .set("GRAPHQL_MAX_TOKENS", 60)
            .set("GRAPHQL_MAX_ENTITIES", 3)
            .set("GRAPHQL_MAX_COMPLEXITY", 300)
            .set("MAX_BODY_BYTES", 2_000)
    };
    let (app, proxy) = App::counted(limits).await;
    let viewer = app.client("viewer");
    for (what, document, variables, code) in [
        ("depth", nested(6), Value::Null, "QUERY_TOO_DEEP"),
        ("aliases", "{ a: __typename b: __typename c: __typename }".to_owned(), Value::Null, "TOO_MANY_ALIASES"),
        (
            "directives",
            "{ __typename @skip(if: false) @include(if: true) }".to_owned(),
            Value::Null,
            "TOO_MANY_DIRECTIVES",
        ),
        ("tokens", format!("{{ {} }}", "__typename ".repeat(59)), Value::Null, "QUERY_TOO_LARGE"),
        ("entities", ENTITIES.to_owned(), representations(4), "TOO_MANY_ENTITIES"),
        (
            "complexity",
            "{ objectTypes(pagination: {first: 100}) { nodes { id name } } }".to_owned(),
            Value::Null,
            "QUERY_TOO_COMPLEX",
        ),
        (
            "complexity by the default size of a page",
            "{ linkTypes { nodes { id name version createdAt createdBy updatedAt } } }".to_owned(),
            Value::Null,
            "QUERY_TOO_COMPLEX",
        ),
        (
            "complexity by a size that is a variable",
            "query ($n: Int!) { objectTypes(pagination: {first: $n}) { nodes { id name } } }".to_owned(),
            json!({"n": 100}),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "complexity by a page that is a variable",
            "query ($p: PaginationInput) { objectTypes(pagination: $p) { nodes { id name } } }".to_owned(),
            json!({"p": {"first": 100}}),
            "QUERY_TOO_COMPLEX",
        ),
        (
            "complexity of a search",
            "{ searchLinkTypes(query: \"a\", limit: 100) { id name version } }".to_owned(),
            Value::Null,
            "QUERY_TOO_COMPLEX",
        ),
        (
            "complexity of what a mutation answers",
            "mutation ($i: [CreateObjectTypeInput!]!) { createObjectTypes(inputs: $i) { id name } }".to_owned(),
            json!({"i": (0..200).map(|_| json!({})).collect::<Vec<_>>()}),
            "QUERY_TOO_COMPLEX",
        ),
    ] {
        // The last ones are not only too much, but wrong, too: either is said before anything is done.
        if what.contains("mutation") {
            let (answer, statements) = proxy.count(viewer.graphql(&document, &variables).send()).await;
            assert!(!answer.errors().is_empty() && statements == 0, "{what}: {}", answer.text);
            continue;
        }
        refused(&proxy, what, viewer.graphql(&document, &variables), code).await;
    }
    check(&viewer, "five levels", &nested(5), &Value::Null, None).await;
    check(&viewer, "a page of 100", "{ objectTypes(pagination: {first: 100}) { nodes { id } } }", &Value::Null, None)
        .await;
    let long = format!("{{ __typename }} # {}", "x".repeat(2_000));
    assert_eq!(viewer.query(&long).expect(413).await["code"], "BODY_TOO_LARGE");
}

#[tokio::test]
async fn what_is_measured_is_the_operation_that_is_meant_with_its_fragments() {
    let (app, proxy) = App::counted(|settings| settings.set("GRAPHQL_MAX_ALIASES", 3)).await;
    let viewer = app.client("viewer");
    let used_twice = "{ a: objectType(id: \"A\") { ...f } b: objectType(id: \"B\") { ...f } } \
        fragment f on ObjectType { x: id }";
    refused(&proxy, "a fragment counts wherever it is used", viewer.query(used_twice), "TOO_MANY_ALIASES").await;
    let beside = "query A { __typename } query B { a: __typename b: __typename c: __typename d: __typename }";
    let call = |name: &str| viewer.post("/graphql", &json!({"query": beside, "operationName": name}));
    refused(&proxy, "the operation that is meant", call("B"), "TOO_MANY_ALIASES").await;
    assert_eq!(call("A").data().await, json!({"__typename": "Query"}));
}
