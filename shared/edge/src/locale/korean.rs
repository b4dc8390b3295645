//! The Korean words; where specification 7.1 has a text, it is that one.

use oms_core::{
    error::{Code, Error, Kind},
    fault::FaultKind,
};

use crate::problem::Cause;

pub(super) fn title(code: Code) -> &'static str {
    match code {
        Code::ObjectTypeNotFound => "요청하신 객체 타입을 찾을 수 없습니다",
        Code::LinkTypeNotFound => "요청하신 링크 타입을 찾을 수 없습니다",
        Code::VersionNotFound => "요청하신 버전을 찾을 수 없습니다",
        Code::ApiKeyNotFound => "요청하신 API 키를 찾을 수 없습니다",
        Code::RouteNotFound => "존재하지 않는 경로입니다",
        Code::MethodNotAllowed => "허용되지 않는 메서드입니다",
        Code::ObjectTypeNameExists => "이미 존재하는 객체 타입 이름입니다",
        Code::LinkTypeNameExists => "이미 존재하는 링크 타입 이름입니다",
        Code::InvalidObjectType => "유효하지 않은 객체 타입입니다",
        Code::InvalidLinkType => "유효하지 않은 링크 타입입니다",
        Code::CircularReference => "순환 참조가 감지되었습니다",
        Code::ObjectTypeInUse => "사용 중인 객체 타입입니다",
        Code::NotDeleted => "삭제되지 않은 타입입니다",
        Code::ReferencedTypeNotFound => "참조된 객체 타입을 찾을 수 없습니다",
        Code::VersionConflict => "버전이 충돌했습니다",
        Code::PreconditionRequired => "If-Match 헤더가 필요합니다",
        Code::InvalidName => "이름 형식이 올바르지 않습니다. 영문자로 시작하고 영숫자와 밑줄만 포함해야 합니다",
        Code::InvalidDataType => "유효하지 않은 데이터 타입입니다",
        Code::RequiredFieldMissing => "필수 필드가 누락되었습니다",
        Code::UnknownField => "알 수 없는 필드입니다",
        Code::UnknownParameter => "알 수 없는 매개변수입니다",
        Code::ReadOnlyField => "읽기 전용 필드입니다",
        Code::FieldNotApplicable => "이 데이터 타입에 적용할 수 없는 필드입니다",
        Code::InvalidFieldType => "JSON 타입이 올바르지 않습니다",
        Code::InvalidValue => "유효하지 않은 값입니다",
        Code::InvalidText => "유효하지 않은 텍스트입니다",
        Code::TooShort => "길이가 너무 짧습니다",
        Code::TooLong => "길이가 너무 깁니다",
        Code::TooManyItems => "항목이 너무 많습니다",
        Code::TooDeep => "중첩이 너무 깊습니다",
        Code::DuplicateItem => "중복된 항목입니다",
        Code::DuplicatePropertyName => "속성 이름이 중복되었습니다",
        Code::InvalidValidator => "유효하지 않은 검증 규칙입니다",
        Code::InvalidPattern => "유효하지 않은 정규식 패턴입니다",
        Code::UnknownProperty => "정의되지 않은 속성입니다",
        Code::MinLength => "텍스트가 최소 길이보다 짧습니다",
        Code::MaxLength => "텍스트가 최대 길이보다 깁니다",
        Code::PatternMismatch => "텍스트가 패턴과 일치하지 않습니다",
        Code::Min => "값이 최솟값보다 작습니다",
        Code::Max => "값이 최댓값보다 큽니다",
        Code::ResumeTokenExpired => "재개 토큰이 만료되었습니다",
        Code::InvalidCursor => "유효하지 않은 커서입니다",
        Code::InvalidRequest => "유효하지 않은 요청입니다",
        Code::MalformedJson => "JSON 형식이 올바르지 않습니다",
        Code::UnsupportedMediaType => "지원하지 않는 미디어 타입입니다",
        Code::BodyTooLarge => "요청 본문이 너무 큽니다",
        Code::UnknownApiVersion => "알 수 없는 API 버전입니다",
        Code::IdempotencyKeyReused => "이미 다른 요청에 사용된 멱등성 키입니다",
        Code::Unauthenticated => "인증이 필요합니다",
        Code::PermissionDenied => "권한이 없습니다",
        Code::RateLimited => "시도 횟수가 너무 많습니다",
        Code::ServiceUnavailable => "서비스를 일시적으로 사용할 수 없습니다",
        Code::InternalError => "내부 오류가 발생했습니다",
    }
}

