//! One thing that is wrong with an input, where it is and what is wrong. The words for people are the edge's.

use std::{borrow::Cow, fmt};

use crate::error::{Code, Kind};

/// Where a fault is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// In the body: an RFC 6901 JSON Pointer, `""` for the whole.
    Pointer(String),
    /// In a query or path parameter, by its name.
    Parameter(Cow<'static, str>),
    /// In a header, by its name.
    Header(&'static str),
}

impl Location {
    /// The body as a whole.
    pub fn root() -> Self {
        Self::Pointer(String::new())
    }
}

impl Location {
    /// The pointer, or the name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pointer(pointer) => pointer,
            Self::Parameter(name) => name,
            Self::Header(name) => name,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Where.
    pub location: Location,
    /// What.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault in a parameter.
    pub fn of_parameter(name: impl Into<Cow<'static, str>>, kind: FaultKind) -> Self {
        Self { location: Location::Parameter(name.into()), kind }
    }

    /// A fault in the body.
    pub fn at(pointer: impl Into<String>, kind: FaultKind) -> Self {
        Self { location: Location::Pointer(pointer.into()), kind }
    }
}

/// What is wrong, with the numbers and names that a message needs.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// The field does not exist.
    UnknownField,
    /// The query parameter does not exist.
    UnknownParameter,
    /// Only the service sets the field.
    ReadOnlyField,
    /// The field or property must be there and not null.
    Required,
    /// The field has another JSON type.
    WrongType {
        /// What it should be: `string`, `array`, ...
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The value is none of the allowed ones.
    NotOneOf {
        /// The allowed values, separated by commas.
        allowed: &'static str,
    },
    /// The value has not the form it should have, said in a few words of English.
    Malformed {
        /// The form: `a UUID`, `an RFC 3339 timestamp`.
        expected: &'static str,
    },
    /// The text contains NUL (U+0000).
    Nul,
    /// The name has not the form `^[a-zA-Z][a-zA-Z0-9_]*$`.
    NameForm,
    /// The name is longer than 64 characters.
    NameTooLong {
        /// Its length in characters.
        actual: usize,
    },
    /// Text shorter than allowed, in characters; a list with too few items.
    TooShort {
        /// The least length.
        min: usize,
    },
    /// Text longer than allowed, in characters.
    TooLong {
        /// The greatest length.
        max: usize,
        /// Its length.
        actual: usize,
    },
    /// More items than allowed.
    TooMany {
        /// The greatest number.
        max: usize,
        /// Their number.
        actual: usize,
    },
    /// JSON or properties nested deeper than allowed.
    TooDeep {
        /// The greatest depth.
        max: usize,
    },
    /// The item stands earlier in the list too.
    Duplicate,
    /// The parameter or header stands there more than once.
    Repeated,
    /// The field and another one exclude each other.
    Excludes {
        /// The other field.
        other: &'static str,
    },
    /// Another property of the same level has this name, compared exactly.
    DuplicatePropertyName {
        /// The name.
        name: String,
    },
    /// Not one of the eight data types.
    UnknownDataType,
    /// The field does not apply to this data type.
    NotApplicable {
        /// The property's data type, or its item type.
        data_type: &'static str,
    },
    /// The validator does not apply to this data type.
    ValidatorNotApplicable {
        /// The validator.
        validator: &'static str,
        /// The property's data type.
        data_type: &'static str,
    },
    /// The validator's value has another form.
    ValidatorValue {
        /// The form: `a whole number of 0 or more`.
        expected: &'static str,
    },
    /// The lower bound is above the upper one.
    EmptyRange {
        /// The validator with the lower bound.
        lower: &'static str,
        /// The validator with the upper bound.
        upper: &'static str,
    },
    /// The pattern is not a regular expression that we can run.
    Pattern {
        /// What the regex engine says of the pattern.
        reason: String,
    },
    /// A live type has the name.
    NameTaken {
        /// Which kind of type.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// No live object type has this name or id.
    TypeNotFound {
        /// The name or id that was given.
        key: String,
    },
    /// Required references in a cycle.
    CircularReference,
    /// The instance has a property that the type does not define.
    UnknownProperty {
        /// Its key.
        name: String,
    },
    /// The instance's value is not of the property's data type.
    NotOfDataType {
        /// The data type.
        data_type: &'static str,
        /// The value's JSON type.
        found: &'static str,
    },
    /// The instance's text is no date or time of the right form.
    NotADate {
        /// DATE or DATETIME.
        data_type: &'static str,
    },
    /// The instance's text is too short.
    MinLength {
        /// The least length.
        min: u64,
        /// Its length.
        actual: u64,
    },
    /// The instance's text is too long.
    MaxLength {
        /// The greatest length.
        max: u64,
        /// Its length.
        actual: u64,
    },
    /// The instance's text does not match.
    PatternMismatch {
        /// The pattern.
        pattern: String,
    },
    /// The instance's number is too small.
    Min {
        /// The least value.
        min: String,
    },
    /// The instance's number is too large.
    Max {
        /// The greatest value.
        max: String,
    },
    /// The role may do what the caller may not, so the caller can't give it away.
    RoleBeyondCaller {
        /// The role.
        role: String,
    },
    /// The cursor is not one of ours for this filter and sort.
    Cursor,
    /// The resume token is none that this service issued for the tenant.
    ResumeToken,
}

impl FaultKind {
    /// The public code of this fault.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownField => Code::UnknownField,
            Self::UnknownParameter => Code::UnknownParameter,
            Self::ReadOnlyField => Code::ReadOnlyField,
            Self::Required => Code::RequiredFieldMissing,
            Self::WrongType { .. } => Code::InvalidFieldType,
            Self::NotOneOf { .. } | Self::Malformed { .. } => Code::InvalidValue,
            Self::Nul => Code::InvalidText,
            Self::NameForm | Self::NameTooLong { .. } => Code::InvalidName,
            Self::TooShort { .. } => Code::TooShort,
            Self::TooLong { .. } => Code::TooLong,
            Self::TooMany { .. } => Code::TooManyItems,
            Self::TooDeep { .. } => Code::TooDeep,
            Self::Duplicate | Self::Repeated => Code::DuplicateItem,
            Self::Excludes { .. } => Code::InvalidValue,
            Self::DuplicatePropertyName { .. } => Code::DuplicatePropertyName,
            Self::UnknownDataType | Self::NotOfDataType { .. } | Self::NotADate { .. } => Code::InvalidDataType,
            Self::NotApplicable { .. } => Code::FieldNotApplicable,
            Self::ValidatorNotApplicable { .. } | Self::ValidatorValue { .. } | Self::EmptyRange { .. } => {
                Code::InvalidValidator
            }
            Self::Pattern { .. } => Code::InvalidPattern,
            Self::NameTaken { kind: Kind::ObjectType, .. } => Code::ObjectTypeNameExists,
            Self::NameTaken { kind: Kind::LinkType, .. } => Code::LinkTypeNameExists,
            Self::TypeNotFound { .. } => Code::ReferencedTypeNotFound,
            Self::CircularReference => Code::CircularReference,
            Self::UnknownProperty { .. } => Code::UnknownProperty,
            Self::MinLength { .. } => Code::MinLength,
            Self::MaxLength { .. } => Code::MaxLength,
            Self::PatternMismatch { .. } => Code::PatternMismatch,
            Self::Min { .. } => Code::Min,
            Self::Max { .. } => Code::Max,
            Self::RoleBeyondCaller { .. } => Code::PermissionDenied,
            Self::Cursor | Self::ResumeToken => Code::InvalidCursor,
        }
    }
}
