//! Lists, their filters and pages, and answers that would be too large.

use insta::assert_json_snapshot;
use oms_tests::{App, redact, samples};
use reqwest::Url;
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_link_header_leads_through_all_pages() {
    let app = App::start().await;
    let editor = app.client("editor");
    let items: Vec<_> = (0..7).map(|n| samples::object_type(&format!("T{n}"))).collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;

    let mut url = format!("{}/api/v1/object-types?limit=3&sort=-name&count=true", editor.base());
    let mut seen = Vec::new();
    loop {
        let answer = editor.get(&url).send().await;
        let page = answer.expect(200);
        assert_eq!(page["page"]["totalCount"], 7);
        seen.extend(names(&page["data"]).into_iter().map(str::to_owned));
        let next = answer.header("link").map(|link| {
            let (target, rel) = link.trim_start_matches('<').split_once('>').unwrap();
            assert_eq!(rel.trim_start_matches([';', ' ']), "rel=\"next\"");
            Url::parse(&url).unwrap().join(target).unwrap()
        });
        assert_eq!(next.is_some(), page["page"]["nextCursor"].is_string());
        match next {
            Some(next) => url = next.into(),
            None => break,
        }
    }
    assert_eq!(seen, ["T6", "T5", "T4", "T3", "T2", "T1", "T0"]);

    let first = editor.get("object-types?limit=1&count=true").expect(200).await;
    let mut shown = first.clone();
    shown["page"]["nextCursor"] = json!("[cursor]");
    assert_json_snapshot!("page", redact(&shown));
    let last = editor.get("object-types").expect(200).await;
    assert_eq!(last["page"], json!({"nextCursor": null}), "without being asked for, nothing is counted");
}

#[tokio::test]
async fn filters_join_and_a_write_is_seen_at_once() {
    let app = App::start().await;
    let editor = app.client("editor");
    let tagged = |name: &str, category: &str, tags: &[&str]| json!({"name": name, "displayName": name, "category": category, "tags": tags});
    let items = [
        tagged("A", "sales", &["core", "gdpr"]),
        tagged("B", "sales", &["core"]),
        tagged("C", "plant", &["gdpr"]),
        tagged("D", "plant", &[]),
    ];
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    for (filter, expected) in [
        ("category=sales", &["A", "B"][..]),
        ("tag=core", &["A", "B"]),
        ("tag=core&tag=gdpr", &["A", "B", "C"]),
        ("allTags=core&allTags=gdpr", &["A"]),
        ("category=plant&tag=gdpr&tag=core", &["C"]),
        ("category=none", &[]),
        ("sort=-displayName&limit=2", &["D", "C"]),
        ("sort=createdAt&category=plant", &["C", "D"]),
    ] {
        for _ in ["from the database", "from the cache"] {
            let page = editor.get(&format!("object-types?{filter}")).expect(200).await;
            assert_eq!(names(&page["data"]), expected, "{filter}");
        }
    }
    editor.patch("object-types/D", 1, &json!({"tags": ["core"]})).expect(200).await;
    editor.delete("object-types/B", 1).expect(204).await;
    assert_eq!(names(&editor.get("object-types?tag=core").expect(200).await["data"]), ["A", "D"]);
}

#[tokio::test]
async fn a_page_that_would_be_too_large_is_shorter_and_says_how_to_go_on() {
    const BOUND: usize = 4_096;
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", BOUND)).await;
    let editor = app.client("editor");
    let items: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("T{n:02}"), "displayName": "T", "description": "x".repeat(700)}))
        .collect();
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = editor.get(&format!("object-types?limit=200{cursor}")).v2().send().await;
        let page = answer.expect(200);
        assert!(answer.text.len() <= BOUND, "{} bytes", answer.text.len());
        assert!(names(&page["data"]).len() < 20);
        seen.extend(names(&page["data"]).into_iter().map(str::to_owned));
        match page["page"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..20).map(|n| format!("T{n:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_item_larger_than_the_bound_still_comes_alone() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 1_024)).await;
    let editor = app.client("editor");
    let large = |name: &str| json!({"name": name, "displayName": name, "description": "x".repeat(5_000)});
    editor.post("object-types:batch", &json!({"items": [large("A"), large("B")]})).expect(201).await;
    let first = editor.get("object-types").v2().expect(200).await;
    assert_eq!(names(&first["data"]), ["A"]);
    let cursor = first["page"]["nextCursor"].as_str().unwrap();
    let second = editor.get(&format!("object-types?cursor={cursor}")).v2().expect(200).await;
    assert_eq!((names(&second["data"]), &second["page"]["nextCursor"]), (vec!["B"], &Value::Null));
}

#[tokio::test]
async fn a_batch_whose_answer_would_be_too_large_is_created_and_answered_by_ids() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 4_096)).await;
    let editor = app.client("editor");
    let items: Vec<_> = (0..50)
        .map(|n| json!({"name": format!("T{n:02}"), "displayName": "T", "description": "x".repeat(200)}))
        .collect();
    let created = editor.post("object-types:batch", &json!({"items": items})).v2().expect(201).await;
    let created = created["data"].as_array().unwrap();
    assert_eq!(created.len(), 50);
    for (n, item) in created.iter().enumerate() {
        assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "version"]);
        assert_eq!(item["version"], 1);
        let found = editor.get(&format!("object-types/{}", item["id"].as_str().unwrap())).expect(200).await;
        assert_eq!(found["name"], format!("T{n:02}"), "in the order of the request");
    }
}

#[tokio::test]
async fn search_finds_words_prefixes_and_what_is_spelled_alike() {
    let app = App::start().await;
    let editor = app.client("editor");
    let items = json!({"items": [
        {"name": "PostalAddress", "displayName": "Postal Address", "description": "The mailing address."},
        {"name": "Person", "displayName": "사람과 고객", "properties": [{"name": "homeAddress", "dataType": "STRING"}]},
        {"name": "Sensor", "displayName": "Sensor"},
    ]});
    editor.post("object-types:batch", &items).expect(201).await;
    editor.post("link-types", &samples::link_type("livesAt", "Person", "PostalAddress")).expect(201).await;
    let found = async |query: &str| -> Vec<String> {
        let answer = editor.get(&format!("search?{query}")).expect(200).await;
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["objectType"]["name"].as_str().or(hit["linkType"]["name"].as_str()).unwrap().to_owned())
            .collect()
    };
    assert_eq!(found("q=postal%20address").await[0], "PostalAddress");
    assert_eq!(found("q=mail").await, ["PostalAddress"]);
    assert_eq!(found("q=home").await, ["Person"], "a word inside a property's name");
    assert!(found("q=adress").await.contains(&"PostalAddress".to_owned()), "with a typing error");
    assert_eq!(found("q=%EA%B3%A0%EA%B0%9D").await, ["Person"], "Korean, by the middle of the text");
    assert_eq!(found("q=lives&kind=link_type").await, ["livesAt"]);
    assert_eq!(found("q=lives&kind=object_type").await, Vec::<String>::new());
    let hit = editor.get("search?q=sensor&kind=object_type").v2().expect(200).await["data"][0].clone();
    assert_eq!(hit["kind"], "object_type");
    assert_eq!(hit["objectType"], editor.get("object-types/Sensor").v2().expect(200).await);
}