pub(super) fn fault(kind: &FaultKind) -> String {
    match kind {
        FaultKind::UnknownParameter => "존재하지 않는 쿼리 매개변수입니다. 철자를 확인하거나 제거하세요.".into(),
        FaultKind::UnknownField => "존재하지 않는 필드입니다. 철자를 확인하거나 필드를 제거하세요.".into(),
        FaultKind::ReadOnlyField => "서비스만 설정할 수 있는 필드입니다. 필드를 제거하세요.".into(),
        FaultKind::Required => "필수 항목입니다. 값을 입력하세요.".into(),
        FaultKind::WrongType { expected, found } => format!("JSON 타입은 {expected}이어야 합니다. 현재 타입: {found}."),
        FaultKind::NotOneOf { allowed } => format!("다음 값 중 하나여야 합니다: {allowed}."),
        FaultKind::Malformed { expected } => format!("형식이 올바르지 않습니다. 필요한 형식: {}.", form(expected)),
        FaultKind::Nul => "U+0000 문자를 포함할 수 없습니다. 해당 문자를 제거하세요.".into(),
        FaultKind::NameForm => {
            "이름 형식이 올바르지 않습니다. 영문자로 시작하고 영숫자와 밑줄만 포함해야 합니다.".into()
        }
        FaultKind::NameTooLong { actual } => format!("이름은 64자 이하여야 합니다. 현재 길이: {actual}자."),
        FaultKind::TooShort { min } => format!("길이는 {min} 이상이어야 합니다."),
        FaultKind::TooLong { max, actual } => format!("{max}자 이하여야 합니다. 현재 길이: {actual}자."),
        FaultKind::TooMany { max, actual } => format!("항목은 {max}개 이하여야 합니다. 현재 개수: {actual}개."),
        FaultKind::TooDeep { max } => format!("중첩은 {max}단계 이하여야 합니다."),
        FaultKind::Repeated => "한 번만 지정할 수 있습니다. 하나만 남기세요.".into(),
        FaultKind::Excludes { other } => format!("이 필드와 '{other}' 중 하나만 지정하세요."),
        FaultKind::Duplicate => "목록에 같은 항목이 이미 있습니다. 중복된 항목을 제거하세요.".into(),
        FaultKind::DuplicatePropertyName { name } => {
            format!("'{name}' 이름의 속성이 이미 있습니다. 속성마다 다른 이름을 사용하세요.")
        }
        FaultKind::UnknownDataType => {
            "다음 데이터 타입 중 하나여야 합니다: STRING, NUMBER, BOOLEAN, DATE, DATETIME, ARRAY, OBJECT, REFERENCE."
                .into()
        }
        FaultKind::NotApplicable { data_type } => {
            format!("데이터 타입 {data_type}에 적용할 수 없습니다. 필드를 제거하세요.")
        }
        FaultKind::ValidatorNotApplicable { validator, data_type } => {
            format!("검증 규칙 {validator}은(는) 데이터 타입 {data_type}에 적용할 수 없습니다. 규칙을 제거하세요.")
        }
        FaultKind::ValidatorValue { expected } => {
            format!("검증 규칙의 값이 올바르지 않습니다. 필요한 값: {}.", form(expected))
        }
        FaultKind::EmptyRange { lower, upper } => format!("{lower} 값은 {upper} 값보다 클 수 없습니다."),
        FaultKind::Pattern { reason } => format!("유효한 정규식이 아닙니다: {reason}."),
        FaultKind::NameTaken { kind, name } => {
            format!(
                "'{name}' 이름의 {}이 이미 있습니다. 다른 이름을 사용하세요. 대소문자는 구분하지 않습니다.",
                noun(*kind)
            )
        }
        FaultKind::TypeNotFound { key } => {
            format!("객체 타입 '{key}'을(를) 찾을 수 없습니다. 먼저 생성하거나 복원하세요.")
        }
        FaultKind::CircularReference => {
            "필수 참조가 순환하여 어떤 인스턴스도 먼저 만들 수 없습니다. 참조 중 하나를 선택 항목으로 바꾸세요.".into()
        }
        FaultKind::UnknownProperty { name } => {
            format!("타입에 '{name}' 속성이 없습니다. 속성을 정의하거나 제거하세요.")
        }
        FaultKind::NotOfDataType { data_type, found } => {
            format!("데이터 타입 {data_type}의 값이어야 합니다. 현재 JSON 타입: {found}.")
        }
        FaultKind::NotADate { data_type: "DATE" } => "2024-12-31과 같은 DATE 형식이어야 합니다.".into(),
        FaultKind::NotADate { data_type } => {
            format!("2024-12-31T23:59:59Z와 같이 오프셋이 있는 {data_type} 형식이어야 합니다.")
        }
        FaultKind::MinLength { min, actual } => format!("{min}자 이상이어야 합니다. 현재 길이: {actual}자."),
        FaultKind::MaxLength { max, actual } => format!("{max}자 이하여야 합니다. 현재 길이: {actual}자."),
        FaultKind::PatternMismatch { pattern } => format!("패턴 {} 과 일치해야 합니다.", super::shown_pattern(pattern)),
        FaultKind::Min { min } => format!("{min} 이상이어야 합니다."),
        FaultKind::Max { max } => format!("{max} 이하여야 합니다."),
        FaultKind::RoleBeyondCaller { role } => {
            format!(
                "역할 '{role}'에는 요청자에게 없는 권한이 있어 부여할 수 없습니다. 보유한 권한 안의 역할을 선택하세요."
            )
        }
        FaultKind::ResumeToken => {
            "이 테넌트의 이벤트 피드가 발급한 재개 토큰이 아닙니다. 피드가 준 토큰이나 earliest, latest를 사용하세요."
                .into()
        }
        FaultKind::Cursor => "이 목록, 필터, 정렬에 맞지 않는 커서입니다. 커서 없이 처음부터 다시 조회하세요.".into(),
    }
}

