//! Reading for many types at once what [`super::read`] reads for one, with as many queries.
//!
//! One read takes at most [`MAX_PAGE_BYTES`] of documents, the first one apart. Pages get shorter for that; where nothing
//! can be left out, the caller is told to ask for less.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use futures::future::join_all;
use uuid::Uuid;

use super::{
    Entity, Filter, ListQuery, Service,
    listing::{ListRow, MAX_PAGE_BYTES},
    read::check_limit,
    store::Store,
};
use crate::{
    context::Context,
    error::{Code, Error, Result},
    fault::{FaultKind, Location},
    link_type::{End, LinkType, repository as link_types},
    name::TypeKey,
    page::Page,
    version::{VersionInfo, repository as versions},
};

/// What is found for keys.
struct Found<E> {
    types: HashMap<Uuid, E>,
    /// The type that had a folded name when it was last seen.
    names: HashMap<String, Uuid>,
    /// The length of each document so far.
    lengths: Vec<usize>,
}

impl<E: Entity> Found<E> {
    fn get(&self, key: &TypeKey) -> Option<&E> {
        match key {
            TypeKey::Id(id) => self.types.get(id),
            TypeKey::Name(name) => {
                let name = name.folded();
                // Names move: what the name had before may have another one now.
                self.types.get(self.names.get(&name)?).filter(|entity| entity.definition().name.folded() == name)
            }
        }
    }
}

