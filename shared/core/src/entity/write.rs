//! Writing types: parse, resolve, one statement, then the cache. Creating one is creating a batch of one.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    Entity, Service,
    statement::{Outcome, ReferenceRow, Row, Statement},
    store::Store,
};
use crate::{
    context::{Context, Permission},
    definition::{Definition, Draft, WantedEnd, merge, same},
    error::{Code, Error, Kind, Referrer, Result},
    fault::{Fault, FaultKind},
    id::PropertyId,
    idempotency::repository as idempotency,
    input::{Faults, step},
    name::TypeKey,
    object_type::repository as object_types,
    postgres::{Refusal, refusal},
    property, search,
    version::{Action, compare},
};

/// The most types of one batch.
pub const MAX_BATCH: usize = 1_000;
/// How often a write is tried again after a deadlock, or a race that is over when it is looked at.
const ATTEMPTS: usize = 8;

/// What is left of a deleted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Its identity.
    pub id: Uuid,
    /// The version that the deletion made.
    pub version: i32,
}

/// A row with the draft it came from, whose pointers say where its parts stand in the body.
struct Item {
    row: Row,
    draft: Option<Draft>,
}

impl<E: Store> Service<E> {
    /// Creates one type.
    pub async fn create(&self, context: &Context, input: &Value) -> Result<E> {
        let created = self.create_all(context, std::slice::from_ref(input), |_| String::new()).await?;
        created.into_iter().next().ok_or_else(|| Error::internal("a created type is missing from the answer"))
    }

    /// Creates up to 1,000 types, all or none. They may refer to each other by name.
    pub async fn create_batch(&self, context: &Context, inputs: &[Value]) -> Result<Vec<E>> {
        if inputs.is_empty() || inputs.len() > MAX_BATCH {
            let kind = match inputs.len() {
                0 => FaultKind::TooShort { min: 1 },
                actual => FaultKind::TooMany { max: MAX_BATCH, actual },
            };
            return Err(Error::Invalid { aggregate: E::INVALID, faults: vec![Fault::at("/items", kind)] });
        }
        self.create_all(context, inputs, |index| step("/items", index)).await
    }

    async fn create_all(&self, context: &Context, inputs: &[Value], at: impl Fn(usize) -> String) -> Result<Vec<E>> {
        context.require(E::RIGHTS.write)?;
        if let Some(earlier) = self.recall(context).await? {
            return Ok(earlier);
        }
        let mut faults = Faults::default();
        let mut drafts = Vec::with_capacity(inputs.len());
        let mut siblings: HashMap<String, Uuid> = HashMap::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let pointer = at(index);
            let Some(draft) = Draft::parse(E::KIND, input, None, &pointer, &mut faults) else { continue };
            let id = Uuid::now_v7();
            let name = &draft.definition.name;
            if siblings.insert(name.folded(), id).is_some() {
                faults.push(step(&pointer, "name"), FaultKind::NameTaken { kind: E::KIND, name: name.to_string() });
            }
            drafts.push((id, draft));
        }
        if E::KIND == Kind::LinkType {
            siblings.clear();
        }
        refuse_cycles(&drafts, &siblings, &mut faults);
        faults.finish(E::INVALID)?;

