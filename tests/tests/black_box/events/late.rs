//! A transaction that stays open while others commit.

use oms_tests::{HeldWrite, Server, Topic, samples};
use serde_json::{Value, json};

use super::{database, positions};

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["data"]["objectType"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commits_late_is_seen_by_the_feed_by_those_who_watch_and_in_kafka() {
    let (database, settings) = database().await;
    let topic = Topic::create(4).await;
    let server = Server::start(&topic.settings(settings)).await;
    let editor = server.client("editor");
    let mut held = HeldWrite::prepare(&database).await;
    let mut stream = editor.get("events").stream().await;

    let late = editor.clone();
    let late = tokio::spawn(async move { late.post("object-types", &samples::object_type("Late")).expect(201).await });
    held.until_it_waits().await;
    for name in ["A", "B", "C"] {
        editor.post("object-types", &samples::object_type(name)).expect(201).await;
    }
    // All three readers have passed what was committed meanwhile.
    let page = editor.get("events").expect(200).await;
    assert_eq!(names(page["data"].as_array().unwrap()), ["A", "B", "C"]);
    assert_eq!(names(&stream.take(3).await), ["A", "B", "C"]);
    assert_eq!(topic.wait_for(3).await.len(), 3);
    assert!(!late.is_finished());

    held.release().await;
    let id = late.await.unwrap()["id"].clone();
    let token = page["page"]["resumeToken"].as_str().unwrap();
    let rest = editor.get(&format!("events?after={token}")).expect(200).await;
    assert_eq!(names(rest["data"].as_array().unwrap()), ["Late"]);
    let streamed = stream.take(1).await;
    let event = &streamed[0];
    assert_eq!((&event["entityId"], positions(&streamed)), (&id, vec![4]));
    let messages = topic.wait_for(4).await;
    let message = messages.iter().find(|message| json!(message.key) == id).unwrap();
    assert_eq!(message.json(), *event, "the same event, at the same position");
}
