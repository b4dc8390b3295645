//! A client of the service, and what it is answered.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::event_stream::EventStream;

/// A client with one token, or none.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Calls the service at `http://host:port` without a token.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, base: base.to_owned(), token: None }
    }

    /// The same client with another token.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    /// `http://host:port`
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A call. A path that starts with `/` is of the host, any other one is below `/api/v1/`; an address is taken as it is.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let url = match path {
            absolute if absolute.starts_with("http://") => absolute.to_owned(),
            rooted if rooted.starts_with('/') => format!("{}{rooted}", self.base),
            relative => format!("{}/api/v1/{relative}", self.base),
        };
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request }
    }

    /// GET
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// POST
    pub fn post(&self, path: &str, body: &Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// PATCH of a version.
    pub fn patch(&self, path: &str, version: i64, body: &Value) -> Call {
        self.call(Method::PATCH, path).if_match(version).json(body)
    }

    /// DELETE of a version.
    pub fn delete(&self, path: &str, version: i64) -> Call {
        self.call(Method::DELETE, path).if_match(version)
    }

    /// Every item of a list, page after page by `nextCursor`.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}limit=200{cursor}")).v2().expect(200).await;
            items.extend(page["data"].as_array().unwrap().clone());
            match page["page"]["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}

/// A request to be sent.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    request: reqwest::RequestBuilder,
}

impl Call {
    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        Self { request: self.request.json(body) }
    }

    /// With these bytes as `application/json`.
    pub fn bytes(self, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.header("content-type", "application/json").body(body) }
    }

    /// With a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self { request: self.request.header(name, value) }
    }

    /// With `If-Match`.
    pub fn if_match(self, version: i64) -> Self {
        self.header("if-match", &format!("\"{version}\""))
    }

    /// With the full shape of object types.
    pub fn v2(self) -> Self {
        self.header("x-api-version", "v2")
    }

    /// With an idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// The same call once more.
    pub fn again(&self) -> Self {
        Self { request: self.request.try_clone().expect("the body is at hand") }
    }

    /// Sends it.
    pub async fn send(self) -> Answer {
        let response = self.request.send().await.expect("the service answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("the answer is complete") }
    }

    /// Sends it and reads the answer as Server-Sent Events.
    pub async fn stream(self) -> EventStream {
        let request = self.request.header("accept", "text/event-stream");
        EventStream::over(request.send().await.expect("the service answers"))
    }

    /// Sends it and gives the JSON of the answer, which has to have this status.
    pub async fn expect(self, status: u16) -> Value {
        self.send().await.expect(status)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The JSON of the body; null when there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.text.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The JSON of the body of an answer that has to have this status.
    #[must_use]
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

/// Sends bytes as they are, for what a proper client would never send; gives status and body. The request has to say
/// `Connection: close`.
pub async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The service may answer, and close, before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.unwrap_or_else(|| panic!("no status: {answer:?}")), body.unwrap_or_default())
}
