//! A definition as clients see and write it: references by name, where the core keeps them by property.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{DatasetReference, Definition, TypeRef};
use crate::{
    id::PropertyId,
    property::{DataType, Property, Validator},
};

/// The public shape of a definition; identity and history stand around it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DefinitionView<'a> {
    /// Unique among the live types of its kind, compared without case.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-zA-Z][a-zA-Z0-9_]*$", max_length = 64))]
    pub name: &'a str,
    /// For people.
    pub display_name: &'a str,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// One word to group types by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<&'a str>,
    /// A set of labels.
    pub tags: &'a [String],
    /// In the order they were given.
    pub properties: Vec<PropertyView<'a>>,
    /// Datasets that back the type.
    pub base_datasets: &'a [DatasetReference],
    /// Anything clients want to keep.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub metadata: &'a Map<String, Value>,
}

/// The public shape of a property (specification 3.2).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Property, no_recursion))]
#[serde(rename_all = "camelCase")]
pub struct PropertyView<'a> {
    /// Identifies the property through renames.
    pub id: Uuid,
    /// Unique within its level.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[a-zA-Z][a-zA-Z0-9_]*$", max_length = 64))]
    pub name: &'a str,
    /// For people.
    pub display_name: &'a str,
    /// What its values are.
    pub data_type: DataType,
    /// Whether an instance must have it (a default value counts).
    pub required: bool,
    /// A hint for the instance store.
    pub unique: bool,
    /// A hint for the instance store.
    pub indexed: bool,
    /// What an instance store takes when the value is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<&'a Value>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'a str>,
    /// Rules for its values; for an ARRAY, for each item.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<ValidatorSchema>))]
    pub validators: &'a [Validator],
    /// Anything clients want to keep.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub metadata: &'a Map<String, Value>,
    /// What the items of an ARRAY are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_type: Option<DataType>,
    /// The fields of an OBJECT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<PropertyView<'a>>>,
    /// The object type a REFERENCE points at, by its current name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_to: Option<&'a str>,
}

/// A rule for a property's values.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[schema(as = Validator)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ValidatorSchema {
    /// `minLength`, `maxLength`, `pattern` (STRING), `min` or `max` (NUMBER).
    #[schema(pattern = "^(minLength|maxLength|pattern|min|max)$")]
    r#type: String,
    /// A whole number, a regular expression (RE2 syntax), or a number.
    value: Value,
}

impl Definition {
    /// The public shape.
    pub fn view(&self) -> DefinitionView<'_> {
        DefinitionView {
            name: self.name.as_str(),
            display_name: &self.display_name,
            description: self.description.as_deref(),
            category: self.category.as_deref(),
            tags: &self.tags,
            properties: self.property_views(),
            base_datasets: &self.base_datasets,
            metadata: &self.metadata,
        }
    }

    /// The properties in their public shape.
    pub fn property_views(&self) -> Vec<PropertyView<'_>> {
        views(&self.properties, &self.references)
    }
}

fn views<'a>(properties: &'a [Property], references: &'a BTreeMap<PropertyId, TypeRef>) -> Vec<PropertyView<'a>> {
    properties.iter().map(|property| property.view(references)).collect()
}

impl Property {
    /// The public shape; `references` are those of the property's type.
    pub fn view<'a>(&'a self, references: &'a BTreeMap<PropertyId, TypeRef>) -> PropertyView<'a> {
        PropertyView {
            id: self.id.0,
            name: self.name.as_str(),
            display_name: &self.display_name,
            data_type: self.data_type,
            required: self.required,
            unique: self.unique,
            indexed: self.indexed,
            default_value: self.default_value.as_ref(),
            description: self.description.as_deref(),
            validators: &self.validators,
            metadata: &self.metadata,
            item_type: self.item_type,
            properties: self.properties.as_deref().map(|nested| views(nested, references)),
            reference_to: references.get(&self.id).map(|target| target.name.as_str()),
        }
    }
}
