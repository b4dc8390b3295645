//! A real ontology, brought in with the developer tool as its users would.

use std::{collections::HashMap, path::PathBuf};

use oms_tests::{App, Client, Program, Token, workspace_root};
use serde_json::{Value, json};

/// The whole of schema.org as a neighbour of the checkout has it, else a small part of the same shape.
pub(crate) fn ontology() -> PathBuf {
    let named = std::env::var_os("OMS_TEST_ONTOLOGY").map(PathBuf::from);
    let path = named.unwrap_or_else(|| workspace_root().join("../shared/data/schema_org.json"));
    if path.is_file() {
        return path;
    }
    eprintln!(
        "\n*** {} IS MISSING: only the small fixture is imported; name a file with OMS_TEST_ONTOLOGY ***\n",
        path.display()
    );
    workspace_root().join("tests/tests/fixtures/schema_org_part.json")
}

pub(crate) async fn import(app: &App, file: &str) -> Vec<String> {
    let token = Token::of("editor").sign();
    let url = app.anonymous().base().to_owned();
    let exit = Program::start("xtask", &["import", file, "--url", &url, "--token", &token], &[]).exit().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit.stdout
}

/// The definition reads back as the file has it; what the file does not name is what the API fills in.
fn same(wanted: &Value, found: &Value, path: &str) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) if path.ends_with("metadata") => {
            assert_eq!(wanted, found, "{path}")
        }
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                same(value, found.get(key).unwrap_or(&Value::Null), &format!("{path}/{key}"));
            }
        }
        (Value::Array(wanted), Value::Array(found)) => {
            assert_eq!(wanted.len(), found.len(), "{path}");
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                same(wanted, found, &format!("{path}/{index}"));
            }
        }
        _ => assert_eq!(wanted, found, "{path}"),
    }
}

async fn compare(client: &Client, kind: &str, wanted: &Value) {
    let wanted = wanted.as_array().unwrap();
    let found: HashMap<String, Value> =
        client.all(kind).await.into_iter().map(|item| (item["name"].as_str().unwrap().to_owned(), item)).collect();
    assert_eq!(found.len(), wanted.len(), "{kind}");
    for wanted in wanted {
        let name = wanted["name"].as_str().unwrap();
        same(wanted, &found[name], &format!("{kind}/{name}"));
        assert_eq!(found[name]["version"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ontology_is_imported_once_reads_back_and_is_found() {
    let path = ontology();
    let file = path.to_str().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let wanted: Value = serde_json::from_str(&text).unwrap();
    let count = |key: &str| wanted[key].as_array().unwrap().len();
    let app = App::start().await;

    let said = import(&app, file).await;
    assert_eq!(said[0], format!("object types: {} created, 0 updated, 0 unchanged", count("objectTypes")));
    assert_eq!(said[1], format!("link types: {} created, 0 updated, 0 unchanged", count("linkTypes")));
    let said = import(&app, file).await;
    assert_eq!(said[0], format!("object types: 0 created, 0 updated, {} unchanged", count("objectTypes")));
    assert!(said.iter().any(|line| line.starts_with("Nothing to change")), "{said:?}");

    let client = app.client("editor");
    compare(&client, "object-types", &wanted["objectTypes"]).await;
    compare(&client, "link-types", &wanted["linkTypes"]).await;
    for direction in ["source", "target"] {
        let links = client.all(&format!("link-types?{direction}=Person")).await;
        let expected =
            wanted["linkTypes"].as_array().unwrap().iter().filter(|link| link[direction] == "Person").count();
        assert!(expected > 0 && links.len() == expected, "{direction}: {} of {expected}", links.len());
    }

    let search = async |query: &str| -> Vec<Value> {
        let answer = client.get(&format!("search?kind=object_type&{query}")).expect(200).await;
        answer["data"].as_array().unwrap().iter().map(|hit| hit["objectType"]["name"].clone()).collect()
    };
    assert_eq!(search("q=postal%20address").await[0], "PostalAddress");
    assert!(search("q=adress&limit=100").await.contains(&json!("PostalAddress")), "with a typing error");
    client.post("object-types", &json!({"name": "Customer", "displayName": "Customer"})).expect(201).await;
    assert_eq!(search("q=custmer").await[0], "Customer", "with a letter lost in the middle");
    let version = client.get("object-types/PostalAddress").v2().expect(200).await["version"].as_i64().unwrap();
    client.patch("object-types/PostalAddress", version, &json!({"displayName": "우리집우편주소록"})).expect(200).await;
    assert_eq!(search("q=%EC%9A%B0%ED%8E%B8%EC%A3%BC%EC%86%8C").await, ["PostalAddress"], "Korean, by its middle");
}

#[tokio::test(flavor = "multi_thread")]
async fn types_of_different_batches_may_point_at_each_other() {
    // One more than the API takes at a time, the first and the last at each other.
    let pointing = |n: usize, target: &str| {
        let property = json!({"name": "to", "dataType": "REFERENCE", "referenceTo": target});
        json!({"name": format!("T{n:04}"), "displayName": "T", "properties": [property]})
    };
    let mut types: Vec<Value> = (0..=1_000).map(|n| pointing(n, "T0001")).collect();
    (types[0], types[1_000]) = (pointing(0, "t1000"), pointing(1_000, "T0000"));
    let path = std::env::temp_dir().join(format!("{}.json", uuid::Uuid::now_v7()));
    std::fs::write(&path, json!({ "objectTypes": types }).to_string()).unwrap();

    let app = App::start().await;
    let said = [import(&app, path.to_str().unwrap()).await, import(&app, path.to_str().unwrap()).await];
    std::fs::remove_file(&path).unwrap();
    assert_eq!(said[0][0], "object types: 1001 created, 0 updated, 0 unchanged");
    assert_eq!(said[1][0], "object types: 0 created, 0 updated, 1001 unchanged");
    for (from, to) in [("T0000", "T1000"), ("T1000", "T0000"), ("T0500", "T0001")] {
        let found = app.client("viewer").get(&format!("object-types/{from}")).expect(200).await;
        assert_eq!(found["properties"][0]["referenceTo"], to);
    }
}
