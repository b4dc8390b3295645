//! Properties, as they are kept in their type.

use std::collections::BTreeMap;

use async_graphql::{Context, ID, Json, Object, Result, SimpleObject};
use oms_core::{
    definition::{DatasetReference as Dataset, TypeRef},
    error::Error,
    id::PropertyId,
    name::TypeKey,
    property::{self, Validator as Rule},
};
use serde_json::Value;

use super::{
    object_type::ObjectType,
    page::list_cost,
    scalar::{DataType, ValidatorType},
};
use crate::asked::{Asked, Place};

/// A property of a type.
pub(crate) struct Property<'a> {
    property: &'a property::Property,
    references: &'a BTreeMap<PropertyId, TypeRef>,
}

/// Properties with what they point at.
pub(crate) fn list<'a>(
    properties: &'a [property::Property],
    references: &'a BTreeMap<PropertyId, TypeRef>,
) -> Vec<Property<'a>> {
    properties.iter().map(|property| Property { property, references }).collect()
}

/// A property of a type.
#[Object]
impl Property<'_> {
    /// Identifies the property through renames.
    async fn id(&self) -> ID {
        ID(self.property.id.to_string())
    }

    /// Unique within its level.
    async fn name(&self) -> &str {
        self.property.name.as_str()
    }

    /// For people.
    async fn display_name(&self) -> &str {
        &self.property.display_name
    }

    /// What its values are.
    async fn data_type(&self) -> DataType {
        self.property.data_type.into()
    }

    /// Whether an instance must have it (a default value counts).
    async fn required(&self) -> bool {
        self.property.required
    }

    /// A hint for the instance store.
    async fn unique(&self) -> bool {
        self.property.unique
    }

    /// A hint for the instance store.
    async fn indexed(&self) -> bool {
        self.property.indexed
    }

    /// What an instance store takes when the value is absent.
    async fn default_value(&self) -> Option<Json<&Value>> {
        self.property.default_value.as_ref().map(Json)
    }

    /// For people.
    async fn description(&self) -> Option<&str> {
        self.property.description.as_deref()
    }

    /// Rules for its values; for an ARRAY, for each item.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn validators(&self) -> Option<Vec<Validator>> {
        Some(self.property.validators.iter().map(Validator::from).collect())
    }

    /// Anything clients want to keep.
    async fn metadata(&self) -> Json<&serde_json::Map<String, Value>> {
        Json(&self.property.metadata)
    }

    /// What the items of an ARRAY are.
    async fn item_type(&self) -> Option<DataType> {
        self.property.item_type.map(Into::into)
    }

    /// The fields of an OBJECT, or of the OBJECTs of an ARRAY.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn properties(&self) -> Option<Vec<Property<'_>>> {
        self.property.properties.as_deref().map(|nested| list(nested, self.references))
    }

    /// The object type a REFERENCE points at; null when it may point at any, or when that type was deleted after this
    /// snapshot was made.
    async fn reference_to(&self, context: &Context<'_>) -> Result<Option<ObjectType>> {
        let Some(target) = self.references.get(&self.property.id) else { return Ok(None) };
        ObjectType::by_key(Asked::of(context), TypeKey::Id(target.id.0)).await
    }
}

/// A rule for a property's values.
#[derive(SimpleObject)]
pub(crate) struct Validator {
    /// Which rule.
    r#type: ValidatorType,
    /// A whole number, a regular expression, or a number.
    value: Json<Value>,
}

impl From<&Rule> for Validator {
    fn from(rule: &Rule) -> Self {
        let (r#type, value) = match rule {
            Rule::MinLength(length) => (ValidatorType::MinLength, (*length).into()),
            Rule::MaxLength(length) => (ValidatorType::MaxLength, (*length).into()),
            Rule::Pattern(pattern) => (ValidatorType::Pattern, pattern.as_str().into()),
            Rule::Min(number) => (ValidatorType::Min, Value::Number(number.clone())),
            Rule::Max(number) => (ValidatorType::Max, Value::Number(number.clone())),
        };
        Self { r#type, value: Json(value) }
    }
}

/// A dataset that backs a type.
#[derive(SimpleObject)]
pub(crate) struct DatasetReference<'a> {
    /// Resource identifier of the dataset.
    dataset_rid: &'a str,
    /// For people.
    name: &'a str,
}

impl<'a> From<&'a Dataset> for DatasetReference<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        Self { dataset_rid: &dataset.dataset_rid, name: &dataset.name }
    }
}

impl ObjectType {
    /// The live object type, together with the others that are asked for at the same time.
    pub(crate) async fn by_key(asked: &Asked, key: TypeKey) -> Result<Option<Self>> {
        let found = asked.object_types.load_one(key).await;
        found.map(|found| found.map(Self)).map_err(|error: Error| asked.explain(error, Place::Arguments))
    }
}
