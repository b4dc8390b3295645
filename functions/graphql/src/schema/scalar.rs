//! Scalars and enumerations, with the names of the specification (4.5).

use async_graphql::{Enum, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time as RFC 3339 has it: `2026-11-22T20:19:00.123456Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) DateTime<Utc>);

/// A point in time as RFC 3339 has it: `2026-11-22T20:19:00.123456Z`.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(Self(time.to_utc())),
                Err(_) => Err(InputValueError::custom("expected a time with an offset, such as 2026-11-22T20:19:00Z")),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if DateTime::parse_from_rfc3339(text).is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// A whole number of up to 64 bits, as a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Long(pub(crate) i64);

/// A whole number of up to 64 bits, as a JSON number.
#[Scalar]
impl ScalarType for Long {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number.as_i64().map(Self).ok_or_else(|| InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Number(number) if number.is_i64())
    }

    fn to_value(&self) -> Value {
        Value::Number(self.0.into())
    }
}

/// The data types of properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, serde::Serialize)]
#[graphql(remote = "oms_core::property::DataType")]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum DataType {
    /// Text.
    String,
    /// A JSON number.
    Number,
    /// True or false.
    Boolean,
    /// `2026-11-22`.
    Date,
    /// RFC 3339 with an offset.
    #[graphql(name = "DATETIME")]
    DateTime,
    /// A list.
    Array,
    /// An object with fields of its own.
    Object,
    /// The id of an instance, as text.
    Reference,
}

/// How many objects may stand on each side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, serde::Serialize)]
#[graphql(remote = "oms_core::link_type::Cardinality")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Cardinality {
    /// One source has one target.
    OneToOne,
    /// One source has many targets.
    OneToMany,
    /// Many on both sides.
    ManyToMany,
}

/// The rules that a property can have for its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, serde::Serialize)]
#[graphql(rename_items = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(crate) enum ValidatorType {
    /// The least number of characters of a STRING.
    MinLength,
    /// The greatest number of characters of a STRING.
    MaxLength,
    /// A regular expression (RE2 syntax, not anchored) that a STRING must match.
    Pattern,
    /// The least NUMBER.
    Min,
    /// The greatest NUMBER.
    Max,
}

/// How a field changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "oms_core::version::ChangeType")]
pub(crate) enum ChangeType {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// It has another value.
    Modified,
}

/// What made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "oms_core::version::Action")]
pub(crate) enum VersionAction {
    /// The type was created.
    Create,
    /// The type was changed.
    Update,
    /// The type was deleted.
    Delete,
    /// The deleted type was restored.
    Restore,
}

/// What a list is sorted by; the id decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "oms_core::page::SortBy")]
pub(crate) enum SortKey {
    /// By name, in the order of its bytes.
    Name,
    /// By display name, in the order of its bytes.
    DisplayName,
    /// By the time of creation.
    CreatedAt,
    /// By the time of the last write.
    UpdatedAt,
}

/// In which direction a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum SortDirection {
    /// From the least up.
    Asc,
    /// From the greatest down.
    Desc,
}
