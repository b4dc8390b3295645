//! The core's types as messages. Texts that the specification has for JSON values keep every digit; beside them stand the
//! values with their types.

use std::collections::BTreeMap;

use buffa::EnumValue;
use buffa_types::google::protobuf::{ListValue, NullValue, Struct, Timestamp, Value as PbValue, value::Kind};
use oms_core::{
    definition::{Definition, TypeRef},
    id::PropertyId,
    link_type::{Cardinality, LinkType},
    object_type::ObjectType,
    property::{DataType, Property, Validator},
    version::{Action, ChangeType, FieldChange, VersionInfo},
};
use oms_proto::server::v1 as pb;
use serde_json::{Map, Number, Value};

/// How deep a value is shown with its types. Clients read no message that is nested more than 100 levels deep; a level of JSON
/// is three of them, and the innermost property is 20 levels deep in an event.
const MAX_DEPTH: usize = 24;

/// A message of a type: the fields that both kinds have, and those of one kind alone.
macro_rules! shown {
    ($Message:ident, $entity:ident { $($own:ident: $value:expr,)* }) => {{
        let Definition { name, display_name, description, category, tags, metadata, .. } = &$entity.definition;
        pb::$Message {
            id: $entity.id.0.to_string(),
            name: name.to_string(),
            display_name: display_name.clone(),
            description: description.clone().unwrap_or_default(),
            properties: properties(&$entity.definition.properties, &$entity.definition.references),
            metadata: texts(metadata),
            version: $entity.stamp.version,
            created_at: Timestamp::from($entity.stamp.created_at).into(),
            updated_at: Timestamp::from($entity.stamp.updated_at).into(),
            category: category.clone(),
            tags: tags.clone(),
            base_datasets: datasets(&$entity.definition),
            created_by: $entity.stamp.created_by.clone(),
            updated_by: $entity.stamp.updated_by.clone(),
            metadata_values: fields(metadata).into(),
            $($own: $value,)*
            ..pb::$Message::default()
        }
    }};
}

pub(crate) fn object_type(entity: &ObjectType) -> pb::ObjectType {
    shown!(ObjectType, entity {})
}

pub(crate) fn link_type(entity: &LinkType) -> pb::LinkType {
    shown!(
        LinkType,
        entity {
            source: entity.ends.source.name.clone(),
            source_object_type_id: entity.ends.source.id.0.to_string(),
            target: entity.ends.target.name.clone(),
            target_object_type_id: entity.ends.target.id.0.to_string(),
            cardinality: cardinality(entity.ends.cardinality),
        }
    )
}

fn datasets(definition: &Definition) -> Vec<pb::DatasetReference> {
    let dataset = |dataset: &oms_core::definition::DatasetReference| pb::DatasetReference {
        dataset_rid: dataset.dataset_rid.clone(),
        name: dataset.name.clone(),
        ..pb::DatasetReference::default()
    };
    definition.base_datasets.iter().map(dataset).collect()
}

fn properties(properties: &[Property], references: &BTreeMap<PropertyId, TypeRef>) -> Vec<pb::Property> {
    properties.iter().map(|each| property(each, references)).collect()
}

fn property(property: &Property, references: &BTreeMap<PropertyId, TypeRef>) -> pb::Property {
    let target = references.get(&property.id);
    let nested = property
        .properties
        .as_deref()
        .map(|nested| pb::PropertyList { properties: properties(nested, references), ..pb::PropertyList::default() });
    pb::Property {
        id: property.id.0.to_string(),
        name: property.name.to_string(),
        data_type: data_type(property.data_type),
        required: property.required,
        unique: property.unique,
        default_value: property.default_value.as_ref().map(text).unwrap_or_default(),
        validators: property.validators.iter().map(validator).collect(),
        default_value_typed: property.default_value.as_ref().map(value).into(),
        display_name: property.display_name.clone(),
        description: property.description.clone().unwrap_or_default(),
        indexed: property.indexed,
        metadata: fields(&property.metadata).into(),
        item_type: property.item_type.map(data_type).unwrap_or_default(),
        fields: nested.into(),
        reference_to: target.map(|target| target.name.clone()),
        reference_to_id: target.map(|target| target.id.0.to_string()),
        ..pb::Property::default()
    }
}

fn data_type(data_type: DataType) -> EnumValue<pb::DataType> {
    match data_type {
        DataType::String => pb::DataType::DATA_TYPE_STRING,
        DataType::Number => pb::DataType::DATA_TYPE_NUMBER,
        DataType::Boolean => pb::DataType::DATA_TYPE_BOOLEAN,
        DataType::Date => pb::DataType::DATA_TYPE_DATE,
        DataType::DateTime => pb::DataType::DATA_TYPE_DATETIME,
        DataType::Array => pb::DataType::DATA_TYPE_ARRAY,
        DataType::Object => pb::DataType::DATA_TYPE_OBJECT,
        DataType::Reference => pb::DataType::DATA_TYPE_REFERENCE,
    }
    .into()
}

