//! Who may call what: every method of the descriptor, for every kind of caller, in every protocol.

use std::collections::BTreeSet;

use oms_tests::{App, Token, samples};
use prost::Message;
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    LINKS, OBJECTS, path,
    wire::{Failure, PROTOCOLS, Protocol, Wire},
};

/// What the admin of another tenant gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// The thing is not there.
    NotFound,
    /// Nothing of ours.
    Nothing,
}

/// A method, with a message that succeeds on types that are made for it.
struct Row {
    service: &'static str,
    method: &'static str,
    streams: bool,
    foreign: Foreign,
    message: fn() -> Value,
}

const fn row(service: &'static str, method: &'static str, foreign: Foreign, message: fn() -> Value) -> Row {
    Row { service, method, streams: false, foreign, message }
}

const fn stream(service: &'static str, method: &'static str, message: fn() -> Value) -> Row {
    Row { service, method, streams: true, foreign: Foreign::Nothing, message }
}

use Foreign::{NotFound, Nothing};

/// Every method. Those of object types need object_type:read, those of link types link_type:read.
const METHODS: &[Row] = &[
    row(OBJECTS, "GetObjectType", NotFound, || json!({"name": "Order"})),
    row(OBJECTS, "ListObjectTypes", Nothing, || json!({"includeTotalCount": true})),
    row(OBJECTS, "ValidateObjectInstance", NotFound, || json!({"objectTypeName": "Order", "instance": {}})),
    row(OBJECTS, "ValidateObjectInstances", NotFound, || json!({"objectTypeName": "Order", "instances": [{}]})),
    stream(OBJECTS, "WatchObjectTypes", || json!({"start": "WATCH_START_SNAPSHOT"})),
    row(OBJECTS, "ListObjectTypeVersions", NotFound, || json!({"name": "Order"})),
    row(OBJECTS, "GetObjectTypeVersion", NotFound, || json!({"name": "Order", "version": 1})),
    row(OBJECTS, "CompareObjectTypeVersions", NotFound, || json!({"name": "Order", "fromVersion": 1, "toVersion": 1})),
    row(LINKS, "GetLinkType", NotFound, || json!({"name": "follows"})),
    row(LINKS, "ListLinkTypes", Nothing, || json!({"source": "Order"})),
    row(LINKS, "ValidateLinkInstance", NotFound, || json!({"linkTypeName": "follows", "instanceJson": "{}"})),
    row(LINKS, "ValidateLinkInstances", NotFound, || json!({"linkTypeName": "follows", "instancesJson": ["{}"]})),
    stream(LINKS, "WatchLinkTypes", || json!({"start": "WATCH_START_SNAPSHOT"})),
    row(LINKS, "ListLinkTypeVersions", NotFound, || json!({"name": "follows"})),
    row(LINKS, "GetLinkTypeVersion", NotFound, || json!({"name": "follows", "version": 1})),
    row(LINKS, "CompareLinkTypeVersions", NotFound, || json!({"name": "follows", "fromVersion": 1, "toVersion": 1})),
];

/// What roles have here.
const ROLES: &[(&str, &[&str])] = &[
    ("viewer", &["object_type:read", "link_type:read"]),
    ("editor", &["object_type:read", "object_type:write", "link_type:read", "link_type:write"]),
    ("admin", &["object_type:read", "link_type:read", "audit:read", "api_key:manage"]),
    ("objects", &["object_type:read"]),
    ("links", &["link_type:read"]),
    ("writer", &["object_type:write", "object_type:delete", "link_type:write", "link_type:delete"]),
    ("auditor", &["audit:read", "api_key:manage"]),
    // Not configured at all.
    ("nobody", &[]),
];

async fn app() -> App {
    let roles: Value = ROLES.iter().filter(|(role, _)| *role != "nobody").copied().collect();
    // A stream ends with what is there.
    let app = App::with(|settings| {
        settings.set("ROLE_PERMISSIONS", roles).set("FAILED_LOGINS_PER_MINUTE", 100_000).set("EVENT_STREAM_SECONDS", 0)
    })
    .await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    editor.post("link-types", &samples::link_type("follows", "Order", "Order")).expect(201).await;
    app
}

impl Row {
    fn needs(&self) -> &'static str {
        if self.service == OBJECTS { "object_type:read" } else { "link_type:read" }
    }

    async fn call(&self, wire: &Wire, protocol: Protocol) -> Result<Vec<Value>, Box<Failure>> {
        let path = path(self.service, self.method);
        if self.streams {
            return wire.stream(protocol, &path, &(self.message)()).await;
        }
        wire.call(protocol, &path, &(self.message)()).await.map(|answer| vec![answer])
    }
}

