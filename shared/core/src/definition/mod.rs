//! What object types and link types have in common: a definition, who wrote it when, and where its references point.

mod draft;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use draft::{Draft, WantedEnd, WantedEnds};
pub(crate) use draft::{as_written, merge, same};
#[cfg(feature = "openapi")]
pub use view::ValidatorSchema;
pub use view::{DefinitionView, PropertyView};

use crate::{
    id::{ObjectTypeId, PropertyId},
    name::TypeName,
    property::Property,
};

/// The definition of a type (specification 4.2), without its identity and history.
///
/// Its serde form is stored in versions and audit rows for ever: a new field needs `#[serde(default)]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// Unique among the live types of its kind in the tenant, compared without case.
    pub name: TypeName,
    /// For people; 1 to 255 characters.
    pub display_name: String,
    /// For people.
    pub description: Option<String>,
    /// One word to group types by; at most 64 characters.
    pub category: Option<String>,
    /// A set of labels.
    pub tags: Vec<String>,
    /// In the order clients gave them.
    pub properties: Vec<Property>,
    /// Targets of REFERENCE properties, by property, nested ones included.
    pub references: BTreeMap<PropertyId, TypeRef>,
    /// Datasets that back the type.
    pub base_datasets: Vec<DatasetReference>,
    /// Anything clients want to keep.
    pub metadata: Map<String, Value>,
}

/// A dataset that backs a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DatasetReference {
    /// Resource identifier of the dataset.
    pub dataset_rid: String,
    /// For people.
    pub name: String,
}

/// An object type that another type points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeRef {
    /// Its identity.
    #[cfg_attr(feature = "openapi", schema(value_type = uuid::Uuid))]
    pub id: ObjectTypeId,
    /// Its name when the document was read.
    pub name: String,
}

/// Who wrote a type, when, for the how-manieth time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// 1, and one more with every write.
    pub version: i32,
    /// When the type was first created.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// When this version was written.
    pub updated_at: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}