/// The forms that the core names in English.
fn form(english: &'static str) -> &'static str {
    match english {
        "a UUID" => "UUID",
        "a number" => "숫자",
        "a regular expression" => "정규식",
        "a whole number of 0 or more" => "0 이상의 정수",
        "a whole number from 1 to 100" => "1에서 100 사이의 정수",
        "a role of the configuration" => "설정에 있는 역할",
        "an RFC 3339 timestamp in the future" => "미래의 RFC 3339 시각",
        "a whole number from 1 to 200" => "1에서 200 사이의 정수",
        other => other,
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::ObjectType => "객체 타입",
        Kind::LinkType => "링크 타입",
    }
}

pub(super) fn referrer(kind: Kind, name: &str, property: Option<&str>) -> String {
    match (kind, property) {
        (_, Some(property)) => {
            format!(
                "'{name}'의 속성 '{property}'이(가) 참조하고 있습니다. 먼저 속성을 제거하거나 다른 타입을 참조하게 하세요."
            )
        }
        (Kind::LinkType, None) => {
            format!("링크 타입 '{name}'이(가) 사용하고 있습니다. 먼저 링크 타입을 삭제하거나 cascade로 삭제하세요.")
        }
        (Kind::ObjectType, None) => format!("객체 타입 '{name}'이(가) 참조하고 있습니다. 먼저 해당 타입을 변경하세요."),
    }
}

pub(super) fn detail(cause: &Cause) -> String {
    match cause {
        Cause::Core(error) => core(error),
        Cause::Unauthenticated { invalid_token: true } => {
            "토큰이 유효하지 않습니다. 만료되었거나 다른 서비스용 토큰일 수 있습니다. 새 토큰을 발급받으세요.".into()
        }
        Cause::Unauthenticated { invalid_token: false } => {
            "유효한 토큰을 'Authorization: Bearer <토큰>' 헤더로 보내거나 유효한 API 키를 해당 헤더로 보내세요.".into()
        }
        Cause::AmbiguousCredentials => "토큰과 API 키 중 하나만 보내세요.".into(),
        Cause::RateLimited { retry_after } => {
            format!("이 주소에서 로그인 실패가 너무 많습니다. {}초 후에 다시 시도하세요.", retry_after.as_secs())
        }
        Cause::BodyTooLarge { limit } => {
            format!("요청 본문은 {limit}바이트 이하여야 합니다. 크기를 줄이거나 여러 요청으로 나누어 보내세요.")
        }
        Cause::BodyUnreadable => "요청 본문을 끝까지 읽을 수 없었습니다. 요청을 다시 보내세요.".into(),
        Cause::UnsupportedMediaType => "JSON을 'Content-Type: application/json' 헤더와 함께 보내세요.".into(),
        Cause::MalformedJson { line, column } => {
            format!("요청 본문이 올바른 JSON이 아닙니다. {line}행 {column}열을 확인하세요.")
        }
        Cause::ProcedureNotFound => {
            "해당 서비스나 메서드가 없습니다. 사용 가능한 메서드는 oms.proto를 확인하세요.".into()
        }
        Cause::MessageUnreadable { because } => {
            format!("메시지가 oms.proto에 정의된 이 메서드의 요청과 다릅니다: {because}.")
        }
        Cause::RequestUnsupported { because } => format!("이 형식의 호출은 처리할 수 없습니다: {because}."),
        Cause::DeadlinePassed => "호출의 제한 시간이 지났습니다. 제한 시간을 늘려 다시 호출하세요.".into(),
        Cause::RouteNotFound => {
            "이 경로에는 리소스가 없습니다. 사용할 수 있는 경로는 /openapi.json을 확인하세요.".into()
        }
        Cause::MethodNotAllowed => {
            "이 경로는 이 메서드를 지원하지 않습니다. 지원하는 메서드는 Allow 헤더를 확인하세요.".into()
        }
        Cause::PreconditionRequired => {
            "다른 사용자의 변경을 잃지 않도록 마지막으로 읽은 ETag를 If-Match 헤더로 보내세요.".into()
        }
        Cause::UnknownApiVersion => "X-API-Version은 v1 또는 v2여야 합니다.".into(),
        Cause::Timeout => "요청 처리 시간이 초과되었습니다. 잠시 후 다시 시도하세요.".into(),
    }
}

fn core(error: &Error) -> String {
    match error {
        Error::Invalid { faults, .. } => match faults.as_slice() {
            [only] => fault(&only.kind),
            several => format!("오류가 {}개 있습니다. 각 오류는 'errors'를 확인하세요.", several.len()),
        },
        Error::NotFound { code: Code::LinkTypeNotFound, key } => format!("링크 타입 '{key}'을(를) 찾을 수 없습니다."),
        Error::NotFound { code: Code::VersionNotFound, key } => format!("이 타입에는 버전 {key}이(가) 없습니다."),
        Error::NotFound { code: Code::ApiKeyNotFound, key } => format!("API 키 '{key}'을(를) 찾을 수 없습니다."),
        Error::NotFound { key, .. } => format!("객체 타입 '{key}'을(를) 찾을 수 없습니다."),
        Error::VersionConflict { expected, actual } => {
            format!("버전 {expected}을(를) 기대했지만 현재 버전은 {actual}입니다. 다시 읽은 후 변경을 반복하세요.")
        }
        Error::InUse { referrers } => {
            format!(
                "다른 타입 {}개가 이 객체 타입을 사용하고 있습니다. 'errors'에 있는 타입을 먼저 변경하세요.",
                referrers.len()
            )
        }
        Error::NotDeleted { key } => format!("'{key}'은(는) 삭제되지 않았으므로 복원할 것이 없습니다."),
        Error::ResumeTokenExpired => {
            "이 재개 토큰 이후의 이벤트가 더 이상 보관되지 않아 누락이 생깁니다. after=latest로 토큰을 받고, 현재 타입들을 읽은 다음, \
             그 토큰부터 이벤트를 이어서 받으세요."
                .into()
        }
        Error::IdempotencyKeyReused => {
            "이 Idempotency-Key는 이미 다른 요청에 사용되었습니다. 새 요청에는 새 키를 사용하세요.".into()
        }
        Error::Forbidden { permission } => {
            format!("사용자의 역할에 {} 권한이 없습니다. 관리자에게 권한을 요청하세요.", permission.as_str())
        }
        Error::Unavailable { .. } => "지금은 서비스가 응답할 수 없습니다. 잠시 후 다시 시도하세요.".into(),
        Error::Internal { .. } => "서비스에서 오류가 발생했습니다. 문제가 계속되면 correlationId를 알려 주세요.".into(),
    }
}
