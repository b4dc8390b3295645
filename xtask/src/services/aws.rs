//! What programs have to know to reach the AWS of development.

use serde::{Deserialize, Serialize};

/// The only region there is.
const REGION: &str = "us-east-1";

/// The AWS resources of OMS in moto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwsResources {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// The EventBridge bus; its rule sends every event of OMS to the target queue.
    pub bus: String,
    /// The DynamoDB table of the relay's marks.
    pub table: String,
    /// The SQS queue that stands for a subscriber of the bus.
    pub target_queue_url: String,
    /// The SQS queue of the relay's dead letters.
    pub dlq_url: String,
    /// The SQS FIFO queue that the relay feeds.
    pub fifo_url: String,
    /// The SQS queue of pokes for the publisher.
    pub poke_queue_url: String,
}

impl AwsResources {
    /// The environment of a program that uses them.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = client_environment(&self.endpoint);
        variables.extend([
            ("EVENT_BUS_NAME", self.bus.clone()),
            ("RELAY_TABLE_NAME", self.table.clone()),
            ("RELAY_DLQ_URL", self.dlq_url.clone()),
            ("RELAY_FIFO_URL", self.fifo_url.clone()),
            ("POKE_QUEUE_URL", self.poke_queue_url.clone()),
        ]);
        variables
    }
}

/// The environment of any AWS client of this endpoint.
pub(super) fn client_environment(endpoint: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        // The older name, which Python's client reads.
        ("AWS_DEFAULT_REGION", REGION),
        // moto takes any.
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        // Otherwise the clients would ask for credentials of a virtual machine, and wait.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}
