//! The gRPC function (specification 16.2): `ObjectTypeService` and `LinkTypeService`, read-only, for the services that live
//! by the registry.
//!
//! One implementation answers gRPC (over HTTP/2, in the server), gRPC-Web and Connect (over HTTP/1.1 as well, on Lambda too).
//! Authentication, tenants, roles, languages, limits and log lines are those of the other functions.

#![expect(refining_impl_trait, reason = "each method has one type of answer, and nobody else has a use for another")]

mod call;
mod failure;
mod health;
mod list;
mod message;
mod refusal;
mod service;
mod validate;
mod versions;
mod watch;

use std::sync::Arc;

use axum::Router;
use connectrpc::{ConnectRpcService, Limits};
use oms_core::config::Source;
use oms_edge::{Edge, lambda::Settings};
use oms_proto::server::v1::{LinkTypeServiceExt, ObjectTypeServiceExt};

/// The services.
struct Rpc {
    edge: Edge,
}

/// Reads the settings of the function on Lambda. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings<()> {
    Settings::read(source, |_| ())
}

/// Everything that this function answers, protected: the services, which need a caller, and health, which needs none.
pub fn router(edge: &Edge) -> Router {
    serve(edge, health::routes(edge))
}

/// The same with reflection, for tools that ask a server what it serves. It has nothing secret: the .proto file is public.
pub fn router_with_reflection(edge: &Edge) -> Router {
    match connectrpc_reflection::Reflector::from_descriptor_set_bytes(oms_proto::DESCRIPTORS) {
        Ok(reflector) => serve(edge, connectrpc_reflection::install(health::routes(edge), reflector)),
        Err(error) => {
            tracing::error!(%error, "no reflection: the descriptors can't be read");
            router(edge)
        }
    }
}

fn serve(edge: &Edge, open: connectrpc::Router) -> Router {
    let rpc = Arc::new(Rpc { edge: edge.clone() });
    let services = ObjectTypeServiceExt::register(rpc.clone(), connectrpc::Router::new());
    let services = LinkTypeServiceExt::register(rpc, services);
    let services = oms_edge::authenticated(routes(edge, services), edge);
    oms_edge::protect_as(services.merge(routes(edge, open)), edge, failure::write)
}

/// A route for every method, so that each has its own name in logs and metrics.
fn routes(edge: &Edge, services: connectrpc::Router) -> Router {
    let paths: Vec<String> = services.methods().map(|method| format!("/{method}")).collect();
    let limit = edge.config.max_body_bytes;
    let limits = Limits::default().with_max_request_body_size(limit).with_max_message_size(limit);
    let service = ConnectRpcService::new(services).with_limits(limits);
    let routes = paths.iter().fold(Router::new(), |router, path| router.route_service(path, service.clone()));
    routes.layer(axum::middleware::from_fn_with_state(limit, failure::report))
}
