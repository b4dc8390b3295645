//! Updating types: a JSON merge patch on the version that the client expects.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Service,
    rows::{Item, ends, references, row_of},
    statement::Outcome,
    store::Store,
    write::{ATTEMPTS, Lock, document_of},
};
use crate::{
    context::Context,
    definition::{Draft, merge},
    error::{Error, Kind, Result},
    input::Faults,
    name::TypeKey,
    version::{Action, compare},
};

impl<E: Store> Service<E> {
    /// Applies a JSON merge patch to the public JSON of a type. With `expected`, only to that version; without, to the
    /// version of the moment. A patch that changes nothing makes no version.
    pub async fn update(&self, context: &Context, key: &TypeKey, patch: &Value, expected: Option<i32>) -> Result<E> {
        context.require(E::RIGHTS.write)?;
        self.once(context, self.update_now(context, key, patch, expected), |types| types.into_iter().next()).await
    }

    async fn update_now(&self, context: &Context, key: &TypeKey, patch: &Value, expected: Option<i32>) -> Result<E> {
        let mut base = self.base(context, key, expected, false).await?;
        let mut fresh = false;
        for _ in 0..ATTEMPTS {
            let json = base.to_json()?;
            let mut faults = Faults::default();
            let draft = merge(&json, patch, &mut faults)
                .and_then(|merged| Draft::parse(E::KIND, &merged, Some((base.definition(), &json)), "", &mut faults));
            if !faults.is_empty() && !fresh {
                // Perhaps only against a state that the cache still has.
                base = self.base(context, key, expected, true).await?;
                fresh = true;
                continue;
            }
            faults.finish(E::INVALID)?;
            let Some(draft) = draft else { return Err(Error::internal("a draft without faults is missing")) };

            let preview = base.preview(&draft);
            let changes = compare(&base, &preview);
            if changes.is_empty() {
                if fresh {
                    self.remember(context, &base).await?;
                    return Ok(base);
                }
                // The cache said so; the database must.
                base = self.base(context, key, expected, true).await?;
                fresh = true;
                continue;
            }
            let renamed = base.definition().name != draft.definition.name;
            let siblings = match E::KIND {
                Kind::ObjectType => HashMap::from([(draft.definition.name.folded(), base.id())]),
                Kind::LinkType => HashMap::new(),
            };
            let mut row = row_of(&draft.definition, base.id());
            row.action = Action::Update;
            row.expected = base.stamp().version;
            row.refs = references(&draft, Some(base.definition()), &siblings);
            (row.source_id, row.source_name, row.target_id, row.target_name, row.cardinality) =
                ends(&draft, Some(&base));
            row.change_description = draft.change_description.clone();
            row.old = Some(serde_json::to_value(&base).map_err(Error::internal)?);
            row.changes = changes;
            // Only a new edge can close a cycle, and only of object types.
            let edge = E::KIND == Kind::ObjectType && row.refs.iter().any(|r| r.required && r.added);
            let lock = if edge { Lock::Tenant } else { Lock::None };
            let names = if preview.shows_names() { self.cache.names(&context.tenant).await } else { None };

            let outcomes = self.write(context, &[Item { row, draft: Some(draft) }], lock).await?;
            if let Some(outcome) = outcomes.first() {
                return self.written(context, outcome, names, renamed).await;
            }
            // Somebody was faster: with an expected version that is the end, without one it is done anew.
            base = self.base(context, key, expected, true).await?;
            fresh = true;
        }
        let actual = base.stamp().version;
        Err(Error::VersionConflict { expected: expected.unwrap_or(actual), actual })
    }

    /// The state that a write starts from. A cached one may be old; it is never newer than the database.
    pub(super) async fn base(&self, context: &Context, key: &TypeKey, expected: Option<i32>, fresh: bool) -> Result<E> {
        if !fresh {
            let base = self.find(context, key).await?;
            match expected {
                Some(expected) if base.stamp().version != expected => {}
                _ => return Ok(base),
            }
        }
        let document = E::fetch(&self.db, &context.tenant, key).await?.ok_or_else(|| Self::not_found(key))?;
        let base = Self::parse(&document)?;
        match expected {
            Some(expected) if base.stamp().version != expected => {
                // Whoever reads it again must not get the old one: the cache may never have learned of a write whose process
                // was killed.
                self.keep(context, &base, &document, None).await;
                Err(Error::VersionConflict { expected, actual: base.stamp().version })
            }
            _ => Ok(base),
        }
    }

    pub(super) async fn written(
        &self,
        context: &Context,
        outcome: &Outcome,
        names: Option<i64>,
        renamed: bool,
    ) -> Result<E> {
        let document = document_of(outcome)?;
        let entity = Self::parse(&document)?;
        if renamed && E::KIND == Kind::ObjectType {
            self.cache.names_changed(&context.tenant).await;
        }
        futures::join!(self.keep(context, &entity, &document, names), self.cache.content_changed(&context.tenant));
        Ok(entity)
    }
}
