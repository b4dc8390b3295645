//! The English words.

use oms_core::{
    error::{Code, Error, Kind},
    fault::FaultKind,
};

use crate::problem::Cause;

pub(super) fn title(code: Code) -> &'static str {
    match code {
        Code::ObjectTypeNotFound => "Object type not found",
        Code::LinkTypeNotFound => "Link type not found",
        Code::VersionNotFound => "Version not found",
        Code::ApiKeyNotFound => "API key not found",
        Code::RouteNotFound => "No such path",
        Code::MethodNotAllowed => "Method not allowed",
        Code::ObjectTypeNameExists => "The name of the object type is taken",
        Code::LinkTypeNameExists => "The name of the link type is taken",
        Code::InvalidObjectType => "Invalid object type",
        Code::InvalidLinkType => "Invalid link type",
        Code::CircularReference => "Circular reference",
        Code::ObjectTypeInUse => "The object type is in use",
        Code::NotDeleted => "The type is not deleted",
        Code::ReferencedTypeNotFound => "Referenced object type not found",
        Code::VersionConflict => "Version conflict",
        Code::PreconditionRequired => "If-Match is required",
        Code::InvalidName => "Invalid name",
        Code::InvalidDataType => "Invalid data type",
        Code::RequiredFieldMissing => "A required field is missing",
        Code::UnknownField => "Unknown field",
        Code::UnknownParameter => "Unknown parameter",
        Code::ReadOnlyField => "Read-only field",
        Code::FieldNotApplicable => "The field does not apply to the data type",
        Code::InvalidFieldType => "Wrong JSON type",
        Code::InvalidValue => "Invalid value",
        Code::InvalidText => "Invalid text",
        Code::TooShort => "Too short",
        Code::TooLong => "Too long",
        Code::TooManyItems => "Too many items",
        Code::TooDeep => "Nested too deeply",
        Code::DuplicateItem => "Duplicate item",
        Code::DuplicatePropertyName => "Duplicate property name",
        Code::InvalidValidator => "Invalid validator",
        Code::InvalidPattern => "Invalid pattern",
        Code::UnknownProperty => "Unknown property",
        Code::MinLength => "The text is too short",
        Code::MaxLength => "The text is too long",
        Code::PatternMismatch => "The text does not match the pattern",
        Code::Min => "The number is too small",
        Code::Max => "The number is too large",
        Code::ResumeTokenExpired => "The resume token has expired",
        Code::InvalidCursor => "Invalid cursor",
        Code::InvalidRequest => "Invalid request",
        Code::MalformedJson => "Malformed JSON",
        Code::UnsupportedMediaType => "Unsupported media type",
        Code::BodyTooLarge => "The body is too large",
        Code::UnknownApiVersion => "Unknown API version",
        Code::IdempotencyKeyReused => "The idempotency key was used before",
        Code::Unauthenticated => "Not authenticated",
        Code::PermissionDenied => "Permission denied",
        Code::RateLimited => "Too many attempts",
        Code::ServiceUnavailable => "Service unavailable",
        Code::InternalError => "Internal error",
    }
}

