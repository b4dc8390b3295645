//! Failures: the same code, reason and faults in each protocol, in the caller's language, and nothing of what is inside.

use std::time::{Duration, Instant};

use oms_tests::{App, Settings, Token, samples, until};
use serde_json::{Value, json};
use tonic::Code;

use super::{
    LINKS, OBJECTS, path,
    wire::{PROTOCOLS, Protocol, Wire},
};
use crate::bad_input::shows_nothing_of_the_database;

/// A call that fails: what it is, the method, the message, and what it fails with: code, reason, status of Connect, fields.
type Case = (&'static str, String, Value, Code, &'static str, u16, &'static [&'static str]);

fn is_korean(text: &str) -> bool {
    text.chars().any(|c| ('가'..='힣').contains(&c))
}

/// Calls in each protocol and in both languages; the failure has to be the same.
async fn each_fails(wire: &Wire, (what, path, message, code, reason, http, fields): &Case) {
    for protocol in PROTOCOLS {
        for language in ["en", "ko"] {
            let wire = wire.header("accept-language", language).header("x-correlation-id", "find-me");
            let failure = wire.call(protocol, path, message).await.expect_err(what);
            let what = format!("{what} over {protocol:?} in {language}: {failure:?}");
            assert_eq!((failure.code, failure.reason()), (*code, *reason), "{what}");
            assert_eq!(failure.http, if protocol == Protocol::Connect { *http } else { 200 }, "{what}");
            assert_eq!(failure.fields(), *fields, "{what}");
            assert_eq!(failure.correlation_id(), "find-me", "{what}");
            assert_eq!(failure.headers["x-correlation-id"], "find-me", "{what}");
            assert_eq!(is_korean(&failure.message), language == "ko", "{what}");
            assert!(failure.descriptions.iter().all(|text| is_korean(text) == (language == "ko")), "{what}");
            shows_nothing_of_the_database(&failure.words());
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_wrongly_fails_alike_in_every_protocol() {
    let app = App::start().await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    let objects = |method| path(OBJECTS, method);
    let links = |method| path(LINKS, method);
    let (missing, invalid) = (Code::NotFound, Code::InvalidArgument);
    let cases: Vec<Case> = vec![
        ("no such id", objects("GetObjectType"), json!({"id": nobody}), missing, "OBJECT_TYPE_NOT_FOUND", 404, &[]),
        ("no such name", objects("GetObjectType"), json!({"name": "no"}), missing, "OBJECT_TYPE_NOT_FOUND", 404, &[]),
        ("not a name", objects("GetObjectType"), json!({"name": "a b"}), missing, "OBJECT_TYPE_NOT_FOUND", 404, &[]),
        ("no such link", links("GetLinkType"), json!({"name": "no"}), missing, "LINK_TYPE_NOT_FOUND", 404, &[]),
        (
            "no such version",
            objects("GetObjectTypeVersion"),
            json!({"name": "order", "version": 9}),
            missing,
            "VERSION_NOT_FOUND",
            404,
            &[],
        ),
        ("no key", objects("GetObjectType"), json!({}), invalid, "REQUIRED_FIELD_MISSING", 400, &["id"]),
        ("no id", objects("GetObjectType"), json!({"id": "7"}), invalid, "INVALID_VALUE", 400, &["id"]),
        (
            "a page of nothing",
            objects("ListObjectTypes"),
            json!({"pageSize": -1, "category": "", "anyTags": ["a", "", "x".repeat(65)], "sortBy": 77}),
            invalid,
            "INVALID_REQUEST",
            400,
            &["page_size", "sort_by", "category", "any_tags[1]", "any_tags[2]"],
        ),
        (
            "ends that are no keys",
            links("ListLinkTypes"),
            json!({"source": "", "target": "a b", "cardinality": 9, "pageSize": 201}),
            invalid,
            "INVALID_REQUEST",
            400,
            &["source", "target", "cardinality", "page_size"],
        ),
        (
            "not a token",
            objects("ListObjectTypes"),
            json!({"pageToken": "x"}),
            invalid,
            "INVALID_CURSOR",
            400,
            &["page_token"],
        ),
        (
            "versions from 0",
            links("CompareLinkTypeVersions"),
            json!({"name": "x", "fromVersion": 0, "toVersion": -1}),
            invalid,
            "INVALID_REQUEST",
            400,
            &["from_version", "to_version"],
        ),
        (
            "no instance",
            objects("ValidateObjectInstance"),
            json!({"objectTypeName": "Order", "version": 0}),
            invalid,
            "INVALID_REQUEST",
            400,
            &["version", "instance"],
        ),
    ];
    let viewer = Wire::of(&app.grpc(), "viewer");
    for case in &cases {
        each_fails(&viewer, case).await;
    }
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let app = App::with(|settings| settings.set("FAILED_LOGINS_PER_MINUTE", 100_000)).await;
    let anonymous = Wire::new(&app.grpc());
    let key = app.admin().post("api-keys", &json!({"name": "k", "roles": ["viewer"]})).expect(201).await;
    let key = key["secret"].as_str().unwrap();
    let token = Token::of("viewer");
    let unauthenticated = (Code::Unauthenticated, "UNAUTHENTICATED", 401);
    let both = anonymous.token(&token.sign()).header("x-api-key", key);
    for (what, wire, (code, reason, http)) in [
        ("nothing", anonymous.clone(), unauthenticated),
        ("nonsense", anonymous.token("nonsense"), unauthenticated),
        ("an expired token", anonymous.token(&token.clone().expires_in(-3_600).sign()), unauthenticated),
        ("another audience", anonymous.token(&token.clone().claim("aud", "billing").sign()), unauthenticated),
        ("a wrong key", anonymous.header("x-api-key", "oms_wrong"), unauthenticated),
        ("a password", anonymous.header("authorization", "Basic YTpi"), unauthenticated),
        ("a token and a key", both, (Code::InvalidArgument, "INVALID_REQUEST", 400)),
        ("no role", Wire::of(&app.grpc(), "nobody"), (Code::PermissionDenied, "PERMISSION_DENIED", 403)),
    ] {
        let case = (what, path(OBJECTS, "ListObjectTypes"), json!({}), code, reason, http, &[][..]);
        each_fails(&wire, &case).await;
    }
    let missing = anonymous.call(Protocol::Connect, &path(OBJECTS, "ListObjectTypes"), &json!({})).await.unwrap_err();
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    for protocol in PROTOCOLS {
        let wire = anonymous.header("x-api-key", key);
        let page = wire.call(protocol, &path(OBJECTS, "ListObjectTypes"), &json!({})).await.unwrap();
        assert_eq!(page, json!({}), "a good key is taken over {protocol:?}");
    }
}

#[tokio::test]
async fn failed_logins_are_limited_whatever_they_come_over() {
    let app = App::with(|settings| settings.set("FAILED_LOGINS_PER_MINUTE", 2)).await;
    let expired = Wire::new(&app.grpc()).token(&Token::of("admin").expires_in(-3_600).sign());
    let list = path(OBJECTS, "ListObjectTypes");
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb] {
        assert_eq!(expired.call(protocol, &list, &json!({})).await.unwrap_err().code, Code::Unauthenticated);
    }
    for protocol in PROTOCOLS {
        let limited = expired.call(protocol, &list, &json!({})).await.unwrap_err();
        assert_eq!((limited.code, limited.reason()), (Code::ResourceExhausted, "RATE_LIMITED"), "{limited:?}");
        assert!(limited.retry.is_some_and(|after| after > Duration::ZERO && after <= Duration::from_secs(60)));
    }
    Wire::of(&app.grpc(), "viewer").call(Protocol::Grpc, &list, &json!({})).await.unwrap();
    let audited = app.admin().all("audit-logs?action=LOGIN_FAILED").await;
    assert_eq!(audited.len(), 2, "one row for each that was judged: {audited:?}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_in_every_protocol() {
    const LIMIT: usize = 20_000;
    let app = App::with(|settings| settings.set("MAX_BODY_BYTES", LIMIT)).await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let validate = path(OBJECTS, "ValidateObjectInstance");
    let message =
        |length: usize| json!({"objectTypeName": "Order", "instanceJson": format!("\"{}\"", "x".repeat(length))});
    let case = ("too long", validate.clone(), message(LIMIT), Code::ResourceExhausted, "BODY_TOO_LARGE", 429, &[][..]);
    each_fails(&viewer, &case).await;
    for protocol in PROTOCOLS {
        let verdict = viewer.call(protocol, &validate, &message(LIMIT - 200)).await.unwrap();
        assert_eq!(verdict["violations"][0]["code"], "INVALID_DATA_TYPE", "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_it_says_when_to_try_again_and_recovers() {
    let limits = |settings: Settings| settings.set("DB_ACQUIRE_TIMEOUT_MS", 1_000);
    let (app, proxy) = App::counted(limits).await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    let list = path(OBJECTS, "ListObjectTypes");
    proxy.cut();
    for protocol in PROTOCOLS {
        let started = Instant::now();
        let failure = viewer.call(protocol, &list, &json!({"descending": true})).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!((failure.code, failure.reason()), (Code::Unavailable, "SERVICE_UNAVAILABLE"), "{failure:?}");
        assert!(failure.retry.is_some_and(|after| after >= Duration::from_secs(1)), "{failure:?}");
        assert!(
            !failure.words().contains("127.0.0.1") && !failure.words().to_lowercase().contains("connect"),
            "{failure:?}"
        );
        shows_nothing_of_the_database(&failure.words());
    }
    let order = viewer.call(Protocol::Grpc, &path(OBJECTS, "GetObjectType"), &json!({"name": "order"})).await.unwrap();
    assert_eq!(order["name"], "Order", "what is cached is still served");
    proxy.restore();
    until("it did not recover", async || {
        viewer.call(Protocol::Grpc, &list, &json!({"descending": true})).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_unimplemented() {
    let app = App::start().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    for path in [
        path(OBJECTS, "DropObjectTypes"),
        path("openfoundry.oms.v1.NoService", "Get"),
        "/nothing".to_owned(),
        "/".to_owned(),
        "/%ff%00".to_owned(),
    ] {
        let case = ("nothing is there", path, json!({}), Code::Unimplemented, "ROUTE_NOT_FOUND", 404, &[][..]);
        each_fails(&viewer, &case).await;
    }
}

#[tokio::test]
async fn a_correlation_id_is_made_when_none_is_given() {
    let app = App::start().await;
    let viewer = Wire::of(&app.grpc(), "viewer");
    for protocol in PROTOCOLS {
        let get = path(OBJECTS, "GetObjectType");
        let failure = viewer.call(protocol, &get, &json!({"name": "no"})).await.unwrap_err();
        let id = failure.correlation_id();
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{id}");
        assert_eq!(failure.headers["x-correlation-id"], id, "the same in the header");
    }
}

#[tokio::test]
async fn what_goes_wrong_inside_stays_inside() {
    let app = App::start().await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let pool = app.pool().await;
    sqlx::query("UPDATE object_types SET properties = '\"hunter2\"'").execute(&pool).await.unwrap();
    let viewer = Wire::of(&app.grpc(), "viewer");
    let (list, asked) = (path(OBJECTS, "ListObjectTypes"), json!({"descending": true}));
    let case = ("a broken row", list, asked, Code::Internal, "INTERNAL_ERROR", 500, &[][..]);
    each_fails(&viewer, &case).await;
    for protocol in PROTOCOLS {
        let failure = viewer.call(protocol, &case.1, &case.2).await.unwrap_err();
        let told = failure.words().to_lowercase();
        assert!(!told.contains("hunter2") && !told.contains("properties") && !told.contains("invalid"), "{told}");
    }
}
