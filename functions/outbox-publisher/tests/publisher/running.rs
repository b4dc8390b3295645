//! The publisher in a long-lived process, on the mock cluster.

use std::time::{Duration, Instant};

use oms_outbox_publisher::run;
use rdkafka::types::RDKafkaRespErr;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::{
    brokers::{break_produce, eventually, heal, messages, mock},
    oms::{create, locks, registry, unpublished},
};

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn a_poke_publishes_at_once_a_sweep_what_has_no_poke_and_a_stop_ends_it(pool: PgPool) {
    let (_mock, config) = mock(2);
    let oms = registry(&pool);
    let ((written, watched), (stop, stopped)) = (watch::channel(0), watch::channel(false));
    let running = tokio::spawn(run(oms.clone(), config.clone(), watched, stopped));
    for poked in [true, false] {
        create(&oms, [format!("Poked{poked}")]).await;
        if poked {
            written.send_modify(|count| *count += 1);
        }
        eventually("it is published", async || unpublished(&pool).await == 0).await;
    }
    assert_eq!(messages(&config, &config.topic).len(), 2);
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("it stops").unwrap();
    eventually("its connection and the locks are gone", async || locks(&pool).await == 0).await;
}

#[sqlx::test(migrator = "oms_core::postgres::MIGRATOR")]
async fn once_warm_an_event_is_in_kafka_within_milliseconds_of_its_poke(pool: PgPool) {
    let (_mock, config) = mock(2);
    let oms = registry(&pool);
    let ((written, watched), (_stop, stopped)) = (watch::channel(0), watch::channel(false));
    let running = tokio::spawn(run(oms.clone(), config, watched, stopped));
    let mut took = Vec::new();
    for n in 0..40 {
        create(&oms, [format!("Type{n}")]).await;
        let began = Instant::now();
        written.send_modify(|count| *count += 1);
        while unpublished(&pool).await > 0 {
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        took.push(began.elapsed());
    }
    running.abort();
    took.sort();
    // The sweep alone would take half a second; the time for busy machines is generous.
    println!("poke to checkpoint: median {:?}, slowest {:?}", took[20], took[39]);
    assert!(took[20] < Duration::from_millis(250), "median {:?}", took[20]);
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
    eventually("it tries", async || oms.events.sequence().await.unwrap() == 0 && unpublished(&pool).await == 1).await;
    heal(&mock);
    eventually("it is published", async || unpublished(&pool).await == 0).await;
    assert_eq!(messages(&config, &config.topic).len(), 1);
    running.abort();
}
