//! Why a request is refused before anything of it is carried out, in the words of each language.

use async_graphql::{ErrorExtensionValues, Pos, ServerError, parser};
use oms_core::input::shorten;
use oms_edge::Locale;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The document is not GraphQL.
    Parse { message: String, at: Vec<Pos> },
    /// The document does not fit the schema, or the variables don't.
    Validation { message: String, at: Vec<Pos> },
    /// More tokens than allowed, or very long ones.
    TooLarge { max: usize },
    /// Nested deeper than allowed.
    TooDeep { max: usize },
    /// More fields than allowed, lists counted by their size.
    TooComplex { max: usize },
    /// More aliases than allowed.
    TooManyAliases { max: usize },
    /// More directives than allowed.
    TooManyDirectives { max: usize },
    /// More representations than allowed.
    TooManyEntities { max: usize },
    /// The schema is not shown.
    NoIntrospection,
    /// The hash is not known here: the client sends the document too.
    UnknownHash,
    /// The hash is not that of the document.
    WrongHash,
    /// The document has several operations, or none of that name.
    NoOperation { name: Option<String> },
    /// A parameter of the request is absent or of another JSON type.
    Parameter { name: &'static str, expected: &'static str },
    /// Several requests at once.
    Batch,
    /// Neither media type of GraphQL is accepted.
    NotAcceptable,
    /// A subscription whose client does not accept a stream of events.
    NeedsEventStream,
    /// A GET may only read.
    MutationByGet,
    /// The answer would be larger than the limit.
    AnswerTooLarge { max: usize, mutation: bool },
    /// It took too long.
    Timeout,
}

/// The longest message of a parser, in bytes.
const MAX_MESSAGE: usize = 500;

impl Refusal {
    /// Why a document is not GraphQL, without the lines of it that the parser repeats.
    pub(crate) fn parse(error: &parser::Error) -> Self {
        let text = error.to_string();
        let expected = text.lines().rev().find_map(|line| line.trim_start().strip_prefix("= ")).unwrap_or(&text);
        let mut message = format!("Syntax error: {expected}");
        shorten(&mut message, MAX_MESSAGE);
        Self::Parse { message, at: error.positions().collect() }
    }

