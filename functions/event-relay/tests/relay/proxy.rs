//! A proxy before moto that spoils chosen calls: AWS throttles and breaks off, and moto never does.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// A call as the relay made it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `PutEvents`, `UpdateItem`, ...
    pub(crate) operation: String,
    pub(crate) body: Value,
}

impl Call {
    /// The entries of `PutEvents` or `SendMessageBatch`.
    pub(crate) fn entries(&self) -> &[Value] {
        self.body["Entries"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether a text stands anywhere in it.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.body.to_string().contains(text)
    }
}

/// What happens to a call.
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It doesn't get to AWS, which answers with this status and code.
    Refused(u16, &'static str),
    /// It doesn't get to AWS, which answers with this.
    Answered(Value),
    /// The entries that mention the text fail with this code, the others get to AWS.
    Entries(String, &'static str),
}

type Rule = Box<dyn FnMut(&Call) -> Fault + Send>;

struct Shared {
    moto: String,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
    client: reqwest::Client,
}

pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) async fn start(moto: String) -> Self {
        let shared = Arc::new(Shared {
            moto,
            rule: Mutex::new(Box::new(|_| Fault::None)),
            calls: Mutex::default(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, shared }
    }

    /// From now on calls fare as the rule says.
    pub(crate) fn rule(&self, rule: impl FnMut(&Call) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// From now on all calls pass.
    pub(crate) fn heal(&self) {
        self.rule(|_| Fault::None);
    }

    /// The calls of an operation so far, those that failed too.
    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.operation == operation).cloned().collect()
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers["x-amz-target"].to_str().unwrap();
    let call = Call {
        operation: target.rsplit('.').next().unwrap().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap(),
    };
    let fault = (shared.rule.lock().unwrap())(&call);
    shared.calls.lock().unwrap().push(call.clone());
    match fault {
        Fault::None => forward(&shared, &parts.headers, bytes).await,
        Fault::Refused(status, code) => {
            let body = json!({ "__type": code, "message": "spoiled by the proxy" }).to_string();
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Fault::Answered(answer) => answer.to_string().into_response(),
        Fault::Entries(text, code) => fail_entries(&shared, &parts.headers, call, &text, code).await,
    }
}

async fn forward(shared: &Shared, headers: &HeaderMap, body: Bytes) -> Response {
    let mut request = shared.client.post(&shared.moto).body(body);
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date", "x-amzn-query-mode"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, content_type) = (answer.status(), answer.headers().get(CONTENT_TYPE).cloned());
    let body = answer.bytes().await.unwrap();
    let mut response = (status, body).into_response();
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

async fn fail_entries(shared: &Shared, headers: &HeaderMap, mut call: Call, text: &str, code: &str) -> Response {
    let (bad, good): (Vec<Value>, Vec<Value>) =
        call.entries().iter().cloned().partition(|entry| entry.to_string().contains(text));
    let order: Vec<bool> = call.entries().iter().map(|entry| entry.to_string().contains(text)).collect();
    let mut answer = json!({ "Entries": [], "Successful": [], "Failed": [] });
    if !good.is_empty() {
        call.body["Entries"] = good.into();
        let response = forward(shared, headers, call.body.to_string().into()).await;
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        answer = serde_json::from_slice(&bytes).unwrap();
    }
    if call.operation == "PutEvents" {
        let mut accepted = answer["Entries"].as_array().unwrap().clone().into_iter();
        let failed = json!({ "ErrorCode": code, "ErrorMessage": "spoiled by the proxy" });
        let entries: Vec<Value> =
            order.iter().map(|&bad| if bad { failed.clone() } else { accepted.next().unwrap() }).collect();
        let failures = bad.len();
        return json!({ "Entries": entries, "FailedEntryCount": failures }).to_string().into_response();
    }
    answer["Failed"] =
        bad.iter().map(|entry| json!({ "Id": entry["Id"], "Code": code, "SenderFault": false })).collect();
    answer.to_string().into_response()
}
