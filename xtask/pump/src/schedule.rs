//! The schedule: outbox-publisher sweeps what a lost poke left.

use std::time::Duration;

use anyhow::Result;
use chrono::{SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::invoke::Functions;

/// As in the templates.
const EVERY: Duration = Duration::from_secs(60);

/// Invokes at once and then once a minute. A failed invocation is not repeated: the next minute does the same.
pub(crate) async fn pump(functions: Functions) -> Result<()> {
    let mut minutes = tokio::time::interval(EVERY);
    loop {
        minutes.tick().await;
        let event = json!({
            "version": "0",
            "id": Uuid::new_v4(),
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": "000000000000",
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": "local",
            "resources": ["arn:aws:scheduler:local:000000000000:schedule/default/oms-outbox-publisher"],
            "detail": "{}",
        });
        // Said on stderr.
        let _ = functions.invoke("outbox-publisher", "schedule", &event).await;
    }
}
