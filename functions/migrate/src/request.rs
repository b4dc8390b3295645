//! What the function is asked for.

use serde_json::Value;

use crate::{custom_resource::CustomResource, work::Action};

/// What the function is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// By CloudFormation, which waits for an answer elsewhere.
    CustomResource(CustomResource),
    /// By somebody who reads what the invocation answers.
    ByHand(Action),
}

/// The event is nothing that the function knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(
        r#"expected {{"action": "migrate"}} or {{"action": "begin-epoch"}}, or a custom resource of CloudFormation"#
    )]
    Action,
    #[error("a custom resource that can't be answered: {0}")]
    CustomResource(serde_json::Error),
}

impl Request {
    pub(crate) fn read(event: Value) -> Result<Self, Unknown> {
        if event.get("RequestType").is_some() {
            return serde_json::from_value(event).map(Self::CustomResource).map_err(Unknown::CustomResource);
        }
        match event.get("action").and_then(Value::as_str) {
            Some("migrate") => Ok(Self::ByHand(Action::Migrate { restored: false })),
            Some("begin-epoch") => Ok(Self::ByHand(Action::BeginEpoch)),
            _ => Err(Unknown::Action),
        }
    }
}
