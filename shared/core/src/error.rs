//! The one error type of the core: variants by cause, public codes, no status codes and no texts for people.

use std::time::Duration;

use crate::{
    context::Permission,
    fault::{Fault, FaultKind, Location},
};

/// Result of every core operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a type of the registry is: an object type or a link type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An object type: `Customer`, `Order`.
    ObjectType,
    /// A link type between two object types.
    LinkType,
}

impl Kind {
    /// `object_type` or `link_type`, as in permissions, audit rows and cache keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ObjectType => "object_type",
            Self::LinkType => "link_type",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// The public error codes (specification 7.1, completed). A code never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// Every code, for tables and documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// No live object type has this id or name in the tenant.
    ObjectTypeNotFound = "OBJECT_TYPE_NOT_FOUND",
    /// No live link type has this id or name in the tenant.
    LinkTypeNotFound = "LINK_TYPE_NOT_FOUND",
    /// The type exists, this version of it does not.
    VersionNotFound = "VERSION_NOT_FOUND",
    /// No API key has this id in the tenant.
    ApiKeyNotFound = "API_KEY_NOT_FOUND",
    /// No route answers this path.
    RouteNotFound = "ROUTE_NOT_FOUND",
    /// The route exists, not with this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    /// A live object type of the tenant has this name already, in any case.
    ObjectTypeNameExists = "OBJECT_TYPE_NAME_EXISTS",
    /// A live link type of the tenant has this name already, in any case.
    LinkTypeNameExists = "LINK_TYPE_NAME_EXISTS",
    /// Several faults in one object type (or batch of them).
    InvalidObjectType = "INVALID_OBJECT_TYPE",
    /// Several faults in one link type (or batch of them).
    InvalidLinkType = "INVALID_LINK_TYPE",
    /// A cycle made only of required references: no instance could ever be created first.
    CircularReference = "CIRCULAR_REFERENCE",
    /// Live links or references point at the object type.
    ObjectTypeInUse = "OBJECT_TYPE_IN_USE",
    /// A restore of a type that is live.
    NotDeleted = "NOT_DELETED",
    /// The referenced object type does not exist or is deleted.
    ReferencedTypeNotFound = "REFERENCED_TYPE_NOT_FOUND",
    /// Somebody else changed the type: the expected version is not the current one.
    VersionConflict = "VERSION_CONFLICT",
    /// A write over REST needs `If-Match`.
    PreconditionRequired = "PRECONDITION_REQUIRED",
    /// A name that does not start with a letter, has other characters, or more than 64 of them.
    InvalidName = "INVALID_NAME",
    /// An unknown data type, or a value that is not of its property's data type.
    InvalidDataType = "INVALID_DATA_TYPE",
    /// A required field or property is absent or null.
    RequiredFieldMissing = "REQUIRED_FIELD_MISSING",
    /// A field of the request that does not exist.
    UnknownField = "UNKNOWN_FIELD",
    /// A query parameter that does not exist.
    UnknownParameter = "UNKNOWN_PARAMETER",
    /// A field that only the service sets, given with another value.
    ReadOnlyField = "READ_ONLY_FIELD",
    /// A field that does not apply to the property's data type.
    FieldNotApplicable = "FIELD_NOT_APPLICABLE",
    /// A field of another JSON type than it should be.
    InvalidFieldType = "INVALID_FIELD_TYPE",
    /// A value outside the allowed ones.
    InvalidValue = "INVALID_VALUE",
    /// Text that PostgreSQL can't keep: it contains NUL.
    InvalidText = "INVALID_TEXT",
    /// Text or a list that is shorter than allowed.
    TooShort = "TOO_SHORT",
    /// Text that is longer than allowed.
    TooLong = "TOO_LONG",
    /// A list with more items than allowed.
    TooManyItems = "TOO_MANY_ITEMS",
    /// JSON nested deeper than allowed.
    TooDeep = "TOO_DEEP",
    /// The same item twice in a list that is a set.
    DuplicateItem = "DUPLICATE_ITEM",
    /// Two properties with one name.
    DuplicatePropertyName = "DUPLICATE_PROPERTY_NAME",
    /// A validator that does not fit the data type, has a bad value, or contradicts another.
    InvalidValidator = "INVALID_VALIDATOR",
    /// A pattern that is not a valid regular expression.
    InvalidPattern = "INVALID_PATTERN",
    /// An instance has a property that its type does not define.
    UnknownProperty = "UNKNOWN_PROPERTY",
    /// An instance's text is shorter than `minLength`.
    MinLength = "MIN_LENGTH",
    /// An instance's text is longer than `maxLength`.
    MaxLength = "MAX_LENGTH",
    /// An instance's text does not match `pattern`.
    PatternMismatch = "PATTERN_MISMATCH",
    /// An instance's number is below `min`.
    Min = "MIN",
    /// An instance's number is above `max`.
    Max = "MAX",
    /// A cursor that this service did not issue for this filter and sort.
    InvalidCursor = "INVALID_CURSOR",
    /// A resume token from before the oldest event that is kept, or from another life of the database.
    ResumeTokenExpired = "RESUME_TOKEN_EXPIRED",
    /// Several faults in a request that is neither an object type nor a link type.
    InvalidRequest = "INVALID_REQUEST",
    /// A body that is not JSON.
    MalformedJson = "MALFORMED_JSON",
    /// A body in a media type that the route does not take.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
    /// A body over the limit.
    BodyTooLarge = "BODY_TOO_LARGE",
    /// `X-API-Version` names no version of the API.
    UnknownApiVersion = "UNKNOWN_API_VERSION",
    /// The idempotency key was used before with another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    /// No valid token or API key.
    Unauthenticated = "UNAUTHENTICATED",
    /// The roles of the caller lack the permission.
    PermissionDenied = "PERMISSION_DENIED",
    /// Too many failed logins, or too many requests.
    RateLimited = "RATE_LIMITED",
    /// The database can't be reached or does not answer in time; the request may be repeated.
    ServiceUnavailable = "SERVICE_UNAVAILABLE",
    /// A fault of the service; the correlation id finds it in the logs.
    InternalError = "INTERNAL_ERROR",
}

