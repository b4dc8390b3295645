//! Values at the edge of what JSON, PostgreSQL and the service can hold: what is taken reads back, again and again.

use oms_tests::{App, samples};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn numbers_and_texts_read_back_as_they_were_written() {
    let app = App::start().await;
    let editor = app.client("editor");
    let metadata = json!({
        "numbers": [
            0, -1, 1.0, 0.1, -0.5, 1e21, 1e300, 1.797_693_134_862_315_7e308, 2.225_073_858_507_201_4e-308, 5e-324,
            9_007_199_254_740_993_i64, i64::MIN, u64::MAX, 123_456_789.123_456_79, 1e-7, 4.35, 2.675, 1.1e-5, 10_928_588.983_213_553, -12_879.096_074_900_823,
            -1.407_470_518_826_136_4e113, 5.780_402_177_141_150_6e-220,
        ],
        "texts": ["", " ", "\u{1}\u{1f}\u{7f}", "\u{2028}\u{feff}\u{ffff}", "고객", "e\u{301}", "👩‍👩‍👧", "\\\"/", "</script>", "'; --"],
        "": {"a/b~c": 0, "한글 키": [[], {}, [[]]]},
    });
    let mut order = samples::object_type("Order");
    order["metadata"] = metadata.clone();
    order["properties"] = json!([{
        "name": "p", "dataType": "NUMBER", "defaultValue": 1e300, "metadata": metadata,
        "validators": [{"type": "min", "value": 5e-324}, {"type": "max", "value": 1.797_693_134_862_315_7e308}],
    }]);
    let created = editor.post("object-types", &order).v2().expect(201).await;
    assert_eq!(created["metadata"], metadata);
    assert_eq!(created["properties"][0]["metadata"], metadata);
    assert_eq!(editor.get("object-types/Order").v2().expect(200).await, created);
    for patch in [json!({"metadata": metadata}), json!({"properties": created["properties"]}), json!({})] {
        let same = editor.patch("object-types/Order", 1, &patch).v2().expect(200).await;
        assert_eq!(same["version"], 1, "what it has already is no change: {patch}");
    }
}

#[tokio::test]
async fn another_case_of_the_own_name_is_a_change_and_no_conflict() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("order")).expect(201).await;
    let renamed = editor.patch("object-types/ORDER", 1, &json!({"name": "Order"})).v2().expect(200).await;
    assert_eq!((renamed["name"].as_str(), renamed["version"].as_i64()), (Some("Order"), Some(2)));
    assert_eq!(editor.get("object-types/order").expect(200).await["name"], "Order");
}

#[tokio::test]
async fn what_is_nested_deeply_is_refused_or_can_be_read_for_good() {
    let app = App::start().await;
    let (editor, admin) = (app.client("editor"), app.admin());
    let mut taken = 0;
    for depth in [8, 30, 60, 90].into_iter().chain((100..132).step_by(2)) {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (kind, body) in [
            ("m", format!(r#""metadata":{{"k":{nested}}}"#)),
            ("p", format!(r#""properties":[{{"name":"p","dataType":"ARRAY","defaultValue":{nested}}}]"#)),
        ] {
            let name = format!("{kind}{depth}");
            let path = format!("object-types/{name}");
            let body = format!(r#"{{"name":"{name}","displayName":"{name}",{body}}}"#);
            let created = editor.call(Method::POST, "object-types").bytes(body).send().await;
            if created.status == 400 {
                assert!(created.text.contains("TOO_DEEP"), "{depth}: {}", created.text);
                continue;
            }
            assert_eq!(created.status, 201, "{depth}: {}", created.text);
            taken += 1;
            let version = format!("{path}/versions/1");
            let compare = format!("{path}/versions/compare?from=1&to=2");
            let changed = editor.patch(&path, 1, &json!({"description": "deep"})).send().await;
            assert_eq!(changed.status, 200, "{depth}: {}", changed.text);
            for path in [
                path.as_str(),
                "object-types?sort=-createdAt&limit=1",
                &version,
                &compare,
                "audit-logs?limit=2",
                &format!("search?q={name}"),
            ] {
                // Twice, so that the cache answers as well.
                for _ in 0..2 {
                    let answer = admin.get(path).v2().send().await;
                    assert_eq!(answer.status, 200, "{depth} {path}: {}", answer.text);
                }
            }
            assert_eq!(editor.delete(&path, 2).send().await.status, 204, "{depth}");
            let restored = editor.call(Method::POST, &format!("{path}/restore")).send().await;
            assert_eq!(restored.status, 200, "{depth}: {}", restored.text);
        }
    }
    assert!(taken > 0, "nothing was deep enough to be taken");
}

#[tokio::test]
async fn a_type_of_the_greatest_size_works() {
    let app = App::start().await;
    let editor = app.client("editor");
    let mut large = samples::object_type("Large");
    let properties: Vec<Value> = (0..2_000)
        .map(|n| json!({"name": format!("property{n}"), "dataType": "STRING", "description": "x".repeat(1_000)}))
        .collect();
    large["properties"] = json!(properties);
    large["description"] = json!("고객 ".repeat(20_000));
    let created = editor.post("object-types", &large).v2().expect(201).await;
    assert_eq!(editor.get("object-types/large").v2().expect(200).await, created);
    editor.patch("object-types/large", 1, &json!({"tags": ["big"]})).expect(200).await;
    let page = editor.get("object-types?tag=big").v2().expect(200).await;
    assert_eq!(page["data"][0]["properties"].as_array().unwrap().len(), 2_000);
}
