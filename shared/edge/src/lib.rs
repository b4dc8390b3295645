//! What the HTTP functions of OMS share: authentication, request context, limits, problems, health, metrics, traces.
//!
//! A function builds its routes, puts those that need a caller behind [`authenticated`], and hands everything to
//! [`protect`]; the router that comes back runs under Lambda, under `axum::serve` and in tests alike. Handlers answer
//! [`ApiError`], and the outermost middleware renders it in the language of the client.

pub mod authentication;
pub mod body;
pub mod codes;
pub mod config;
pub mod deadline;
mod failed_login;
pub mod health;
#[cfg(feature = "iam")]
pub mod iam;
pub mod jwks;
#[cfg(feature = "lambda")]
pub mod lambda;
mod layers;
pub mod locale;
pub mod metrics;
#[cfg(feature = "lambda")]
mod poke;
pub mod problem;
pub mod request;
pub mod telemetry;
pub mod trace_context;

pub use body::JsonBody;
pub use config::EdgeConfig;
pub use layers::{Caller, Edge, authenticated, protect, protect_as};
pub use locale::Locale;
pub use problem::{ApiError, Cause};
pub use request::{ClientIp, Outcome, RequestInfo};
