//! What is below the messages: compression, deadlines, gRPC-Web and Connect as browsers use them.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use oms_proto::client::{
    GetObjectTypeRequest, ListObjectTypesRequest, ObjectType, get_object_type_request::Key,
    object_type_service_client::ObjectTypeServiceClient,
};
use oms_tests::{App, Settings, Token, samples, until};
use prost::Message;
use serde_json::json;
use tonic::{Code, Request, codec::CompressionEncoding};

use super::{
    Clients, OBJECTS, channel, path,
    reads::by_name,
    wire::{PROTOCOLS, Protocol, Wire, frame},
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

async fn app_with_a_wordy_type() -> App {
    let app = App::start().await;
    let mut order = samples::object_type("Order");
    order["description"] = json!("what is bought ".repeat(2_000));
    app.client("editor").post("object-types", &order).expect(201).await;
    app
}

#[tokio::test]
async fn messages_are_compressed_for_clients_that_take_it() {
    let app = app_with_a_wordy_type().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let (get, asked) = (path(OBJECTS, "GetObjectType"), json!({"name": "Order"}).to_string().into_bytes());
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb] {
        let plain = viewer.post(protocol, &get, protocol.media_type(), frame(0, &asked)).await;
        assert_eq!((plain.header("grpc-encoding"), plain.body[0]), (None, 0), "{protocol:?}");
        let wire = viewer.header("grpc-encoding", "gzip").header("grpc-accept-encoding", "br,gzip");
        let small = wire.post(protocol, &get, protocol.media_type(), frame(1, &gzip(&asked))).await;
        assert_eq!((small.header("grpc-encoding"), small.body[0]), (Some("gzip"), 1), "{protocol:?}");
        assert!(small.body.len() < plain.body.len() / 10, "{} of {}", small.body.len(), plain.body.len());
        let length = u32::from_be_bytes(small.body[1..5].try_into().unwrap()) as usize;
        let [message] = &plain.outcome(protocol).unwrap()[..] else { panic!("one message") };
        assert_eq!(gunzip(&small.body[5..5 + length]), message.to_vec(), "{protocol:?}");
    }
    let plain = viewer.post(Protocol::Connect, &get, "application/json", asked.clone()).await;
    assert_eq!(plain.header("content-encoding"), None);
    let wire = viewer.header("content-encoding", "gzip").header("accept-encoding", "gzip");
    let small = wire.post(Protocol::Connect, &get, "application/json", gzip(&asked)).await;
    assert_eq!((small.status, small.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(gunzip(&small.body), plain.body);
}

#[tokio::test]
async fn a_generated_client_compresses_both_ways() {
    let app = app_with_a_wordy_type().await;
    let mut client = ObjectTypeServiceClient::new(channel(&app.grpc()))
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let mut asked = Request::new(by_name("order"));
    asked.metadata_mut().insert("authorization", format!("Bearer {}", Token::of("viewer").sign()).parse().unwrap());
    let answer = client.get_object_type(asked).await.unwrap();
    assert_eq!(answer.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(answer.into_inner().description, "what is bought ".repeat(2_000));
}

#[tokio::test]
async fn messages_as_protobuf_pass_in_every_protocol() {
    let app = app_with_a_wordy_type().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let get = path(OBJECTS, "GetObjectType");
    let asked = GetObjectTypeRequest { key: Some(Key::Name("ORDER".to_owned())) }.encode_to_vec();
    let expected = Clients::of(&app.grpc(), "viewer").objects.get_object_type(by_name("Order")).await.unwrap();
    let expected = expected.into_inner();
    for (protocol, media) in [
        (Protocol::Grpc, "application/grpc"),
        (Protocol::Grpc, "application/grpc+proto"),
        (Protocol::GrpcWeb, "application/grpc-web"),
        (Protocol::GrpcWeb, "application/grpc-web+proto"),
        (Protocol::Connect, "application/proto"),
    ] {
        let body = if protocol == Protocol::Connect { asked.clone() } else { frame(0, &asked) };
        let answer = viewer.post(protocol, &get, media, body).await;
        assert!(answer.header("content-type").unwrap().starts_with(media.trim_end_matches("+proto")), "{answer:?}");
        let messages = answer.outcome(protocol).unwrap();
        assert_eq!(ObjectType::decode(messages[0].clone()).unwrap(), expected, "{media}");
    }
    let text = viewer.post(Protocol::GrpcWeb, &get, "application/grpc-web-text", "AAAAAAA=").await;
    assert_eq!(
        text.outcome(Protocol::GrpcWeb).unwrap_err().code,
        Code::Unimplemented,
        "the form in base64 is not taken"
    );
}

#[tokio::test]
async fn reads_of_connect_can_be_got() {
    let app = app_with_a_wordy_type().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let get = path(OBJECTS, "GetObjectType");
    let message = GetObjectTypeRequest { key: Some(Key::Name("Order".to_owned())) }.encode_to_vec();
    let (proto, packed) = (URL_SAFE_NO_PAD.encode(&message), URL_SAFE_NO_PAD.encode(gzip(&message)));
    let as_json = "%7B%22name%22%3A%22Order%22%7D";
    for query in [
        format!("connect=v1&encoding=json&message={as_json}"),
        format!("encoding=json&message={}&base64=1", URL_SAFE_NO_PAD.encode(r#"{"name":"Order"}"#)),
        format!("connect=v1&encoding=proto&base64=1&message={proto}"),
        format!("connect=v1&encoding=proto&base64=1&compression=gzip&message={packed}"),
    ] {
        let answer = viewer.get(&format!("{get}?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(body.contains("Order") && body.contains("what is bought"), "{query}: {body}");
    }
    let empty = viewer.get(&format!("{}?encoding=json&message=%7B%7D", path(OBJECTS, "ListObjectTypes"))).await;
    assert_eq!(empty.status, 200, "{empty:?}");

    for (query, reason) in [
        (String::new(), "INVALID_REQUEST"),
        ("message=%7B%7D".to_owned(), "INVALID_REQUEST"),
        ("encoding=json&message=%7B".to_owned(), "INVALID_REQUEST"),
        ("encoding=json&message=%ZZ".to_owned(), "INVALID_REQUEST"),
        ("encoding=proto&base64=1&message=!!".to_owned(), "INVALID_REQUEST"),
        (format!("connect=v7&encoding=json&message={as_json}"), "INVALID_REQUEST"),
        ("encoding=json&message=%7B%7D".to_owned(), "REQUIRED_FIELD_MISSING"),
    ] {
        let failure = viewer.get(&format!("{get}?{query}")).await.outcome(Protocol::Connect).unwrap_err();
        assert_eq!((failure.http, failure.reason()), (400, reason), "{query}: {failure:?}");
    }
    let anonymous = Wire::new(&app.grpc()).get(&format!("{get}?encoding=json&message={as_json}")).await;
    assert_eq!(anonymous.outcome(Protocol::Connect).unwrap_err().reason(), "UNAUTHENTICATED");
    let watch = viewer.get(&format!("{}?encoding=json&message=%7B%7D", path(OBJECTS, "WatchObjectTypes"))).await;
    assert_eq!(watch.outcome(Protocol::Connect).unwrap_err().reason(), "METHOD_NOT_ALLOWED", "a stream is no read");
}

#[tokio::test]
async fn a_browser_may_call_from_the_pages_that_are_allowed() {
    let page = "https://app.example.com";
    let app = App::with(|settings| settings.set("CORS_ALLOWED_ORIGINS", page)).await;
    let get = path(OBJECTS, "GetObjectType");
    let asked =
        "authorization,connect-protocol-version,connect-timeout-ms,content-type,grpc-timeout,x-grpc-web,x-user-agent";
    let preflight = |origin: &str| {
        Wire::new(&app.grpc())
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asked)
    };
    let answer = preflight(page).request("OPTIONS", &get).await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(page));
    let list = |name: &str| -> Vec<String> {
        let text = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        text.split(',').map(|each| each.trim().to_lowercase()).collect()
    };
    let allowed = list("access-control-allow-headers");
    assert!(asked.split(',').all(|header| allowed.contains(&header.to_owned())), "{allowed:?}");
    let methods = list("access-control-allow-methods");
    assert!(["get", "post"].iter().all(|method| methods.contains(&(*method).to_owned())), "{methods:?}");
    let other = preflight("https://evil.example.com").request("OPTIONS", &get).await;
    assert_eq!(other.header("access-control-allow-origin"), None);

    let page = Wire::of(&app.grpc(), "viewer").header("origin", page);
    for protocol in [Protocol::GrpcWeb, Protocol::Connect] {
        let failure = page.call(protocol, &get, &json!({"name": "no"})).await.unwrap_err();
        assert_eq!(failure.headers["access-control-allow-origin"], "https://app.example.com", "{protocol:?}");
        let exposed = failure.headers["access-control-expose-headers"].to_str().unwrap().to_lowercase();
        for header in ["grpc-status", "grpc-message", "grpc-status-details-bin", "x-correlation-id"] {
            assert!(exposed.contains(header), "{header} is not in {exposed}");
        }
    }
    let closed = App::start().await;
    let answer = Wire::new(&closed.grpc())
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .request("OPTIONS", &get)
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "without settings no page may");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_waiting_for_a_slow_database() {
    let patient = |settings: Settings| settings.set("REQUEST_TIMEOUT_MS", 60_000).set("DB_ACQUIRE_TIMEOUT_MS", 60_000);
    let (app, proxy) = App::counted(patient).await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let (list, asked) = (path(OBJECTS, "ListObjectTypes"), json!({"descending": true}));
    proxy.freeze();
    for protocol in PROTOCOLS {
        let wire = match protocol {
            Protocol::Connect => viewer.header("connect-timeout-ms", "300"),
            _ => viewer.header("grpc-timeout", "300m"),
        };
        let started = Instant::now();
        let failure = wire.call(protocol, &list, &asked).await.unwrap_err();
        let took = started.elapsed();
        assert_eq!((failure.code, failure.reason()), (Code::DeadlineExceeded, "SERVICE_UNAVAILABLE"), "{failure:?}");
        assert_eq!(failure.http, if protocol == Protocol::Connect { 504 } else { 200 });
        assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{protocol:?}: {took:?}");
    }
    let mut asked = Request::new(ListObjectTypesRequest { descending: true, ..ListObjectTypesRequest::default() });
    asked.set_timeout(Duration::from_millis(300));
    let status = Clients::of(&app.grpc(), "viewer").objects.list_object_types(asked).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");

    proxy.restore();
    until("what the calls had waited for was not free again", async || {
        let wire = viewer.header("grpc-timeout", "2S");
        wire.call(Protocol::Grpc, &list, &json!({"descending": true})).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn deadlines_are_read_with_care() {
    let app = app_with_a_wordy_type().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let (get, asked) = (path(OBJECTS, "GetObjectType"), json!({"name": "Order"}));
    for (protocol, header, value) in [
        (Protocol::Grpc, "grpc-timeout", "99999999H"),
        (Protocol::Grpc, "grpc-timeout", "soon"),
        (Protocol::Grpc, "grpc-timeout", "-1S"),
        (Protocol::GrpcWeb, "grpc-timeout", "10S"),
        (Protocol::GrpcWeb, "grpc-timeout", "99999999999S"),
        (Protocol::Connect, "connect-timeout-ms", "9999999999"),
        (Protocol::Connect, "connect-timeout-ms", "1e3"),
    ] {
        let answer = viewer.header(header, value).call(protocol, &get, &asked).await;
        assert_eq!(answer.unwrap()["name"], "Order", "{protocol:?} {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_connection() {
    let app = app_with_a_wordy_type().await;
    let client = Clients::of(&app.grpc(), "viewer").objects;
    let calls = (0..300).map(|n| {
        let mut client = client.clone();
        async move {
            let name = if n % 3 == 0 { "Missing" } else { "Order" };
            client.get_object_type(by_name(name)).await.map(|found| found.into_inner().name)
        }
    });
    for (n, answer) in futures::future::join_all(calls).await.into_iter().enumerate() {
        match answer {
            Ok(name) => assert!(n % 3 != 0 && name == "Order", "{n}: {name}"),
            Err(status) => assert!(n % 3 == 0 && status.code() == Code::NotFound, "{n}: {status:?}"),
        }
    }
}
