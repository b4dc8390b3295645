//! The publisher as a Lambda function, on the mock cluster.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Context, Error, LambdaEvent};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oms_core::{Registry, config::Source};
use oms_kafka::KafkaConfig;
use oms_outbox_publisher::{Publisher, lambda, redrive::DeadLetters};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    brokers::{assert_order, eventually, messages, mock},
    oms::{create, locks, registry, unpublished},
};

/// An invocation that may take so long.
pub(crate) fn invocation(payload: Value, time: Duration) -> LambdaEvent<Value> {
    let mut context = Context::default();
    let deadline = SystemTime::now() + time;
    context.deadline = u64::try_from(deadline.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    LambdaEvent::new(payload, context)
}

/// What it answers where nobody asks for dead letters.
async fn handle(oms: &Registry, publisher: &mut Publisher, event: &LambdaEvent<Value>) -> Result<Value, Error> {
    let mut source = Source::default();
    let letters = DeadLetters { kafka: KafkaConfig::read(&mut source), queue_url: None };
    lambda::handle(oms, publisher, &letters, event).await
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn pokes_and_the_schedule_drain_the_log_and_report_no_message_as_failed(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    let mut publisher = Publisher::new(config);
    let poke = json!({"Records": [{"messageId": "1", "body": ""}]});
    let scheduled = serde_json::from_str(include_str!("../../../../events/samples/schedule.json")).unwrap();
    for (name, payload) in [("Poked", poke), ("Swept", json!({})), ("Scheduled", scheduled)] {
        create(&oms, [name.to_owned()]).await;
        let answer = handle(&oms, &mut publisher, &invocation(payload, Duration::from_secs(60))).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
        assert_eq!((unpublished(&pool).await, locks(&pool).await), (0, 0));
    }
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn without_kafka_it_fails_before_its_time_is_up_so_that_sqs_brings_the_poke_back(pool: PgPool) {
    let (mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    mock.broker_down(-1).unwrap();
    let (began, time) = (Instant::now(), Duration::from_secs(5));
    let recorder = DebuggingRecorder::new();
    let measured = metrics::set_default_local_recorder(&recorder);
    let answer = handle(&oms, &mut Publisher::new(config), &invocation(json!({}), time)).await;
    drop(measured);
    assert!(answer.is_err(), "{answer:?}");
    assert!(began.elapsed() < time, "the environment is frozen with its locks otherwise");
    let age = recorder.snapshotter().snapshot().into_vec().into_iter().find_map(|(key, _, _, value)| match value {
        DebugValue::Gauge(age) if key.key().name() == "oms_outbox_oldest_age_seconds" => Some(*age),
        _ => None,
    });
    assert!(age.is_some_and(|age| age > 0.0), "an alarm watches how long events wait: {age:?}");
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn without_time_it_leaves_the_rest_to_the_next_invocation(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let event = invocation(json!({}), Duration::from_secs(3));
    let answer = handle(&oms, &mut Publisher::new(config), &event).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}));
    assert_eq!((unpublished(&pool).await, locks(&pool).await), (1, 0));
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn behind_another_that_moves_the_log_for_long_it_fails_before_its_time_is_up(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut other = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM event_log_head FOR UPDATE").execute(&mut *other).await.unwrap();
    let mut publisher = Publisher::new(config);
    let (began, time) = (Instant::now(), Duration::from_secs(5));
    let answer = handle(&oms, &mut publisher, &invocation(json!({}), time)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(began.elapsed() < time, "it is stopped in the middle otherwise");
    assert_eq!(locks(&pool).await, 0);
    other.rollback().await.unwrap();
    handle(&oms, &mut publisher, &invocation(json!({}), Duration::from_secs(60))).await.unwrap();
    assert_eq!(unpublished(&pool).await, 0);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_checkpoint_that_can_not_be_moved_in_time_repeats_its_events_and_keeps_no_lock(pool: PgPool) {
    let (_mock, config) = mock(1);
    let oms = registry(&pool);
    create(&oms, ["Customer".to_owned()]).await;
    let mut other = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE publisher_checkpoints IN EXCLUSIVE MODE").execute(&mut *other).await.unwrap();
    let mut publisher = Publisher::new(config.clone());
    let (began, time) = (Instant::now(), Duration::from_secs(6));
    let answer = handle(&oms, &mut publisher, &invocation(json!({}), time)).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(began.elapsed() < time, "it is stopped in the middle otherwise");
    assert_eq!(messages(&config, &config.topic).len(), 1, "Kafka has it already");
    other.rollback().await.unwrap();
    eventually("its connection and the locks are gone", async || locks(&pool).await == 0).await;
    handle(&oms, &mut publisher, &invocation(json!({}), Duration::from_secs(60))).await.unwrap();
    assert_eq!(unpublished(&pool).await, 0);
    assert_order(&messages(&config, &config.topic));
}
