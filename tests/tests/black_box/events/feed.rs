//! The change feed in pages.

use insta::assert_json_snapshot;
use oms_tests::{App, Token, redact, samples};
use reqwest::Url;
use serde_json::{Value, json};

use super::{HISTORY, assert_valid, history, positions};

fn shown(page: &Value) -> Vec<String> {
    let events = page["data"].as_array().unwrap();
    events.iter().map(|event| format!("{} v{}", event["type"].as_str().unwrap(), event["data"]["version"])).collect()
}

#[tokio::test]
async fn a_page_shows_what_was_written_in_order_and_as_the_schemas_say() {
    let app = App::start().await;
    history(&app.client("editor")).await;
    let answer = app.client("viewer").get("events").header("x-correlation-id", "reads").send().await;
    let page = answer.expect(200);
    assert_eq!(
        shown(&page),
        [
            "ObjectTypeCreated v1",
            "ObjectTypeCreated v1",
            "LinkTypeCreated v1",
            "ObjectTypeUpdated v2",
            "LinkTypeUpdated v2",
            "LinkTypeDeleted v3",
            "ObjectTypeDeleted v3",
            "ObjectTypeRestored v4",
        ]
    );
    let events = page["data"].as_array().unwrap();
    assert_eq!(positions(events), (1..=8).collect::<Vec<_>>());
    events.iter().for_each(assert_valid);
    assert_eq!((&page["page"]["hasMore"], answer.header("link")), (&json!(false), None));

    let mut first = app.client("viewer").get("events?limit=3").expect(200).await;
    for event in first["data"].as_array_mut().unwrap() {
        event["correlationId"] = json!("[correlation id]");
    }
    first["page"]["resumeToken"] = json!("[token]");
    assert_json_snapshot!("feed", redact(&first));
}

#[tokio::test]
async fn what_an_event_carries_is_what_version_2_answers() {
    let app = App::start().await;
    history(&app.client("editor")).await;
    let viewer = app.client("viewer");
    let created = &viewer.get("events?type=ObjectTypeCreated&name=customer").expect(200).await["data"][0];
    assert_eq!(created["data"]["objectType"], viewer.get("object-types/Customer").v2().expect(200).await);
    let restored = &viewer.get("events?type=ObjectTypeRestored").expect(200).await["data"][0];
    assert_eq!(restored["data"]["objectType"], viewer.get("object-types/Purchase").v2().expect(200).await);
    assert_eq!((&created["actor"], &created["data"]["actor"]), (&json!("tester-editor"), &json!("tester-editor")));
}

#[tokio::test]
async fn pages_follow_each_other_by_token_and_by_link_without_gap_or_repeat() {
    let app = App::start().await;
    let editor = app.client("editor");
    history(&editor).await;
    for limit in [1, 3, 8, 9] {
        let (mut by_token, mut by_link) = (Vec::new(), Vec::new());
        let mut after = "earliest".to_owned();
        loop {
            let page = editor.get(&format!("events?limit={limit}&after={after}")).expect(200).await;
            by_token.extend(positions(page["data"].as_array().unwrap()));
            page["page"]["resumeToken"].as_str().unwrap().clone_into(&mut after);
            if page["page"]["hasMore"] == false {
                break;
            }
        }
        let mut next = Some(format!("{}/api/v1/events?limit={limit}", editor.base()));
        while let Some(url) = next {
            let answer = editor.get(&url).send().await;
            by_link.extend(positions(answer.expect(200)["data"].as_array().unwrap()));
            next = answer.header("link").map(|link| {
                let target = link.trim_start_matches('<').split_once('>').unwrap().0;
                Url::parse(&url).unwrap().join(target).unwrap().into()
            });
        }
        let all: Vec<i64> = (1..=8).collect();
        assert_eq!((&by_token, &by_link), (&all, &all), "{limit} at a time");
        assert_eq!(all.len(), HISTORY);

        // The last token is good for what comes later, too.
        let nothing = editor.get(&format!("events?after={after}")).expect(200).await;
        assert_eq!((shown(&nothing).len(), &nothing["page"]["hasMore"]), (0, &json!(false)));
    }
    let latest = editor.get("events?after=latest").expect(200).await["page"]["resumeToken"].clone();
    editor.post("object-types", &samples::object_type("Later")).expect(201).await;
    let later = editor.get(&format!("events?after={}", latest.as_str().unwrap())).expect(200).await;
    assert_eq!(positions(later["data"].as_array().unwrap()), [9]);
}

