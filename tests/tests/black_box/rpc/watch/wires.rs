//! The same stream over gRPC-Web and Connect: HTTP/1.1, JSON and protobuf.

use std::time::{Duration, Instant};

use oms_proto::client::{ObjectTypeEvent, WatchObjectTypesRequest, object_type_event::Event};
use oms_tests::{App, Token, samples};
use prost::Message;
use serde_json::{Value, json};

use super::{
    super::{OBJECTS, path, wire::frame},
    told::{from_snapshot, told},
};

/// A stream that is read frame by frame as it comes.
struct Stream {
    response: reqwest::Response,
    media: &'static str,
    pending: Vec<u8>,
}

/// Those of streams over HTTP/1.1.
const MEDIA: [&str; 4] = [
    "application/grpc-web+proto",
    "application/grpc-web+json",
    "application/connect+proto",
    "application/connect+json",
];

impl Stream {
    async fn open(app: &App, media: &'static str, request: &WatchObjectTypesRequest, as_json: &Value) -> Self {
        let message = if media.ends_with("json") { as_json.to_string().into_bytes() } else { request.encode_to_vec() };
        let client = reqwest::Client::builder().http1_only().timeout(Duration::from_secs(60)).build().unwrap();
        let call = client.post(format!("{}{}", app.grpc(), path(OBJECTS, "WatchObjectTypes")));
        let call = call.bearer_auth(Token::of("viewer").sign()).header("content-type", media).body(frame(0, &message));
        let response = call.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_11));
        assert_eq!(response.headers()["content-type"], media);
        Self { response, media, pending: Vec::new() }
    }

    /// The next frame with its flags; none at the end of the body.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((head, rest)) = self.pending.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let (flags, message) = (head[0], rest[..length].to_vec());
                    self.pending.drain(..5 + length);
                    return Some((flags, message));
                }
            }
            let Some(chunk) = self.response.chunk().await.unwrap() else {
                assert_eq!(self.pending, [] as [u8; 0], "half a frame");
                return None;
            };
            self.pending.extend_from_slice(&chunk);
        }
    }

    /// What the next message tells.
    async fn told(&mut self) -> String {
        let (flags, message) = self.frame().await.unwrap();
        assert_eq!(flags, 0, "{}", String::from_utf8_lossy(&message));
        if self.media.ends_with("proto") {
            return told(&ObjectTypeEvent::decode(message.as_slice()).unwrap().event.unwrap());
        }
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert!(message["resumeToken"].is_string(), "{message}");
        told(&in_words(&message))
    }

    /// Takes the end of the stream, which has to be in good order.
    async fn ends(&mut self) {
        let (flags, end) = self.frame().await.unwrap();
        let end = String::from_utf8(end).unwrap();
        if self.media.starts_with("application/grpc-web") {
            assert_eq!((flags, end.contains("grpc-status: 0")), (0x80, true), "{end}");
        } else {
            assert_eq!((flags, &serde_json::from_str::<Value>(&end).unwrap()["error"]), (2, &Value::Null), "{end}");
        }
        assert_eq!(self.frame().await, None);
    }
}

/// As much of a message in JSON as words are made of.
fn in_words(message: &Value) -> Event {
    use oms_proto::client::{
        EventType, ObjectType, ObjectTypeChange, ObjectTypeSnapshot, SnapshotComplete, StreamEnd, StreamOpened,
        object_type_change, object_type_snapshot,
    };
    let shown = |of: &Value| ObjectType {
        name: of["objectType"]["name"].as_str().unwrap().to_owned(),
        version: of["objectType"]["version"].as_i64().unwrap().try_into().unwrap(),
        ..ObjectType::default()
    };
    let has = |key: &str| message.get(key).is_some();
    if has("opened") {
        Event::Opened(StreamOpened {})
    } else if let Some(part) = message.get("snapshot") {
        Event::Snapshot(ObjectTypeSnapshot { state: Some(object_type_snapshot::State::ObjectType(shown(part))) })
    } else if has("snapshotComplete") {
        Event::SnapshotComplete(SnapshotComplete {})
    } else if let Some(change) = message.get("change") {
        let shown = shown(change);
        Event::Change(ObjectTypeChange {
            r#type: EventType::from_str_name(change["type"].as_str().unwrap()).unwrap().into(),
            version: shown.version,
            state: Some(object_type_change::State::ObjectType(shown)),
            ..ObjectTypeChange::default()
        })
    } else if has("end") {
        Event::End(StreamEnd {})
    } else {
        panic!("{message} tells nothing")
    }
}

