//! The gRPC interface of OMS: `openfoundry/oms/v1/oms.proto` and what is generated from it.
//!
//! - With the feature `client`: [`client`], tonic's clients; `examples/watch.rs` shows one.
//! - With the feature `server`: [`server`], the services as traits, for gRPC, gRPC-Web and Connect.

/// Messages and clients over gRPC.
#[cfg(feature = "client")]
#[expect(clippy::allow_attributes_without_reason, clippy::large_enum_variant, reason = "generated")]
pub mod client {
    tonic::include_proto!("openfoundry.oms.v1");
}

/// The standard details of errors, for clients.
#[cfg(feature = "client")]
pub mod error_details {
    tonic::include_proto!("google.rpc");
}

/// Messages and services.
#[cfg(feature = "server")]
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated: the .proto files have the documentation"
)]
pub mod server {
    connectrpc::include_generated!("server.rs");

    pub use self::{google::rpc, openfoundry::oms::v1};
}

/// The compiled .proto files, with those that they import: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/oms.binpb"));
