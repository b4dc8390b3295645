//! How often a query goes to PostgreSQL, whatever it asks for and however much comes of it.

use oms_tests::{App, Call, Client, PostgresProxy, Settings, samples};
use serde_json::{Value, json};

const TYPES: usize = 50;
const LINKS_OF_EACH: usize = 3;

/// So many object types, each with properties and outgoing links, made in batches: what a batch made is in no cache.
async fn ontology(editor: &Client, types: usize) {
    let target = |n: usize| format!("T{:02}", n % types);
    let object_type = |n: usize| {
        json!({"name": target(n), "displayName": "A type", "properties": [
            {"name": "code", "dataType": "STRING"},
            {"name": "next", "dataType": "REFERENCE", "referenceTo": target(n + 1)},
        ]})
    };
    let items: Vec<_> = (0..types).map(object_type).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let link = |n: usize, k: usize| samples::link_type(&format!("l{n:02}_{k}"), &target(n), &target(n + k + 1));
    let items: Vec<_> = (0..types).flat_map(|n| (0..LINKS_OF_EACH).map(move |k| link(n, k))).collect();
    editor.post("link-types:batch", &json!({"items": items})).expect(201).await;
}

fn nodes(connection: &Value) -> &[Value] {
    connection["nodes"].as_array().unwrap()
}

async fn cost(proxy: &PostgresProxy, expected: usize, call: Call) -> Value {
    let (data, statements) = proxy.read(call.data()).await;
    assert_eq!(statements.len(), expected, "{statements:#?}");
    data
}

fn with_cache(settings: Settings) -> Settings {
    settings
}

fn without_cache(settings: Settings) -> Settings {
    settings.remove("REDIS_URL")
}

#[tokio::test]
async fn a_page_of_fifty_types_with_properties_links_and_targets_costs_three_statements() {
    let document = "{
        objectTypes(pagination: {first: 50}) {
            nodes {
                name
                properties { name dataType }
                outgoingLinkTypes { nodes { name target { name properties { name } } } }
            }
        }
    }";
    for settings in [with_cache, without_cache] {
        let (app, proxy) = App::counted(settings).await;
        ontology(&app.client("editor"), TYPES).await;
        let data = cost(&proxy, 3, app.client("viewer").query(document)).await;
        let page = nodes(&data["objectTypes"]);
        assert_eq!(page.len(), TYPES);
        for (n, object_type) in page.iter().enumerate() {
            assert_eq!(object_type["properties"].as_array().unwrap().len(), 2);
            let links = nodes(&object_type["outgoingLinkTypes"]);
            assert_eq!(links.len(), LINKS_OF_EACH);
            for (k, link) in links.iter().enumerate() {
                assert_eq!(link["name"], format!("l{n:02}_{k}"));
                assert_eq!(link["target"]["name"], format!("T{:02}", (n + k + 1) % TYPES));
            }
        }
    }
}

#[tokio::test]
async fn what_the_cache_has_is_not_read_again() {
    let document = "{
        objectTypes { nodes { name outgoingLinkTypes { nodes { name target { name } } } } }
    }";
    let (app, proxy) = App::counted(with_cache).await;
    ontology(&app.client("editor"), TYPES).await;
    let viewer = app.client("viewer");
    let first = cost(&proxy, 3, viewer.query(document)).await;
    assert_eq!(cost(&proxy, 1, viewer.query(document)).await, first, "only the links of fifty types are in no cache");
    let one = "{ objectType(id: \"T07\") { name } linkType(id: \"l07_1\") { name source { name } target { name } } }";
    cost(&proxy, 1, viewer.query(one)).await;
    cost(&proxy, 0, viewer.query(one)).await;
}

#[tokio::test]
async fn everything_that_a_page_can_show_costs_one_statement_for_each_field_that_reads() {
    let document = "{
        objectTypes(pagination: {first: 100}) {
            totalCount
            nodes {
                properties { name referenceTo { name } }
                outgoingLinkTypes { totalCount nodes { name source { name } target { name } } }
                incomingLinkTypes { totalCount nodes { name source { name } target { name } } }
                versions { nodes { version snapshot { name } } }
            }
        }
    }";
    for types in [10, 60] {
        // The page, links out, links in, versions, snapshots; and where no cache has them, what properties point at and the ends
        // of the links. Asked for side by side those two might find the cache filled by each other, or not: it is filled before.
        for (settings, expected) in [(with_cache as fn(Settings) -> Settings, 5), (without_cache, 7)] {
            let (app, proxy) = App::counted(settings).await;
            ontology(&app.client("editor"), types).await;
            let each: String = (0..types).map(|n| format!("t{n}: objectType(id: \"T{n:02}\") {{ name }} ")).collect();
            app.client("viewer").query(&format!("{{ {each} }}")).data().await;
            let data = cost(&proxy, expected, app.client("viewer").query(document)).await;
            let page = nodes(&data["objectTypes"]);
            assert_eq!((page.len(), &data["objectTypes"]["totalCount"]), (types, &json!(types)));
            for object_type in page {
                assert_eq!(object_type["incomingLinkTypes"]["totalCount"], LINKS_OF_EACH);
                assert_eq!(
                    nodes(&object_type["outgoingLinkTypes"])[0]["source"],
                    nodes(&object_type["versions"])[0]["snapshot"]
                );
            }
        }
    }
}

