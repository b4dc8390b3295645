//! A real ontology, read by GraphQL as by REST.

use std::collections::BTreeMap;

use oms_tests::{App, Client};
use serde_json::{Map, Value, json};

use crate::schema_org::{import, ontology};

/// So few links on a page that some type of the small ontology has a second one.
const LINKS: usize = 2;

/// Everything that both kinds of types have. No property of this ontology has properties of its own.
const FIELDS: &str = "id name displayName description category tags
    properties {
        id name displayName dataType required unique indexed defaultValue description validators { type value } metadata
        itemType referenceTo { name }
    }
    baseDatasets { datasetRid name } metadata version createdAt createdBy updatedAt updatedBy";

/// The same type in the shape of REST, which leaves out what is not there, and names ends and references.
fn as_rest(found: &Value) -> Value {
    let Value::Object(found) = found else { return found.clone() };
    let mut shown = Map::new();
    for (key, value) in found {
        let value = match (key.as_str(), value) {
            (_, Value::Null) => continue,
            ("outgoingLinkTypes", _) => continue,
            ("metadata", value) => value.clone(),
            ("source" | "target" | "referenceTo", end) => end["name"].clone(),
            (_, Value::Array(items)) => items.iter().map(as_rest).collect(),
            (_, value) => value.clone(),
        };
        shown.insert(key.clone(), value);
    }
    Value::Object(shown)
}

fn by_name(items: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    items.into_iter().map(|item| (item["name"].as_str().unwrap().to_owned(), item)).collect()
}

/// Every node of a connection, page after page by `endCursor`; `read` gives the connection after a cursor.
async fn every_node(mut read: impl AsyncFnMut(Value) -> Value) -> Vec<Value> {
    let (mut nodes, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = read(after).await;
        nodes.extend(page["nodes"].as_array().unwrap().clone());
        if page["pageInfo"]["hasNextPage"] == false {
            return nodes;
        }
        after = page["pageInfo"]["endCursor"].clone();
        assert!(after.is_string(), "{page}");
    }
}

/// The first page of the links of a type, and those that follow it.
async fn links(viewer: &Client, object_type: &Value, link: &str) -> Vec<Value> {
    let document = format!(
        "query ($id: ID!, $after: String) {{ objectType(id: $id) {{
            outgoingLinkTypes(pagination: {{first: {LINKS}, after: $after}}) {{
                nodes {{ {link} }} pageInfo {{ hasNextPage endCursor }}
            }}
        }} }}"
    );
    every_node(async |after: Value| {
        if after.is_null() {
            return object_type["outgoingLinkTypes"].clone();
        }
        let variables = json!({"id": object_type["id"], "after": after});
        viewer.graphql(&document, &variables).data().await["objectType"]["outgoingLinkTypes"].clone()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ontology_reads_by_graphql_as_it_reads_by_rest() {
    let path = ontology();
    let wanted: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let app = App::start().await;
    import(&app, path.to_str().unwrap()).await;
    let viewer = app.client("viewer");

    let object_types = by_name(viewer.all("object-types").await);
    let link_types = by_name(viewer.all("link-types").await);
    assert_eq!(object_types.len(), wanted["objectTypes"].as_array().unwrap().len());
    assert_eq!(link_types.len(), wanted["linkTypes"].as_array().unwrap().len());
    let ids: BTreeMap<_, _> = object_types.iter().map(|(name, found)| (name.clone(), found["id"].clone())).collect();

    let link = format!(
        "{FIELDS} cardinality sourceObjectTypeId targetObjectTypeId source {{ name }}
        target {{ id name displayName version }}"
    );
    let document = format!(
        "query ($after: String) {{ objectTypes(pagination: {{first: 20, after: $after}}) {{
            totalCount
            nodes {{
                {FIELDS}
                outgoingLinkTypes(pagination: {{first: {LINKS}}}) {{
                    nodes {{ {link} }} pageInfo {{ hasNextPage endCursor }}
                }}
            }}
            pageInfo {{ hasNextPage endCursor }}
        }} }}"
    );
    let read = every_node(async |after| {
        let page = viewer.graphql(&document, &json!({"after": after})).data().await["objectTypes"].clone();
        assert_eq!(page["totalCount"], object_types.len());
        page
    })
    .await;
    assert!(read.is_sorted_by(|a, b| a["name"].as_str() < b["name"].as_str()), "each once, by name");

    let same_link = |mut link: Value| {
        let target = object_types[link["target"]["name"].as_str().unwrap()].clone();
        for field in ["id", "displayName", "version"] {
            assert_eq!(link["target"][field], target[field], "{link}");
        }
        let fields = link.as_object_mut().unwrap();
        for (end, id) in [("source", "sourceObjectTypeId"), ("target", "targetObjectTypeId")] {
            assert_eq!(fields.remove(id).as_ref(), ids.get(fields[end]["name"].as_str().unwrap()));
        }
        let shown = as_rest(&link);
        assert_eq!(shown, without_end_ids(&link_types[shown["name"].as_str().unwrap()]));
        shown
    };
    let (mut seen, mut pages) = (0, 0);
    for object_type in &read {
        let name = object_type["name"].as_str().unwrap();
        assert_eq!(as_rest(object_type), object_types[name]);
        let found = links(&viewer, object_type, &link).await;
        pages += usize::from(found.len() > LINKS);
        let names: Vec<_> = found.iter().map(|link| link["name"].clone()).collect();
        let expected: Vec<_> = link_types.values().filter(|link| link["source"] == name).collect();
        let expected: Vec<_> = expected.iter().map(|link| link["name"].clone()).collect();
        assert_eq!(names, expected, "{name}");
        seen += found.into_iter().map(same_link).count();
    }
    assert_eq!((read.len(), seen), (object_types.len(), link_types.len()));
    assert!(pages > 0, "some type has more links than a page");

    let document = format!(
        "query ($after: String) {{ linkTypes(pagination: {{first: 200, after: $after}}) {{
            nodes {{ {link} }} pageInfo {{ hasNextPage endCursor }}
        }} }}"
    );
    let read =
        every_node(async |after| viewer.graphql(&document, &json!({"after": after})).data().await["linkTypes"].clone())
            .await;
    assert_eq!(by_name(read.into_iter().map(same_link)).len(), link_types.len());
}

/// REST shows the ends of a link by name; their ids are compared by themselves.
fn without_end_ids(link: &Value) -> Value {
    let mut link = link.clone();
    for id in ["sourceObjectTypeId", "targetObjectTypeId", "sourceId", "targetId"] {
        link.as_object_mut().unwrap().remove(id);
    }
    link
}