pub(super) fn fault(kind: &FaultKind) -> String {
    match kind {
        FaultKind::UnknownParameter => "There is no such query parameter; check its spelling or leave it out.".into(),
        FaultKind::UnknownField => "There is no such field; check its spelling or leave it out.".into(),
        FaultKind::ReadOnlyField => "Only the service sets this field; leave it out.".into(),
        FaultKind::Required => "This is required; give it a value.".into(),
        FaultKind::WrongType { expected, found } => format!("Must be of JSON type {expected}, not {found}."),
        FaultKind::NotOneOf { allowed } => format!("Must be one of: {allowed}."),
        FaultKind::Malformed { expected } => format!("Must be {expected}."),
        FaultKind::Nul => "Must not contain the character U+0000; remove it.".into(),
        FaultKind::NameForm => "Must start with a letter (a-z, A-Z) and contain only letters, digits and underscores.".into(),
        FaultKind::NameTooLong { actual } => format!("Must have at most 64 characters; it has {actual}."),
        FaultKind::TooShort { min } => format!("Must have a length of at least {min}."),
        FaultKind::TooLong { max, actual } => format!("Must have at most {max} characters; it has {actual}."),
        FaultKind::TooMany { max, actual } => format!("Must have at most {max} items; it has {actual}."),
        FaultKind::TooDeep { max } => format!("Must be nested at most {max} levels deep."),
        FaultKind::Repeated => "This may be given once only; keep one of them.".into(),
        FaultKind::Excludes { other } => format!("Give either this or '{other}', not both."),
        FaultKind::Duplicate => "This item is in the list twice; remove one of them.".into(),
        FaultKind::DuplicatePropertyName { name } => {
            format!("Another property here is named '{name}' too; give each its own name.")
        }
        FaultKind::UnknownDataType => {
            "Must be one of: STRING, NUMBER, BOOLEAN, DATE, DATETIME, ARRAY, OBJECT, REFERENCE.".into()
        }
        FaultKind::NotApplicable { data_type } => format!("Does not apply to data type {data_type}; leave it out."),
        FaultKind::ValidatorNotApplicable { validator, data_type } => {
            format!("The validator {validator} does not apply to data type {data_type}; remove it.")
        }
        FaultKind::ValidatorValue { expected } => format!("The validator's value must be {expected}."),
        FaultKind::EmptyRange { lower, upper } => format!("{lower} must not be above {upper}."),
        FaultKind::Pattern { reason } => format!("The pattern is not a valid regular expression: {reason}."),
        FaultKind::NameTaken { kind, name } => {
            format!("{} named '{name}' exists already; choose another name. Upper and lower case are the same.", a(*kind))
        }
        FaultKind::TypeNotFound { key } => format!("There is no object type '{key}'; create it first, or restore it."),
        FaultKind::CircularReference => {
            "These required references form a cycle, so no instance could ever be created first; make one of them optional.".into()
        }
        FaultKind::UnknownProperty { name } => format!("The type has no property '{name}'; define it or leave it out."),
        FaultKind::NotOfDataType { data_type, found } => format!("Must be a value of data type {data_type}, not a JSON {found}."),
        FaultKind::NotADate { data_type: "DATE" } => "Must be a DATE such as 2024-12-31.".into(),
        FaultKind::NotADate { data_type } => format!("Must be a {data_type} with an offset, such as 2024-12-31T23:59:59Z."),
        FaultKind::MinLength { min, actual } => format!("Must have at least {min} characters; it has {actual}."),
        FaultKind::MaxLength { max, actual } => format!("Must have at most {max} characters; it has {actual}."),
        FaultKind::PatternMismatch { pattern } => format!("Must match the pattern {} .", super::shown_pattern(pattern)),
        FaultKind::Min { min } => format!("Must be {min} or more."),
        FaultKind::Max { max } => format!("Must be {max} or less."),
        FaultKind::RoleBeyondCaller { role } => {
            format!("The role '{role}' may do more than you may, so you can't give it; choose a role within your own permissions.")
        }
        FaultKind::ResumeToken => "This is no resume token of this tenant's event feed; use one that the feed gave, or earliest or latest.".into(),
        FaultKind::Cursor => "This cursor does not belong to this list, filter and sort; start again without a cursor.".into(),
    }
}

fn a(kind: Kind) -> &'static str {
    match kind {
        Kind::ObjectType => "An object type",
        Kind::LinkType => "A link type",
    }
}

pub(super) fn referrer(kind: Kind, name: &str, property: Option<&str>) -> String {
    match (kind, property) {
        (_, Some(property)) => {
            format!("Property '{property}' of '{name}' refers to it; remove or redirect the property first.")
        }
        (Kind::LinkType, None) => {
            format!("Link type '{name}' uses it; delete the link type first, or delete with cascade.")
        }
        (Kind::ObjectType, None) => format!("Object type '{name}' refers to it; change that type first."),
    }
}

