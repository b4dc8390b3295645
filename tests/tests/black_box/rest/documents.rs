//! The description of the API: what tools rely on when they read it.

use oms_tests::App;
use serde_json::Value;

fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            visit(key, value);
            walk(value, visit);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn the_openapi_document_is_whole() {
    let app = App::start().await;
    let document = app.anonymous().get("/openapi.json").expect(200).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);

    let mut references = 0;
    walk(&document, &mut |key, value| {
        if let ("$ref", Some(reference)) = (key, value.as_str()) {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            references += 1;
        }
    });
    assert!(references > 20, "{references}");

    let mut ids = std::collections::HashSet::new();
    let methods = ["get", "put", "post", "patch", "delete", "head", "options"];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| methods.contains(&key.as_str())) {
            let what = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap_or_else(|| panic!("{what} has no responses"));
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what} never succeeds");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{what}: its id is another's, too"
            );
            let shared = item["parameters"].as_array().into_iter().flatten();
            let declared: Vec<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(shared)
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let used: Vec<_> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
            assert_eq!(declared, used, "{what}");
        }
    }
}

#[tokio::test]
async fn the_api_can_be_browsed() {
    let app = App::start().await;
    let page = app.anonymous().get("/docs").send().await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
}
