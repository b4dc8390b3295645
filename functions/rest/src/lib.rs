//! The REST function: `/api/v1`, its OpenAPI document at `/openapi.json` and a page to browse it at `/docs`.
//!
//! One table of operations makes both the routes and the document, so neither can have what the other lacks. The router runs
//! under Lambda, in the server and in tests alike.

mod answer;
mod api_keys;
mod audit_logs;
mod call;
mod events;
mod openapi;
mod operation;
mod precondition;
mod query;
mod resource;
mod schemas;
mod search;

use std::sync::{Arc, LazyLock};

use axum::{Router, routing::get};
use http::StatusCode;
use oms_core::{config::Source, link_type::LinkType, object_type::ObjectType};
use oms_edge::{Edge, lambda::Settings};

pub use openapi::document;

/// Reads the settings of the function on Lambda. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings<()> {
    Settings::read(source, |_| ())
}

/// The routes of REST, to be handed to [`oms_edge::protect`].
pub fn routes(edge: &Edge) -> Router {
    let mut api = Router::new();
    for operation in operations() {
        api = api.route(&operation.path, operation.handler);
    }
    let api_key_header = edge.config.api_key_header.clone();
    // Made when it is first asked for: a cold start does not wait for it.
    let document = Arc::new(LazyLock::new(move || serde_json::to_vec(&document(&api_key_header)).unwrap_or_default()));
    oms_edge::authenticated(api, edge)
        .with_state(edge.clone())
        .route("/openapi.json", get(async move || answer::body(StatusCode::OK, document.to_vec())))
        .merge(utoipa_swagger_ui::SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from("/openapi.json")))
}

/// Every operation that needs a caller.
fn operations() -> Vec<operation::Operation> {
    let mut operations = resource::operations::<ObjectType>();
    operations.extend(resource::operations::<LinkType>());
    operations.extend([search::operation(), events::operation(), audit_logs::operation()]);
    operations.extend(api_keys::operations());
    operations
}
