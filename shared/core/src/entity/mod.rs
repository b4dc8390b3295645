//! The use cases that object types and link types share: each kind brings its model and its SQL, the rules are here once.

mod create;
mod delete;
pub(crate) mod listing;
mod many;
mod read;
mod rows;
pub(crate) mod statement;
pub(crate) mod store;
mod update;
mod write;

use std::{fmt::Debug, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use create::MAX_BATCH;
pub use delete::Deleted;
pub use listing::{Filter, ListQuery};
pub use read::{MAX_INSTANCES, Verdict, Verdicts};
pub use store::Store;

use crate::{
    cache::Cache,
    context::Permission,
    definition::{Definition, Draft, Stamp},
    error::{Code, Error, Kind, Result},
    link_type::Ends,
    name::TypeKey,
    outbox::Outbox,
    postgres::Database,
    version::FieldChange,
};

/// A kind of type. Its serde form is the stored document.
pub trait Entity: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which kind.
    const KIND: Kind;
    /// The code of several faults.
    const INVALID: Code;
    /// The code of its absence.
    const NOT_FOUND: Code;
    /// What its use cases require.
    const RIGHTS: Rights;

    /// Its identity.
    fn id(&self) -> Uuid;
    /// What it is.
    fn definition(&self) -> &Definition;
    /// Who wrote it, when.
    fn stamp(&self) -> &Stamp;
    /// Its public JSON, every field.
    fn to_json(&self) -> Result<serde_json::Value>;
    /// What it links, if it is a link type.
    fn ends(&self) -> Option<&Ends> {
        None
    }
    /// This type with another definition, as far as can be said before the database resolves names.
    fn preview(&self, draft: &Draft) -> Self;
    /// Whether its document shows names of other types.
    fn shows_names(&self) -> bool;
    /// The changes of what only this kind has.
    fn compare_ends(&self, new: &Self, changes: &mut Vec<FieldChange>);
}

/// The permissions of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Rights {
    /// For reading.
    pub read: Permission,
    /// For creating, updating, restoring.
    pub write: Permission,
    /// For deleting.
    pub delete: Permission,
}

/// The use cases of a kind of type. Every one authorizes first, before the cache is asked.
#[derive(Debug, Clone)]
pub struct Service<E> {
    db: Database,
    cache: Cache,
    outbox: Outbox,
    kind: PhantomData<fn() -> E>,
}

impl<E: Entity> Service<E> {
    pub(crate) fn new(db: Database, cache: Cache, outbox: Outbox) -> Self {
        Self { db, cache, outbox, kind: PhantomData }
    }

    fn not_found(key: &TypeKey) -> Error {
        Error::NotFound { code: E::NOT_FOUND, key: key.to_string() }
    }

    /// A document that does not parse is ours to mend: the error names it.
    pub(crate) fn parse(document: &str) -> Result<E> {
        serde_json::from_str(document).map_err(|error| {
            let id = document.get(..120).unwrap_or(document);
            Error::internal(format_args!("malformed {} {id}: {error}", E::KIND.as_str()))
        })
    }
}
