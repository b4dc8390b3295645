//! From the outbox to Kafka, against librdkafka alone with the same records: the same keys, payloads and headers. A second row
//! adds to the reference what the database alone takes to move so many rows and to hand them out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::Bytes;
use futures::TryStreamExt as _;
use oms_core::config::Source;
use oms_kafka::KafkaConfig;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode,
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord, future_producer::DeliveryFuture},
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::Bench;
use crate::{
    environment::Environment,
    function::Function,
    measure::alternate,
    ontology,
    report::{Goal, Row},
    server::Server,
};

const DATABASE: &str = "bench_publish";
/// Writes that the rows are copied from; one row has about 3 KB as JSON.
const WRITES: u32 = 1_000;
const PROPERTIES: usize = 10;
/// As many as an installation makes.
const PARTITIONS: i32 = 16;
/// How long Kafka may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database, and what rows are copied from.
async fn load(environment: &Environment) -> Result<PgConnection> {
    ontology::create(environment, DATABASE).await?;
    let server = Server::oms(environment, DATABASE, &[]).await?;
    let items: Vec<Value> = (0..WRITES as usize).map(|number| ontology::object_type(number, PROPERTIES)).collect();
    server.post("/api/v1/object-types:batch", &json!({"items": items})).await?;
    ontology::settle(environment, DATABASE, server).await?;
    let mut connection = PgConnection::connect(&environment.database(DATABASE)).await?;
    let kept = sqlx::query("CREATE TABLE written AS SELECT * FROM events").execute(&mut connection).await?;
    ensure!(kept.rows_affected() == u64::from(WRITES), "{} of {WRITES} writes are in the log", kept.rows_affected());
    Ok(connection)
}

/// Puts rows into the outbox, of other entities each time, and takes those before out of the log.
async fn fill(connection: &mut PgConnection, rows: u32) -> Result<()> {
    let fill = sqlx::query(
        "INSERT INTO outbox (tenant_id, event_type, entity_kind, entity_id, version, actor, correlation_id, traceparent,
            document, changes)
        SELECT tenant_id, event_type, entity_kind, id, version, actor, correlation_id, traceparent,
            jsonb_set(document, '{id}', to_jsonb(id)), changes
        FROM generate_series(1, $1), LATERAL (SELECT *, gen_random_uuid() AS id FROM written) w",
    );
    let filled = fill.bind((rows / WRITES).cast_signed()).execute(&mut *connection).await?;
    ensure!(filled.rows_affected() == u64::from(rows), "the outbox has {} rows", filled.rows_affected());
    for statement in ["TRUNCATE events", "VACUUM (ANALYZE) outbox", "VACUUM publisher_checkpoints", "CHECKPOINT"] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Rows each second, from the first invocation until all is noted as published.
async fn publish(publisher: &mut Function, connection: &mut PgConnection, rows: u32) -> Result<f64> {
    fill(connection, rows).await?;
    let poke = Bytes::from_static(br#"{"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}"#);
    let started = Instant::now();
    loop {
        publisher.invoke(&poke).await?;
        let is_left = "SELECT EXISTS (SELECT FROM outbox) OR EXISTS (
            SELECT FROM publisher_checkpoints c JOIN events e USING (publisher_partition) WHERE e.position > c.position)";
        let took = started.elapsed();
        if !sqlx::query_scalar::<_, bool>(is_left).fetch_one(&mut *connection).await? {
            return Ok(f64::from(rows) / took.as_secs_f64());
        }
    }
}

/// Seconds to move all rows from the outbox into the log with one statement, and to read them with another.
async fn move_and_read(connection: &mut PgConnection, rows: u32) -> Result<f64> {
    fill(connection, rows).await?;
    let started = Instant::now();
    let moved = sqlx::query(
        "WITH taken AS (DELETE FROM outbox RETURNING *)
        INSERT INTO events (position, epoch, event_id, tenant_id, event_type, entity_kind, entity_id, version, actor,
            occurred_at, correlation_id, traceparent, document, changes, bytes, names, publisher_partition)
        SELECT (SELECT position FROM event_log_head) + row_number() OVER (ORDER BY seq), 1, event_id, tenant_id, event_type,
            entity_kind, entity_id, version, actor, occurred_at, correlation_id, traceparent, document, changes, 0, '{}',
            get_byte(uuid_send(entity_id), 15) % 16
        FROM taken",
    );
    let moved = moved.execute(&mut *connection).await?.rows_affected();
    let all =
        "SELECT event_id, tenant_id, event_type, entity_id, version, actor, occurred_at, document::text, changes::text
        FROM events ORDER BY position";
    let read = sqlx::query(all).fetch(&mut *connection).try_fold(0, async |read, _| Ok(read + 1)).await?;
    let took = started.elapsed().as_secs_f64();
    ensure!((moved, read) == (u64::from(rows), rows), "{moved} rows were moved and {read} read");
    for noted in [
        "UPDATE event_log_head SET position = (SELECT max(position) FROM events)",
        "UPDATE publisher_checkpoints SET position = (SELECT position FROM event_log_head)",
    ] {
        sqlx::query(noted).execute(&mut *connection).await?;
    }
    Ok(took)
}

