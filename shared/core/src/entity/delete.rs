//! Deleting types, and bringing them back.

use uuid::Uuid;

use super::{
    Service,
    rows::{Item, row_again},
    statement::Outcome,
    store::Store,
    write::{ATTEMPTS, Lock},
};
use crate::{
    context::{Context, Permission},
    error::{Error, Kind, Result},
    name::TypeKey,
    version::Action,
};

/// What is left of a deleted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Its identity.
    pub id: Uuid,
    /// The version that the deletion made.
    pub version: i32,
}

impl<E: Store> Service<E> {
    /// Deletes a type. An object type in use is refused, unless only links use it and `cascade` lets them go with it.
    pub async fn delete(
        &self,
        context: &Context,
        key: &TypeKey,
        expected: Option<i32>,
        cascade: bool,
    ) -> Result<Deleted> {
        context.require(E::RIGHTS.delete)?;
        let cascade = cascade && E::KIND == Kind::ObjectType;
        if cascade {
            context.require(Permission::LinkTypeDelete)?;
        }
        let deleted = |entity: E| Deleted { id: entity.id(), version: entity.stamp().version };
        let answer = |types: Vec<E>| types.into_iter().next().map(deleted);
        self.once(context, self.delete_now(context, key, expected, cascade), answer).await
    }

    async fn delete_now(
        &self,
        context: &Context,
        key: &TypeKey,
        expected: Option<i32>,
        cascade: bool,
    ) -> Result<Deleted> {
        let mut base = self.base(context, key, expected, false).await?;
        for _ in 0..ATTEMPTS {
            let row = row_again(&base, Action::Delete)?;
            let lock = if cascade { Lock::Cascade(base.id()) } else { Lock::None };
            let outcomes = self.write(context, &[Item { row, draft: None }], lock).await?;
            if outcomes.is_empty() {
                base = self.base(context, key, expected, true).await?;
                continue;
            }
            let tombstone = |outcome: &Outcome| {
                let kind = if outcome.kind == Kind::LinkType.as_str() { Kind::LinkType } else { Kind::ObjectType };
                let (id, version) = (outcome.id, outcome.version);
                async move { self.cache.keep_entity(kind, &context.tenant, id, version, None, None).await }
            };
            futures::future::join_all(outcomes.iter().map(tombstone)).await;
            self.cache.content_changed(&context.tenant).await;
            let own = outcomes.iter().find(|outcome| outcome.id == base.id());
            return own
                .map(|outcome| Deleted { id: outcome.id, version: outcome.version })
                .ok_or_else(|| Error::internal("a deleted type is missing from the answer"));
        }
        let actual = base.stamp().version;
        Err(Error::VersionConflict { expected: expected.unwrap_or(actual), actual })
    }

    /// Brings a deleted type back as it was: by its id, or by its name the one deleted last.
    pub async fn restore(&self, context: &Context, key: &TypeKey, expected: Option<i32>) -> Result<E> {
        context.require(E::RIGHTS.write)?;
        self.once(context, self.restore_now(context, key, expected), |types| types.into_iter().next()).await
    }

    async fn restore_now(&self, context: &Context, key: &TypeKey, expected: Option<i32>) -> Result<E> {
        for _ in 0..ATTEMPTS {
            let latest = E::fetch_latest(&self.db, &context.tenant, key).await?.ok_or_else(|| Self::not_found(key))?;
            if !latest.is_deleted {
                return Err(Error::NotDeleted { key: key.to_string() });
            }
            if let Some(expected) = expected
                && expected != latest.version
            {
                return Err(Error::VersionConflict { expected, actual: latest.version });
            }
            let base = Self::parse(&latest.document)?;
            let row = row_again(&base, Action::Restore)?;
            // What points at it only once it is back must see its edges.
            let edge = E::KIND == Kind::ObjectType && row.refs.iter().any(|r| r.required);
            let lock = if edge { Lock::Tenant } else { Lock::None };
            let names = if base.shows_names() { self.cache.names(&context.tenant).await } else { None };
            let outcomes = self.write(context, &[Item { row, draft: None }], lock).await?;
            if let Some(outcome) = outcomes.first() {
                return self.written(context, outcome, names, false).await;
            }
        }
        Err(Error::NotDeleted { key: key.to_string() })
    }
}
