//! The Kafka that development does with when there is no other: librdkafka's mock cluster, inside the process.

use oms_kafka::KafkaConfig;
use rdkafka::{error::KafkaResult, mocking::MockCluster, producer::DefaultProducerContext};

/// Partitions of the topic of events.
const PARTITIONS: i32 = 6;

/// A mock cluster; it ends with its value, and what it held is gone. Other processes may connect to it.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockKafka {
    /// Starts it, with the topics of these settings, whose brokers it becomes.
    pub fn start(config: &mut KafkaConfig) -> KafkaResult<Self> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(&config.topic, PARTITIONS, 1)?;
        cluster.create_topic(&config.dlq_topic, 1, 1)?;
        config.brokers = Some(cluster.bootstrap_servers());
        Ok(Self { cluster })
    }

    /// Where it listens.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
