//! What happens when Kafka does not take events, on the mock cluster.

use std::time::{Duration, Instant};

use oms_core::breaker::BreakerConfig;
use oms_outbox_publisher::{Error, Publisher};
use rdkafka::types::RDKafkaRespErr;
use sqlx::PgPool;

use crate::{
    brokers::{assert_order, break_produce, config, eventually, heal, messages, mock},
    oms::{checkpoint, create, locks, registry, unpublished, update},
};

/// More errors than a drain meets.
const ALWAYS: usize = 1_000;

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn without_rights_events_wait_and_come_later_with_their_positions(pool: PgPool) {
    let (mock, config) = mock(2);
    let oms = registry(&pool);
    let ids = create(&oms, (0..10).map(|n| format!("Type{n}"))).await;
    let mut publisher = Publisher::new(config.clone());
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ALWAYS);
    for attempt in 0..2 {
        let error = publisher.drain(&oms, None).await.unwrap_err();
        assert!(matches!(&error, Error::Kafka(text) if text.contains("uthorization")), "{attempt}: {error}");
        assert_eq!(locks(&pool).await, 0, "the partitions are free for others");
        assert_eq!(checkpoint(&pool, ids[0]).await, 0);
    }
    for id in &ids {
        update(&oms, *id, "while Kafka refuses").await;
    }
    assert!(publisher.drain(&oms, None).await.is_err());
    heal(&mock);
    let drained = publisher.drain(&oms, None).await.unwrap();
    assert_eq!((drained.published, drained.dead_lettered), (20, 0), "nothing went to the dead letters");
    let got = messages(&config, &config.topic);
    let versions = assert_order(&got);
    assert!(ids.iter().all(|id| versions[id] == [1, 2]));
    let logged: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, event_id::text FROM events ORDER BY position").fetch_all(&pool).await.unwrap();
    let mut sent: Vec<_> = got.iter().map(|message| (message.position(), message.id().to_owned())).collect();
    sent.sort();
    assert_eq!(sent, logged);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn an_answer_that_is_lost_repeats_the_same_events_and_keeps_their_order(pool: PgPool) {
    let (mock, mut config) = mock(1);
    config.delivery_timeout = Duration::from_secs(2);
    let oms = registry(&pool);
    let ids = create(&oms, (0..5).map(|n| format!("Type{n}"))).await;
    let mut publisher = Publisher::new(config.clone());
    publisher.warm().await;
    // The broker takes the batch, and the publisher gives up before it hears of that.
    mock.broker_round_trip_time(-1, Duration::from_secs(4)).unwrap();
    assert!(matches!(publisher.drain(&oms, None).await, Err(Error::Kafka(_))));
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (5, 0));
    mock.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    update(&oms, ids[0], "later").await;
    publisher.drain(&oms, None).await.unwrap();
    let got = messages(&config, &config.topic);
    assert!(got.len() >= 6, "{}", got.len());
    let versions = assert_order(&got);
    assert_eq!(versions[&ids[0]], [1, 2]);
    assert_eq!(versions.len(), 5);
    assert_eq!(unpublished(&pool).await, 0);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_kafka_that_is_down_costs_its_time_out_and_says_why(pool: PgPool) {
    let (mock, mut config) = mock(1);
    config.delivery_timeout = Duration::from_secs(2);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    mock.broker_down(-1).unwrap();
    let mut publisher = Publisher::new(config.clone());
    let error = publisher.drain(&oms, None).await.unwrap_err();
    assert!(error.to_string().contains("no acknowledgement within 2000 ms; "), "{error}");
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
    mock.broker_up(-1).unwrap();
    assert_eq!(publisher.drain(&oms, None).await.unwrap().published, 1);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_kafka_that_stays_down_is_left_alone_and_nothing_is_lost_meanwhile(pool: PgPool) {
    let (mock, mut config) = mock(1);
    config.delivery_timeout = Duration::from_secs(2);
    config.breaker = BreakerConfig { failures: 2, open: Duration::from_millis(1_500) };
    let oms = registry(&pool);
    create(&oms, ["First".to_owned()]).await;
    let mut publisher = Publisher::new(config.clone());
    mock.broker_down(-1).unwrap();
    for _ in 0..2 {
        let error = publisher.drain(&oms, None).await.unwrap_err();
        assert!(error.to_string().contains("no acknowledgement"), "{error}");
    }
    let began = Instant::now();
    create(&oms, ["Second".to_owned()]).await;
    let error = publisher.drain(&oms, None).await.unwrap_err();
    assert!(error.to_string().contains("circuit breaker is open"), "{error}");
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (2, 0), "others may try");

    mock.broker_up(-1).unwrap();
    eventually("it is published", async || publisher.drain(&oms, None).await.is_ok()).await;
    assert_eq!(unpublished(&pool).await, 0);
    assert_order(&messages(&config, &config.topic));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_kafka_that_refuses_is_not_away(pool: PgPool) {
    let (mock, mut config) = mock(1);
    config.breaker = BreakerConfig { failures: 1, open: Duration::from_secs(3_600) };
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut publisher = Publisher::new(config);
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ALWAYS);
    for _ in 0..3 {
        let error = publisher.drain(&oms, None).await.unwrap_err();
        assert!(error.to_string().contains("uthorization"), "{error}");
    }
    heal(&mock);
    assert_eq!(publisher.drain(&oms, None).await.unwrap().published, 1);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_drain_ends_at_its_deadline_and_leaves_the_rest(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut publisher = Publisher::new(config);
    let past = publisher.drain(&oms, Some(Instant::now())).await.unwrap();
    assert_eq!((past.published, past.unfinished), (0, true));
    mock.broker_down(-1).unwrap();
    let began = Instant::now();
    let late = publisher.drain(&oms, Some(began + Duration::from_millis(500))).await;
    assert!(late.is_err(), "Kafka did not acknowledge in time: {late:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "it did not wait for the delivery time-out");
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn only_the_event_that_kafka_can_never_take_becomes_a_dead_letter(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    let ids = create(&oms, (0..3).map(|n| format!("Type{n}"))).await;
    update(&oms, ids[1], "later").await;
    let mut publisher = Publisher::new(config.clone());
    publisher.warm().await;
    // Of two refusals the first is for the batch, the second for the event that is tried alone.
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 2);
    let drained = publisher.drain(&oms, None).await.unwrap();
    assert_eq!((drained.published, drained.dead_lettered), (3, 1), "the others are not to blame");
    assert_eq!(unpublished(&pool).await, 0, "nothing is blocked");
    let (got, letters) = (messages(&config, &config.topic), messages(&config, &config.dlq_topic));
    assert_eq!((got.len(), letters.len()), (3, 1));
    let letter = &letters[0];
    assert!(!got.iter().any(|message| message.id() == letter.id()));
    assert!(letter.headers["original-error"].contains("too large"), "{letter:?}");
    assert_eq!(letter.headers["ce_id"], letter.id());
    assert_eq!(letter.headers["ce_subject"], letter.key);
    assert_eq!(letter.value["data"]["objectType"]["id"], letter.key.as_str(), "the whole event");
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_letter_that_is_too_large_for_its_topic_too_becomes_a_claim_check(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut publisher = Publisher::new(config.clone());
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 2);
    assert_eq!(publisher.drain(&oms, None).await.unwrap().dead_lettered, 1);
    let letter = messages(&config, &config.dlq_topic).remove(0);
    assert_eq!(letter.value["data"]["claimCheck"]["entityId"], letter.key.as_str());
    assert_eq!(letter.value["data"].get("objectType"), None);

    // When not even that can be kept, the event waits.
    create(&oms, ["Order".to_owned()]).await;
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 3);
    assert!(publisher.drain(&oms, None).await.is_err());
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
    heal(&mock);
    assert_eq!(publisher.drain(&oms, None).await.unwrap().published, 1);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn an_event_that_makes_no_sense_becomes_a_dead_letter_and_blocks_nothing(pool: PgPool) {
    let (_mock, config) = mock(4);
    let oms = registry(&pool);
    let ids = create(&oms, (0..64).map(|n| format!("Type{n}"))).await;
    oms.events.sequence().await.unwrap();
    sqlx::query("UPDATE events SET document = '{}' WHERE entity_id = $1").bind(ids[0]).execute(&pool).await.unwrap();
    let drained = Publisher::new(config.clone()).drain(&oms, None).await.unwrap();
    assert_eq!((drained.published, drained.dead_lettered), (63, 1));
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (0, 0));
    let letter = messages(&config, &config.dlq_topic).remove(0);
    assert_eq!((letter.entity(), letter.version()), (ids[0], 1));
    assert_eq!(letter.value["data"]["claimCheck"]["entityId"], letter.key.as_str());
    assert!(letter.headers["original-error"].contains("malformed event"), "{:?}", letter.headers);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn without_brokers_there_is_an_error_that_names_the_setting(pool: PgPool) {
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut config = config("unused:1", &[]);
    config.brokers = None;
    let error = Publisher::new(config).drain(&oms, None).await.unwrap_err();
    assert!(error.to_string().contains("KAFKA_BROKERS"), "{error}");
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_connection_that_was_lost_between_two_drains_is_replaced(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    let mut publisher = Publisher::new(config);
    create(&oms, ["Customer".to_owned()]).await;
    publisher.drain(&oms, None).await.unwrap();
    let cut: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%claim_publisher_partitions%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(cut, 1);
    create(&oms, ["Order".to_owned()]).await;
    assert_eq!(publisher.drain(&oms, None).await.unwrap().published, 1);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn without_a_token_for_msk_it_says_why_there_is_none(pool: PgPool) {
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let more = [("KAFKA_SECURITY", "msk-iam"), ("AWS_REGION", "eu-west-1"), ("KAFKA_DELIVERY_TIMEOUT_MS", "2000")];
    let mut config = config("127.0.0.1:1", &more);
    config.region = None;
    let mut publisher = Publisher::new(config);
    publisher.warm().await;
    let error = publisher.drain(&oms, None).await.unwrap_err();
    assert!(error.to_string().contains("AWS_REGION is not set"), "{error}");
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
}
