//! The one table from public error codes (specification 7.1) to what each transport says.

use http::StatusCode;
use oms_core::error::Code;

/// What the transports say for one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Status of an HTTP answer.
    pub http: StatusCode,
    /// `extensions.classification` of a GraphQL error.
    pub graphql: &'static str,
    /// Number of the gRPC status code.
    pub grpc: i32,
}

/// The row of a code.
pub const fn row(code: Code) -> Row {
    let (http, graphql, grpc) = match code {
        Code::ObjectTypeNotFound | Code::LinkTypeNotFound | Code::VersionNotFound | Code::ApiKeyNotFound => {
            (StatusCode::NOT_FOUND, "NOT_FOUND", 5)
        }
        Code::RouteNotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", 12),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", 12),
        Code::ObjectTypeNameExists | Code::LinkTypeNameExists => (StatusCode::CONFLICT, "CONFLICT", 6),
        Code::CircularReference | Code::ObjectTypeInUse | Code::NotDeleted => (StatusCode::CONFLICT, "CONFLICT", 9),
        Code::VersionConflict => (StatusCode::CONFLICT, "CONFLICT", 10),
        Code::PreconditionRequired => (StatusCode::PRECONDITION_REQUIRED, "BAD_REQUEST", 9),
        Code::InvalidObjectType
        | Code::InvalidLinkType
        | Code::ReferencedTypeNotFound
        | Code::InvalidName
        | Code::InvalidDataType
        | Code::RequiredFieldMissing
        | Code::UnknownField
        | Code::UnknownParameter
        | Code::ReadOnlyField
        | Code::FieldNotApplicable
        | Code::InvalidFieldType
        | Code::InvalidValue
        | Code::InvalidText
        | Code::TooShort
        | Code::TooLong
        | Code::TooManyItems
        | Code::TooDeep
        | Code::DuplicateItem
        | Code::DuplicatePropertyName
        | Code::InvalidValidator
        | Code::InvalidPattern
        | Code::UnknownProperty
        | Code::MinLength
        | Code::MaxLength
        | Code::PatternMismatch
        | Code::Min
        | Code::Max
        | Code::InvalidCursor
        | Code::InvalidRequest
        | Code::MalformedJson
        | Code::UnknownApiVersion => (StatusCode::BAD_REQUEST, "BAD_REQUEST", 3),
        Code::ResumeTokenExpired => (StatusCode::GONE, "BAD_REQUEST", 11),
        Code::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", 3),
        Code::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "BAD_REQUEST", 8),
        Code::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "BAD_REQUEST", 3),
        Code::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", 16),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "FORBIDDEN", 7),
        Code::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", 8),
        Code::ServiceUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", 14),
        Code::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", 13),
    };
    Row { http, graphql, grpc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_row_and_the_three_columns_agree() {
        for code in Code::ALL {
            let Row { http, graphql, grpc } = row(*code);
            assert!(http.is_client_error() || http.is_server_error(), "{code:?}");
            let agreeing: &[i32] = match graphql {
                "BAD_REQUEST" => &[3, 8, 9, 11, 12],
                "NOT_FOUND" => &[5, 12],
                "CONFLICT" => &[6, 9, 10],
                "UNAUTHENTICATED" => &[16],
                "FORBIDDEN" => &[7],
                "RATE_LIMITED" => &[8],
                "SERVICE_UNAVAILABLE" => &[14],
                "INTERNAL_ERROR" => &[13],
                other => panic!("{code:?}: an unknown classification {other}"),
            };
            assert!(agreeing.contains(&grpc), "{code:?}");
            // What a client may repeat as it is, and what not, must not depend on the transport.
            assert_eq!(http == StatusCode::SERVICE_UNAVAILABLE, grpc == 14, "{code:?}");
            assert_eq!(http == StatusCode::UNAUTHORIZED, grpc == 16, "{code:?}");
            assert_eq!(http.is_server_error(), matches!(grpc, 13 | 14), "{code:?}");
        }
    }

    #[test]
    fn the_statuses_are_those_of_the_specification() {
        for (code, status) in [
            (Code::InvalidObjectType, 400),
            (Code::UnknownApiVersion, 400),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::ObjectTypeNotFound, 404),
            (Code::MethodNotAllowed, 405),
            (Code::ObjectTypeNameExists, 409),
            (Code::CircularReference, 409),
            (Code::VersionConflict, 409),
            (Code::ResumeTokenExpired, 410),
            (Code::BodyTooLarge, 413),
            (Code::UnsupportedMediaType, 415),
            (Code::IdempotencyKeyReused, 422),
            (Code::PreconditionRequired, 428),
            (Code::RateLimited, 429),
            (Code::InternalError, 500),
            (Code::ServiceUnavailable, 503),
        ] {
            assert_eq!(row(code).http.as_u16(), status, "{code:?}");
        }
    }
}
