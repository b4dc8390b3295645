//! The metrics of specification 8.1: for Prometheus, and on Lambda for CloudWatch. Without a recorder measuring costs nothing.

pub(crate) mod emf;
mod prometheus;

pub use prometheus::{install, router};

pub(crate) const REQUEST_DURATION: &str = "oms_request_duration_seconds";
