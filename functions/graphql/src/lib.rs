//! The GraphQL function: `/graphql`, an Apollo Federation v2 subgraph (specification 4.5, 16.1, 17.3).
//!
//! A request is measured before it is parsed, and again before it is validated; whatever is refused has not touched the
//! database. Fields call the use cases of the core, which authorize; nested ones through DataLoaders. Subscriptions are
//! streams of Server-Sent Events.

mod answer;
mod asked;
mod config;
mod document;
mod drive;
mod graphiql;
mod guard;
mod handler;
mod limits;
mod loaders;
mod persisted;
mod protocol;
mod refusal;
mod schema;
mod stream;

use std::sync::{Arc, LazyLock};

use axum::{Router, middleware, routing};
use oms_core::config::Source;
use oms_edge::{Edge, config::Mode, lambda::Settings};

pub use config::GraphqlConfig;
pub use schema::sdl;

/// Reads the settings of the function on Lambda. Problems are noted in the source.
pub fn settings(source: &mut Source) -> Settings<GraphqlConfig> {
    Settings::read(source, GraphqlConfig::read)
}

/// The routes of GraphQL, to be handed to [`oms_edge::protect`].
pub fn routes(edge: &Edge, config: GraphqlConfig) -> Router {
    // Made when it is first asked: a cold start does not wait for it.
    let build: fn() -> _ = if config.introspection { || schema::build(true) } else { || schema::build(false) };
    let schema = Arc::new(LazyLock::new(build));
    let state = handler::Graphql { edge: edge.clone(), config, schema };
    let api = Router::new().route("/graphql", routing::get(handler::get).post(handler::post));
    let routes = oms_edge::authenticated(api, edge).with_state(state);
    match edge.config.mode {
        Mode::Development => routes.route_layer(middleware::from_fn(graphiql::show)),
        Mode::Production => routes,
    }
}
