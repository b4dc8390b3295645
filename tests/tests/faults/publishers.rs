//! What a second publisher brings. Numbers to look at; the order has to be right in any case.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use oms_tests::{Database, Server, Settings, Topic, kafka_brokers, until_within};

use crate::{ontology::Ontology, random::Random, seen::Seen};

const WRITES: usize = 10_000;

/// Publishes a log of so many events with so many servers; how long it took.
async fn publish(servers: usize) -> Duration {
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    let writer = Server::start(&settings).await;
    let editor = writer.client("editor");
    let ontology = Arc::new(Ontology::create(&editor, 300, 0).await);
    ontology.grow(&writer, 16, WRITES, 0, &mut Random::new(1)).await;
    // Reading the feed moves everything into the log, so that only publishing is left.
    editor.get("events?after=latest").expect(200).await;
    let topic = Topic::create_on(&kafka_brokers(), 16).await;
    let settings = topic.settings(settings);
    let pool = database.pool().await;
    let _running = join_all((0..servers).map(|_| Server::start(&settings))).await;
    // From the first checkpoint on: how long a process takes to start is not the question.
    until_within(Duration::from_secs(60), "nothing is published", async || {
        let begun = "SELECT true FROM publisher_checkpoints WHERE position > 0 LIMIT 1";
        sqlx::query_scalar::<_, bool>(begun).fetch_optional(&pool).await.unwrap()
    })
    .await;
    let began = Instant::now();
    until_within(Duration::from_secs(120), "not everything was published", async || {
        let waits = "SELECT EXISTS (SELECT FROM events e JOIN publisher_checkpoints c USING (publisher_partition)
            WHERE e.position > c.position)";
        (!sqlx::query_scalar::<_, bool>(waits).fetch_one(&pool).await.unwrap()).then_some(())
    })
    .await;
    let took = began.elapsed();
    let mut seen = Seen::default();
    for message in topic.messages().await {
        seen.add(message.json());
    }
    assert_eq!(seen.events(), WRITES);
    seen.assert_in_order();
    println!("{servers} publisher(s): {} events in {took:.1?}, {} repeats", seen.events(), seen.repeats());
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_and_one() {
    let (one, two) = (publish(1).await, publish(2).await);
    println!("one takes {:.2} times as long as two", one.as_secs_f64() / two.as_secs_f64());
}