        let mut items: Vec<Item> = Vec::with_capacity(drafts.len());
        for (ordinal, (id, draft)) in drafts.into_iter().enumerate() {
            let mut row = row_of(&draft.definition, id);
            row.ordinal = ordinal;
            row.refs = references(&draft, None, &siblings);
            (row.source_id, row.source_name, row.target_id, row.target_name, row.cardinality) = ends::<E>(&draft, None);
            row.change_description = draft.change_description.clone();
            items.push(Item { row, draft: Some(draft) });
        }
        match self.write(context, &items, false, false).await? {
            Written::Earlier(earlier) => Ok(earlier),
            Written::Now(mut outcomes) => {
                outcomes.sort_by_key(|outcome| outcome.ordinal);
                let created = outcomes.iter().map(document_of).collect::<Result<Vec<_>>>()?;
                let created_types = created.iter().map(|document| Self::parse(document)).collect::<Result<Vec<E>>>()?;
                if let ([entity], [document]) = (created_types.as_slice(), created.as_slice())
                    && !entity.shows_names()
                {
                    self.keep(context, entity, document, None).await;
                }
                self.cache.content_changed(&context.tenant).await;
                Ok(created_types)
            }
        }
    }

    /// Applies a JSON merge patch to the public JSON of a type. With `expected`, only to that version; without, to the
    /// version of the moment. A patch that changes nothing makes no version.
    pub async fn update(&self, context: &Context, key: &TypeKey, patch: &Value, expected: Option<i32>) -> Result<E> {
        context.require(E::RIGHTS.write)?;
        if let Some(earlier) = self.recall(context).await?.and_then(|types| types.into_iter().next()) {
            return Ok(earlier);
        }
        let mut base = self.base(context, key, expected, false).await?;
        let mut fresh = false;
        for _ in 0..ATTEMPTS {
            let json = base.to_json();
            let mut faults = Faults::default();
            let draft = merge(&json, patch, &mut faults)
                .and_then(|merged| Draft::parse(E::KIND, &merged, Some((base.definition(), &json)), "", &mut faults));
            faults.finish(E::INVALID)?;
            let Some(draft) = draft else { return Err(Error::internal("a draft without faults is missing")) };

            let preview = base.preview(&draft);
            let changes = compare(&base, &preview);
            if changes.is_empty() {
                if fresh {
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
            row.old = serde_json::to_value(&base).ok();
            row.changes = changes;
            // Only a new edge can close a cycle, and only of object types.
            let lock = E::KIND == Kind::ObjectType && row.refs.iter().any(|r| r.required && r.added);
            let names = if preview.shows_names() { self.cache.names(&context.tenant).await } else { None };

            match self.write(context, &[Item { row, draft: Some(draft) }], lock, false).await? {
                Written::Earlier(earlier) => {
                    return earlier.into_iter().next().ok_or_else(|| Error::internal("a remembered answer is empty"));
                }
                Written::Now(outcomes) => {
                    if let Some(outcome) = outcomes.first() {
                        return self.written(context, outcome, names, renamed).await;
                    }
                }
            }
            // Somebody was faster: with an expected version that is the end, without one it is done anew.
            base = self.base(context, key, expected, true).await?;
            fresh = true;
        }
        let actual = base.stamp().version;
        Err(Error::VersionConflict { expected: expected.unwrap_or(actual), actual })
    }

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
        let deleted = |entity: &E| Deleted { id: entity.id(), version: entity.stamp().version };
        if let Some(earlier) = self.recall(context).await?.and_then(|types| types.into_iter().next()) {
            return Ok(deleted(&earlier));
        }
        let mut base = self.base(context, key, expected, false).await?;
        for _ in 0..ATTEMPTS {
            let row = row_again(&base, Action::Delete);
            match self.write(context, &[Item { row, draft: None }], false, cascade).await? {
                Written::Earlier(earlier) => {
                    return earlier.first().map(deleted).ok_or_else(|| Error::internal("a remembered answer is empty"));
                }
                Written::Now(outcomes) if outcomes.is_empty() => {
                    base = self.base(context, key, expected, true).await?;
                }
                Written::Now(outcomes) => {
                    let tombstone = |outcome: &Outcome| {
                        let kind =
                            if outcome.kind == Kind::LinkType.as_str() { Kind::LinkType } else { Kind::ObjectType };
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
            }
        }
        let actual = base.stamp().version;
        Err(Error::VersionConflict { expected: expected.unwrap_or(actual), actual })
    }

    /// Brings a deleted type back as it was: by its id, or by its name the one deleted last.
    pub async fn restore(&self, context: &Context, key: &TypeKey, expected: Option<i32>) -> Result<E> {
        context.require(E::RIGHTS.write)?;
        if let Some(earlier) = self.recall(context).await?.and_then(|types| types.into_iter().next()) {
            return Ok(earlier);
        }
        for _ in 0..ATTEMPTS {
            let latest =
                E::fetch_latest(&self.pool, &context.tenant, key).await?.ok_or_else(|| Self::not_found(key))?;
            if !latest.is_deleted {
                return Err(Error::NotDeleted { key: key.to_string() });
            }
            if let Some(expected) = expected
                && expected != latest.version
            {
                return Err(Error::VersionConflict { expected, actual: latest.version });
            }
            let base = Self::parse(&latest.document)?;
            let row = row_again(&base, Action::Restore);
            let names = if base.shows_names() { self.cache.names(&context.tenant).await } else { None };
            match self.write(context, &[Item { row, draft: None }], false, false).await? {
                Written::Earlier(earlier) => {
                    return earlier.into_iter().next().ok_or_else(|| Error::internal("a remembered answer is empty"));
                }
                Written::Now(outcomes) => {
                    if let Some(outcome) = outcomes.first() {
                        return self.written(context, outcome, names, false).await;
                    }
                }
            }
        }
        Err(Error::NotDeleted { key: key.to_string() })
    }

    /// The state that a write starts from. A cached one may be old; it is never newer than the database.
    async fn base(&self, context: &Context, key: &TypeKey, expected: Option<i32>, fresh: bool) -> Result<E> {
        if !fresh {
            let base = self.find(context, key).await?;
            match expected {
                Some(expected) if base.stamp().version != expected => {}
                _ => return Ok(base),
            }
        }
        let document = E::fetch(&self.pool, &context.tenant, key).await?.ok_or_else(|| Self::not_found(key))?;
        let base = Self::parse(&document)?;
        match expected {
            Some(expected) if base.stamp().version != expected => {
                Err(Error::VersionConflict { expected, actual: base.stamp().version })
            }
            _ => Ok(base),
        }
    }

    async fn written(&self, context: &Context, outcome: &Outcome, names: Option<i64>, renamed: bool) -> Result<E> {
        let document = document_of(outcome)?;
        let entity = Self::parse(&document)?;
        if renamed && E::KIND == Kind::ObjectType {
            self.cache.names_changed(&context.tenant).await;
        }
        futures::join!(self.keep(context, &entity, &document, names), self.cache.content_changed(&context.tenant));
        Ok(entity)
    }

    /// What an earlier request with the same idempotency key wrote.
    async fn recall(&self, context: &Context) -> Result<Option<Vec<E>>> {
        let Some(key) = &context.idempotency else { return Ok(None) };
        match idempotency::recall(&self.pool, context, key).await? {
            None => Ok(None),
            Some(earlier) if earlier.body_hash == key.body_hash => {
                self.replay(context, &earlier.entities).await.map(Some)
            }
            Some(_) => Err(Error::IdempotencyKeyReused),
        }
    }

    /// One statement, tried again after deadlocks and races that leave nothing to complain about.
    async fn write(&self, context: &Context, items: &[Item], lock: bool, cascade: bool) -> Result<Written<E>> {
        let mut rows: Vec<Row> = items.iter().map(|item| item.row.clone()).collect();
        // All writers take locks in the same order.
        rows.sort_by_cached_key(|row| row.name.to_ascii_lowercase());
        let statement = Statement::new(context, &rows, cascade).map_err(Error::internal)?;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let error = match self.execute(&statement, lock).await {
                Ok(outcomes) if outcomes.iter().any(|outcome| outcome.kind == "circular") => {
                    return Err(circular::<E>(items));
                }
                Ok(outcomes) => return Ok(Written::Now(outcomes)),
                Err(error) => error,
            };
            match refusal(&error) {
                None => return Err(error.into()),
                Some(Refusal::Retry) => {}
                Some(Refusal::IdempotencyKey) => {
                    if let Some(earlier) = self.recall(context).await? {
                        return Ok(Written::Earlier(earlier));
                    }
                }
                Some(Refusal::NameTaken | Refusal::Reference) => {
                    let faults = self.diagnose(context, items).await?;
                    if !faults.is_empty() {
                        return Err(Error::Invalid { aggregate: E::INVALID, faults });
                    }
                    self.refuse_use(context, items, cascade).await?;
                }
            }
            last = Some(error);
        }
        let cause = last.map(|error| error.to_string()).unwrap_or_default();
        Err(Error::Unavailable { cause: format!("a write lost {ATTEMPTS} races: {cause}") })
    }

    async fn execute(&self, statement: &Statement<'_>, lock: bool) -> sqlx::Result<Vec<Outcome>> {
        if !lock {
            let mut connection = self.pool.acquire().await?;
            return E::write(&mut connection, statement).await;
        }
        // The lock is a statement of its own: a statement's snapshot is older than the locks that it waits for.
        let tenant = statement.context.tenant.as_str().bytes();
        let number = tenant.fold(0x6f6d_735f_6c6f_636b_u64, |hash, byte| {
            hash.rotate_left(5) ^ u64::from(byte).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({})", number.cast_signed());
        let mut transaction = self.pool.begin_with(AssertSqlSafe(begin)).await?;
        let outcomes = E::write(&mut transaction, statement).await?;
        transaction.commit().await?;
        Ok(outcomes)
    }

    /// After a refusal: every name that is taken and every target that is not there, not only the first.
    async fn diagnose(&self, context: &Context, items: &[Item]) -> Result<Vec<Fault>> {
        let mut faults = Faults::default();
        let live = items.iter().filter(|item| !item.row.is_deleted);
        let names: Vec<String> = live.clone().map(|item| item.row.name.to_ascii_lowercase()).collect();
        let taken = E::taken_names(&self.pool, &context.tenant, &names).await?;
        let taken: HashMap<String, Uuid> = taken.into_iter().collect();

        let own: HashSet<Uuid> = items.iter().map(|item| item.row.id).collect();
        let wanted: Vec<(String, Option<Uuid>, Option<String>, String)> = live.clone().flat_map(wanted).collect();
        let ids: Vec<Uuid> = wanted.iter().filter_map(|(_, id, ..)| *id).collect();
        let keys: Vec<String> = wanted.iter().filter_map(|(_, _, name, _)| name.clone()).collect();
        let found = object_types::live_keys(&self.pool, &context.tenant, &ids, &keys).await?;

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
        let rows = object_types::referrers(&self.pool, &context.tenant, deleted.row.id, !cascade).await?;
        let referrers: Vec<Referrer> = rows.into_iter().map(referrer).collect();
        if referrers.is_empty() { Ok(()) } else { Err(Error::InUse { referrers }) }
    }
}

enum Written<E> {
    /// What the statement wrote.
    Now(Vec<Outcome>),
    /// A concurrent request with the same idempotency key was faster: what it wrote.
    Earlier(Vec<E>),
}

fn document_of(outcome: &Outcome) -> Result<String> {
    outcome.document.clone().ok_or_else(|| Error::internal("a written type has no document"))
}

fn row_of(definition: &Definition, id: Uuid) -> Row {
    let words = search::document_words(definition);
    Row {
        ordinal: 0,
        id,
        expected: 0,
        action: Action::Create,
        is_deleted: false,
        name: definition.name.to_string(),
        display_name: definition.display_name.clone(),
        description: definition.description.clone(),
        category: definition.category.clone(),
        tags: definition.tags.clone(),
        properties: definition.properties.clone(),
        base_datasets: definition.base_datasets.clone(),
        metadata: definition.metadata.clone(),
        refs: Vec::new(),
        source_id: None,
        source_name: None,
        target_id: None,
        target_name: None,
        cardinality: None,
        search_a: words.a,
        search_b: words.b,
        search_c: words.c,
        search_text: words.text,
        change_description: None,
        old: None,
        changes: Vec::new(),
    }
}

/// The row of a type that is deleted or restored as it is.
fn row_again<E: Entity>(base: &E, action: Action) -> Row {
    let required = required_targets(base.definition());
    let references = base.definition().references.iter().map(|(property, target)| ReferenceRow {
        property_id: property.0,
        target_id: Some(target.id.0),
        target_name: None,
        required: required.contains(property),
        // Nothing points at a type that is not live, so its return can't close a cycle.
        added: false,
    });
    let ends = base.ends();
    Row {
        expected: base.stamp().version,
        action,
        is_deleted: action == Action::Delete,
        refs: references.collect(),
        source_id: ends.map(|ends| ends.source.id.0),
        target_id: ends.map(|ends| ends.target.id.0),
        cardinality: ends.map(|ends| ends.cardinality.as_str()),
        old: (action == Action::Delete).then(|| serde_json::to_value(base).ok()).flatten(),
        ..row_of(base.definition(), base.id())
    }
}

/// The properties through which a type requires an instance of another.
fn required_targets(definition: &Definition) -> HashSet<PropertyId> {
    let mut required = HashSet::new();
    property::walk(&definition.properties, true, &mut |property, forced| {
        if forced && definition.references.contains_key(&property.id) {
            required.insert(property.id);
        }
    });
    required
}

/// The references of a draft: by id where the client, the base or a sibling in the batch gives it, else by name.
fn references(draft: &Draft, base: Option<&Definition>, siblings: &HashMap<String, Uuid>) -> Vec<ReferenceRow> {
    let required_before: HashSet<Uuid> = base
        .map(|base| required_targets(base).iter().filter_map(|id| Some(base.references.get(id)?.id.0)).collect())
        .unwrap_or_default();
    let rows = draft.references.iter().map(|(property, wanted)| {
        let known = base.and_then(|base| base.references.get(property)).filter(|known| same(known, &wanted.key));
        let name = wanted.key.folded_name();
        let sibling = name.as_ref().and_then(|name| siblings.get(name).copied());
        let target_id = known.map(|known| known.id.0).or(wanted.key.id()).or(sibling);
        ReferenceRow {
            property_id: property.0,
            target_id,
            target_name: name.filter(|_| target_id.is_none()),
            required: wanted.required,
            // A new type has nothing pointing at it but its siblings, and these are looked at before.
            added: base.is_some() && target_id.is_none_or(|id| !required_before.contains(&id)),
        }
    });
    rows.collect()
}

type EndColumns = (Option<Uuid>, Option<String>, Option<Uuid>, Option<String>, Option<&'static str>);

fn ends<E: Entity>(draft: &Draft, base: Option<&E>) -> EndColumns {
    let Some(wanted) = &draft.ends else { return EndColumns::default() };
    let known = base.and_then(Entity::ends);
    let end = |wanted: &WantedEnd, known: Option<&crate::definition::TypeRef>| {
        let known = known.filter(|known| same(known, &wanted.key)).map(|known| known.id.0);
        let id = known.or(wanted.key.id());
        (id, wanted.key.folded_name().filter(|_| id.is_none()))
    };
    let source = end(&wanted.source, known.map(|ends| &ends.source));
    let target = end(&wanted.target, known.map(|ends| &ends.target));
    (source.0, source.1, target.0, target.1, Some(wanted.cardinality.as_str()))
}

/// Every target of an item: pointer, id or folded name, and the key as a client wrote it.
fn wanted(item: &Item) -> Vec<(String, Option<Uuid>, Option<String>, String)> {
    let at = |property: Uuid| {
        let written = item.draft.as_ref().and_then(|draft| draft.references.get(&PropertyId(property)));
        written.map_or_else(|| ("/properties".to_owned(), None), |w| (w.pointer.clone(), Some(w.key.to_string())))
    };
    let mut all = Vec::new();
    for row in &item.row.refs {
        let (pointer, written) = at(row.property_id);
        let key = written.or(row.target_id.map(|id| id.to_string())).unwrap_or_default();
        all.push((pointer, row.target_id, row.target_name.clone(), key));
    }
    let ends = item.draft.as_ref().and_then(|draft| draft.ends.as_ref());
    let sides = [
        ("source", item.row.source_id, &item.row.source_name, ends.map(|ends| &ends.source)),
        ("target", item.row.target_id, &item.row.target_name, ends.map(|ends| &ends.target)),
    ];
    for (side, id, name, end) in sides {
        if id.is_some() || name.is_some() {
            let pointer = end.map_or_else(|| format!("/{side}"), |end| end.pointer.clone());
            let key = end.map(|end| end.key.to_string()).or(id.map(|id| id.to_string())).unwrap_or_default();
            all.push((pointer, id, name.clone(), key));
        }
    }
    all
}

/// Refuses cycles of required references within a batch, self-references among them.
fn refuse_cycles(drafts: &[(Uuid, Draft)], siblings: &HashMap<String, Uuid>, faults: &mut Faults) {
    let edges: HashMap<Uuid, Vec<(Uuid, &str)>> = drafts
        .iter()
        .map(|(id, draft)| {
            let targets = draft.references.values().filter(|wanted| wanted.required).filter_map(|wanted| {
                let target = siblings.get(&wanted.key.folded_name()?)?;
                Some((*target, wanted.pointer.as_str()))
            });
            (*id, targets.collect())
        })
        .collect();
    let reaches = |from: Uuid, to: Uuid| {
        let (mut open, mut seen) = (vec![from], HashSet::new());
        while let Some(node) = open.pop() {
            if node == to {
                return true;
            }
            if seen.insert(node) {
                open.extend(edges.get(&node).into_iter().flatten().map(|(target, _)| *target));
            }
        }
        false
    };
    for (id, _) in drafts {
        for (target, pointer) in edges.get(id).into_iter().flatten() {
            if reaches(*target, *id) {
                faults.push(*pointer, FaultKind::CircularReference);
            }
        }
    }
}

/// The fault of an update that would close a cycle, at each new required reference.
fn circular<E: Entity>(items: &[Item]) -> Error {
    let pointers = items.iter().flat_map(|item| {
        let added = item.row.refs.iter().filter(|row| row.required && row.added);
        added.filter_map(|row| Some(item.draft.as_ref()?.references.get(&PropertyId(row.property_id))?.pointer.clone()))
    });
    let faults = pointers.map(|pointer| Fault::at(pointer, FaultKind::CircularReference)).collect();
    Error::Invalid { aggregate: Code::CircularReference, faults }
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