#[test]
fn the_table_and_the_descriptor_have_the_same_methods() {
    let files = FileDescriptorSet::decode(oms_proto::DESCRIPTORS).unwrap().file;
    let mut described = BTreeSet::new();
    for file in files.iter().filter(|file| file.package().starts_with("openfoundry.")) {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}.{}", file.package(), service.name());
                described.insert((name, method.name().to_owned(), method.server_streaming()));
            }
        }
    }
    let listed: BTreeSet<_> =
        METHODS.iter().map(|row| (row.service.to_owned(), row.method.to_owned(), row.streams)).collect();
    assert_eq!(listed.len(), METHODS.len(), "a row is there twice");
    assert_eq!(described, listed);
}

#[tokio::test]
async fn each_role_may_call_what_it_should_and_nothing_else() {
    let app = app().await;
    for row in METHODS {
        for (role, permissions) in ROLES {
            let wire = Wire::of(&app.grpc(), role);
            for protocol in PROTOCOLS {
                let what = format!("{} as {role} over {protocol:?}", row.method);
                let answer = row.call(&wire, protocol).await;
                if permissions.contains(&row.needs()) {
                    assert!(!answer.expect(&what).is_empty(), "{what}");
                } else {
                    let failure = answer.expect_err(&what);
                    assert_eq!(
                        (failure.code, failure.reason()),
                        (Code::PermissionDenied, "PERMISSION_DENIED"),
                        "{what}"
                    );
                    assert!(failure.message.contains(row.needs()), "{what}: {failure:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn several_roles_may_what_each_may() {
    let app = app().await;
    let wire = Wire::new(&app.grpc()).token(&Token::of("objects").claim("roles", json!(["objects", "links"])).sign());
    for row in METHODS {
        row.call(&wire, Protocol::Grpc).await.unwrap();
    }
}

#[tokio::test]
async fn without_good_credentials_nothing_is_answered() {
    let app = app().await;
    let anonymous = Wire::new(&app.grpc());
    let good = Token::of("admin");
    let mut forged = good.sign();
    forged.pop();
    let token = |token: &Token| anonymous.token(&token.sign());
    let bad = [
        ("nothing", anonymous.clone()),
        ("alg none", token(&good.clone().algorithm("none"))),
        ("HS512", token(&good.clone().algorithm("HS512"))),
        ("expired", token(&good.clone().expires_in(-3_600))),
        ("no exp", token(&good.clone().claim("exp", Value::Null))),
        ("another audience", token(&good.clone().claim("aud", "billing"))),
        ("another issuer", token(&good.clone().claim("iss", "https://evil.test"))),
        ("not valid yet", token(&good.clone().claim("nbf", 4_000_000_000_u64))),
        ("no subject", token(&good.clone().claim("sub", Value::Null))),
        ("a bad tenant", token(&good.clone().tenant("a b"))),
        ("a signature that is cut", anonymous.token(&forged)),
        ("an unknown key", anonymous.header("x-api-key", "oms_unknown")),
    ];
    for row in METHODS {
        for (what, wire) in &bad {
            for protocol in PROTOCOLS {
                let what = format!("{} with {what} over {protocol:?}", row.method);
                let failure = row.call(wire, protocol).await.expect_err(&what);
                assert_eq!((failure.code, failure.reason()), (Code::Unauthenticated, "UNAUTHENTICATED"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_may_what_its_roles_may() {
    let app = app().await;
    let made = app.client("admin").post("api-keys", &json!({"name": "k", "roles": ["links"]})).expect(201).await;
    let wire = Wire::new(&app.grpc()).header("x-api-key", made["secret"].as_str().unwrap());
    for row in METHODS {
        let answer = row.call(&wire, Protocol::Grpc).await;
        if row.service == LINKS {
            answer.unwrap_or_else(|failure| panic!("{}: {failure:?}", row.method));
        } else {
            assert_eq!(answer.unwrap_err().code, Code::PermissionDenied, "{}", row.method);
        }
    }
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let app = app().await;
    let own = Wire::of(&app.grpc(), "viewer");
    let foreign = Wire::new(&app.grpc()).token(&Token::of("viewer").tenant("another").sign());
    for row in METHODS {
        // At home first, so that it is in the cache.
        let at_home = json!(row.call(&own, Protocol::Grpc).await.unwrap()).to_string().to_lowercase();
        assert!(row.foreign == NotFound || at_home.contains("order") || at_home.contains("follows"), "{at_home}");
        for protocol in PROTOCOLS {
            let answer = row.call(&foreign, protocol).await;
            match row.foreign {
                NotFound => assert_eq!(answer.unwrap_err().code, Code::NotFound, "{}", row.method),
                Nothing => {
                    let told = json!(answer.unwrap()).to_string().to_lowercase();
                    assert!(!told.contains("order") && !told.contains("follows"), "{}: {told}", row.method);
                }
            }
        }
    }
}
