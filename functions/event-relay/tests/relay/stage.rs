//! A bus, queues and a table of one test's own in moto, behind a proxy.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::{Credentials, SharedCredentialsProvider},
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use aws_sdk_eventbridge::types::{InputTransformer, Target};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use oms_core::breaker::BreakerConfig;
use oms_event_relay::{Failure, Record, Relay, RelayConfig};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::proxy::Proxy;

pub(crate) const TOPIC: &str = "oms-events";

pub(crate) struct Stage {
    pub(crate) relay: Relay,
    pub(crate) proxy: Proxy,
    pub(crate) config: RelayConfig,
    target: String,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    offset: AtomicI64,
}

/// What arrived in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) body: Value,
    pub(crate) message: Message,
}

impl Stage {
    /// With a FIFO queue or without.
    pub(crate) async fn new(fifo: bool) -> Self {
        let moto = std::env::var("AWS_ENDPOINT_URL").expect("AWS_ENDPOINT_URL is missing: run cargo xtask test");
        let sdk = sdk(&moto);
        let (dynamodb, sqs) = (aws_sdk_dynamodb::Client::new(&sdk), aws_sdk_sqs::Client::new(&sdk));
        let name = format!("relay-{}", Uuid::new_v4().simple());
        let target = queue(&sqs, &format!("{name}-target")).await;
        bus(&aws_sdk_eventbridge::Client::new(&sdk), &sqs, &name, &target).await;
        table(&dynamodb, &name).await;
        let config = RelayConfig {
            bus: name.clone(),
            table: name.clone(),
            dead_letters: queue(&sqs, &format!("{name}-dlq")).await,
            fifo: if fifo { Some(queue(&sqs, &format!("{name}.fifo")).await) } else { None },
            endpoint: None,
            region: None,
            breaker: BreakerConfig::default(),
        };
        let proxy = Proxy::start(moto).await;
        let relay = Relay::with_sdk(config.clone(), &self::sdk(&proxy.endpoint));
        Self { relay, proxy, config, target, dynamodb, sqs, offset: AtomicI64::new(0) }
    }

    /// A record with the event of a version, at the next offset of partition 0.
    pub(crate) fn record(&self, entity: Uuid, version: i64) -> Record {
        self.record_of(entity, &event(entity, version))
    }

    pub(crate) fn record_of(&self, key: Uuid, event: &Value) -> Record {
        Record {
            topic: TOPIC.to_owned(),
            partition: 0,
            offset: self.offset.fetch_add(1, Ordering::Relaxed),
            timestamp: Some(1_763_000_000_000),
            key: Some(key.to_string().into_bytes()),
            value: Some(event.to_string().into_bytes()),
            headers: vec![("event-type".to_owned(), b"ObjectTypeUpdated".to_vec())],
        }
    }

    /// What the bus's rule sent since it was last asked. moto sends before it answers.
    pub(crate) async fn target(&self) -> Vec<Arrival> {
        self.drain(&self.target).await
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Value> {
        self.drain(&self.config.dead_letters).await.into_iter().map(|arrival| arrival.body).collect()
    }

    pub(crate) async fn fifo(&self) -> Vec<Arrival> {
        self.drain(self.config.fifo.as_ref().unwrap()).await
    }

    async fn drain(&self, url: &str) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        loop {
            let call = self.sqs.receive_message().queue_url(url).max_number_of_messages(10);
            let call = call.message_attribute_names("All");
            let messages = call.message_system_attribute_names("All".into()).send().await.unwrap().messages;
            let Some(messages) = messages.filter(|messages| !messages.is_empty()) else { return arrivals };
            for message in messages {
                let handle = message.receipt_handle().unwrap();
                self.sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
                arrivals.push(Arrival { body: serde_json::from_str(message.body().unwrap()).unwrap(), message });
            }
        }
    }