/// All that is in a topic.
fn read(brokers: &str, topic: &str, records: u32) -> Result<Vec<OwnedMessage>> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "bench").create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let mut read = Vec::with_capacity(records as usize);
    while read.len() < records as usize {
        let message = consumer.poll(PATIENCE).with_context(|| format!("{topic} has {} records", read.len()))?;
        read.push(message?.detach());
    }
    Ok(read)
}

/// A producer with the settings of the publisher's.
fn producer(brokers: &str) -> Result<FutureProducer> {
    let config = KafkaConfig::read(&mut Source::from_pairs([("KAFKA_BROKERS", brokers)]));
    Ok(oms_kafka::producer_config(&config)?.create()?)
}

/// Records each second, all acknowledged.
async fn produce(producer: &FutureProducer, topic: &str, records: &[OwnedMessage]) -> Result<f64> {
    let started = Instant::now();
    let mut waiting: VecDeque<DeliveryFuture> = VecDeque::new();
    for message in records {
        let mut record = FutureRecord::<[u8], [u8]>::to(topic)
            .key(message.key().context("a record without a key")?)
            .payload(message.payload().context("a record without a value")?)
            .headers(message.headers().context("a record without headers")?.clone());
        while let Err((error, unsent)) = producer.send_result(record) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            record = unsent;
            match waiting.pop_front() {
                Some(delivery) => delivered(delivery).await?,
                // It is about to forget what was delivered.
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
    for delivery in waiting {
        delivered(delivery).await?;
    }
    Ok(records.len() as f64 / started.elapsed().as_secs_f64())
}

async fn delivered(delivery: DeliveryFuture) -> Result<()> {
    match delivery.await? {
        Ok(_) => Ok(()),
        Err((error, _)) => bail!("Kafka did not take a record: {error}"),
    }
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let environment = &bench.environment;
    let brokers = environment.kafka_brokers.as_str();
    let rows: u32 = if bench.quick { 20_000 } else { 100_000 };
    let run = std::process::id();
    let (topic, other_topic) = (format!("bench-{run}-publisher"), format!("bench-{run}-producer"));
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let topics = [&topic, &other_topic].map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)));
    for made in admin.create_topics(&topics, &AdminOptions::new()).await? {
        made.map_err(|(name, error)| anyhow::anyhow!("{name} is not made: {error}"))?;
    }

    let mut connection = load(environment).await?;
    let settings = [("KAFKA_BROKERS", brokers), ("KAFKA_TOPIC", topic.as_str())];
    let mut publisher = Function::start(environment, "outbox-publisher", DATABASE, &settings).await?;
    publish(&mut publisher, &mut connection, rows).await?;
    let records = read(brokers, &topic, rows)?;
    let producer = producer(brokers)?;
    let pairs = alternate(
        bench.rounds(5, 3),
        async || publish(&mut publisher, &mut connection, rows).await,
        async || produce(&producer, &other_topic, &records).await,
    );
    let all = Row::new(format!("publish {rows} outbox rows"), "1/s", &pairs.await?, Some(Goal::AtLeast(0.5)));
    // One connection fills the outbox for both in turns.
    let connection = tokio::sync::Mutex::new(connection);
    let pairs = alternate(
        bench.rounds(3, 2),
        async || publish(&mut publisher, &mut *connection.lock().await, rows).await,
        async || {
            let database = move_and_read(&mut *connection.lock().await, rows).await?;
            let kafka = f64::from(rows) / produce(&producer, &other_topic, &records).await?;
            Ok(f64::from(rows) / (database + kafka))
        },
    );
    let floor =
        Row::new("the same, against one DELETE and INSERT and one SELECT, then that", "1/s", &pairs.await?, None);
    publisher.stop().await?;
    for gone in admin.delete_topics(&[&topic, &other_topic], &AdminOptions::new()).await? {
        gone.map_err(|(name, error)| anyhow::anyhow!("{name} is not deleted: {error}"))?;
    }
    Ok(vec![all, floor])
}
