//! Properties of object types and link types (specification 3.2, 4.2): eight data types, five validators.

mod parse;
#[cfg(test)]
pub(crate) mod tests;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

pub use parse::{Drafts, parse_list};
pub use validate::InstanceValidator;
pub(crate) use validate::compare as compare_numbers;

use crate::{
    id::PropertyId,
    name::{PropertyName, TypeKey},
};

/// How deep properties may be nested.
pub const MAX_DEPTH: usize = 8;
/// The most properties of one type, nested ones included.
pub const MAX_PROPERTIES: usize = 2_000;
/// The most `pattern` validators of one type: each has to be compiled when the type is written.
pub const MAX_PATTERNS: usize = 200;

/// How many of them may be large, such as a repeated Unicode class.
pub const MAX_LARGE_PATTERNS: usize = 10;

/// A property of a type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    /// Identifies the property through renames.
    pub id: PropertyId,
    /// Unique within its level.
    pub name: PropertyName,
    /// For people.
    pub display_name: String,
    /// What its values are.
    pub data_type: DataType,
    /// Whether an instance must have it (a default value counts).
    pub required: bool,
    /// A hint for the instance store, not checked here.
    pub unique: bool,
    /// A hint for the instance store, not checked here.
    pub indexed: bool,
    /// What an instance store takes when the value is absent; it satisfies the property's own rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Rules for its values; for an ARRAY, for each item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validators: Vec<Validator>,
    /// Anything clients want to keep.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// What the items of an ARRAY are; absent means anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_type: Option<DataType>,
    /// The fields of an OBJECT (or of an ARRAY of OBJECT); absent means any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<Property>>,
}

impl Property {
    /// The data type that validators and nested fields speak of: the item type of an ARRAY, else the data type.
    pub fn element_type(&self) -> Option<DataType> {
        if self.data_type == DataType::Array { self.item_type } else { Some(self.data_type) }
    }
}

macro_rules! texts {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the JSON form.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use texts;

texts! {
    /// The eight data types.
    DataType {
        /// Text.
        String = "STRING",
        /// A JSON number.
        Number = "NUMBER",
        /// True or false.
        Boolean = "BOOLEAN",
        /// `2026-11-22`.
        Date = "DATE",
        /// RFC 3339 with an offset: `2026-11-22T20:19:00Z`.
        DateTime = "DATETIME",
        /// A list.
        Array = "ARRAY",
        /// An object with fields of its own.
        Object = "OBJECT",
        /// The id of an instance, as text.
        Reference = "REFERENCE",
    }
}

/// A rule for a property's values (specification 4.2): `{"type": "maxLength", "value": 255}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "camelCase")]
pub enum Validator {
    /// The least number of Unicode scalar values of a STRING.
    MinLength(u64),
    /// The greatest number of Unicode scalar values of a STRING.
    MaxLength(u64),
    /// A regular expression (RE2 syntax, not anchored) that a STRING must match.
    Pattern(String),
    /// The least NUMBER.
    Min(Number),
    /// The greatest NUMBER.
    Max(Number),
}

impl Validator {
    /// The validator's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MinLength(_) => "minLength",
            Self::MaxLength(_) => "maxLength",
            Self::Pattern(_) => "pattern",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
        }
    }
}

/// Where REFERENCE properties point, by property: as clients wrote it, before the database resolved it.
pub type WantedReferences = BTreeMap<PropertyId, Wanted>;

/// A target as a client wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Name or id of an object type.
    pub key: TypeKey,
    /// Where it stands in the body.
    pub pointer: String,
    /// Whether no instance can exist without an instance of the target.
    pub required: bool,
}

/// Calls `visit` for every property, nested ones included; `required` tells whether the way to it is required throughout.
pub fn walk<'a>(properties: &'a [Property], required: bool, visit: &mut impl FnMut(&'a Property, bool)) {
    for property in properties {
        // A list may be empty, and a default stands in: neither forces the existence of anything.
        let forced =
            required && property.required && property.data_type != DataType::Array && property.default_value.is_none();
        visit(property, forced);
        walk(property.properties.as_deref().unwrap_or_default(), forced, visit);
    }
}