#[tokio::test]
async fn fields_beside_each_other_are_read_together() {
    let (app, proxy) = App::counted(without_cache).await;
    ontology(&app.client("editor"), 10).await;
    let viewer = app.client("viewer");
    let aliased: String = (0..10).map(|n| format!("t{n}: objectType(id: \"T0{n}\") {{ name }} ")).collect();
    let data = cost(&proxy, 1, viewer.query(&format!("{{ {aliased} }}"))).await;
    assert_eq!(data["t3"]["name"], "T03");

    let same = "{
        a: objectType(id: \"T01\") { name }
        b: objectTypeByName(name: \"t01\") { name }
        c: objectType(id: \"Nothing\") { name }
        d: linkType(id: \"l01_0\") { name source { name } }
        e: linkTypeByName(name: \"L01_0\") { name }
    }";
    // Object types, link types, and the end of the link, which is known only then.
    let data = cost(&proxy, 3, viewer.query(same)).await;
    assert_eq!(data["a"], data["b"]);
    assert_eq!((&data["c"], &data["d"]["source"]["name"]), (&Value::Null, &json!("T01")));
}

#[tokio::test]
async fn two_hundred_entities_cost_one_statement_for_each_type() {
    let document = "query ($representations: [_Any!]!) {
        _entities(representations: $representations) {
            __typename
            ... on ObjectType { id name }
            ... on LinkType { id name }
        }
    }";
    for settings in [with_cache, without_cache] {
        let (app, proxy) = App::counted(settings).await;
        ontology(&app.client("editor"), TYPES).await;
        let all = "{ objectTypes { nodes { id name } } linkTypes { nodes { id name } } }";
        let all = app.client("viewer").query(all).data().await;
        let mut wanted = Vec::new();
        for (object_type, link_type) in nodes(&all["objectTypes"]).iter().zip(nodes(&all["linkTypes"])) {
            wanted.extend([("ObjectType", object_type, "id"), ("LinkType", link_type, "name")]);
            wanted.extend([("LinkType", link_type, "id"), ("ObjectType", object_type, "name")]);
        }
        assert_eq!(wanted.len(), 200);
        let representations: Vec<_> =
            wanted.iter().map(|(kind, found, key)| json!({"__typename": kind, *key: found[*key]})).collect();
        let call = app.client("viewer").graphql(document, &json!({"representations": representations}));
        let data = cost(&proxy, 2, call).await;
        let resolved = data["_entities"].as_array().unwrap();
        assert_eq!(resolved.len(), wanted.len());
        for (resolved, (kind, found, _)) in resolved.iter().zip(wanted) {
            assert_eq!(resolved, &json!({"__typename": kind, "id": found["id"], "name": found["name"]}));
        }
    }
}

#[tokio::test]
async fn types_are_only_counted_when_the_count_is_asked_for() {
    let (app, proxy) = App::counted(without_cache).await;
    ontology(&app.client("editor"), 10).await;
    let viewer = app.client("viewer");
    for (document, counts) in [
        ("{ objectTypes { nodes { name } } }", false),
        ("{ objectTypes { totalCount } }", true),
        ("{ objectTypes { n: totalCount } }", true),
        ("{ objectTypes { ...f } } fragment f on ObjectTypeConnection { totalCount }", true),
        ("{ objectTypes { ... { totalCount } } }", true),
        ("{ objectTypes { totalCount @skip(if: true) nodes { name } } }", false),
        ("{ objectTypes { totalCount @include(if: false) nodes { name } } }", false),
        ("{ objectTypes { ... @skip(if: true) { totalCount } nodes { name } } }", false),
        (
            "{ objectTypes { ...f @skip(if: true) nodes { name } } } fragment f on ObjectTypeConnection { totalCount }",
            false,
        ),
        ("query ($n: Boolean! = false) { objectTypes { totalCount @include(if: $n) nodes { name } } }", false),
        ("query ($n: Boolean! = true) { objectTypes { totalCount @include(if: $n) nodes { name } } }", true),
        // The count of other connections is another matter.
        ("{ objectTypes { nodes { outgoingLinkTypes { totalCount } } } }", false),
    ] {
        let (_, statements) = proxy.read(viewer.query(document).data()).await;
        let counted = statements.iter().any(|text| text.contains("count(*) FROM object_types t"));
        assert_eq!(counted, counts, "{document} {statements:#?}");
    }
}

#[tokio::test]
async fn a_mutation_costs_what_it_costs_by_rest() {
    let (app, proxy) = App::counted(with_cache).await;
    let editor = app.client("editor");
    let input = |name: &str| format!("{{name: \"{name}\", displayName: \"A\", properties: []}}");
    let create = format!("mutation {{ createObjectType(input: {}) {{ id }} }}", input("A"));
    cost(&proxy, 1, editor.query(&create)).await;
    let both = format!("mutation {{ createObjectTypes(inputs: [{}, {}]) {{ id }} }}", input("B"), input("C"));
    cost(&proxy, 1, editor.query(&both)).await;
    let update =
        "mutation { updateObjectType(id: \"A\", input: {displayName: \"B\"}, expectedVersion: 1) { version } }";
    cost(&proxy, 1, editor.query(update)).await;
    cost(&proxy, 1, editor.query("mutation { deleteObjectType(id: \"A\", expectedVersion: 2) }")).await;
}
