//! What a test has of AWS: a bus with a queue behind it, a FIFO queue, a queue of dead letters, and a table of marks. They are
//! moto's, and no other test has them.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_eventbridge::types::{InputTransformer, Target};
use aws_sdk_sqs::{
    config::{Credentials, SharedCredentialsProvider},
    types::{DeleteMessageBatchRequestEntry, QueueAttributeName},
};
use serde_json::{Value, json};

use crate::{environment::aws_endpoint, settings::Settings, wait::until};

const REGION: &str = "us-east-1";
/// moto takes any.
const KEY: &str = "test";
/// The longest that SQS hides a message, in seconds.
const HIDDEN: i32 = 43_200;

/// The resources, by name and address.
#[derive(Debug, Clone)]
pub struct Aws {
    endpoint: String,
    sqs: aws_sdk_sqs::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    bus: String,
    table: String,
    target: String,
    dead_letters: String,
    fifo: String,
}

impl Aws {
    /// New ones in the moto of `AWS_ENDPOINT_URL`.
    pub async fn create() -> Self {
        Self::create_on(&aws_endpoint()).await
    }

    /// The same in another moto.
    pub async fn create_on(endpoint: &str) -> Self {
        let credentials = SharedCredentialsProvider::new(Credentials::new(KEY, KEY, None, None, "tests"));
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(endpoint)
            .build();
        let (sqs, suffix) = (aws_sdk_sqs::Client::new(&config), uuid::Uuid::now_v7().simple().to_string());
        let target = queue(&sqs, &format!("target-{suffix}")).await;
        let (bus, table) = (format!("bus-{suffix}"), format!("marks-{suffix}"));
        make_bus(&config, &bus, &arn(&sqs, &target).await).await;
        let dynamodb = aws_sdk_dynamodb::Client::new(&config);
        make_table(&dynamodb, &table).await;
        Self {
            endpoint: endpoint.to_owned(),
            target,
            dead_letters: queue(&sqs, &format!("dead-letters-{suffix}")).await,
            fifo: fifo_queue(&sqs, &format!("events-{suffix}.fifo")).await,
            sqs,
            dynamodb,
            bus,
            table,
        }
    }

    /// The settings with a relay to these.
    #[must_use]
    pub fn settings(&self, settings: Settings) -> Settings {
        settings
            .set("AWS_ENDPOINT_URL", &self.endpoint)
            .set("AWS_REGION", REGION)
            .set("AWS_ACCESS_KEY_ID", KEY)
            .set("AWS_SECRET_ACCESS_KEY", KEY)
            .set("AWS_EC2_METADATA_DISABLED", "true")
            .set("EVENT_BUS_NAME", &self.bus)
            .set("RELAY_TABLE_NAME", &self.table)
            .set("RELAY_DLQ_URL", &self.dead_letters)
            .set("RELAY_FIFO_URL", &self.fifo)
    }

    /// The queue behind the bus: it gets every event, as EventBridge wraps it.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The queue that keeps the order.
    #[must_use]
    pub fn fifo(&self) -> &str {
        &self.fifo
    }

    /// The queue of what can never pass.
    #[must_use]
    pub fn dead_letters(&self) -> &str {
        &self.dead_letters
    }

    /// Takes up to ten messages out of a queue; their bodies.
    pub async fn take(&self, queue: &str) -> Vec<Value> {
        // What is received is hidden for longer than any test. It is not deleted: moto forgets a message that arrives while
        // it deletes another one. Only a group of a FIFO queue goes no further before that.
        self.receive(queue, queue.ends_with(".fifo")).await
    }

    /// The same, and the messages are gone.
    pub async fn take_away(&self, queue: &str) -> Vec<Value> {
        self.receive(queue, true).await
    }

