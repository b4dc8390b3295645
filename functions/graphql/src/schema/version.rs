//! Versions and their differences.

use std::sync::Arc;

use async_graphql::{Json, Result, SimpleObject};
use oms_core::{
    error::Error,
    name::TypeKey,
    page::Page,
    version::{self, VersionInfo},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    page::{PaginationInput, Wanted},
    scalar::ChangeType,
};
use crate::{
    asked::{Asked, Place},
    loaders::{Batched, FirstVersions, Kind, Snapshot},
};

/// One change between two versions.
#[derive(SimpleObject)]
pub(crate) struct FieldChange {
    /// What changed: `displayName`, `properties.customerName.required`.
    field: String,
    /// Before; null when added.
    old_value: Option<Json<Value>>,
    /// After; null when removed.
    new_value: Option<Json<Value>>,
    /// How it changed.
    change_type: ChangeType,
}

impl From<version::FieldChange> for FieldChange {
    fn from(change: version::FieldChange) -> Self {
        Self {
            field: change.field,
            old_value: change.old_value.map(Json),
            new_value: change.new_value.map(Json),
            change_type: change.change_type.into(),
        }
    }
}

/// A page of the versions of a type. First pages are read together.
pub(crate) async fn of_type<E: Kind>(
    asked: &Asked,
    batched: &Batched<E>,
    id: Uuid,
    pagination: Option<PaginationInput>,
) -> Result<Arc<Page<VersionInfo>>> {
    let explain = |error| asked.explain(error, Place::Arguments);
    let Wanted { limit, after } = Wanted::new(pagination).map_err(explain)?;
    match after {
        None => Ok(batched.load_one(FirstVersions { id, limit }).await.map_err(explain)?.unwrap_or_default()),
        Some(after) => {
            let service = asked.service::<E>();
            let page = service.versions(&asked.caller, &TypeKey::Id(id), Some(&after), limit).await;
            page.map(Arc::new).map_err(explain)
        }
    }
}

/// A type as one of its versions left it, read together with others.
pub(crate) async fn snapshot<E: Kind>(asked: &Asked, batched: &Batched<E>, id: Uuid, version: i32) -> Result<Arc<E>> {
    let explain = |error| asked.explain(error, Place::Arguments);
    let found = batched.load_one(Snapshot { id, version }).await.map_err(explain)?;
    found.ok_or_else(|| explain(Error::internal(format_args!("version {version} of {id} has no snapshot"))))
}
