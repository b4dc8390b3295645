//! Reading types: from the cache, else with one query.

use serde_json::Value;

use super::{
    Entity, ListQuery, Service,
    listing::{self, ListRow, MAX_CACHED_PAGE},
    store::Store,
};
use crate::{
    cache::Lookup,
    context::Context,
    error::{Code, Error, Result},
    fault::{Fault, FaultKind},
    id::TenantId,
    input::{Faults, MAX_FAULTS, parameter},
    name::TypeKey,
    page::{self, Digest, MAX_LIMIT, Page, Position, SortBy, SortValue},
    property::InstanceValidator,
    version::{
        Action, Comparison, Version, VersionInfo, compare,
        repository::{self as versions, VersionRow},
    },
};

/// The most instances of one validation.
pub const MAX_INSTANCES: usize = 1_000;

/// So many instances are read and judged in one turn of a worker: well below a millisecond for usual ones.
const TURN: usize = 16;

/// What came of a validation.
#[derive(Debug)]
pub struct Verdicts {
    /// One for each instance.
    pub each: Vec<Verdict>,
    /// Whether there are more faults than those listed: [`MAX_FAULTS`] in all.
    pub truncated: bool,
}

/// What came of the validation of one instance.
#[derive(Debug)]
pub struct Verdict {
    /// Whether nothing is wrong with it.
    pub valid: bool,
    /// What is wrong, as far as there was room. Pointers start at the instance.
    pub faults: Vec<Fault>,
}

impl<E: Store> Service<E> {
    /// The live type.
    pub async fn get(&self, context: &Context, key: &TypeKey) -> Result<E> {
        context.require(E::RIGHTS.read)?;
        self.find(context, key).await
    }

    pub(super) async fn find(&self, context: &Context, key: &TypeKey) -> Result<E> {
        let tenant = &context.tenant;
        let mut names = None;
        let mut asked = false;
        let id = match key {
            TypeKey::Id(id) => Some(*id),
            TypeKey::Name(name) => self.cache.ids_of(E::KIND, tenant, &[name.folded()]).await.pop().flatten(),
        };
        if let Some(id) = id {
            asked = true;
            match self.cache.entity(E::KIND, tenant, id).await {
                Lookup::Hit(document) => {
                    // Names move: what the name had before may have another one now.
                    if let Some(entity) = Self::parse_cached(&document)
                        && key.folded_name().is_none_or(|name| name == entity.definition().name.folded())
                    {
                        return Ok(entity);
                    }
                }
                Lookup::Miss(generation) => names = generation,
            }
        }
        if !asked || names.is_none() {
            names = self.cache.names(tenant).await;
        }
        let document = E::fetch(&self.db, tenant, key).await?.ok_or_else(|| Self::not_found(key))?;
        let entity = Self::parse(&document)?;
        self.keep(context, &entity, &document, names).await;
        Ok(entity)
    }

    /// What the cache has, unless perhaps an older or newer release wrote it.
    pub(super) fn parse_cached(document: &str) -> Option<E> {
        Self::parse(document).inspect_err(|error| tracing::warn!(%error, "a cached document is passed over")).ok()
    }

    /// Puts a document into the cache. One that shows names, read without knowing their generation, takes the place of an
    /// older entry but is never served: no generation is 0.
    pub(super) async fn keep(&self, context: &Context, entity: &E, document: &str, names: Option<i64>) {
        let shown = entity.shows_names().then(|| names.unwrap_or(0));
        let (tenant, id) = (&context.tenant, entity.id());
        let name = entity.definition().name.folded();
        futures::join!(
            self.cache.keep_entity(E::KIND, tenant, id, entity.stamp().version, shown, Some(document)),
            self.cache.keep_name(E::KIND, tenant, &name, id),
        );
    }

    /// A page of live types.
    pub async fn list(&self, context: &Context, list: &ListQuery) -> Result<Page<E>> {
        context.require(E::RIGHTS.read)?;
        check_limit(list.limit)?;
        let tenant = &context.tenant;
        let digest = list.digest(tenant, E::KIND);
        let after = list.cursor.as_deref().map(|cursor| Position::decode(cursor, digest)).transpose()?;

        let key_type = match (E::KIND, &list.filter) {
            (crate::error::Kind::ObjectType, _) => "object_types:list",
            (_, filter) if filter.source.is_some() => "link_types:source",
            (_, filter) if filter.target.is_some() => "link_types:target",
            _ => "link_types:list",
        };
        let (found, slot) = self.cache.page(tenant, key_type, &list.hash(tenant, E::KIND)).await;
        let row = match found.and_then(|text| serde_json::from_str::<ListRow>(&text).ok()) {
            Some(row) => row,
            None => {
                let mut query = listing::query(&E::COLUMNS, tenant, list, after.as_ref());
                let row: ListRow = query.build_query_as().fetch_one(&self.db).await?;
                let text = serde_json::to_string(&row).map_err(Error::internal)?;
                if text.len() <= MAX_CACHED_PAGE {
                    self.cache.keep_page(slot, &text).await;
                }
                row
            }
        };
        Self::page(&row, list.sort.by, digest)
    }