    /// The marks by entity: epoch, version.
    pub(crate) async fn marks(&self) -> HashMap<String, (i64, i64)> {
        let items = self.dynamodb.scan().table_name(&self.config.table).consistent_read(true).send().await.unwrap();
        let number = |item: &HashMap<String, aws_sdk_dynamodb::types::AttributeValue>, name: &str| -> i64 {
            item[name].as_n().unwrap().parse().unwrap()
        };
        items
            .items()
            .iter()
            .map(|item| {
                assert!(number(item, "position") > 0 && number(item, "expiresAt") > 1_700_000_000);
                (item["entity"].as_s().unwrap().clone(), (number(item, "epoch"), number(item, "version")))
            })
            .collect()
    }

    /// The version of an entity's mark in epoch 1.
    pub(crate) async fn mark(&self, entity: Uuid) -> Option<i64> {
        let mark = self.marks().await.get(&format!("default/{entity}")).copied();
        mark.map(|(epoch, version)| {
            assert_eq!(epoch, 1);
            version
        })
    }
}

/// An event as the publisher writes it.
pub(crate) fn event(entity: Uuid, version: i64) -> Value {
    json!({
        "id": Uuid::new_v4(),
        "type": "ObjectTypeUpdated",
        "entityId": entity,
        "actor": "test",
        "timestamp": "2026-11-25T01:02:03.456Z",
        "data": { "objectType": { "name": "Customer" }, "version": version, "actor": "test", "changes": [] },
        "metadata": { "tenantId": "default", "position": version * 10, "epoch": 1, "schemaVersion": 1 },
    })
}

/// The versions of an entity, in the order they arrived.
pub(crate) fn versions(events: &[Value], entity: Uuid) -> Vec<i64> {
    let of_entity = events.iter().filter(|event| event["entityId"] == json!(entity));
    of_entity.map(|event| event["data"]["version"].as_i64().unwrap()).collect()
}

/// The events in messages of the bus's rule.
pub(crate) fn details(arrivals: &[Arrival]) -> Vec<Value> {
    arrivals.iter().map(|arrival| arrival.body["detail"].clone()).collect()
}

/// The events in messages of the FIFO queue.
pub(crate) fn bodies(arrivals: &[Arrival]) -> Vec<Value> {
    arrivals.iter().map(|arrival| arrival.body.clone()).collect()
}

pub(crate) fn failures(records: &[&Record]) -> Vec<Failure> {
    records.iter().map(|&record| record.into()).collect()
}

pub(crate) fn sdk(endpoint: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        // moto answers one call at a time, and on a busy machine eight of them wait for longer than the relay does.
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(60)).build())
        .build()
}

async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> String {
    let mut call = sqs.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        call = call
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::ContentBasedDeduplication, "false");
    }
    call.send().await.unwrap().queue_url.unwrap()
}

/// A bus with a rule that sends everything of ours to a queue.
async fn bus(eventbridge: &aws_sdk_eventbridge::Client, sqs: &aws_sdk_sqs::Client, name: &str, url: &str) {
    eventbridge.create_event_bus().name(name).send().await.unwrap();
    let rule = eventbridge.put_rule().name("all").event_bus_name(name);
    rule.event_pattern(r#"{"source":["openfoundry.oms"]}"#).send().await.unwrap();
    let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    // The event as it is. moto builds a parser for each path of a transformer, and for eight when there is none: a
    // hundred milliseconds an event.
    let transformer = InputTransformer::builder().input_paths_map("source", "$.source");
    let transformer = transformer.input_template("<aws.events.event.json>").build().unwrap();
    let target = Target::builder().id("target").arn(&attributes[&QueueAttributeName::QueueArn]);
    let target = target.input_transformer(transformer).build().unwrap();
    eventbridge.put_targets().event_bus_name(name).rule("all").targets(target).send().await.unwrap();
}

async fn table(dynamodb: &aws_sdk_dynamodb::Client, name: &str) {
    let attribute = AttributeDefinition::builder().attribute_name("entity").attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name("entity").key_type(KeyType::Hash);
    let call = dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let call = call.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
    call.send().await.unwrap();
}
