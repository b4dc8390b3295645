//! The custom resource of CloudFormation, which waits until somebody answers at a pre-signed URL.
//!
//! Only what an answer needs is read of its events: one that can't be read is not answered, and CloudFormation would wait for
//! it until its own time is over.

use std::{
    fmt,
    time::{Duration, Instant},
};

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

/// There is one such resource, and it is never replaced.
const PHYSICAL_ID: &str = "oms-migration";

/// The most bytes of a reason: an answer may have 4,096.
const MAX_REASON_BYTES: usize = 1_500;

/// How long one attempt to answer may take.
const ATTEMPT: Duration = Duration::from_secs(4);

/// The pause after the first attempt; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What CloudFormation asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CustomResource {
    request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    #[serde(default)]
    resource_properties: Properties,
    #[serde(default)]
    old_resource_properties: Properties,
}

/// What the template says of the resource.
#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    /// The backup that the database was made from; empty, as absent, when from none.
    #[serde(default)]
    database_snapshot: String,
}

/// Whoever has the URL can answer.
impl fmt::Debug for CustomResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomResource({} {} of {})", self.request_type, self.logical_resource_id, self.stack_id)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// The answer did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("CloudFormation can't be answered: {0}")]
pub(crate) struct Unanswered(String);

impl CustomResource {
    /// Whether the stack is deleted, or the resource is: nothing is to be done, the data is not this function's.
    pub(crate) fn is_deleted(&self) -> bool {
        self.request_type == "Delete"
    }

    /// Whether the database is another one since the last deployment, with a past that forked. It is that after the way back
    /// from a failed restore, too.
    pub(crate) fn is_restored(&self) -> bool {
        self.resource_properties != self.old_resource_properties
    }

    /// Says how it ended, until that arrives or the time is over.
    pub(crate) async fn answer(&self, done: Result<(), String>, end: Instant) -> Result<(), Unanswered> {
        let body = self.body(&done).map_err(|error| Unanswered(error.to_string()))?;
        let client = reqwest::Client::builder().connect_timeout(ATTEMPT).timeout(ATTEMPT).user_agent("oms").build();
        let client = client.map_err(|error| Unanswered(error.to_string()))?;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.put(&client, body.clone()).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) if status.is_client_error() => return Err(Unanswered(status.to_string())),
                Ok(status) => status.to_string(),
                // The URL is a secret.
                Err(error) => error.without_url().to_string(),
            };
            if Instant::now() + pause + ATTEMPT > end {
                return Err(Unanswered(failure));
            }
            tracing::warn!(failure, "CloudFormation is not answered yet");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn put(&self, client: &reqwest::Client, body: Vec<u8>) -> reqwest::Result<StatusCode> {
        // The signature is for a request without a content type.
        let answered = client.put(&self.response_url).header(CONTENT_TYPE, "").body(body).send().await?;
        Ok(answered.status())
    }

    fn body(&self, done: &Result<(), String>) -> serde_json::Result<Vec<u8>> {
        let reason = done.as_ref().err().map(|reason| &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)]);
        serde_json::to_vec(&Answer {
            status: if done.is_ok() { "SUCCESS" } else { "FAILED" },
            reason,
            physical_resource_id: self.physical_resource_id.as_deref().unwrap_or(PHYSICAL_ID),
            stack_id: &self.stack_id,
            request_id: &self.request_id,
            logical_resource_id: &self.logical_resource_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn another_snapshot_is_another_database() {
        let restored = |request: &str, new: Value, old: Value| {
            let event = json!({
                "RequestType": request, "ResponseURL": "https://test", "StackId": "s", "RequestId": "r",
                "LogicalResourceId": "Migration", "ResourceProperties": new, "OldResourceProperties": old,
            });
            serde_json::from_value::<CustomResource>(event).unwrap().is_restored()
        };
        let (none, first, second) = (
            json!({"Version": "1", "DatabaseSnapshot": ""}),
            json!({"Version": "2", "DatabaseSnapshot": "arn:first"}),
            json!({"Version": "3", "DatabaseSnapshot": "arn:second"}),
        );
        assert!(restored("Update", first.clone(), none.clone()));
        assert!(restored("Update", second, first.clone()));
        assert!(restored("Update", none.clone(), first.clone()), "the way back");
        assert!(restored("Create", first.clone(), json!({})));
        assert!(!restored("Update", json!({"Version": "9", "DatabaseSnapshot": "arn:first"}), first));
        assert!(!restored("Create", none.clone(), json!({})));
        assert!(!restored("Update", none, json!({"Version": "0"})), "from before there was such a property");
    }

    #[test]
    fn an_answer_is_never_too_long_and_the_url_never_shown() {
        let long = "arn:aws:cloudformation:eu-west-1:123456789012:stack/oms/".to_owned() + &"s".repeat(256);
        let event = json!({
            "RequestType": "Create", "ResponseURL": "https://secret.test/?signature", "StackId": long,
            "RequestId": "2f3a", "LogicalResourceId": "Migration", "ResourceProperties": {"Version": "1"},
        });
        let resource: CustomResource = serde_json::from_value(event).unwrap();
        assert!(!format!("{resource:?}").contains("secret"));
        // As JSON each of these has more bytes.
        for reason in ["\"\n".repeat(5_000), "한".repeat(5_000)] {
            let body = resource.body(&Err(reason)).unwrap();
            assert!(body.len() <= 4_096, "{}", body.len());
            let answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("FAILED"), &json!(PHYSICAL_ID)));
            assert!(answer["Reason"].as_str().unwrap().len() > 1_000);
        }
    }
}
