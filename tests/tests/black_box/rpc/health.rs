//! `grpc.health.v1.Health`, as load balancers and Kubernetes ask it: without a token.

use oms_tests::{App, Settings, samples, until};
use serde_json::json;
use tonic::{Code, Request, Streaming, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{
    LINKS, OBJECTS, channel, path,
    wire::{PROTOCOLS, Protocol, Wire},
};

const HEALTH: &str = "grpc.health.v1.Health";
const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn watch(url: &str, service: &str) -> Result<Streaming<CheckResponse>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel(url));
    client.ready().await.unwrap();
    let codec = ProstCodec::<CheckRequest, CheckResponse>::default();
    let asked = Request::new(CheckRequest { service: service.to_owned() });
    let path = PathAndQuery::from_maybe_shared(path(HEALTH, "Watch")).unwrap();
    Ok(client.server_streaming(asked, path, codec).await?.into_inner())
}

#[tokio::test]
async fn it_serves_each_service_and_the_whole_and_knows_no_other() {
    let app = App::start().await;
    let anonymous = Wire::new(&app.grpc());
    for protocol in PROTOCOLS {
        for service in ["", OBJECTS, LINKS] {
            let health = anonymous.call(protocol, &path(HEALTH, "Check"), &json!({"service": service})).await;
            assert_eq!(health.unwrap()["status"], "SERVING", "{service:?} over {protocol:?}");
        }
        for service in ["openfoundry.oms.v1.NoService", "x", "고객"] {
            let health = anonymous.call(protocol, &path(HEALTH, "Check"), &json!({"service": service})).await;
            assert_eq!(health.unwrap_err().code, Code::NotFound, "{service:?} over {protocol:?}");
        }
        // Whoever sends a token that is no good any more is answered as well.
        let health = anonymous.token("nonsense").call(protocol, &path(HEALTH, "Check"), &json!({})).await;
        assert_eq!(health.unwrap()["status"], "SERVING");
    }
    let unknown = watch(&app.grpc(), "openfoundry.oms.v1.NoService").await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_it_does_not_serve_and_says_so_to_those_who_watch() {
    let limits = |settings: Settings| settings.set("DB_ACQUIRE_TIMEOUT_MS", 1_000);
    let (app, proxy) = App::counted(limits).await;
    app.client("editor").post("object-types", &samples::object_type("Order")).expect(201).await;
    let mut watched = watch(&app.grpc(), OBJECTS).await.unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status, SERVING);

    proxy.cut();
    let anonymous = Wire::new(&app.grpc());
    for protocol in PROTOCOLS {
        let health = anonymous.call(protocol, &path(HEALTH, "Check"), &json!({})).await.unwrap();
        assert_eq!(health["status"], "NOT_SERVING", "{protocol:?}");
    }
    assert_eq!(watched.message().await.unwrap().unwrap().status, NOT_SERVING);

    proxy.restore();
    until("it did not serve again", async || {
        let health = anonymous.call(Protocol::Grpc, &path(HEALTH, "Check"), &json!({})).await.unwrap();
        (health["status"] == "SERVING").then_some(())
    })
    .await;
    assert_eq!(watched.message().await.unwrap().unwrap().status, SERVING);
}
