//! Many clients at once: what must hold whoever is faster.

use futures::future::join_all;
use oms_tests::{App, Client, samples};
use reqwest::Method;
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
        tokio::spawn(async move { delete_and_restore(&editor, client, TARGETS).await })
    });
    let creating = (0..CLIENTS).map(|client| {
        let editor = app.client("editor");
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for n in 0..TARGETS {
                let (name, target) = (format!("From{client}x{n}"), format!("Target{}", (n + client) % TARGETS));
                outcomes.push(if (client + n).is_multiple_of(2) {
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
    let deleted: i64 = join_all(deleting).await.into_iter().map(Result::unwrap).sum();
    let (mut created, mut refused) = (0, 0);
    for answer in join_all(creating).await.into_iter().flat_map(Result::unwrap) {
        assert!([201, 400].contains(&answer.status), "{} {}", answer.status, answer.text);
        if answer.status == 400 {
            assert_eq!(answer.json()["code"], "REFERENCED_TYPE_NOT_FOUND");
            refused += 1;
        } else {
            created += 1;
        }
    }
    assert!(refused > 0 && created > 0, "{refused} refused, {created} created: there was no race");

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
    let gone: i64 =
        sqlx::query_scalar("SELECT count(*) FROM object_types WHERE is_deleted").fetch_one(&pool).await.unwrap();
    assert_eq!(gone, deleted, "each deletion and restoration that was confirmed happened, once");
}

/// Deletes every target and brings most of them back, three times over; gives how many more were deleted than restored.
async fn delete_and_restore(editor: &Client, client: usize, targets: usize) -> i64 {
    let mut deleted = 0;
    for n in 0..3 * targets {
        let path = format!("object-types/Target{}", (n + client) % targets);
        let cascade = if client.is_multiple_of(2) { "?cascade=true" } else { "" };
        let answer = editor.call(Method::DELETE, &format!("{path}{cascade}")).header("if-match", "*").send().await;
        assert!([204, 404, 409].contains(&answer.status), "{} {}", answer.status, answer.text);
        deleted += i64::from(answer.status == 204);
        if answer.status == 204 && !(n + client).is_multiple_of(5) {
            let answer = editor.call(Method::POST, &format!("{path}/restore")).send().await;
            assert!([200, 409].contains(&answer.status), "{} {}", answer.status, answer.text);
            deleted -= i64::from(answer.status == 200);
        }
    }
    deleted
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
    let (viewer, read) = (app.client("viewer"), path.clone());
    let reader = tokio::spawn(async move {
        let mut latest = 0;
        while latest <= CLIENTS {
            let version = viewer.get(&read).v2().expect(200).await["version"].as_i64().unwrap();
            assert!(version >= latest, "{version} was read after {latest}");
            latest = version;
        }
    });
    let mut won: Vec<i64> = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    won.sort_unstable();
    assert_eq!(won, (2..=CLIENTS + 1).collect::<Vec<_>>());
    reader.await.unwrap();

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

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_to_one_of_many() {
    let app = App::start().await;
    let editor = app.client("editor");
    let names = ["order", "Order", "ORDER", "oRDER"];
    let creating = (0..32).map(|n| editor.post("object-types", &samples::object_type(names[n % 4])).send());
    let mut statuses: Vec<_> = join_all(creating).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert_eq!(editor.all("object-types").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_would_require_each_other_never_both_succeed() {
    let app = App::start().await;
    let editor = app.client("editor");
    for n in 0..12 {
        let (a, b) = (format!("A{n}"), format!("B{n}"));
        let both = json!({"items": [samples::object_type(&a), samples::object_type(&b)]});
        editor.post("object-types:batch", &both).expect(201).await;
        let require = |owner: &str, target: &str| {
            let property = json!({"name": "to", "dataType": "REFERENCE", "referenceTo": target, "required": true});
            editor.patch(&format!("object-types/{owner}"), 1, &json!({"properties": [property]})).send()
        };
        let (first, second) = tokio::join!(require(&a, &b), require(&b, &a));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", first.text, second.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_with_the_same_names_in_another_order_do_not_block_each_other() {
    let app = App::start().await;
    let editor = app.client("editor");
    for round in 0..6 {
        let mut items: Vec<_> = (0..40).map(|n| samples::object_type(&format!("R{round}N{n}"))).collect();
        let forwards = json!({"items": items});
        items.reverse();
        let backwards = json!({"items": items});
        let batches = (0..8).map(|n| {
            let body = if n % 2 == 0 { &forwards } else { &backwards };
            editor.post("object-types:batch", body).send()
        });
        let answers = join_all(batches).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        for lost in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(lost.expect(400)["errors"].as_array().unwrap().len(), 40, "every taken name is reported");
        }
    }
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
                let read = editor.get(path).v2().expect(200).await["version"].as_i64().unwrap();
                assert!(read > version, "who wrote version {} reads {read} afterwards", version + 1);
                return version + 1;
            }
            412 => assert_eq!(answer.json()["code"], "VERSION_CONFLICT"),
            other => panic!("{other} {}", answer.text),
        }
    }
}