#[tokio::test]
async fn browsers_are_told_at_once_as_well() {
    let app = App::with(|settings| settings.set("EVENT_STREAM_SECONDS", 3)).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let started = Instant::now();
    let mut streams = Vec::new();
    for media in MEDIA {
        streams.push(Stream::open(&app, media, &from_snapshot(), &json!({"start": "WATCH_START_SNAPSHOT"})).await);
    }
    for stream in &mut streams {
        for expected in ["opened", "Order v1", "complete"] {
            assert_eq!(stream.told().await, expected, "{}", stream.media);
        }
    }
    editor.patch("object-types/Order", 1, &json!({"displayName": "next"})).expect(200).await;
    for stream in &mut streams {
        assert_eq!(stream.told().await, "updated Order v2", "{}", stream.media);
    }
    assert!(started.elapsed() < Duration::from_secs(3), "nothing waits for the end of a stream");
    for stream in &mut streams {
        assert_eq!(stream.told().await, "end", "{}", stream.media);
        stream.ends().await;
    }
}

#[tokio::test]
async fn a_deadline_of_connect_ends_a_stream_in_good_order_before_it() {
    let app = App::start().await;
    let client = reqwest::Client::builder().http1_only().timeout(Duration::from_secs(60)).build().unwrap();
    for (media, name, value) in [
        ("application/connect+json", "connect-timeout-ms", "1500"),
        ("application/grpc-web+json", "grpc-timeout", "1500m"),
    ] {
        let call = client.post(format!("{}{}", app.grpc(), path(OBJECTS, "WatchObjectTypes"))).header(name, value);
        let call = call.bearer_auth(Token::of("viewer").sign()).header("content-type", media).body(frame(0, b"{}"));
        let started = Instant::now();
        let mut stream = Stream { response: call.send().await.unwrap(), media, pending: Vec::new() };
        assert_eq!([stream.told().await, stream.told().await], ["opened", "end"]);
        stream.ends().await;
        assert!(started.elapsed() < Duration::from_millis(1_500), "{media}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_failure_in_the_middle_is_told_as_such() {
    let app = App::start().await;
    let editor = app.client("editor");
    let mut streams = Vec::new();
    for media in MEDIA {
        let mut stream = Stream::open(&app, media, &WatchObjectTypesRequest::default(), &json!({})).await;
        assert_eq!(stream.told().await, "opened");
        streams.push(stream);
    }
    // Restored from a backup, it is another log.
    sqlx::query("SELECT begin_epoch()").execute(&app.pool().await).await.unwrap();
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    for mut stream in streams {
        let (flags, end) = stream.frame().await.unwrap();
        let end = String::from_utf8(end).unwrap();
        if stream.media.starts_with("application/grpc-web") {
            assert_eq!(flags, 0x80, "{end}");
            assert!(end.contains("grpc-status: 11") && end.contains("grpc-status-details-bin: "), "{end}");
        } else {
            let end: Value = serde_json::from_str(&end).unwrap();
            assert_eq!((flags, &end["error"]["code"]), (2, &json!("out_of_range")), "{end}");
            assert_eq!(end["error"]["details"][0]["type"], "google.rpc.ErrorInfo", "{end}");
        }
        assert_eq!(stream.frame().await, None);
    }
}
