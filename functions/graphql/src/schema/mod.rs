//! The schema of the specification (4.5), completed: the same for both kinds of types.

mod audit;
mod event;
mod filter;
mod input;
mod kind;
mod link_type;
mod mutation;
mod object_type;
mod page;
mod property;
mod query;
mod scalar;
mod shown;
mod subscription;
#[cfg(test)]
mod tests;
mod validation;
mod version;

use async_graphql::SDLExportOptions;

use crate::guard::Guard;

pub(crate) use page::list_cost;
pub(crate) use subscription::Stage;

/// The schema of OMS.
pub(crate) type Schema = async_graphql::Schema<query::Query, mutation::Mutation, subscription::Subscription>;

/// How deep fragments may be chained. What they cost is measured before.
const MAX_FRAGMENT_CHAIN: usize = 128;

/// Builds the schema: once per process. Without `suggestions` an error does not name the fields that there are.
pub(crate) fn build(suggestions: bool) -> Schema {
    let schema = Schema::build(query::Query, mutation::Mutation, subscription::Subscription)
        .enable_federation()
        .enable_subscription_in_federation()
        .limit_recursive_depth(MAX_FRAGMENT_CHAIN)
        .extension(Guard);
    if suggestions { schema.finish() } else { schema.disable_suggestions().finish() }
}

/// The schema as a federated subgraph shows it.
pub fn sdl() -> String {
    build(true).sdl_with_options(SDLExportOptions::new().federation().compose_directive())
}
