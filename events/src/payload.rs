//! The types in events, as version 2 of the REST API shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An object type as it is after a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ObjectType {
    /// Its identity.
    pub id: Uuid,
    /// Unique among the live object types of the tenant, compared without case.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// One word to group types by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A set of labels.
    pub tags: Vec<String>,
    /// In the order they were given.
    pub properties: Vec<Property>,
    /// Datasets that back the type.
    pub base_datasets: Vec<DatasetReference>,
    /// Anything that clients keep.
    pub metadata: Map<String, Value>,
    /// 1, and one more with every write.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
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

/// A link type as it is after a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LinkType {
    /// Its identity.
    pub id: Uuid,
    /// Name of the object type where links start, as it was at the write.
    pub source: String,
    /// Its id.
    pub source_object_type_id: Uuid,
    /// Name of the object type where links end, as it was at the write.
    pub target: String,
    /// Its id.
    pub target_object_type_id: Uuid,
    /// `ONE_TO_ONE`, `ONE_TO_MANY` or `MANY_TO_MANY`.
    pub cardinality: String,
    /// Unique among the live link types of the tenant, compared without case.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// One word to group types by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A set of labels.
    pub tags: Vec<String>,
    /// In the order they were given.
    pub properties: Vec<Property>,
    /// Datasets that back the type.
    pub base_datasets: Vec<DatasetReference>,
    /// Anything that clients keep.
    pub metadata: Map<String, Value>,
    /// 1, and one more with every write.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
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

/// A property of a type (specification 3.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Property {
    /// Identifies the property through renames.
    pub id: Uuid,
    /// Unique within its level.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// `STRING`, `NUMBER`, `BOOLEAN`, `DATE`, `DATETIME`, `ARRAY`, `OBJECT` or `REFERENCE`.
    pub data_type: String,
    /// Whether an instance must have it (a default value counts).
    pub required: bool,
    /// A hint for the instance store.
    pub unique: bool,
    /// A hint for the instance store.
    pub indexed: bool,
    /// What an instance store takes when the value is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Rules for its values; for an ARRAY, for each item.
    pub validators: Vec<Validator>,
    /// Anything that clients keep.
    pub metadata: Map<String, Value>,
    /// What the items of an ARRAY are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_type: Option<String>,
    /// The fields of an OBJECT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<Property>>,
    /// Name of the object type that a REFERENCE points at, as it was at the write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_to: Option<String>,
}

/// A rule for a property's values (specification 4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Validator {
    /// `minLength`, `maxLength`, `pattern`, `min` or `max`.
    #[serde(rename = "type")]
    pub validator_type: String,
    /// A number, or a regular expression.
    pub value: Value,
}

/// A dataset that backs a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DatasetReference {
    /// Resource identifier of the dataset.
    pub dataset_rid: String,
    /// For people.
    pub name: String,
}

/// One change between two versions (specification 4.3, 4.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// What changed: `displayName`, `properties.customerName.required`.
    pub field: String,
    /// Before; absent when added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value: Option<Value>,
    /// After; absent when removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_value: Option<Value>,
    /// `added`, `removed` or `modified`.
    #[serde(rename = "type")]
    pub change_type: ChangeType,
}

impl FieldChange {
    /// A field with another value.
    pub fn modified(field: impl Into<String>, old: Value, new: Value) -> Self {
        Self { field: field.into(), old_value: Some(old), new_value: Some(new), change_type: ChangeType::Modified }
    }
}

/// How a field changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChangeType {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// It has another value.
    Modified,
}
