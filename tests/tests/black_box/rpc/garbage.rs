//! Bytes that no client would send: they are refused in words that a client understands, and the service goes on.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use oms_tests::{App, Token, raw, samples};
use proptest::prelude::*;
use serde_json::json;
use tonic::Code;

use super::{
    LINKS, OBJECTS, path, values,
    wire::{Answer, PROTOCOLS, Protocol, Wire, frame},
};

const LIMIT: usize = 200_000;

async fn app() -> App {
    let app = App::with(|settings| settings.set("MAX_BODY_BYTES", LIMIT).set("EVENT_STREAM_SECONDS", 0)).await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    app
}

/// Fails unless the answer is one of a healthy service to a confused client.
fn check(what: &str, answer: &Answer) {
    let Err(failure) = answer.understood() else { return };
    let codes = [Code::InvalidArgument, Code::Unimplemented, Code::ResourceExhausted, Code::NotFound];
    assert!(codes.contains(&failure.code), "{what}: {failure:?}");
    assert_ne!(failure.reason(), "INTERNAL_ERROR", "{what}");
    assert!(failure.message.len() < 2_000, "{what}: {failure:?}");
}

/// Fails unless good calls are still answered.
async fn still_serves(wire: &Wire) {
    for protocol in PROTOCOLS {
        let order = wire.call(protocol, &path(OBJECTS, "GetObjectType"), &json!({"name": "order"})).await.unwrap();
        assert_eq!(order["name"], "Order");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn whatever_bytes_come_the_answer_can_be_understood() {
    let app = app().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    // Random bytes seldom get beyond the first one: most come in a frame, and many are almost a message.
    let almost = "\\{\"?(name|id|pageSize|instance|anyTags|version)\"?:(\"[a-z]{0,3}\"|-?[0-9]{1,12}|\\{\\}|\\[1\\]|null|NaN)[\\},]{0,2}";
    let message = prop_oneof![
        bytes(),
        almost.prop_map(String::into_bytes),
        (prop_oneof![Just(0x0a_u8), Just(0x12), Just(0x22), Just(0x2a), any::<u8>()], bytes()).prop_map(
            |(tag, rest)| {
                let length = u8::try_from(rest.len().min(100)).unwrap();
                [&[tag, length], rest.as_slice()].concat()
            }
        ),
    ];
    let body = (message, 0..4_u8).prop_flat_map(|(message, kind)| match kind {
        0 => Just(message).boxed(),
        1 => any::<u8>().prop_map(move |flags| frame(flags, &message)).boxed(),
        2 => any::<u32>().prop_map(move |n| [&[0], n.to_be_bytes().as_slice(), message.as_slice()].concat()).boxed(),
        _ => Just(frame(0, &message)).boxed(),
    });
    let procedure = prop_oneof![
        Just(path(OBJECTS, "GetObjectType")),
        Just(path(OBJECTS, "ListObjectTypes")),
        Just(path(OBJECTS, "ValidateObjectInstance")),
        Just(path(OBJECTS, "WatchObjectTypes")),
        Just(path(LINKS, "ValidateLinkInstances")),
        Just(path("grpc.health.v1.Health", "Check")),
    ];
    let media = "application/(grpc|grpc-web|connect|grpc-web-text)?(\\+(proto|json|thrift))?|application/(json|proto)|text/plain|";
    let encoding = "(gzip|br|identity|)";
    for (procedure, media, encoding, body) in values((procedure, media, encoding, body), 1_500) {
        let protocol = match media.as_str() {
            web if web.starts_with("application/grpc-web") => Protocol::GrpcWeb,
            grpc if grpc.starts_with("application/grpc") => Protocol::Grpc,
            _ => Protocol::Connect,
        };
        let header = ["grpc-encoding", "content-encoding"][usize::from(protocol == Protocol::Connect)];
        let wire = if encoding.is_empty() { viewer.clone() } else { viewer.header(header, &encoding) };
        let what = format!("{procedure} {media:?} {encoding:?} {body:?}");
        let answer = wire.post(protocol, &procedure, &media, body).await;
        if procedure.starts_with("/grpc.health") && answer.status != 200 {
            continue;
        }
        check(&what, &answer);
    }
    still_serves(&viewer).await;
}

#[tokio::test]
async fn frames_that_are_no_frames_are_named() {
    let app = app().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let get = path(OBJECTS, "GetObjectType");
    let good = frame(0, br#"{"name": "Order"}"#);
    let (invalid, unimplemented, exhausted) = (Code::InvalidArgument, Code::Unimplemented, Code::ResourceExhausted);
    let cases = [
        ("nothing", Vec::new(), None, unimplemented, "UNSUPPORTED_MEDIA_TYPE"),
        ("half a head", vec![0, 0], None, invalid, "INVALID_REQUEST"),
        ("half a message", good[..good.len() - 3].to_vec(), None, invalid, "INVALID_REQUEST"),
        (
            "4 GiB to come",
            frame(0, b"").iter().copied().take(1).chain([255; 4]).collect(),
            None,
            exhausted,
            "BODY_TOO_LARGE",
        ),
        ("two messages", [good.clone(), good.clone()].concat(), None, unimplemented, "UNSUPPORTED_MEDIA_TYPE"),
        ("compressed with nothing", frame(1, b"{}"), None, invalid, "INVALID_REQUEST"),
        ("compressed badly", frame(1, b"not gzip"), Some("gzip"), invalid, "INVALID_REQUEST"),
        ("an unknown compression", frame(1, b"{}"), Some("br"), unimplemented, "UNSUPPORTED_MEDIA_TYPE"),
        ("no JSON", frame(0, b"{\"name\": "), None, invalid, "INVALID_REQUEST"),
        ("a number for a text", frame(0, br#"{"name": 7}"#), None, invalid, "INVALID_REQUEST"),
        ("two of a oneof", frame(0, br#"{"name": "Order", "id": "x"}"#), None, invalid, "INVALID_REQUEST"),
    ];
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb] {
        for (what, body, encoding, code, reason) in &cases {
            let wire = encoding.map_or(viewer.clone(), |encoding| viewer.header("grpc-encoding", encoding));
            let answer = wire.post(protocol, &get, protocol.media_type(), body.clone()).await;
            let failure = answer.outcome(protocol).expect_err(what);
            assert_eq!((failure.code, failure.reason()), (*code, *reason), "{what} over {protocol:?}: {failure:?}");
        }
    }
    still_serves(&viewer).await;
}

#[tokio::test]
async fn requests_of_connect_that_are_none_are_named() {
    let app = app().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let get = path(OBJECTS, "GetObjectType");
    let good = br#"{"name": "Order"}"#.to_vec();
    let json = "application/json";
    for (what, media, header, body, status, code, reason) in [
        ("no JSON", json, None, b"{".to_vec(), 400, Code::InvalidArgument, "INVALID_REQUEST"),
        ("nothing", json, None, Vec::new(), 400, Code::InvalidArgument, "INVALID_REQUEST"),
        ("a list", json, None, b"[]".to_vec(), 400, Code::InvalidArgument, "INVALID_REQUEST"),
        ("no UTF-8", json, None, b"{\"name\": \"\xff\"}".to_vec(), 400, Code::InvalidArgument, "INVALID_REQUEST"),
        ("JSON as proto", "application/proto", None, good.clone(), 400, Code::InvalidArgument, "INVALID_REQUEST"),
        ("text", "text/plain", None, good.clone(), 415, Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "another version",
            json,
            Some(("connect-protocol-version", "9")),
            good.clone(),
            400,
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "an unknown compression",
            json,
            Some(("content-encoding", "br")),
            good.clone(),
            501,
            Code::Unimplemented,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            "no gzip",
            json,
            Some(("content-encoding", "gzip")),
            good.clone(),
            400,
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
    ] {
        let wire = header.map_or(viewer.clone(), |(name, value)| viewer.header(name, value));
        let answer = wire.post(Protocol::Connect, &get, media, body).await;
        let failure = answer.outcome(Protocol::Connect).expect_err(what);
        let found = (failure.http, failure.code, failure.reason());
        assert_eq!(found, (status, code, reason), "{what}: {failure:?}");
    }
    let streamed = viewer.post(Protocol::Connect, &get, "application/connect+json", frame(0, &good)).await;
    assert_eq!(streamed.understood().unwrap_err().code, Code::InvalidArgument, "a unary method does not stream");

    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        let answer = viewer.request(method, &get).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, POST")), "{method}");
    }
    still_serves(&viewer).await;
}

#[tokio::test]
async fn a_small_body_that_becomes_large_is_stopped() {
    let app = app().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let validate = path(OBJECTS, "ValidateObjectInstance");
    let bomb = gzip(&vec![b' '; 150_000_000]);
    assert!(bomb.len() < LIMIT, "{} bytes", bomb.len());
    for protocol in PROTOCOLS {
        let started = Instant::now();
        let (header, body) = match protocol {
            Protocol::Connect => ("content-encoding", bomb.clone()),
            _ => ("grpc-encoding", frame(1, &bomb)),
        };
        let wire = viewer.header(header, "gzip");
        let answer = wire.post(protocol, &validate, protocol.media_type(), body).await;
        let failure = answer.outcome(protocol).unwrap_err();
        assert_eq!((failure.code, failure.reason()), (Code::ResourceExhausted, "BODY_TOO_LARGE"), "{failure:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    still_serves(&viewer).await;
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    [bytes.as_slice(), &[u8::try_from(number).unwrap()]].concat()
}

/// A `google.protobuf.Struct` of lists within lists, as bytes of protobuf.
fn nested_struct(depth: usize) -> Vec<u8> {
    let delimited = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2], varint(bytes.len()).as_slice(), bytes].concat();
    // Value.bool_value; then Value.list_value { values }, again and again.
    let value = (0..depth).fold(vec![0x20, 1], |inner, _| delimited(6, &delimited(1, &inner)));
    delimited(1, &[delimited(1, b"k"), delimited(2, &value)].concat())
}

#[tokio::test]
async fn what_is_nested_without_end_is_refused() {
    let app = app().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let validate = path(OBJECTS, "ValidateObjectInstance");
    for (depth, taken) in [(30, true), (1_000, false), (10_000, false)] {
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let as_text = json!({"objectTypeName": "Order", "instanceJson": format!("{{\"k\":{lists}}}")}).to_string();
        let as_json = format!(r#"{{"objectTypeName": "Order", "instance": {{"k":{lists}}}}}"#);
        let given = nested_struct(depth);
        let as_proto = [b"\x12\x05Order\x22".as_slice(), &varint(given.len()), &given].concat();
        for (what, media, body) in [
            ("text", "application/json", as_text.into_bytes()),
            ("JSON", "application/json", as_json.into_bytes()),
            ("protobuf", "application/proto", as_proto),
        ] {
            let answer = viewer.post(Protocol::Connect, &validate, media, body).await;
            check(&format!("{depth} levels as {what}"), &answer);
            assert_eq!(answer.status, if taken { 200 } else { 400 }, "{depth} levels as {what}: {answer:?}");
        }
    }
    still_serves(&viewer).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_hurts_nobody() {
    let app = app().await;
    let address = app.grpc().trim_start_matches("http://").parse().unwrap();
    for (media, body) in [("application/json", "{"), ("application/grpc-web+json", "\0\0\0\0\x05{")] {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: {media}\r\n\
            Transfer-Encoding: chunked\r\n\r\n6\r\n{body}\r\n",
            path(OBJECTS, "GetObjectType"),
            Token::of("viewer").sign(),
        );
        // The chunk is shorter than it says, and what follows is none.
        let (status, answer) = raw(address, format!("{head}zz\r\n\r\n").as_bytes()).await;
        assert!(status == 400 || (status == 200 && answer.contains("grpc-status")), "{media}: {status} {answer}");
        assert!(!answer.contains("INTERNAL_ERROR"), "{media}: {answer}");
    }
    still_serves(&Wire::of(&app.grpc(), "viewer")).await;
}