    async fn receive(&self, queue: &str, deletes: bool) -> Vec<Value> {
        let asked = self.sqs.receive_message().queue_url(queue).max_number_of_messages(10);
        let messages = asked.visibility_timeout(HIDDEN).send().await.unwrap().messages.unwrap_or_default();
        if deletes && !messages.is_empty() {
            let entries = messages.iter().enumerate().map(|(index, message)| {
                let receipt = message.receipt_handle.clone().unwrap();
                DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(receipt).build().unwrap()
            });
            let deleting = self.sqs.delete_message_batch().queue_url(queue).set_entries(Some(entries.collect()));
            assert_eq!(deleting.send().await.unwrap().failed, []);
        }
        messages.iter().map(|message| serde_json::from_str(message.body.as_deref().unwrap()).unwrap()).collect()
    }

    /// Waits until so many messages are in a queue, then takes all that are there.
    pub async fn take_all(&self, queue: &str, messages: usize) -> Vec<Value> {
        until(&format!("there were not {messages} messages in {queue}"), async || {
            (self.waiting(queue).await >= messages).then_some(())
        })
        .await;
        let mut taken = Vec::new();
        loop {
            let next = self.take(queue).await;
            if next.is_empty() {
                return taken;
            }
            taken.extend(next);
        }
    }

    /// Waits until the relay has marked what it relayed of so many entities. What comes before its mark is cut off is relayed
    /// again.
    pub async fn marked(&self, entities: usize) {
        until(&format!("{entities} entities were not marked"), async || {
            let scanned = self.dynamodb.scan().table_name(&self.table).send().await.unwrap();
            (scanned.items().len() == entities).then_some(())
        })
        .await;
    }

    /// How many messages wait in a queue to be taken.
    pub async fn waiting(&self, queue: &str) -> usize {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = self.sqs.get_queue_attributes().queue_url(queue).attribute_names(name.clone());
        asked.send().await.unwrap().attributes.unwrap_or_default()[&name].parse().unwrap()
    }
}

async fn queue(sqs: &aws_sdk_sqs::Client, name: &str) -> String {
    sqs.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

async fn fifo_queue(sqs: &aws_sdk_sqs::Client, name: &str) -> String {
    let attributes = [
        (QueueAttributeName::FifoQueue, "true"),
        (QueueAttributeName::ContentBasedDeduplication, "false"),
        (QueueAttributeName::DeduplicationScope, "messageGroup"),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
    ];
    let attributes = attributes.map(|(name, value)| (name, value.to_owned())).into();
    sqs.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap().queue_url.unwrap()
}

async fn arn(sqs: &aws_sdk_sqs::Client, queue: &str) -> String {
    let asked = sqs.get_queue_attributes().queue_url(queue).attribute_names(QueueAttributeName::QueueArn);
    asked.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone()
}

/// A bus that sends every event of OMS to a queue.
async fn make_bus(config: &SdkConfig, name: &str, queue_arn: &str) {
    let client = aws_sdk_eventbridge::Client::new(config);
    client.create_event_bus().name(name).send().await.unwrap();
    let (rule, pattern) = (format!("{name}-all"), json!({"source": ["openfoundry.oms"]}));
    client.put_rule().name(&rule).event_bus_name(name).event_pattern(pattern.to_string()).send().await.unwrap();
    // The event as it is. Without a transformer moto builds eight parsers for each event, a tenth of a second of work.
    let whole = InputTransformer::builder()
        .input_paths_map("source", "$.source")
        .input_template("<aws.events.event.json>")
        .build()
        .unwrap();
    let target = Target::builder().id("queue").arn(queue_arn).input_transformer(whole).build().unwrap();
    client.put_targets().rule(rule).event_bus_name(name).targets(target).send().await.unwrap();
}

async fn make_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key = "entity";
    let attribute =
        AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S).build().unwrap();
    let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap();
    let made = client.create_table().table_name(name).attribute_definitions(attribute).key_schema(schema);
    made.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("expiresAt").build().unwrap();
    client.update_time_to_live().table_name(name).time_to_live_specification(expiry).send().await.unwrap();
}