    pub(super) fn page(row: &ListRow, by: SortBy, digest: Digest) -> Result<Page<E>> {
        let items = row.documents.iter().map(|document| Self::parse(document)).collect::<Result<Vec<E>>>()?;
        let cursors = items.iter().map(|item| Position { value: sort_value(item, by), id: item.id() }.encode(digest));
        Ok(Page { cursors: cursors.collect(), items, has_more: row.has_more, total: row.total })
    }

    /// How many live types the filter shows.
    pub async fn count(&self, context: &Context, filter: &super::Filter) -> Result<i64> {
        let list = ListQuery { filter: filter.clone(), limit: 1, count: true, ..ListQuery::default() };
        Ok(self.list(context, &list).await?.total.unwrap_or_default())
    }

    /// A page of the versions of a type, newest first; those of a deleted type by its id.
    pub async fn versions(
        &self,
        context: &Context,
        key: &TypeKey,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<VersionInfo>> {
        context.require(E::RIGHTS.read)?;
        let digest = Self::versions_digest(&context.tenant, key);
        let before = cursor.map(|cursor| version_before(cursor, digest)).transpose();
        let rows = match before {
            Ok(before) => versions::list(&self.db, E::KIND, &context.tenant, key, before, i64::from(limit) + 1).await?,
            Err(_) => Vec::new(),
        };
        // What is not there is not found, whatever the cursor says.
        if rows.is_empty() && versions::fetch(&self.db, E::KIND, &context.tenant, key, &[]).await?.is_empty() {
            return Err(Self::not_found(key));
        }
        before?;
        let shown = &rows[..rows.len().min(usize::try_from(limit).unwrap_or(usize::MAX))];
        Self::versions_page(shown, rows.len() > shown.len(), digest)
    }

    /// Marks the cursors of a type's versions.
    pub(super) fn versions_digest(tenant: &TenantId, key: &TypeKey) -> Digest {
        let question = (E::KIND, key.id(), key.folded_name());
        page::digest(tenant, &format!("versions {question:?}"))
    }

    pub(super) fn versions_page(rows: &[VersionRow], has_more: bool, digest: Digest) -> Result<Page<VersionInfo>> {
        let cursor = |row: &VersionRow| {
            Position { value: SortValue::Text(row.version.to_string()), id: row.entity_id }.encode(digest)
        };
        let items = rows.iter().map(info).collect::<Result<_>>()?;
        Ok(Page { items, cursors: rows.iter().map(cursor).collect(), has_more, total: None })
    }

    /// One version with its snapshot; of a deleted type by its id.
    pub async fn version(&self, context: &Context, key: &TypeKey, version: i32) -> Result<Version<E>> {
        context.require(E::RIGHTS.read)?;
        self.version_of(context, key, version).await
    }

    async fn version_of(&self, context: &Context, key: &TypeKey, version: i32) -> Result<Version<E>> {
        let rows = versions::fetch(&self.db, E::KIND, &context.tenant, key, &[version]).await?;
        self.pick(&rows, key, version)
    }

    /// Two versions and what changed from the one to the other.
    pub async fn compare(&self, context: &Context, key: &TypeKey, from: i32, to: i32) -> Result<Comparison<E>> {
        context.require(E::RIGHTS.read)?;
        let rows = versions::fetch(&self.db, E::KIND, &context.tenant, key, &[from, to]).await?;
        let (from, to) = (self.pick(&rows, key, from)?, self.pick(&rows, key, to)?);
        let changes = compare(&from.snapshot, &to.snapshot);
        Ok(Comparison { from, to, changes })
    }

    fn pick(&self, rows: &[VersionRow], key: &TypeKey, version: i32) -> Result<Version<E>> {
        if rows.is_empty() {
            return Err(Self::not_found(key));
        }
        let row = rows
            .iter()
            .find(|row| row.version == version)
            .ok_or_else(|| Error::NotFound { code: Code::VersionNotFound, key: version.to_string() })?;
        let snapshot = Self::parse(row.snapshot.as_deref().unwrap_or_default())?;
        Ok(Version { info: info(row)?, snapshot })
    }

    /// Judges each instance by the type, at a version or as it is now.
    pub async fn validate(
        &self,
        context: &Context,
        key: &TypeKey,
        version: Option<i32>,
        instances: Vec<Value>,
    ) -> Result<Verdicts> {
        context.require(E::RIGHTS.read)?;
        if instances.len() > MAX_INSTANCES {
            let kind = FaultKind::TooMany { max: MAX_INSTANCES, actual: instances.len() };
            return Err(Error::Invalid {
                aggregate: Code::InvalidRequest,
                faults: vec![Fault::at("/instances", kind)],
            });
        }
        self.validate_each(context, key, version, &mut instances.into_iter()).await
    }

    /// The same for instances that are read one by one: each is gone before the next is made, which costs far less than to
    /// keep them all. The caller bounds their number. Nothing is read if there is nothing to judge by.
    pub async fn validate_each(
        &self,
        context: &Context,
        key: &TypeKey,
        version: Option<i32>,
        instances: &mut (impl Iterator<Item = Value> + Send),
    ) -> Result<Verdicts> {
        context.require(E::RIGHTS.read)?;
        let entity = match version {
            None => self.find(context, key).await?,
            Some(version) => self.version_of(context, key, version).await?.snapshot,
        };
        let mut judge = Judge::new(&entity);
        let mut each = Vec::new();
        for instance in instances {
            each.push(judge.judge(&instance));
            drop(instance);
            if each.len().is_multiple_of(TURN) {
                // Other requests of this worker have their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(Verdicts { each, truncated: judge.truncated })
    }

    /// The types that an earlier, identical request wrote, as it left them.
    pub(super) async fn replay(&self, context: &Context, entities: &[(uuid::Uuid, i32)]) -> Result<Vec<E>> {
        let (ids, numbers): (Vec<_>, Vec<_>) = entities.iter().copied().unzip();
        let rows = versions::fetch_each(&self.db, E::KIND, &context.tenant, &ids, &numbers, i64::MAX).await?;
        rows.iter().filter_map(|row| row.document.as_deref()).map(Self::parse).collect()
    }
}

pub(super) fn check_limit(limit: u32) -> Result<()> {
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(());
    }
    Err(parameter("limit", FaultKind::Malformed { expected: "a whole number from 1 to 200" }))
}

/// Judges one instance after another, as long as there is room for faults.
struct Judge<'a> {
    validator: InstanceValidator<'a>,
    left: usize,
    truncated: bool,
}

impl<'a> Judge<'a> {
    fn new<E: Entity>(entity: &'a E) -> Self {
        let validator = InstanceValidator::new(&entity.definition().properties);
        Self { validator, left: MAX_FAULTS, truncated: false }
    }

