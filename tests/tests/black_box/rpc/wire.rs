//! Calls as their bytes: the same JSON message in each of the three protocols, and bytes that no client would send.

use std::{collections::BTreeMap, time::Duration};

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http_body_util::BodyExt;
use oms_proto::error_details::{BadRequest, ErrorInfo, RetryInfo};
use oms_tests::Token;
use prost::Message;
use serde_json::{Value, json};
use tonic::{
    Code,
    codegen::http::{HeaderMap, HeaderName, HeaderValue, Response},
};

/// What a call is sent over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2 with trailers.
    Grpc,
    /// HTTP/1.1, the trailers within the body.
    GrpcWeb,
    /// HTTP/1.1, one message as it is.
    Connect,
}

pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::GrpcWeb, Protocol::Connect];

impl Protocol {
    /// The media type of requests with JSON messages.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc+json",
            Self::GrpcWeb => "application/grpc-web+json",
            Self::Connect => "application/json",
        }
    }
}

/// A client of one address, with headers that every call has.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    base: String,
    http: reqwest::Client,
    /// Unlike tonic's it leaves deadlines to the service.
    http2: reqwest::Client,
    headers: HeaderMap,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    trailers: HeaderMap,
}

/// A failed call.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    /// `google.rpc.ErrorInfo`
    pub(super) info: Option<ErrorInfo>,
    /// `google.rpc.BadRequest`: reasons by fields; and what is said of them.
    pub(super) faults: Vec<(String, String)>,
    pub(super) descriptions: Vec<String>,
    /// `google.rpc.RetryInfo`
    pub(super) retry: Option<Duration>,
    /// The status of the HTTP answer.
    pub(super) http: u16,
    pub(super) headers: HeaderMap,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Wire {
    /// Without a token.
    pub(super) fn new(base: &str) -> Self {
        let client = || reqwest::Client::builder().timeout(Duration::from_secs(60));
        Self {
            base: base.to_owned(),
            http: client().http1_only().build().unwrap(),
            http2: client().http2_prior_knowledge().build().unwrap(),
            headers: HeaderMap::new(),
        }
    }

    /// With this role in the tenant `default`.
    pub(super) fn of(base: &str, role: &str) -> Self {
        Self::new(base).token(&Token::of(role).sign())
    }

    pub(super) fn token(&self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With this header in place of another one of its name.
    pub(super) fn header(&self, name: &str, value: &str) -> Self {
        let mut wire = self.clone();
        wire.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        wire
    }

    /// A unary call with a message as JSON; gives the message of the answer.
    pub(super) async fn call(&self, protocol: Protocol, path: &str, message: &Value) -> Result<Value, Box<Failure>> {
        let text = message.to_string().into_bytes();
        let body = if protocol == Protocol::Connect { text } else { frame(0, &text) };
        let answer = self.post(protocol, path, protocol.media_type(), body).await;
        answer.outcome(protocol).map(|messages| {
            let [message] = messages.as_slice() else { panic!("{} messages", messages.len()) };
            serde_json::from_slice(message).unwrap()
        })
    }

    /// A call of a method that streams: all messages until it ends or fails.
    pub(super) async fn stream(
        &self,
        protocol: Protocol,
        path: &str,
        message: &Value,
    ) -> Result<Vec<Value>, Box<Failure>> {
        let media_type = if protocol == Protocol::Connect { "application/connect+json" } else { protocol.media_type() };
        let answer = self.post(protocol, path, media_type, frame(0, message.to_string().as_bytes())).await;
        let messages = if protocol == Protocol::Connect { answer.connect_stream() } else { answer.outcome(protocol) };
        messages.map(|messages| messages.iter().map(|message| serde_json::from_slice(message).unwrap()).collect())
    }

    /// Posts these bytes over the transport of the protocol.
    pub(super) async fn post(
        &self,
        protocol: Protocol,
        path: &str,
        media_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let wire = if media_type.is_empty() { self.clone() } else { self.header("content-type", media_type) };
        let (url, body) = (format!("{}{path}", self.base), body.into());
        let call = if protocol == Protocol::Grpc {
            wire.http2.post(url).header("te", "trailers")
        } else {
            wire.http.post(url)
        };
        let sent = call.headers(wire.headers).body(body).send().await;
        Answer::of(sent.expect("the service answers")).await
    }

    /// GET over HTTP/1.1.
    pub(super) async fn get(&self, path: &str) -> Answer {
        let sent = self.http.get(format!("{}{path}", self.base)).headers(self.headers.clone()).send().await;
        Answer::of(sent.expect("the service answers")).await
    }

    /// Another method of HTTP/1.1.
    pub(super) async fn request(&self, method: &str, path: &str) -> Answer {
        let method = method.parse().unwrap();
        let sent = self.http.request(method, format!("{}{path}", self.base)).headers(self.headers.clone());
        Answer::of(sent.send().await.expect("the service answers")).await
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (parts, body) = Response::from(response).into_parts();
        let body = body.collect().await.expect("the answer is complete");
        let trailers = body.trailers().cloned().unwrap_or_default();
        Self { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers }
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The messages, or how it failed, in whatever form it came.
    pub(super) fn understood(&self) -> Result<Vec<Bytes>, Box<Failure>> {
        let media = self.header("content-type").unwrap_or_else(|| panic!("no content type: {self:?}"));
        match media {
            web if web.starts_with("application/grpc-web") => self.outcome(Protocol::GrpcWeb),
            grpc if grpc.starts_with("application/grpc") => self.outcome(Protocol::Grpc),
            stream if stream.starts_with("application/connect+") => self.connect_stream(),
            _ => self.outcome(Protocol::Connect),
        }
    }

    /// The messages, or how it failed.
    pub(super) fn outcome(&self, protocol: Protocol) -> Result<Vec<Bytes>, Box<Failure>> {
        match protocol {
            Protocol::Grpc => {
                assert_eq!(self.status, 200, "{self:?}");
                let trailers = if self.trailers.is_empty() { &self.headers } else { &self.trailers };
                self.ended(trailers, frames(&self.body))
            }
            Protocol::GrpcWeb => {
                assert_eq!(self.status, 200, "{self:?}");
                let mut frames = frames(&self.body);
                let (flags, trailers) = frames.pop().unwrap_or_else(|| panic!("no trailers: {self:?}"));
                assert_eq!(flags, 0x80, "the last frame has the trailers: {self:?}");
                self.ended(&parse_trailers(&trailers), frames)
            }
            Protocol::Connect if self.status == 200 => Ok(vec![self.body.clone()]),
            Protocol::Connect => {
                assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
                Err(self.connect_failure(&serde_json::from_slice(&self.body).unwrap()))
            }
        }
    }

    /// The messages of a stream of Connect, or how it failed.
    fn connect_stream(&self) -> Result<Vec<Bytes>, Box<Failure>> {
        assert_eq!(self.status, 200, "{self:?}");
        let mut frames = frames(&self.body);
        let (flags, end) = frames.pop().unwrap_or_else(|| panic!("no end: {self:?}"));
        assert_eq!(flags, 2, "the last frame ends the stream: {self:?}");
        let end: Value = serde_json::from_slice(&end).unwrap();
        match end.get("error") {
            Some(error) => Err(self.connect_failure(error)),
            None => Ok(frames.into_iter().map(|(_, message)| message).collect()),
        }
    }

    fn ended(&self, trailers: &HeaderMap, frames: Vec<(u8, Bytes)>) -> Result<Vec<Bytes>, Box<Failure>> {
        let status = tonic::Status::from_header_map(trailers).unwrap_or_else(|| panic!("no grpc-status: {self:?}"));
        if status.code() == Code::Ok {
            assert!(frames.iter().all(|(flags, _)| *flags == 0), "{self:?}");
            return Ok(frames.into_iter().map(|(_, message)| message).collect());
        }
        Err(Box::new(Failure { http: self.status, headers: self.headers.clone(), ..Failure::of(&status) }))
    }

    fn connect_failure(&self, error: &Value) -> Box<Failure> {
        let details = error["details"].as_array().cloned().unwrap_or_default().into_iter().map(|detail| {
            let value = STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
            prost_types::Any { type_url: detail["type"].as_str().unwrap().to_owned(), value }
        });
        let (code, message) = (connect_code(error["code"].as_str().unwrap()), error["message"].as_str());
        let failure = Failure::new(code, message.unwrap_or_default(), details.collect());
        Box::new(Failure { http: self.status, headers: self.headers.clone(), ..failure })
    }
}

impl Failure {
    /// What a client of gRPC has of it.
    pub(super) fn of(status: &tonic::Status) -> Self {
        let whole = RpcStatus::decode(status.details()).unwrap();
        assert!(whole.code == 0 || whole.code == i32::from(status.code()), "{status:?}");
        Self::new(status.code(), status.message(), whole.details)
    }

    fn new(code: Code, message: &str, details: Vec<prost_types::Any>) -> Self {
        let details: BTreeMap<String, Vec<u8>> = details
            .into_iter()
            .map(|detail| (detail.type_url.trim_start_matches("type.googleapis.com/").to_owned(), detail.value))
            .collect();
        let detail = |name: &str| details.get(&format!("google.rpc.{name}")).map(Vec::as_slice);
        let faults = detail("BadRequest").map(|bytes| BadRequest::decode(bytes).unwrap().field_violations);
        let faults = faults.unwrap_or_default();
        let retry = detail("RetryInfo").map(|bytes| RetryInfo::decode(bytes).unwrap().retry_delay.unwrap());
        Self {
            code,
            message: message.to_owned(),
            info: detail("ErrorInfo").map(|bytes| ErrorInfo::decode(bytes).unwrap()),
            faults: faults.iter().map(|fault| (fault.field.clone(), fault.reason.clone())).collect(),
            descriptions: faults.into_iter().map(|fault| fault.description).collect(),
            retry: retry.map(|delay| delay.try_into().unwrap()),
            http: 200,
            headers: HeaderMap::new(),
        }
    }

    /// The public code.
    #[track_caller]
    pub(super) fn reason(&self) -> &str {
        let info = self.info.as_ref().unwrap_or_else(|| panic!("no ErrorInfo: {self:?}"));
        assert_eq!(info.domain, "openfoundry.oms");
        &info.reason
    }

    #[track_caller]
    pub(super) fn correlation_id(&self) -> &str {
        &self.info.as_ref().unwrap_or_else(|| panic!("no ErrorInfo: {self:?}")).metadata["correlationId"]
    }

    /// The fields that are wrong, in their order.
    pub(super) fn fields(&self) -> Vec<&str> {
        self.faults.iter().map(|(field, _)| field.as_str()).collect()
    }

    /// All that is said to people.
    pub(super) fn words(&self) -> String {
        json!([self.message, self.descriptions]).to_string()
    }
}

/// A message as it is framed in gRPC, and in streams of Connect.
pub(super) fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags], length.as_slice(), message].concat()
}

/// The frames of a body, each with its flags.
fn frames(body: &Bytes) -> Vec<(u8, Bytes)> {
    let mut rest = body.clone();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        assert!(rest.len() >= 5, "half a frame: {body:?}");
        let head = rest.split_to(5);
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        assert!(rest.len() >= length, "half a frame: {body:?}");
        frames.push((head[0], rest.split_to(length)));
    }
    frames
}

fn parse_trailers(text: &[u8]) -> HeaderMap {
    let lines = std::str::from_utf8(text).unwrap().lines().filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a trailer: {line:?}"));
        (name.trim().parse::<HeaderName>().unwrap(), value.trim().parse::<HeaderValue>().unwrap())
    };
    lines.map(pair).collect()
}

fn connect_code(name: &str) -> Code {
    let codes = (1..=16).map(Code::from_i32);
    let mut found = codes.filter(|code| {
        let words = format!("{code:?}");
        let snake = words.char_indices().fold(String::new(), |mut text, (at, c)| {
            if at > 0 && c.is_uppercase() {
                text.push('_');
            }
            text.push(c.to_ascii_lowercase());
            text
        });
        snake.replace("cancelled", "canceled") == name
    });
    found.next().unwrap_or_else(|| panic!("no code is named {name:?}"))
}