pub(super) fn detail(cause: &Cause) -> String {
    match cause {
        Cause::Core(error) => core(error),
        Cause::Unauthenticated { invalid_token: true } => {
            "The token is not valid: it may have expired, or be meant for another service. Get a new one.".into()
        }
        Cause::Unauthenticated { invalid_token: false } => {
            "Send a valid token as 'Authorization: Bearer <token>', or a valid API key in its header.".into()
        }
        Cause::AmbiguousCredentials => "Send a token or an API key, not both.".into(),
        Cause::RateLimited { retry_after } => {
            format!("Too many failed logins from this address. Try again in {} seconds.", retry_after.as_secs())
        }
        Cause::BodyTooLarge { limit } => {
            format!("The body must have at most {limit} bytes. Send less, or several requests.")
        }
        Cause::BodyUnreadable => "The body could not be read to its end. Send the request again.".into(),
        Cause::UnsupportedMediaType => "Send JSON, with 'Content-Type: application/json'.".into(),
        Cause::MalformedJson { line, column } => {
            format!("The body is not valid JSON: see line {line}, column {column}.")
        }
        Cause::RouteNotFound => "Nothing answers at this path. The paths are listed in /openapi.json.".into(),
        Cause::ProcedureNotFound => {
            "There is no such service or method. Those that there are stand in oms.proto.".into()
        }
        Cause::MessageUnreadable { because } => {
            format!("The message is not what oms.proto describes for this method: {because}.")
        }
        Cause::RequestUnsupported { because } => format!("A call can't come like this: {because}."),
        Cause::DeadlinePassed => "The deadline of the call has passed. Give it more time.".into(),
        Cause::MethodNotAllowed => {
            "This path does not answer this method. The header Allow lists those that it answers.".into()
        }
        Cause::PreconditionRequired => {
            "Send If-Match with the ETag that you read last, so that nobody's change is lost.".into()
        }
        Cause::UnknownApiVersion => "X-API-Version must be v1 or v2.".into(),
        Cause::Timeout => "The request took too long. Try again in a moment.".into(),
    }
}

fn core(error: &Error) -> String {
    match error {
        Error::Invalid { faults, .. } => match faults.as_slice() {
            [only] => fault(&only.kind),
            several => format!("There are {} faults; 'errors' lists each of them.", several.len()),
        },
        Error::NotFound { code: Code::LinkTypeNotFound, key } => format!("There is no link type '{key}'."),
        Error::NotFound { code: Code::VersionNotFound, key } => format!("There is no version {key} of this type."),
        Error::NotFound { code: Code::ApiKeyNotFound, key } => format!("There is no API key '{key}'."),
        Error::NotFound { key, .. } => format!("There is no object type '{key}'."),
        Error::VersionConflict { expected, actual } => {
            format!(
                "Version {expected} was expected, but the current one is {actual}. Read it again, then repeat your change."
            )
        }
        Error::InUse { referrers } => {
            format!("{} other type(s) use this object type; 'errors' lists them. Change those first.", referrers.len())
        }
        Error::NotDeleted { key } => format!("'{key}' is not deleted, so there is nothing to restore."),
        Error::ResumeTokenExpired => {
            "Events after this resume token are no longer kept, so some would be missing. Take a token with after=latest, \
             read the current types, then follow the events from that token."
                .into()
        }
        Error::IdempotencyKeyReused => {
            "This Idempotency-Key came with another request before. Use a new key for a new request.".into()
        }
        Error::Forbidden { permission } => {
            format!("Your roles lack the permission {}. Ask an administrator for it.", permission.as_str())
        }
        Error::Unavailable { .. } => "The service can't answer right now. Try again in a moment.".into(),
        Error::Internal { .. } => {
            "Something went wrong in the service. Report the correlationId if it happens again.".into()
        }
    }
}
