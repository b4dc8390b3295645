//! Dead letters: what can never pass waits in an SQS queue with its reason, until somebody has mended it and puts it
//! back.

use aws_sdk_sqs::Client;
use oms_events::DeadRecord;

use crate::{
    config::SQS_MAX_BYTES,
    gate::{CallError, Gate, side_by_side},
};

/// The queue of dead letters, for one batch.
pub(crate) struct DeadLetters<'a> {
    pub(crate) client: &'a Client,
    pub(crate) url: &'a str,
    pub(crate) gate: Gate<'a>,
}

impl DeadLetters<'_> {
    /// Sends runs of letters, and says of each run how many of its first letters are safe. A run stops at the first
    /// that isn't: what comes after it comes back with it, and would be two letters.
    pub(crate) async fn send(&self, runs: Vec<Vec<DeadRecord<'_>>>) -> Vec<usize> {
        side_by_side(runs.into_iter().map(|run| self.send_run(run)).collect()).await
    }

    async fn send_run(&self, run: Vec<DeadRecord<'_>>) -> usize {
        for (index, record) in run.iter().enumerate() {
            if !self.send_one(record).await {
                return index;
            }
        }
        run.len()
    }

    async fn send_one(&self, record: &DeadRecord<'_>) -> bool {
        let DeadRecord { topic, partition, offset, reason, .. } = record;
        let message = match record.to_message(SQS_MAX_BYTES) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(topic, partition, offset, reason, %error, "a dead letter can't be written");
                return false;
            }
        };
        match self.gate.call(self.client.send_message().queue_url(self.url).message_body(message).send()).await {
            Ok(_) => {
                tracing::error!(topic, partition, offset, reason, "a record can never pass: it is a dead letter now");
                true
            }
            Err(CallError::Refused(error)) => {
                tracing::error!(topic, partition, offset, reason, error, "a dead letter is refused");
                false
            }
            Err(CallError::Failed) => false,
        }
    }
}
