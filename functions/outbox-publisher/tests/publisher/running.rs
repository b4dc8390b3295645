//! The publisher in a long-lived process, on the mock cluster.

use std::time::Duration;

use oms_outbox_publisher::{run, run_every};
use rdkafka::types::RDKafkaRespErr;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    brokers::{break_produce, eventually, heal, messages, mock},
    oms::{create, locks, registry, unpublished},
};

/// So long that no look comes by itself within a test.
const NEVER: Duration = Duration::from_secs(3_600);

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn each_poke_publishes_what_was_written_before_it(pool: PgPool) {
    let (_mock, config) = mock(2);
    let oms = registry(&pool);
    let ((written, watched), (_stop, stopped)) = (watch::channel(0), watch::channel(false));
    let running = tokio::spawn(run_every(NEVER, oms.clone(), config.clone(), watched, stopped));
    for n in 0..40 {
        create(&oms, [format!("Type{n}")]).await;
        written.send_modify(|count| *count += 1);
        eventually("the poke publishes it", async || unpublished(&pool).await == 0).await;
    }
    running.abort();
    assert_eq!(messages(&config, &config.topic).len(), 40);
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn what_has_no_poke_is_published_too_and_a_stop_ends_it(pool: PgPool) {
    let (_mock, config) = mock(2);
    let oms = registry(&pool);
    let ((_written, watched), (stop, stopped)) = (watch::channel(0), watch::channel(false));
    let running = tokio::spawn(run(oms.clone(), config.clone(), watched, stopped));
    for name in ["First", "Second"] {
        create(&oms, [name.to_owned()]).await;
        eventually("it is published", async || unpublished(&pool).await == 0).await;
    }
    assert_eq!(messages(&config, &config.topic).len(), 2);
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("it stops").unwrap();
    eventually("its connection and the locks are gone", async || locks(&pool).await == 0).await;
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn after_an_outage_it_goes_on_by_itself(pool: PgPool) {
    let (mock, config) = mock(2);
    let oms = registry(&pool);
    break_produce(&mock, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1_000);
    let ((written, watched), (_stop, stopped)) = (watch::channel(0), watch::channel(false));
    let running = tokio::spawn(run(oms.clone(), config.clone(), watched, stopped));
    create(&oms, ["Customer".to_owned()]).await;
    written.send_modify(|count| *count += 1);
    eventually("it tries", async || {
        oms.events.sequence_until(None).await.unwrap() == 0 && unpublished(&pool).await == 1
    })
    .await;
    heal(&mock);
    eventually("it is published", async || unpublished(&pool).await == 0).await;
    assert_eq!(messages(&config, &config.topic).len(), 1);
    running.abort();
}
