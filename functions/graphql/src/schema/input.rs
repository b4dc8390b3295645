//! What mutations are given. Inputs are handed on as JSON: the core reads them as it reads the bodies of REST, so that every
//! fault is found in the same way.

use async_graphql::{ID, InputObject, Json, MaybeUndefined};
use serde::Serialize;
use serde_json::Value;

use super::scalar::{Cardinality, DataType, ValidatorType};

/// A property as it shall be. Its identity is `id`, else the same name, else it is a new property.
#[derive(Serialize, InputObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PropertyInput {
    /// The property that this is, when it shall have another name.
    id: Option<ID>,
    /// Unique within its level: a letter, then letters, digits and underscores, at most 64 characters.
    name: String,
    /// For people; the name when it is not given.
    display_name: Option<String>,
    /// What its values are.
    data_type: DataType,
    /// Whether an instance must have it.
    required: Option<bool>,
    /// A hint for the instance store.
    unique: Option<bool>,
    /// A hint for the instance store.
    indexed: Option<bool>,
    /// What an instance store takes when the value is absent.
    default_value: Option<Json<Value>>,
    /// For people.
    description: Option<String>,
    /// Rules for its values; for an ARRAY, for each item.
    validators: Option<Vec<ValidatorInput>>,
    /// Anything you want to keep: an object.
    metadata: Option<Json<Value>>,
    /// What the items of an ARRAY are.
    item_type: Option<DataType>,
    /// The fields of an OBJECT, or of the OBJECTs of an ARRAY.
    properties: Option<Vec<PropertyInput>>,
    /// Name or id of the object type that a REFERENCE points at; any when it is not given.
    reference_to: Option<String>,
}

/// A rule for a property's values.
#[derive(Serialize, InputObject)]
pub(crate) struct ValidatorInput {
    /// Which rule.
    r#type: ValidatorType,
    /// A whole number, a regular expression, or a number.
    value: Json<Value>,
}

/// A dataset that backs a type.
#[derive(Serialize, InputObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatasetReferenceInput {
    /// Resource identifier of the dataset.
    dataset_rid: String,
    /// For people.
    name: String,
}

/// What every type that is created can be given.
#[derive(Serialize, InputObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionInput {
    /// Unique without case: a letter, then letters, digits and underscores, at most 64 characters.
    name: String,
    /// For people; 1 to 255 characters.
    display_name: String,
    /// For people.
    description: Option<String>,
    /// One word to group types by.
    category: Option<String>,
    /// A set of labels.
    tags: Option<Vec<String>>,
    /// Datasets that back the type.
    base_datasets: Option<Vec<DatasetReferenceInput>>,
    /// Anything you want to keep: an object.
    metadata: Option<Json<Value>>,
    /// Why, for the list of versions.
    change_description: Option<String>,
}

/// An object type to be created.
#[derive(Serialize, InputObject)]
pub(crate) struct CreateObjectTypeInput {
    #[graphql(flatten)]
    #[serde(flatten)]
    definition: DefinitionInput,
    /// In the order you want to see them.
    properties: Vec<PropertyInput>,
}

/// A link type to be created.
#[derive(Serialize, InputObject)]
pub(crate) struct CreateLinkTypeInput {
    #[graphql(flatten)]
    #[serde(flatten)]
    definition: DefinitionInput,
    /// Name or id of the object type where links start.
    source: String,
    /// Name or id of the object type where links end; may be the source itself.
    target: String,
    /// How many objects may stand on each side.
    cardinality: Cardinality,
    /// In the order you want to see them.
    properties: Option<Vec<PropertyInput>>,
}

/// What can change of every type.
#[derive(Serialize, InputObject)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DefinitionChanges {
    /// A new name.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    name: MaybeUndefined<String>,
    /// For people; 1 to 255 characters.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    display_name: MaybeUndefined<String>,
    /// For people.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    description: MaybeUndefined<String>,
    /// One word to group types by.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    category: MaybeUndefined<String>,
    /// A set of labels.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    tags: MaybeUndefined<Vec<String>>,
    /// All properties: one that is missing here is removed.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    properties: MaybeUndefined<Vec<PropertyInput>>,
    /// Datasets that back the type.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    base_datasets: MaybeUndefined<Vec<DatasetReferenceInput>>,
    /// Anything you want to keep: an object.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    metadata: MaybeUndefined<Json<Value>>,
    /// Why, for the list of versions.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    change_description: MaybeUndefined<String>,
}

/// What shall change of an object type: what is not given stays, `null` removes, a list takes the place of the whole list,
/// and `metadata` is merged (RFC 7396).
#[derive(Serialize, InputObject)]
pub(crate) struct UpdateObjectTypeInput {
    #[graphql(flatten)]
    #[serde(flatten)]
    definition: DefinitionChanges,
}

/// What shall change of a link type: what is not given stays, `null` removes, a list takes the place of the whole list, and
/// `metadata` is merged (RFC 7396).
#[derive(Serialize, InputObject)]
pub(crate) struct UpdateLinkTypeInput {
    #[graphql(flatten)]
    #[serde(flatten)]
    definition: DefinitionChanges,
    /// Name or id of the object type where links start.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    source: MaybeUndefined<String>,
    /// Name or id of the object type where links end.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    target: MaybeUndefined<String>,
    /// How many objects may stand on each side.
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    cardinality: MaybeUndefined<Cardinality>,
}
