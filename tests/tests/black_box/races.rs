//! Many clients at once: what must hold whoever is faster.

use futures::future::join_all;
use oms_tests::{App, Client, samples};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_live_link_or_reference_never_points_at_a_deleted_type() {
    const CLIENTS: usize = 16;
    const TARGETS: usize = 24;
    let app = App::start().await;
    let editor = app.client("editor");
    let targets: Vec<_> = (0..TARGETS).map(|n| samples::object_type(&format!("Target{n}"))).collect();
    editor.post("object-types:batch", &json!({"items": targets})).expect(201).await;
    editor.post("object-types", &samples::object_type("Anchor")).expect(201).await;

    let deleting = (0..CLIENTS).map(|client| {
        let editor = app.client("editor");
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for n in 0..TARGETS {
                let target = (n + client) % TARGETS;
                let cascade = if client % 2 == 0 { "?cascade=true" } else { "" };
                let path = format!("object-types/Target{target}{cascade}");
                outcomes.push(editor.delete(&path, 1).send().await);
            }
            outcomes
        })
    });
    let creating = (0..CLIENTS).map(|client| {
        let editor = app.client("editor");
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for n in 0..TARGETS {
                let (name, target) = (format!("From{client}x{n}"), format!("Target{}", (n + client) % TARGETS));
                outcomes.push(if (client + n) % 2 == 0 {
                    editor.post("link-types", &samples::link_type(&name, &target, "Anchor")).send().await
                } else {
                    let mut owner = samples::object_type(&name);
                    owner["properties"] = json!([{"name": "to", "dataType": "REFERENCE", "referenceTo": target}]);
                    editor.post("object-types", &owner).send().await
                });
            }
            outcomes
        })
    });
    let deleting: Vec<_> = deleting.collect();
    let creating: Vec<_> = creating.collect();
    let mut deleted = 0;
    for answer in join_all(deleting).await.into_iter().flat_map(Result::unwrap) {
        assert!([204, 404, 409].contains(&answer.status), "{} {}", answer.status, answer.text);
        deleted += usize::from(answer.status == 204);
    }
    let mut created = 0;
    for answer in join_all(creating).await.into_iter().flat_map(Result::unwrap) {
        assert!([201, 400].contains(&answer.status), "{} {}", answer.status, answer.text);
        if answer.status == 400 {
            assert_eq!(answer.json()["code"], "REFERENCED_TYPE_NOT_FOUND");
        }
        created += usize::from(answer.status == 201);
    }
    assert!(deleted > 0 && created > 0, "{deleted} deleted, {created} created: there was no race");

    let pool = app.pool().await;
    let dangling: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM link_types l
            JOIN object_types o ON o.id IN (l.source_object_type_id, l.target_object_type_id)
            WHERE NOT l.is_deleted AND o.is_deleted)
        + (SELECT count(*) FROM type_references r JOIN object_types o ON o.id = r.target_id WHERE o.is_deleted)
        + (SELECT count(*) FROM type_references r JOIN object_types o ON o.id = r.owner_id WHERE o.is_deleted)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(dangling, 0);
    let gone: i64 = sqlx::query_scalar("SELECT count(*) FROM object_types WHERE is_deleted").fetch_one(&pool).await.unwrap();
    assert_eq!(usize::try_from(gone).unwrap(), deleted, "each deletion that was confirmed happened, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_clients_exactly_one_wins_each_version() {
    const CLIENTS: i64 = 50;
    let app = App::start().await;
    let created = app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let path = format!("object-types/{}", created["id"].as_str().unwrap());

    let clients = (0..CLIENTS).map(|n| {
        let (editor, path) = (app.client("editor"), path.clone());
        tokio::spawn(async move { win_once(&editor, &path, n).await })
    });
    let clients: Vec<_> = clients.collect();
    let mut won: Vec<i64> = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    won.sort_unstable();
    assert_eq!(won, (2..=CLIENTS + 1).collect::<Vec<_>>());

    let pool = app.pool().await;
    let id: uuid::Uuid = created["id"].as_str().unwrap().parse().unwrap();
    for table in [
        "SELECT version FROM type_versions WHERE entity_id = $1 ORDER BY version",
        "SELECT (metadata->>'version')::integer FROM audit_logs WHERE entity_id = $1 ORDER BY 1",
        "SELECT version FROM outbox WHERE entity_id = $1 ORDER BY seq",
    ] {
        let versions: Vec<i32> = sqlx::query_scalar(table).bind(id).fetch_all(&pool).await.unwrap();
        assert_eq!(versions, (1..=51).collect::<Vec<_>>(), "{table}");
    }
    let apart: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM type_versions v
        LEFT JOIN outbox o ON o.entity_id = v.entity_id AND o.version = v.version AND o.document = v.snapshot AND o.actor = v.created_by
        LEFT JOIN audit_logs a ON a.entity_id = v.entity_id AND (a.metadata->>'version')::integer = v.version
            AND a.new_value = v.snapshot AND a.action = v.action
        WHERE o.seq IS NULL OR a.id IS NULL",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(apart, 0, "version, audit and outbox rows tell the same story");
}

/// Reads and writes until one write has won; gives the version that it made.
async fn win_once(editor: &Client, path: &str, client: i64) -> i64 {
    loop {
        let version = editor.get(path).v2().expect(200).await["version"].as_i64().unwrap();
        let patch = json!({"metadata": {format!("client{client}"): version}});
        let answer = editor.patch(path, version, &patch).v2().send().await;
        match answer.status {
            200 => {
                let now: Value = answer.json();
                assert_eq!(now["version"], version + 1);
                return version + 1;
            }
            412 => assert_eq!(answer.json()["code"], "VERSION_CONFLICT"),
            other => panic!("{other} {}", answer.text),
        }
    }
}
