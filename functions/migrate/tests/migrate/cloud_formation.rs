//! Where CloudFormation waits for answers.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::put,
};
use serde_json::{Value, json};

/// What it was told, and what it says to that.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudFormation(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    answers: Mutex<Vec<Value>>,
    /// What the next requests are refused with.
    refusals: Mutex<Vec<StatusCode>>,
    url: Mutex<String>,
}

impl CloudFormation {
    pub(crate) async fn start() -> Self {
        let cloud_formation = Self::default();
        let router = Router::new().route("/{*object}", put(receive)).with_state(cloud_formation.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *cloud_formation.0.url.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        cloud_formation
    }

    /// The next requests are refused with these.
    pub(crate) fn refuse(&self, statuses: &[StatusCode]) {
        self.0.refusals.lock().unwrap().extend(statuses);
    }

    /// An event of a custom resource.
    pub(crate) fn event(&self, request: &str) -> Value {
        let url = self.0.url.lock().unwrap().clone();
        let mut event = json!({
            "RequestType": request,
            "ResponseURL": format!("{url}/arn%3Aaws%3Acloudformation?X-Amz-Signature=1f2e"),
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/oms-dev/1",
            "RequestId": format!("request-{request}"),
            "ResourceType": "Custom::OmsMigration",
            "LogicalResourceId": "Migration",
            "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:migrate:live",
            "ResourceProperties": {"Version": "2"},
        });
        if request != "Create" {
            event["PhysicalResourceId"] = "oms-migration".into();
        }
        if request == "Update" {
            event["OldResourceProperties"] = json!({"Version": "1"});
        }
        event
    }

    /// The answer since the last look: exactly one.
    pub(crate) fn answer(&self) -> Value {
        let mut answers = std::mem::take(&mut *self.0.answers.lock().unwrap());
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }
}

/// The answer that all goes well.
pub(crate) fn success(request: &str) -> Value {
    json!({
        "Status": "SUCCESS",
        "PhysicalResourceId": "oms-migration",
        "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/oms-dev/1",
        "RequestId": format!("request-{request}"),
        "LogicalResourceId": "Migration",
    })
}

async fn receive(State(cloud_formation): State<CloudFormation>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let refusal = cloud_formation.0.refusals.lock().unwrap().pop();
    if let Some(status) = refusal {
        return status;
    }
    // As S3: the signature is for a request without one.
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| !kind.is_empty()) || body.len() > 4_096 {
        return StatusCode::FORBIDDEN;
    }
    cloud_formation.0.answers.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    StatusCode::OK
}
