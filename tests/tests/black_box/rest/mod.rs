//! What the REST API answers when it is used as it should be.

mod documents;
mod idempotency;
mod link_types;
mod lists;
mod object_types;
mod protocol;
mod validation;
mod values;
