//! What the gRPC services answer, over gRPC, gRPC-Web and Connect.

mod authorization;
mod clients;
mod errors;
mod garbage;
mod health;
mod lists;
mod logs;
mod reads;
mod shapes;
mod transport;
mod validation;
mod watch;
mod wire;

use oms_proto::client::{
    link_type_service_client::LinkTypeServiceClient, object_type_service_client::ObjectTypeServiceClient,
};
use oms_tests::Token;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRng, TestRunner},
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

const OBJECTS: &str = "openfoundry.oms.v1.ObjectTypeService";
const LINKS: &str = "openfoundry.oms.v1.LinkTypeService";

/// The generated clients with one token, over one connection.
#[derive(Debug, Clone)]
struct Clients {
    objects: ObjectTypeServiceClient<InterceptedService<Channel, Bearer>>,
    links: LinkTypeServiceClient<InterceptedService<Channel, Bearer>>,
}

#[derive(Debug, Clone)]
struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Clients {
    /// With this role in the tenant `default`.
    fn of(url: &str, role: &str) -> Self {
        Self::with(url, &Token::of(role))
    }

    fn with(url: &str, token: &Token) -> Self {
        let bearer = Bearer(format!("Bearer {}", token.sign()).parse().unwrap());
        let channel = channel(url);
        Self {
            objects: ObjectTypeServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            links: LinkTypeServiceClient::with_interceptor(channel, bearer),
        }
    }
}

fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy()
}

/// The path of a method.
fn path(service: &str, method: &str) -> String {
    format!("/{service}/{method}")
}

/// So many values of a strategy: the same in every run.
fn values<S: Strategy>(strategy: S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(Default::default()));
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}