/// What can go wrong, by cause. Display is for logs: no transport shows it to a client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The input is wrong; every fault is named. `aggregate` is the code when there are several.
    #[error("{} fault(s), the first at {}", faults.len(), faults.first().map(|f| f.location.to_string()).unwrap_or_default())]
    Invalid {
        /// The code shown when there is more than one fault.
        aggregate: Code,
        /// All faults, never empty.
        faults: Vec<Fault>,
    },
    /// The thing asked for is not there, for this tenant.
    #[error("{}: {key}", code.as_str())]
    NotFound {
        /// Which kind of thing.
        code: Code,
        /// The id, name or version asked for.
        key: String,
    },
    /// The expected version is not the current one.
    #[error("expected version {expected}, current is {actual}")]
    VersionConflict {
        /// What the caller expected.
        expected: i32,
        /// What is stored now.
        actual: i32,
    },
    /// The object type is used by these live types.
    #[error("in use by {} type(s)", referrers.len())]
    InUse {
        /// Links and references that point at it, at most 100 of them.
        referrers: Vec<Referrer>,
    },
    /// A restore of a type that is live.
    #[error("{key} is not deleted")]
    NotDeleted {
        /// The id or name asked for.
        key: String,
    },
    /// The idempotency key belongs to another request.
    #[error("idempotency key was used with another body")]
    IdempotencyKeyReused,
    /// What came after the resume token can't be told without a gap any more.
    #[error("the resume token is older than the event log")]
    ResumeTokenExpired,
    /// The caller lacks a permission.
    #[error("permission {} is missing", permission.as_str())]
    Forbidden {
        /// The missing one.
        permission: Permission,
    },
    /// The database can't be reached, or does not answer in time.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// For the log only.
        cause: String,
    },
    /// A fault of ours.
    #[error("internal: {cause}")]
    Internal {
        /// For the log only.
        cause: String,
    },
}

/// A live type that points at an object type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// What points: a link type, or an object type's REFERENCE property.
    pub kind: Kind,
    /// Name of the referring type.
    pub name: String,
    /// Name of the property that refers, for object types.
    pub property: Option<String>,
}

impl Error {
    /// One fault at one place.
    pub fn fault(aggregate: Code, location: Location, kind: FaultKind) -> Self {
        Self::Invalid { aggregate, faults: vec![Fault { location, kind }] }
    }

    /// An internal error from anything that explains itself.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal { cause: cause.to_string() }
    }

    /// The code that clients see: the fault's own for one, the aggregate for several.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { aggregate, faults } => match faults.as_slice() {
                [only] => only.kind.code(),
                _ => *aggregate,
            },
            Self::NotFound { code, .. } => *code,
            Self::VersionConflict { .. } => Code::VersionConflict,
            Self::InUse { .. } => Code::ObjectTypeInUse,
            Self::NotDeleted { .. } => Code::NotDeleted,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::ResumeTokenExpired => Code::ResumeTokenExpired,
            Self::Forbidden { .. } => Code::PermissionDenied,
            Self::Unavailable { .. } => Code::ServiceUnavailable,
            Self::Internal { .. } => Code::InternalError,
        }
    }

    /// When it makes sense to try again, for the errors that pass by themselves.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Unavailable { .. }).then_some(Duration::from_secs(1))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let cause = error.to_string();
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { cause },
            sqlx::Error::Database(database) => match database.code().as_deref() {
                // Connection exceptions, shutting down, starting up, too many connections, statement timeout, disk full.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57")
                        || code.starts_with("53")
                        // Serialization failures and deadlocks that outlived their retries.
                        || code == "40001"
                        || code == "40P01"
                        // Read-only: a failover is under way.
                        || code == "25006" =>
                {
                    Self::Unavailable { cause }
                }
                _ => Self::Internal { cause },
            },
            _ => Self::Internal { cause },
        }
    }
}
