//! Batches of reads: whatever number of fields asks, one call of the core answers them all.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use async_graphql::dataloader::{DataLoader, Loader};
use oms_core::{
    Registry,
    context::Context,
    entity::{Service, Store},
    error::{Error, Result},
    link_type::{End, LinkType},
    name::TypeKey,
    object_type::ObjectType,
    page::Page,
    version::VersionInfo,
};
use uuid::Uuid;

use crate::drive::Batches;

/// A kind of type, with its use cases.
pub(crate) trait Kind: Store {
    fn service(registry: &Registry) -> &Service<Self>;
}

impl Kind for ObjectType {
    fn service(registry: &Registry) -> &Service<Self> {
        &registry.object_types
    }
}

impl Kind for LinkType {
    fn service(registry: &Registry) -> &Service<Self> {
        &registry.link_types
    }
}

/// Reads types of one kind for one caller.
pub(crate) struct Types<E> {
    service: Service<E>,
    context: Arc<Context>,
}

/// The batches of one request. Nothing is kept: after a mutation the same request reads anew.
pub(crate) type Batched<E> = DataLoader<Types<E>>;

/// Batches that end when `batches` are run.
pub(crate) fn batched<E: Kind>(registry: &Registry, context: &Arc<Context>, batches: &Batches) -> Batched<E> {
    let types = Types { service: E::service(registry).clone(), context: context.clone() };
    let batches = batches.clone();
    // Who runs the batches knows when they are complete.
    DataLoader::new(types, move |batch| batches.add(batch)).delay(Duration::ZERO).max_batch_size(usize::MAX)
}

/// The first versions of a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FirstVersions {
    pub(crate) id: Uuid,
    pub(crate) limit: u32,
}

/// A version of a type, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) id: Uuid,
    pub(crate) version: i32,
}

/// The first link types at one end of an object type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FirstLinks {
    pub(crate) object_type: Uuid,
    pub(crate) end: End,
    pub(crate) limit: u32,
    pub(crate) count: bool,
}

impl<E: Kind> Loader<TypeKey> for Types<E> {
    type Value = Arc<E>;
    type Error = Error;

    async fn load(&self, keys: &[TypeKey]) -> Result<HashMap<TypeKey, Arc<E>>> {
        let found = self.service.get_many(&self.context, keys).await?;
        Ok(keys.iter().cloned().zip(found).filter_map(|(key, found)| Some((key, Arc::new(found?)))).collect())
    }
}

impl<E: Kind> Loader<Snapshot> for Types<E> {
    type Value = Arc<E>;
    type Error = Error;

    async fn load(&self, keys: &[Snapshot]) -> Result<HashMap<Snapshot, Arc<E>>> {
        let wanted: Vec<_> = keys.iter().map(|key| (key.id, key.version)).collect();
        let found = self.service.snapshots(&self.context, &wanted).await?;
        Ok(keys.iter().cloned().zip(found).filter_map(|(key, found)| Some((key, Arc::new(found?)))).collect())
    }
}

impl<E: Kind> Loader<FirstVersions> for Types<E> {
    type Value = Arc<Page<VersionInfo>>;
    type Error = Error;

    async fn load(&self, keys: &[FirstVersions]) -> Result<HashMap<FirstVersions, Self::Value>> {
        let mut loaded = HashMap::with_capacity(keys.len());
        for (limit, keys) in grouped(keys, |key| key.limit) {
            let ids: Vec<_> = keys.iter().map(|key| key.id).collect();
            let pages = self.service.first_versions(&self.context, &ids, limit).await?;
            loaded.extend(keys.into_iter().zip(pages.into_iter().map(Arc::new)));
        }
        Ok(loaded)
    }
}

impl Loader<FirstLinks> for Types<LinkType> {
    type Value = Arc<Page<Arc<LinkType>>>;
    type Error = Error;

    async fn load(&self, keys: &[FirstLinks]) -> Result<HashMap<FirstLinks, Self::Value>> {
        let mut loaded = HashMap::with_capacity(keys.len());
        for ((end, limit, count), keys) in grouped(keys, |key| (key.end, key.limit, key.count)) {
            let ids: Vec<_> = keys.iter().map(|key| key.object_type).collect();
            let pages = self.service.first_links(&self.context, end, &ids, limit, count).await?;
            loaded.extend(keys.into_iter().zip(pages.into_iter().map(|page| Arc::new(shared(page)))));
        }
        Ok(loaded)
    }
}

/// The same page, of which parts can be handed out.
pub(crate) fn shared<E>(page: Page<E>) -> Page<Arc<E>> {
    Page {
        items: page.items.into_iter().map(Arc::new).collect(),
        cursors: page.cursors,
        has_more: page.has_more,
        total: page.total,
    }
}

/// Keys that one call can answer: fields with other arguments need a call of their own.
fn grouped<K: Clone, G: Eq + Hash>(keys: &[K], group: impl Fn(&K) -> G) -> HashMap<G, Vec<K>> {
    let mut groups: HashMap<G, Vec<K>> = HashMap::new();
    for key in keys {
        groups.entry(group(key)).or_default().push(key.clone());
    }
    groups
}