    /// The code that clients see.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Parse { .. } => "GRAPHQL_PARSE_FAILED",
            Self::Validation { .. } => "GRAPHQL_VALIDATION_FAILED",
            Self::TooLarge { .. } => "QUERY_TOO_LARGE",
            Self::TooDeep { .. } => "QUERY_TOO_DEEP",
            Self::TooComplex { .. } => "QUERY_TOO_COMPLEX",
            Self::TooManyAliases { .. } => "TOO_MANY_ALIASES",
            Self::TooManyDirectives { .. } => "TOO_MANY_DIRECTIVES",
            Self::TooManyEntities { .. } => "TOO_MANY_ENTITIES",
            Self::NoIntrospection => "INTROSPECTION_DISABLED",
            // The names that Apollo's clients look for.
            Self::UnknownHash => "PERSISTED_QUERY_NOT_FOUND",
            Self::NoOperation { .. } => "OPERATION_NOT_FOUND",
            Self::NeedsEventStream => "EVENT_STREAM_REQUIRED",
            Self::MutationByGet => "METHOD_NOT_ALLOWED",
            Self::AnswerTooLarge { .. } => "ANSWER_TOO_LARGE",
            Self::Timeout => "SERVICE_UNAVAILABLE",
            Self::Parameter { .. } | Self::Batch | Self::NotAcceptable | Self::WrongHash => "INVALID_REQUEST",
        }
    }

    fn classification(&self) -> &'static str {
        if *self == Self::Timeout { "SERVICE_UNAVAILABLE" } else { "BAD_REQUEST" }
    }

    fn message(&self, locale: Locale) -> String {
        match locale {
            Locale::English => self.english(),
            Locale::Korean => self.korean(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Parse { message, .. } | Self::Validation { message, .. } => message.clone(),
            Self::TooLarge { max } => {
                format!(
                    "The document must have at most {max} tokens. Send fewer fields, and large values as variables."
                )
            }
            Self::TooDeep { max } => format!("Fields must be nested at most {max} levels deep. Ask for less at once."),
            Self::TooComplex { max } => format!(
                "The answer could have more than {max} fields, counting each list by the most items it can have. \
                Ask for fewer fields or smaller pages."
            ),
            Self::TooManyAliases { max } => format!("At most {max} fields may have an alias. Send several requests."),
            Self::TooManyDirectives { max } => format!("At most {max} directives are allowed. Send several requests."),
            Self::TooManyEntities { max } => {
                format!("At most {max} representations are resolved at once. Send several requests.")
            }
            Self::NoIntrospection => "Introspection is turned off here. The schema comes with the source code.".into(),
            Self::UnknownHash => "PersistedQueryNotFound".into(),
            Self::WrongHash => "sha256Hash is not the SHA-256 of the query. Hash the document as you send it.".into(),
            Self::NoOperation { name: Some(name) } => format!("The document has no operation '{name}'."),
            Self::NoOperation { name: None } => {
                "The document has several operations. Say with operationName which one is meant.".into()
            }
            Self::Parameter { name, expected } => format!("'{name}' must be {expected}."),
            Self::Batch => "Send one request at a time: an object with 'query', not a list.".into(),
            Self::NotAcceptable => {
                "Accept application/graphql-response+json, application/json or text/event-stream: nothing else is \
                answered."
                    .into()
            }
            Self::NeedsEventStream => {
                "A subscription is answered with a stream of events. Send the header 'Accept: text/event-stream' \
                (GraphQL over SSE, distinct connections mode)."
                    .into()
            }
            Self::MutationByGet => "A mutation needs POST; GET only reads.".into(),
            Self::AnswerTooLarge { max, mutation: false } => {
                format!("The answer would have more than {max} bytes. Ask for fewer items or fields.")
            }
            Self::AnswerTooLarge { max, mutation: true } => format!(
                "The answer would have more than {max} bytes, though mutations were carried out. Read with a query what \
                was written, and ask for fewer fields."
            ),
            Self::Timeout => "The request took too long. Try again in a moment.".into(),
        }
    }

    fn korean(&self) -> String {
        match self {
            // Where a document is wrong is said in the words of the grammar, which are English.
            Self::Parse { message, .. } => format!("GraphQL 문서를 읽을 수 없습니다. {message}"),
            Self::Validation { message, .. } => format!("요청이 스키마와 맞지 않습니다. {message}"),
            Self::TooLarge { max } => {
                format!("문서의 토큰은 {max}개 이하여야 합니다. 필드를 줄이고 큰 값은 변수로 보내세요.")
            }
            Self::TooDeep { max } => {
                format!("필드 중첩은 {max}단계 이하여야 합니다. 한 번에 요청하는 깊이를 줄이세요.")
            }
            Self::TooComplex { max } => format!(
                "목록을 최대 크기로 세면 응답의 필드가 {max}개를 넘을 수 있습니다. 필드나 페이지 크기를 줄이세요."
            ),
            Self::TooManyAliases { max } => format!("별칭은 {max}개까지 쓸 수 있습니다. 요청을 나누세요."),
            Self::TooManyDirectives { max } => format!("지시어는 {max}개까지 쓸 수 있습니다. 요청을 나누세요."),
            Self::TooManyEntities { max } => {
                format!("한 번에 조회할 수 있는 representation은 {max}개까지입니다. 요청을 나누세요.")
            }
            Self::NoIntrospection => "스키마 조회가 꺼져 있습니다. 스키마는 소스 코드와 함께 제공됩니다.".into(),
            // Clients compare this text.
            Self::UnknownHash => "PersistedQueryNotFound".into(),
            Self::WrongHash => "sha256Hash가 query의 SHA-256과 다릅니다. 보내는 문서 그대로 해시를 계산하세요.".into(),
            Self::NoOperation { name: Some(name) } => format!("문서에 '{name}' 작업이 없습니다."),
            Self::NoOperation { name: None } => {
                "문서에 작업이 여러 개 있습니다. operationName으로 하나를 지정하세요.".into()
            }
            Self::Parameter { name, expected } => format!("'{name}' 값이 올바르지 않습니다. 필요한 값: {expected}."),
            Self::Batch => "한 번에 하나의 요청만 보내세요. 목록이 아니라 'query'가 있는 객체여야 합니다.".into(),
            Self::NotAcceptable => {
                "Accept는 application/graphql-response+json, application/json 또는 text/event-stream이어야 합니다."
                    .into()
            }
            Self::NeedsEventStream => {
                "구독은 이벤트 스트림으로 응답합니다. 'Accept: text/event-stream' 헤더를 보내세요(GraphQL over SSE)."
                    .into()
            }
            Self::MutationByGet => "뮤테이션은 POST로 보내야 합니다. GET은 조회만 할 수 있습니다.".into(),
            Self::AnswerTooLarge { max, mutation: false } => {
                format!("응답이 {max}바이트를 넘습니다. 항목이나 필드를 줄여 요청하세요.")
            }
            Self::AnswerTooLarge { max, mutation: true } => format!(
                "뮤테이션은 실행되었지만 응답이 {max}바이트를 넘습니다. 필드를 줄이고, 저장된 내용은 쿼리로 조회하세요."
            ),
            Self::Timeout => "요청 처리 시간이 초과되었습니다. 잠시 후 다시 시도하세요.".into(),
        }
    }

    /// The refusal as an entry of `errors`.
    pub(crate) fn to_error(&self, locale: Locale, correlation_id: &str) -> ServerError {
        let mut error = ServerError::new(self.message(locale), None);
        if let Self::Parse { at, .. } | Self::Validation { at, .. } = self {
            error.locations.clone_from(at);
        }
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.code());
        extensions.set("classification", self.classification());
        extensions.set("correlationId", correlation_id);
        error.extensions = Some(extensions);
        error
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn a_syntax_error_says_what_was_expected_and_where_and_repeats_nothing() {
        let text = format!("{{ a }}\n}} {}", "secret ".repeat(10_000));
        let Refusal::Parse { message, at } = Refusal::parse(&parse_query(text).unwrap_err()) else { panic!() };
        assert!(message.starts_with("Syntax error: expected ") && !message.contains("secret"), "{message}");
        assert_eq!((at[0].line, at[0].column), (2, 1));
    }

    #[test]
    fn every_refusal_is_explained_in_each_language() {
        let refusals = [
            Refusal::Parse { message: "here".into(), at: Vec::new() },
            Refusal::Validation { message: "here".into(), at: Vec::new() },
            Refusal::TooLarge { max: 7 },
            Refusal::TooDeep { max: 7 },
            Refusal::TooComplex { max: 7 },
            Refusal::TooManyAliases { max: 7 },
            Refusal::TooManyDirectives { max: 7 },
            Refusal::TooManyEntities { max: 7 },
            Refusal::NoIntrospection,
            Refusal::WrongHash,
            Refusal::NoOperation { name: None },
            Refusal::NoOperation { name: Some("A".into()) },
            Refusal::Parameter { name: "query", expected: "a string" },
            Refusal::Batch,
            Refusal::NotAcceptable,
            Refusal::NeedsEventStream,
            Refusal::MutationByGet,
            Refusal::AnswerTooLarge { max: 7, mutation: false },
            Refusal::AnswerTooLarge { max: 7, mutation: true },
            Refusal::Timeout,
        ];
        for refusal in refusals {
            let (english, korean) = (refusal.message(Locale::English), refusal.message(Locale::Korean));
            assert!(english.is_ascii(), "{english}");
            assert!(korean.chars().any(|c| ('가'..='힣').contains(&c)), "{korean}");
            assert_eq!(english.contains('7'), korean.contains('7'), "{english} {korean}");
        }
        // Clients look for these very words.
        for locale in [Locale::English, Locale::Korean] {
            assert_eq!(Refusal::UnknownHash.message(locale), "PersistedQueryNotFound");
        }
    }
}