#[tokio::test]
async fn filters_must_all_hold_and_the_token_moves_past_what_they_leave_out() {
    let app = App::start().await;
    let editor = app.client("editor");
    history(&editor).await;
    let ask = async |filter: &str| editor.get(&format!("events?{filter}")).expect(200).await;
    assert_eq!(
        shown(&ask("type=ObjectTypeUpdated&type=LinkTypeUpdated").await),
        ["ObjectTypeUpdated v2", "LinkTypeUpdated v2"]
    );
    // A rename is an event of both names.
    assert_eq!(shown(&ask("name=oRDER").await), ["ObjectTypeCreated v1", "ObjectTypeUpdated v2"]);
    assert_eq!(
        shown(&ask("name=purchase").await),
        ["ObjectTypeUpdated v2", "ObjectTypeDeleted v3", "ObjectTypeRestored v4"]
    );
    let id = editor.get("object-types/Purchase").expect(200).await["id"].as_str().unwrap().to_owned();
    assert_eq!(shown(&ask(&format!("entityId={id}")).await).len(), 4);
    assert_eq!(
        shown(&ask(&format!("entityId={id}&type=ObjectTypeDeleted&name=purchase")).await),
        ["ObjectTypeDeleted v3"]
    );
    let nobody = ask("name=nobody").await;
    assert_eq!(nobody["data"], json!([]));
    let token = nobody["page"]["resumeToken"].as_str().unwrap();
    assert_eq!(ask(&format!("after={token}")).await["data"], json!([]), "nothing is read twice");
    for wrong in ["type=Nonsense", "entityId=1", "limit=0", "limit=1001", "limit=x", "after="] {
        let answer = editor.get(&format!("events?{wrong}")).send().await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_token_that_is_too_old_or_of_another_life_of_the_database_is_expired_and_never_a_gap() {
    let app = App::start().await;
    let editor = app.client("editor");
    history(&editor).await;
    let token = async |limit: usize| {
        let page = editor.get(&format!("events?limit={limit}")).expect(200).await;
        page["page"]["resumeToken"].as_str().unwrap().to_owned()
    };
    let (old, good) = (token(1).await, token(2).await);
    let pool = app.pool().await;
    // As if the range of the first two events had been dropped.
    sqlx::raw_sql("UPDATE event_log_head SET first_position = 3; DELETE FROM events WHERE position < 3")
        .execute(&pool)
        .await
        .unwrap();
    let refused = editor.get(&format!("events?after={old}")).send().await;
    assert_eq!(refused.expect(410)["code"], "RESUME_TOKEN_EXPIRED");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let stream = editor.get("events").header("last-event-id", &old).stream().await;
    assert_eq!(stream.status(), 410, "before it starts");
    let rest = editor.get(&format!("events?after={good}")).expect(200).await;
    assert_eq!(positions(rest["data"].as_array().unwrap()), [3, 4, 5, 6, 7, 8], "nothing after this one is gone");

    let mut watching = editor.get("events").stream().await;
    watching.next().await.unwrap();
    sqlx::query("SELECT begin_epoch()").execute(&pool).await.unwrap();
    assert_eq!(editor.get(&format!("events?after={good}")).expect(410).await["code"], "RESUME_TOKEN_EXPIRED");
    editor.post("object-types", &samples::object_type("Next")).expect(201).await;
    let last = watching.next_event().await.unwrap();
    assert_eq!((last.event.as_deref(), &last.json()["code"]), (Some("problem"), &json!("RESUME_TOKEN_EXPIRED")));
    assert_eq!(watching.next().await, None);
}

#[tokio::test]
async fn a_feed_is_of_one_tenant_and_shows_what_its_reader_may_see() {
    let app = App::start().await;
    history(&app.client("editor")).await;
    let of = |tenant: &str, role: &str| app.anonymous().with_token(Token::of(role).tenant(tenant).sign());
    of("globex", "editor").post("object-types", &samples::object_type("Theirs")).expect(201).await;
    let theirs = of("globex", "viewer").get("events").expect(200).await;
    assert_eq!(
        (shown(&theirs), &theirs["data"][0]["metadata"]["tenantId"]),
        (vec!["ObjectTypeCreated v1".to_owned()], &json!("globex"))
    );
    assert_eq!(app.client("viewer").get("events").expect(200).await["data"].as_array().unwrap().len(), HISTORY);

    let token = theirs["page"]["resumeToken"].as_str().unwrap();
    for foreign in [token, "nonsense", &token[1..]] {
        let answer = app.client("viewer").get(&format!("events?after={foreign}")).expect(400).await;
        assert_eq!(answer["code"], "INVALID_CURSOR", "{foreign}");
    }
    app.anonymous().get("events").expect(401).await;
    assert_eq!(app.client("nobody").get("events").expect(403).await["code"], "PERMISSION_DENIED");
    let stream = app.client("nobody").get("events").stream().await;
    assert_eq!(stream.status(), 403);
}