impl<E: Store> Service<E> {
    /// The live types that these keys name, in the order of the keys; none for what is not there. A key may come twice.
    ///
    /// At most one lookup of names and one of documents in the cache, and one query for all that it lacks.
    pub async fn get_many(&self, context: &Context, keys: &[TypeKey]) -> Result<Vec<Option<E>>> {
        context.require(E::RIGHTS.read)?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        // The names generation is read before the documents that it shall mark.
        let (mut found, generation) = self.cached(context, keys).await;
        bounded(&found.lengths)?;
        let lacking: Vec<&TypeKey> = keys.iter().filter(|key| found.get(key).is_none()).collect();
        if !lacking.is_empty() {
            self.fetch_into(&mut found, context, &lacking, generation).await?;
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// What the cache has, and the names generation.
    async fn cached(&self, context: &Context, keys: &[TypeKey]) -> (Found<E>, Option<i64>) {
        let names = distinct(keys.iter().filter_map(TypeKey::folded_name));
        let named = self.cache.ids_of(E::KIND, &context.tenant, &names).await;
        let ids = distinct(keys.iter().filter_map(TypeKey::id).chain(named.iter().copied().flatten()));
        let (documents, generation) = self.cache.entities(E::KIND, &context.tenant, &ids).await;

        let names = names.into_iter().zip(named).filter_map(|(name, id)| Some((name, id?))).collect();
        let mut found = Found { types: HashMap::new(), names, lengths: Vec::new() };
        for (id, document) in ids.into_iter().zip(documents) {
            if let Some(document) = document
                && let Some(entity) = Self::parse_cached(&document)
            {
                found.lengths.push(document.len());
                found.types.insert(id, entity);
            }
        }
        (found, generation)
    }

    /// Adds what the database has, and keeps it in the cache.
    async fn fetch_into(
        &self,
        found: &mut Found<E>,
        context: &Context,
        keys: &[&TypeKey],
        generation: Option<i64>,
    ) -> Result<()> {
        let ids: Vec<Uuid> = keys.iter().filter_map(|key| key.id()).collect();
        let names: Vec<String> = keys.iter().filter_map(|key| key.folded_name()).collect();
        let rows = E::fetch_many(&self.db, &context.tenant, &ids, &names).await?;
        found.lengths.extend(rows.iter().map(length));
        bounded(&found.lengths)?;

        let documents: Vec<String> = rows.into_iter().flatten().collect();
        let fetched = documents.iter().map(|document| Self::parse(document)).collect::<Result<Vec<E>>>()?;
        // Without a generation Redis is away, and not every document should find that out by itself.
        if generation.is_some() {
            let both = fetched.iter().zip(&documents);
            join_all(both.map(|(entity, document)| self.keep(context, entity, document, generation))).await;
        }
        for entity in fetched {
            found.names.insert(entity.definition().name.folded(), entity.id());
            found.types.insert(entity.id(), entity);
        }
        Ok(())
    }

    /// The first page of the versions of each of these types, deleted or not, newest first; an unknown id has an empty page.
    /// One query. The cursors are those of [`Self::versions`] by id, which reads the next page.
    pub async fn first_versions(&self, context: &Context, ids: &[Uuid], limit: u32) -> Result<Vec<Page<VersionInfo>>> {
        context.require(E::RIGHTS.read)?;
        check_limit(limit)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = versions::newest(&self.db, E::KIND, &context.tenant, ids, i64::from(limit)).await?;
        let pages = rows.chunk_by(|a, b| a.entity_id == b.entity_id);
        let pages: HashMap<Uuid, _> = pages.filter_map(|page| Some((page.first()?.entity_id, page))).collect();
        let page = |id: &Uuid| {
            let rows = pages.get(id).copied().unwrap_or_default();
            // Version 1 is the first of every type, and none is ever lost.
            let has_more = rows.last().is_some_and(|row| row.version > 1);
            Self::versions_page(rows, has_more, Self::versions_digest(&context.tenant, &TypeKey::Id(*id)))
        };
        ids.iter().map(page).collect()
    }

    /// The snapshots of these versions, in their order; none for a version that is not there. One query.
    pub async fn snapshots(&self, context: &Context, versions: &[(Uuid, i32)]) -> Result<Vec<Option<E>>> {
        context.require(E::RIGHTS.read)?;
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, numbers): (Vec<_>, Vec<_>) = versions.iter().copied().unzip();
        let rows = versions::fetch_each(&self.db, E::KIND, &context.tenant, &ids, &numbers, MAX_PAGE_BYTES).await?;
        bounded(&rows.iter().map(|row| length(&row.document)).collect::<Vec<_>>())?;
        let mut rows = rows.into_iter().peekable();
        let snapshot = |ordinal| {
            let row = rows.next_if(|row| row.ordinal == ordinal);
            row.and_then(|row| row.document).map(|document| Self::parse(&document)).transpose()
        };
        (1..).take(versions.len()).map(snapshot).collect()
    }
}

impl Service<LinkType> {
    /// The first page, by name, of the link types that start or end at each of these object types. One query. The cursors
    /// are those of [`Self::list`] with the object type's id as the filter's source or target, which reads the next page.
    pub async fn first_links(
        &self,
        context: &Context,
        end: End,
        object_types: &[Uuid],
        limit: u32,
        count: bool,
    ) -> Result<Vec<Page<LinkType>>> {
        context.require(LinkType::RIGHTS.read)?;
        check_limit(limit)?;
        if object_types.is_empty() {
            return Ok(Vec::new());
        }
        let tenant = &context.tenant;
        let rows = link_types::first_links(&self.db, tenant, end, object_types, i64::from(limit), count).await?;
        // A page that ends before its first item has no cursor for the rest.
        let begun = rows.iter().filter(|row| !row.documents.is_empty()).count();
        let asked = rows.iter().filter(|row| !row.documents.is_empty() || row.has_more).count();
        if begun < asked {
            return Err(too_many(begun, asked));
        }
        let page = |(row, id): (&ListRow, &Uuid)| {
            let object_type = Some(TypeKey::Id(*id));
            let filter = match end {
                End::Source => Filter { source: object_type, ..Filter::default() },
                End::Target => Filter { target: object_type, ..Filter::default() },
            };
            let list = ListQuery { filter, ..ListQuery::default() };
            Self::page(row, list.sort.by, list.digest(tenant, LinkType::KIND))
        };
        rows.iter().zip(object_types).map(page).collect()
    }
}

fn distinct<T: Eq + Hash + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

/// The length of a document; of one that the database kept back, more than there may be.
fn length(document: &Option<String>) -> usize {
    document.as_ref().map_or(usize::MAX, String::len)
}

/// Refuses documents that together are more than [`MAX_PAGE_BYTES`], wherever they come from; one alone never is.
fn bounded(lengths: &[usize]) -> Result<()> {
    let max = usize::try_from(MAX_PAGE_BYTES).unwrap_or(usize::MAX);
    let mut bytes = 0_usize;
    for (place, length) in lengths.iter().enumerate() {
        bytes = bytes.saturating_add(*length);
        if place > 0 && bytes > max {
            return Err(too_many(place, lengths.len()));
        }
    }
    Ok(())
}

fn too_many(max: usize, actual: usize) -> Error {
    Error::fault(Code::InvalidRequest, Location::root(), FaultKind::TooMany { max, actual })
}
