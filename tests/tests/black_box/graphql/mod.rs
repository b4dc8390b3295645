//! What the GraphQL API answers.

mod authorization;
mod clients;
mod counts;
mod errors;
mod http;
mod limits;
mod nonsense;
mod reads;
mod schema_org;
mod subscriptions;
mod writes;
