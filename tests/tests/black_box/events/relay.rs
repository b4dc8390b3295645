//! The relay behind the server: EventBridge, and the FIFO queue.

use oms_tests::{Aws, Server, TcpProxy, Topic, aws_endpoint, samples, until};
use serde_json::{Value, json};

use super::{HISTORY, assert_valid, database, history, positions};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_reaches_whoever_has_a_rule_and_the_queue_that_keeps_the_order() {
    let (_database, settings) = database().await;
    let (topic, aws) = (Topic::create(3).await, Aws::create().await);
    let server = Server::start(&aws.settings(topic.settings(settings))).await;
    // A count that begins with its first letter never rises for who watches it. The relay begins beside the server.
    for count in ["oms_events_dead_lettered_total", "oms_event_relay_poisoned_total"] {
        until(&format!("{count} was not 0"), async || {
            server.metrics().await.contains(&format!("\n{count} 0\n")).then_some(())
        })
        .await;
    }
    let editor = server.client("editor");
    history(&editor).await;
    let feed = editor.get("events").expect(200).await;

    let mut fanned = aws.take_all(aws.target(), HISTORY).await;
    for wrapped in &fanned {
        let event = &wrapped["detail"];
        assert_valid(event);
        assert_eq!((&wrapped["source"], &wrapped["detail-type"]), (&json!("openfoundry.oms"), &event["type"]));
    }
    // EventBridge promises no order.
    fanned.sort_by_key(|wrapped| wrapped["detail"]["metadata"]["position"].as_i64());
    let details: Value = fanned.iter().map(|wrapped| wrapped["detail"].clone()).collect();
    assert_eq!(details, feed["data"]);

    let queued = aws.take_all(aws.fifo(), HISTORY).await;
    for entity in ["Customer", "Purchase", "places"].map(|name| feed_entity(&feed, name)) {
        let of = |events: &[Value]| -> Vec<Value> {
            events.iter().filter(|event| event["entityId"] == entity).cloned().collect()
        };
        assert_eq!(of(&queued), of(feed["data"].as_array().unwrap()), "in order");
    }
    assert_eq!((aws.waiting(aws.target()).await, aws.waiting(aws.dead_letters()).await), (0, 0));
    server.stop().await;
}

fn feed_entity(feed: &Value, name: &str) -> Value {
    let named =
        |event: &&Value| event["data"]["objectType"]["name"] == name || event["data"]["linkType"]["name"] == name;
    feed["data"].as_array().unwrap().iter().find(named).unwrap()["entityId"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_relayed_before_a_restart_is_not_relayed_again() {
    let (_database, settings) = database().await;
    let (topic, aws) = (Topic::create(3).await, Aws::create().await);
    let settings = aws.settings(topic.settings(settings));
    let server = Server::start(&settings).await;
    history(&server.client("editor")).await;
    aws.take_all(aws.target(), HISTORY).await;
    aws.take_all(aws.fifo(), HISTORY).await;
    server.stop().await;

    // A group that begins from the start, as one does whose offsets are lost.
    let server = Server::start(&settings.set("RELAY_GROUP", format!("again-{}", topic.name()))).await;
    server.client("editor").post("object-types", &samples::object_type("Next")).expect(201).await;
    let next = aws.take_all(aws.target(), 1).await;
    assert_eq!(next.iter().map(|wrapped| &wrapped["detail"]["metadata"]["position"]).collect::<Vec<_>>(), [&json!(9)]);
    assert_eq!(positions(&aws.take_all(aws.fifo(), 1).await), [9]);
    assert_eq!((aws.waiting(aws.target()).await, aws.waiting(aws.fifo()).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_aws_is_cut_off_events_wait_and_writes_do_not() {
    let (_database, settings) = database().await;
    let (topic, aws) = (Topic::create(3).await, Aws::create().await);
    let proxy = TcpProxy::start(aws_endpoint().trim_start_matches("http://").trim_end_matches('/')).await;
    let settings =
        aws.settings(topic.settings(settings)).set("AWS_ENDPOINT_URL", format!("http://{}", proxy.address()));
    let server = Server::start(&settings).await;
    let editor = server.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    aws.take_all(aws.target(), 1).await;
    aws.marked(1).await;
    proxy.cut();
    for version in 1..=10 {
        editor.patch("object-types/Order", version, &json!({"description": version.to_string()})).expect(200).await;
    }
    assert_eq!(topic.wait_for(11).await.len(), 11, "Kafka has them at once");
    assert_eq!(aws.waiting(aws.target()).await, 0);
    proxy.restore();
    let mut details: Vec<Value> =
        aws.take_all(aws.target(), 10).await.iter().map(|wrapped| wrapped["detail"].clone()).collect();
    details.sort_by_key(|event| event["metadata"]["position"].as_i64());
    assert_eq!(positions(&details), (2..=11).collect::<Vec<_>>());
    assert_eq!(positions(&aws.take_all(aws.fifo(), 11).await), (1..=11).collect::<Vec<_>>());
    assert_eq!(aws.waiting(aws.dead_letters()).await, 0, "an outage makes no dead letters");
}
