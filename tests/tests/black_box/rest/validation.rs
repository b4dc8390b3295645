//! Instances against their type.

use insta::assert_json_snapshot;
use oms_tests::{App, redact, samples};
use serde_json::json;

#[tokio::test]
async fn every_fault_of_an_instance_is_named() {
    let app = App::start().await;
    app.client("editor").post("object-types", &samples::customer()).expect(201).await;
    let viewer = app.client("viewer");
    let good = json!({"instance": {"email": "a@b", "tier": 3, "since": "2026-02-28", "address": {"city": "서울"}}});
    let verdict = viewer.post("object-types/customer/validate", &good).expect(200).await;
    assert_eq!(verdict, json!({"valid": true, "errors": []}));

    let bad = json!({"instance": {
        "tier": 9, "since": "2026-02-30", "nicknames": ["kim", 7], "address": {"zip": "1", "street": 1}, "colour": "red",
    }});
    let verdict = viewer.post("object-types/customer/validate", &bad).expect(200).await;
    assert_json_snapshot!("invalid_instance", redact(&verdict));
}

#[tokio::test]
async fn many_instances_are_judged_one_by_one() {
    let app = App::start().await;
    app.client("editor").post("object-types", &samples::customer()).expect(201).await;
    let many = json!({"instances": [{"email": "a@b"}, {"email": "nowhere"}, 7]});
    let verdict = app.client("viewer").post("object-types/customer/validate", &many).expect(200).await;
    assert_eq!(verdict["valid"], false);
    let results = verdict["results"].as_array().unwrap();
    let valid: Vec<_> = results.iter().map(|result| (result["index"].as_i64(), result["valid"].as_bool())).collect();
    assert_eq!(valid, [(Some(0), Some(true)), (Some(1), Some(false)), (Some(2), Some(false))]);
    assert_eq!(results[1]["errors"][0]["code"], "PATTERN_MISMATCH");
}

#[tokio::test]
async fn an_instance_can_be_judged_by_an_older_version() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::customer()).expect(201).await;
    editor.patch("object-types/Customer", 1, &json!({"properties": []})).expect(200).await;
    let instance = json!({"instance": {"email": "a@b"}});
    let now = editor.post("object-types/Customer/validate", &instance).expect(200).await;
    assert_eq!(now["errors"][0]["code"], "UNKNOWN_PROPERTY");
    let then = editor.post("object-types/Customer/validate?version=1", &instance).expect(200).await;
    assert_eq!(then["valid"], true);
    let link = samples::link_type("knows", "Customer", "Customer");
    editor.post("link-types", &link).expect(201).await;
    let verdict = editor.post("link-types/knows/validate", &json!({"instance": {}})).expect(200).await;
    assert_eq!(verdict["valid"], true);
}

#[tokio::test]
async fn an_answer_stays_small_however_much_is_wrong() {
    let app = App::start().await;
    let pattern = format!("^{}$", "a".repeat(900));
    let properties = json!([
        {"name": "list", "dataType": "ARRAY", "itemType": "STRING", "validators": [{"type": "pattern", "value": pattern}]},
    ]);
    let editor = app.client("editor");
    editor
        .post("object-types", &json!({"name": "Wide", "displayName": "Wide", "properties": properties}))
        .expect(201)
        .await;
    let wrong = json!({"list": vec!["b"; 600]});
    let two = json!({"instances": [wrong, {}, wrong, wrong, {}]});
    let answer = editor.post("object-types/Wide/validate", &two).send().await;
    assert!(answer.text.len() < 300_000, "{} bytes", answer.text.len());
    let verdict = answer.expect(200);
    assert_eq!((&verdict["valid"], &verdict["truncated"]), (&json!(false), &json!(true)));
    let shown: Vec<_> = verdict["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| (result["valid"].as_bool().unwrap(), result["errors"].as_array().unwrap().len()))
        .collect();
    assert_eq!(shown, [(false, 600), (true, 0), (false, 400), (false, 0), (true, 0)]);
    let message = verdict["results"][0]["errors"][0]["message"].as_str().unwrap();
    assert_eq!(message, format!("Must match the pattern ^{}… .", "a".repeat(99)));

    let unknown = json!({"instance": { "\u{1}".repeat(100_000): 1 }});
    let answer = editor.post("object-types/Wide/validate", &unknown).send().await;
    assert!(answer.text.len() < 10_000, "{} bytes", answer.text.len());
    assert_eq!(answer.expect(200)["errors"][0]["code"], "UNKNOWN_PROPERTY");
}

#[tokio::test]
async fn a_validation_keeps_to_the_bound_of_answers() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 4_096)).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Bare")).expect(201).await;
    let instance: serde_json::Map<_, _> = (0..200).map(|n| (format!("unknown{n}"), json!(n))).collect();
    let answer = editor.post("object-types/Bare/validate", &json!({ "instance": instance })).send().await;
    assert!(answer.text.len() <= 4_096, "{} bytes", answer.text.len());
    let verdict = answer.expect(200);
    assert_eq!(verdict["truncated"], true);
    assert!(verdict["errors"].as_array().unwrap().len() > 10);
}
