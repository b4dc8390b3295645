//! The description of the API: what tools rely on when they read it.

use oms_tests::App;
use serde_json::{Value, json};

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

    // What the document offers is what the service takes.
    let editor = app.client("editor");
    for data_type in document["components"]["schemas"]["DataType"]["enum"].as_array().unwrap() {
        let property = json!({"name": "p", "dataType": data_type});
        let input = json!({"name": format!("Has{}", data_type.as_str().unwrap()), "displayName": "x", "properties": [property]});
        let made = editor.post("object-types", &input).expect(201).await;
        assert_eq!(made["properties"][0]["dataType"], *data_type);
    }
    for (index, cardinality) in
        document["components"]["schemas"]["Cardinality"]["enum"].as_array().unwrap().iter().enumerate()
    {
        let input = json!({
            "name": format!("Link{index}"), "displayName": "x", "source": "HasSTRING", "target": "HasDATE",
            "cardinality": cardinality,
        });
        assert_eq!(editor.post("link-types", &input).expect(201).await["cardinality"], *cardinality);
    }
    assert!(!document.to_string().contains("specification"), "the API's readers have no specification");

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

#[tokio::test]
async fn the_document_tells_the_headers_that_this_service_reads_and_writes() {
    let app = App::with(|settings| settings.set("API_KEY_HEADER", "X-Secret-Key")).await;
    let document = app.anonymous().get("/openapi.json").expect(200).await;
    assert_eq!(document["components"]["securitySchemes"]["apiKey"]["name"], "x-secret-key");

    let headers = |path: &str, method: &str, status: &str| {
        let headers = document["paths"][path][method]["responses"][status]["headers"].as_object();
        headers.map_or_else(Vec::new, |headers| headers.keys().map(String::as_str).collect())
    };
    for kind in ["object-types", "link-types"] {
        let (all, one) = (format!("/api/v1/{kind}"), format!("/api/v1/{kind}/{{id}}"));
        assert_eq!(headers(&all, "post", "201"), ["ETag", "Location"]);
        assert_eq!(headers(&all, "get", "200"), ["Link"]);
        assert_eq!(headers(&one, "get", "200"), ["ETag"]);
        assert_eq!(headers(&one, "get", "304"), ["ETag"]);
        assert_eq!(headers(&one, "patch", "200"), ["ETag"]);
        assert_eq!(headers(&format!("{one}/versions"), "get", "200"), ["Link"]);
    }
    let refusals = document["paths"]["/api/v1/api-keys"]["post"]["responses"].as_object().unwrap();
    assert!(refusals.contains_key("413") && refusals.contains_key("415"));
}