    fn judge(&mut self, instance: &Value) -> Verdict {
        // One more than may be shown tells whether there are more.
        let mut faults = Faults::at_most(self.left + 1);
        self.validator.validate(instance, "", &mut faults);
        self.truncated |= faults.is_full();
        let valid = faults.is_empty();
        let mut faults = faults.into_vec();
        faults.truncate(self.left);
        self.left -= faults.len();
        Verdict { valid, faults }
    }
}

fn version_before(cursor: &str, digest: Digest) -> Result<i32> {
    match Position::decode(cursor, digest)?.value {
        SortValue::Text(version) => version.parse().map_err(|_| parameter("cursor", FaultKind::Cursor)),
        SortValue::Time(_) => Err(parameter("cursor", FaultKind::Cursor)),
    }
}

fn sort_value<E: Entity>(entity: &E, by: SortBy) -> SortValue {
    match by {
        SortBy::Name => SortValue::Text(entity.definition().name.to_string()),
        SortBy::DisplayName => SortValue::Text(entity.definition().display_name.clone()),
        SortBy::CreatedAt => SortValue::Time(entity.stamp().created_at),
        SortBy::UpdatedAt => SortValue::Time(entity.stamp().updated_at),
    }
}

fn info(row: &VersionRow) -> Result<VersionInfo> {
    let action = serde_json::from_value::<Action>(Value::from(row.action.as_str())).map_err(|error| {
        Error::internal(format_args!("malformed version {} {}: {error}", row.entity_id, row.version))
    })?;
    Ok(VersionInfo {
        version: row.version,
        action,
        change_description: row.change_description.clone(),
        created_at: row.created_at,
        created_by: row.created_by.clone(),
    })
}