fn cardinality(cardinality: Cardinality) -> EnumValue<pb::Cardinality> {
    match cardinality {
        Cardinality::OneToOne => pb::Cardinality::CARDINALITY_ONE_TO_ONE,
        Cardinality::OneToMany => pb::Cardinality::CARDINALITY_ONE_TO_MANY,
        Cardinality::ManyToMany => pb::Cardinality::CARDINALITY_MANY_TO_MANY,
    }
    .into()
}

fn validator(validator: &Validator) -> pb::Validator {
    let (kind, rule) = match validator {
        Validator::MinLength(min) => (pb::ValidatorType::VALIDATOR_TYPE_MIN_LENGTH, Value::from(*min)),
        Validator::MaxLength(max) => (pb::ValidatorType::VALIDATOR_TYPE_MAX_LENGTH, Value::from(*max)),
        Validator::Pattern(pattern) => (pb::ValidatorType::VALIDATOR_TYPE_PATTERN, Value::from(pattern.as_str())),
        Validator::Min(min) => (pb::ValidatorType::VALIDATOR_TYPE_MIN, Value::Number(min.clone())),
        Validator::Max(max) => (pb::ValidatorType::VALIDATOR_TYPE_MAX, Value::Number(max.clone())),
    };
    pb::Validator {
        r#type: kind.into(),
        value: text(&rule),
        value_typed: value(&rule).into(),
        ..pb::Validator::default()
    }
}

pub(crate) fn version_info(info: &VersionInfo) -> pb::VersionInfo {
    let action = match info.action {
        Action::Create => pb::Action::ACTION_CREATE,
        Action::Update => pb::Action::ACTION_UPDATE,
        Action::Delete => pb::Action::ACTION_DELETE,
        Action::Restore => pb::Action::ACTION_RESTORE,
    };
    pb::VersionInfo {
        version: info.version,
        action: action.into(),
        change_description: info.change_description.clone(),
        created_at: Timestamp::from(info.created_at).into(),
        created_by: info.created_by.clone(),
        ..pb::VersionInfo::default()
    }
}

pub(crate) fn changes(changes: &[FieldChange]) -> Vec<pb::FieldChange> {
    changes.iter().map(change).collect()
}

fn change(change: &FieldChange) -> pb::FieldChange {
    let kind = match change.change_type {
        ChangeType::Added => pb::ChangeType::CHANGE_TYPE_ADDED,
        ChangeType::Modified => pb::ChangeType::CHANGE_TYPE_MODIFIED,
        ChangeType::Removed => pb::ChangeType::CHANGE_TYPE_REMOVED,
    };
    pb::FieldChange {
        field: change.field.clone(),
        r#type: kind.into(),
        old_value: change.old_value.as_ref().map(value).into(),
        new_value: change.new_value.as_ref().map(value).into(),
        ..pb::FieldChange::default()
    }
}

/// A text as it is, every other value as its JSON text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn texts<M: FromIterator<(String, String)>>(map: &Map<String, Value>) -> M {
    map.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn fields(map: &Map<String, Value>) -> Struct {
    fields_within(map, MAX_DEPTH)
}

fn fields_within(map: &Map<String, Value>, depth: usize) -> Struct {
    map.iter().map(|(key, each)| (key.clone(), value_within(each, depth))).collect()
}

/// A JSON value. Its numbers become doubles, and lists and objects that lie too deep their JSON texts.
pub(crate) fn value(json: &Value) -> PbValue {
    value_within(json, MAX_DEPTH)
}

fn value_within(json: &Value, depth: usize) -> PbValue {
    let kind = match (json, depth.checked_sub(1)) {
        (Value::Null, _) => Kind::NullValue(NullValue::NULL_VALUE.into()),
        (Value::Bool(flag), _) => Kind::BoolValue(*flag),
        (Value::Number(number), _) => Kind::NumberValue(double(number)),
        (Value::String(text), _) => Kind::StringValue(text.clone()),
        (Value::Array(items), Some(left)) => {
            Kind::ListValue(Box::new(items.iter().map(|item| value_within(item, left)).collect::<ListValue>()))
        }
        (Value::Object(map), Some(left)) => Kind::StructValue(Box::new(fields_within(map, left))),
        (deep @ (Value::Array(_) | Value::Object(_)), None) => Kind::StringValue(deep.to_string()),
    };
    PbValue { kind: Some(kind), ..PbValue::default() }
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}
