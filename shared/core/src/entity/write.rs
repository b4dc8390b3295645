//! One statement for every write, tried again where a race leaves nothing to complain about; and what a refusal means.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
};

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{
    Service,
    rows::{Item, wanted},
    statement::{Outcome, Row, Statement},
    store::Store,
};
use crate::{
    context::Context,
    error::{Error, Kind, Referrer, Result},
    fault::{Fault, FaultKind},
    id::PropertyId,
    idempotency::repository as idempotency,
    input::{Faults, step},
    object_type::repository as object_types,
    postgres::{Refusal, refusal},
    property,
};

/// How often a write is tried again after a deadlock, or a race that is over when it is looked at.
pub(super) const ATTEMPTS: usize = 8;

/// What is locked before a write, in a statement of its own: a statement's snapshot is older than the locks it waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// Nothing: constraints and the expected version decide.
    None,
    /// The tenant's graph of required references, so that no two writes close a cycle together.
    Tenant,
    /// An object type and its links, which are deleted with it as they are now.
    Cascade(Uuid),
}

impl<E: Store> Service<E> {
    /// Does a write once per idempotency key. A repeat is answered from what the first wrote; so is one that fails because
    /// the first ran at the same time and was faster: it finds the name taken, the version gone, or the key itself.
    pub(super) async fn once<T>(
        &self,
        context: &Context,
        write: impl Future<Output = Result<T>>,
        answer: impl Fn(Vec<E>) -> Option<T>,
    ) -> Result<T> {
        if let Some(earlier) = self.recall(context).await? {
            return answer(earlier).ok_or_else(|| Error::internal("a remembered answer is empty"));
        }
        match write.await {
            // What has nothing to do with another write is no reason to look again.
            Ok(done) => Ok(done),
            Err(error @ (Error::Unavailable { .. } | Error::Internal { .. })) => Err(error),
            Err(error) => self.recall(context).await?.and_then(answer).ok_or(error),
        }
    }

    /// Remembers the answer of a write that changed nothing, so that its key is bound to it too.
    pub(super) async fn remember(&self, context: &Context, entity: &E) -> Result<()> {
        let Some(key) = &context.idempotency else { return Ok(()) };
        let answer = (entity.id(), entity.stamp().version);
        let first = idempotency::remember(&self.db, context, key, answer).await?;
        if first { Ok(()) } else { Err(Error::IdempotencyKeyReused) }
    }

    /// What an earlier request with the same idempotency key wrote.
    async fn recall(&self, context: &Context) -> Result<Option<Vec<E>>> {
        let Some(key) = &context.idempotency else { return Ok(None) };
        match idempotency::recall(&self.db, context, key).await? {
            None => Ok(None),
            Some(earlier) if earlier.body_hash == key.body_hash => {
                self.replay(context, &earlier.entities).await.map(Some)
            }
            Some(_) => Err(Error::IdempotencyKeyReused),
        }
    }

