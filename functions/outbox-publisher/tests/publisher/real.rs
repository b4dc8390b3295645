//! The same promises on a real Kafka, whose brokers check sequences and sizes as the mock cluster does not.

use std::time::Duration;

use oms_kafka::KafkaConfig;
use oms_outbox_publisher::Publisher;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    brokers::{assert_order, config, messages},
    oms::{caller, create, locks, registry, unpublished, update},
};

/// Topics of its own on the Kafka that `KAFKA_BROKERS` names.
pub(crate) async fn kafka(partitions: i32, settings: &[(&str, &str)]) -> KafkaConfig {
    let brokers = std::env::var("KAFKA_BROKERS");
    let brokers = brokers.expect("these tests need a Kafka: set KAFKA_BROKERS, or run them with `cargo xtask test`");
    let config = config(&brokers, &[]);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let mut topic = NewTopic::new(&config.topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    let dlq = NewTopic::new(&config.dlq_topic, 1, TopicReplication::Fixed(1));
    for created in admin.create_topics([&topic, &dlq], &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
    config
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn two_publishers_keep_every_entitys_order_and_repeat_nothing(pool: PgPool) {
    let config = kafka(6, &[]).await;
    let oms = registry(&pool);
    let (mut first, mut second) = (Publisher::new(config.clone()), Publisher::new(config.clone()));
    let ids = create(&oms, (0..40).map(|n| format!("Type{n}"))).await;
    for round in 0..5 {
        for id in &ids {
            update(&oms, *id, &format!("round {round}")).await;
        }
        let (first, second) = tokio::join!(first.drain(&oms, None), second.drain(&oms, None));
        first.unwrap();
        second.unwrap();
    }
    let got = messages(&config, &config.topic);
    assert_eq!(got.len(), 240);
    assert!(assert_order(&got).values().all(|versions| versions.len() == 6));
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (0, 0));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn publishers_that_are_cut_at_any_moment_lose_nothing_and_keep_the_order(pool: PgPool) {
    let config = kafka(3, &[]).await;
    let oms = registry(&pool);
    let ids = create(&oms, (0..30).map(|n| format!("Type{n}"))).await;
    let mut publisher = Publisher::new(config.clone());
    for round in 0..20 {
        for id in ids.iter().skip(round % 3).step_by(3) {
            update(&oms, *id, &format!("round {round}")).await;
        }
        // Sooner or later within the drain of a producer that may be new, and needs its time.
        let cut = Duration::from_millis(u64::try_from(round * 7 % 20 * 40).unwrap());
        let _ = tokio::time::timeout(cut, publisher.drain(&oms, None)).await;
    }
    while unpublished(&pool).await > 0 {
        publisher.drain(&oms, None).await.unwrap();
    }
    let got = messages(&config, &config.topic);
    let versions = assert_order(&got);
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&pool).await.unwrap();
    let arrived: usize = versions.values().map(Vec::len).sum();
    assert_eq!(i64::try_from(arrived).unwrap(), written, "every event is there");
    println!("{written} events, {} repeats", got.len() - arrived);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn what_the_topic_refuses_goes_to_the_dead_letters_and_stops_nobody(pool: PgPool) {
    let config = kafka(1, &[("max.message.bytes", "20000")]).await;
    let oms = registry(&pool);
    let small = create(&oms, (0..5).map(|n| format!("Type{n}"))).await;
    // Nothing that zstd could make small.
    let noise: String = (0..4_000).map(|_| Uuid::new_v4().simple().to_string()).collect();
    let large = json!({"name": "Large", "displayName": "Large", "metadata": {"noise": noise}});
    let large = oms.object_types.create(&caller(), &large).await.unwrap().id.0;
    for id in &small {
        update(&oms, *id, "after the large one").await;
    }
    let drained = Publisher::new(config.clone()).drain(&oms, None).await.unwrap();
    assert_eq!((drained.published, drained.dead_lettered), (10, 1));
    assert_eq!(unpublished(&pool).await, 0);
    let versions = assert_order(&messages(&config, &config.topic));
    assert!(small.iter().all(|id| versions[id] == [1, 2]));
    assert!(!versions.contains_key(&large));
    let letters = messages(&config, &config.dlq_topic);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].entity(), large);
    assert!(letters[0].headers["original-error"].contains("too large"));
    assert_eq!(letters[0].value["data"]["objectType"]["name"], "Large");
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_topic_that_does_not_exist_yet_is_waited_for(pool: PgPool) {
    let mut config = kafka(1, &[]).await;
    let topic = std::mem::replace(&mut config.topic, "not/a/topic".to_owned());
    config.delivery_timeout = Duration::from_secs(3);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut publisher = Publisher::new(config.clone());
    let error = publisher.drain(&oms, None).await.unwrap_err();
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0), "{error}");
    config.topic = topic;
    assert_eq!(Publisher::new(config).drain(&oms, None).await.unwrap().published, 1);
}