    /// One statement, tried again after deadlocks and races that leave nothing to complain about.
    pub(super) async fn write(&self, context: &Context, items: &[Item], lock: Lock) -> Result<Vec<Outcome>> {
        let mut rows: Vec<Row> = items.iter().map(|item| item.row.clone()).collect();
        // All writers take locks in the same order.
        rows.sort_by_cached_key(|row| row.name.to_ascii_lowercase());
        let statement = Statement::new(context, &rows, matches!(lock, Lock::Cascade(_))).map_err(Error::internal)?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let error = match self.execute(&statement, lock).await {
                Ok(outcomes) if outcomes.iter().any(|outcome| outcome.kind == "circular") => {
                    return Err(circular::<E>(items, &outcomes));
                }
                Ok(outcomes) => {
                    if !outcomes.is_empty() {
                        self.outbox.note_write();
                    }
                    return Ok(outcomes);
                }
                Err(error) => error,
            };
            match refusal(&error) {
                None => return Err(error.into()),
                Some(Refusal::IdempotencyKey) => return Err(Error::IdempotencyKeyReused),
                Some(Refusal::Retry) => {}
                Some(Refusal::NameTaken | Refusal::Reference) => {
                    let faults = self.diagnose(context, items).await?;
                    if !faults.is_empty() {
                        return Err(Error::Invalid { aggregate: E::INVALID, faults });
                    }
                    self.refuse_use(context, items, matches!(lock, Lock::Cascade(_))).await?;
                }
            }
            last = Some(error);
        }
        let cause = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Error::Unavailable { cause: format!("a write lost {ATTEMPTS} races: {cause}") })
    }

    async fn execute(&self, statement: &Statement<'_>, lock: Lock) -> sqlx::Result<Vec<Outcome>> {
        let work = async |connection: &mut PgConnection| E::write(connection, statement).await;
        // A tenant has no character that means anything to SQL, nor has an id.
        let tenant = &statement.context.tenant;
        let lock = match lock {
            Lock::None => return Box::pin(self.db.with(work)).await,
            Lock::Tenant => format!("SELECT pg_advisory_xact_lock(hashtextextended('oms:{tenant}', 0))"),
            Lock::Cascade(id) => format!(
                "SELECT FROM object_types WHERE tenant_id = '{tenant}' AND id = '{id}' FOR UPDATE; \
                SELECT FROM link_types WHERE tenant_id = '{tenant}' AND NOT is_deleted \
                AND (source_object_type_id = '{id}' OR target_object_type_id = '{id}') ORDER BY id FOR UPDATE"
            ),
        };
        Box::pin(self.db.transaction(AssertSqlSafe(format!("BEGIN; {lock}")), work)).await
    }

    /// After a refusal: every name that is taken and every target that is not there, not only the first.
    async fn diagnose(&self, context: &Context, items: &[Item]) -> Result<Vec<Fault>> {
        let mut faults = Faults::default();
        let live = items.iter().filter(|item| !item.row.is_deleted);
        let names: Vec<String> = live.clone().map(|item| item.row.name.to_ascii_lowercase()).collect();
        let taken = E::taken_names(&self.db, &context.tenant, &names).await?;
        let taken: HashMap<String, Uuid> = taken.into_iter().collect();

        let own: HashSet<Uuid> = items.iter().map(|item| item.row.id).collect();
        let wanted: Vec<(String, Option<Uuid>, Option<String>, String)> = live.clone().flat_map(wanted).collect();
        let ids: Vec<Uuid> = wanted.iter().filter_map(|(_, id, ..)| *id).collect();
        let keys: Vec<String> = wanted.iter().filter_map(|(_, _, name, _)| name.clone()).collect();
        let found = object_types::live_keys(&self.db, &context.tenant, &ids, &keys).await?;

        for item in live {
            if taken.get(&item.row.name.to_ascii_lowercase()).is_some_and(|id| *id != item.row.id) {
                let pointer = item.draft.as_ref().map(|draft| draft.pointer.as_str()).unwrap_or_default();
                faults.push(step(pointer, "name"), FaultKind::NameTaken { kind: E::KIND, name: item.row.name.clone() });
            }
        }
        for (pointer, id, name, key) in wanted {
            let there = match (&id, &name) {
                (Some(id), _) => {
                    found.iter().any(|(known, _)| known == id) || (E::KIND == Kind::ObjectType && own.contains(id))
                }
                (None, Some(name)) => found.iter().any(|(_, known)| known == name),
                (None, None) => true,
            };
            if !there {
                faults.push(pointer, FaultKind::TypeNotFound { key });
            }
        }
        Ok(faults.into_vec())
    }

    /// After a refused deletion: what still points at the object type.
    async fn refuse_use(&self, context: &Context, items: &[Item], cascade: bool) -> Result<()> {
        let Some(deleted) = items.first().filter(|item| item.row.is_deleted) else { return Ok(()) };
        let rows = object_types::referrers(&self.db, &context.tenant, deleted.row.id, !cascade).await?;
        let referrers: Vec<Referrer> = rows.into_iter().map(referrer).collect();
        if referrers.is_empty() { Ok(()) } else { Err(Error::InUse { referrers }) }
    }
}

pub(super) fn document_of(outcome: &Outcome) -> Result<String> {
    outcome.document.clone().ok_or_else(|| Error::internal("a written type has no document"))
}

/// The faults of an update that would close a cycle, at each reference that lies on one.
fn circular<E: Store>(items: &[Item], outcomes: &[Outcome]) -> Error {
    let mut faults = Faults::default();
    for outcome in outcomes.iter().filter(|outcome| outcome.kind == "circular") {
        let wanted = items.iter().filter_map(|item| item.draft.as_ref()?.references.get(&PropertyId(outcome.id)));
        for wanted in wanted {
            faults.push(wanted.pointer.clone(), FaultKind::CircularReference);
        }
    }
    Error::Invalid { aggregate: E::INVALID, faults: faults.into_vec() }
}

fn referrer(row: object_types::ReferrerRow) -> Referrer {
    let mut property = None;
    if let (Some(id), Some(properties)) = (row.property_id, &row.properties) {
        property::walk(properties, true, &mut |candidate, _| {
            if candidate.id.0 == id {
                property = Some(candidate.name.to_string());
            }
        });
    }
    let kind = if row.kind == Kind::LinkType.as_str() { Kind::LinkType } else { Kind::ObjectType };
    Referrer { kind, name: row.name, property }
}
