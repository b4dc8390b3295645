//! The languages that people are answered in: which one a request asks for, and the words of every code and fault.
//!
//! Codes are for programs and never change; these words are for people and may.

mod english;
mod korean;

use http::{HeaderMap, header};
use oms_core::{
    error::{Code, Referrer},
    fault::FaultKind,
};

use crate::problem::Cause;

/// A language of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locale {
    /// English, when a request asks for none of ours.
    #[default]
    English,
    /// Korean.
    Korean,
}

impl Locale {
    /// Every language.
    pub const ALL: &[Self] = &[Self::English, Self::Korean];

    /// The language tag, as in `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language that `Accept-Language` prefers (RFC 9110, 12.5.4), by its q-values, then by its order.
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let mut best = (0, Self::default());
        for range in
            headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let language = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
                .map_or(Some(1000), parse_quality);
            let (Some(locale), Some(quality)) = (Self::of_range(language), quality) else { continue };
            if quality > best.0 {
                best = (quality, locale);
            }
        }
        best.1
    }

    fn of_range(range: &str) -> Option<Self> {
        let primary = range.split('-').next().unwrap_or_default();
        if range == "*" {
            return Some(Self::default());
        }
        Self::ALL.iter().copied().find(|locale| primary.eq_ignore_ascii_case(locale.tag()))
    }

    /// What a code means, in a few words.
    pub fn title(self, code: Code) -> &'static str {
        match self {
            Self::English => english::title(code),
            Self::Korean => korean::title(code),
        }
    }

    /// What is wrong with a field, and what it should be.
    pub fn fault(self, kind: &FaultKind) -> String {
        match self {
            Self::English => english::fault(kind),
            Self::Korean => korean::fault(kind),
        }
    }

    /// How a type refers to the object type that can't be deleted for it.
    pub fn referrer(self, referrer: &Referrer) -> String {
        let Referrer { kind, name, property } = referrer;
        match self {
            Self::English => english::referrer(*kind, name, property.as_deref()),
            Self::Korean => korean::referrer(*kind, name, property.as_deref()),
        }
    }

    /// What went wrong and what to do about it. Internal causes are never part of it.
    pub fn detail(self, cause: &Cause) -> String {
        match self {
            Self::English => english::detail(cause),
            Self::Korean => korean::detail(cause),
        }
    }
}

/// Enough of a pattern to know it again: it is repeated for every value that does not match.
fn shown_pattern(pattern: &str) -> std::borrow::Cow<'_, str> {
    match pattern.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", pattern.get(..end).unwrap_or_default()).into(),
        None => pattern.into(),
    }
}

/// A q-value in thousandths; none when it is malformed, which makes its range count for nothing.
fn parse_quality(text: &str) -> Option<u32> {
    let value: f64 = text.parse().ok()?;
    // In range, so it fits; the grammar allows three decimals.
    (0.0..=1.0).contains(&value).then_some((value * 1000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use oms_core::{
        context::Permission,
        error::{Error, Kind},
        fault::{Fault, Location},
    };
    use std::time::Duration;

    use super::*;

    fn asked(value: &str) -> Locale {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, value.parse().unwrap());
        Locale::negotiate(&headers)
    }

    #[test]
    fn the_preferred_language_that_we_have_is_spoken() {
        assert_eq!(Locale::negotiate(&HeaderMap::new()), Locale::English);
        for (value, locale) in [
            ("ko", Locale::Korean),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Locale::Korean),
            ("KO-kr", Locale::Korean),
            ("en-GB, ko;q=0.9", Locale::English),
            ("en;q=0.5, ko;q=0.9", Locale::Korean),
            ("en;q=0.5, ko;q=0.50", Locale::English),
            ("fr, ko;q=0.1", Locale::Korean),
            ("de-DE, fr", Locale::English),
            ("*, ko;q=0.5", Locale::English),
            ("ko;q=0", Locale::English),
            ("ko;q=7", Locale::English),
            ("ko; q=0.3 ,, ;q=1", Locale::Korean),
            ("kok", Locale::English),
        ] {
            assert_eq!(asked(value), locale, "{value}");
        }
    }

    #[test]
    fn every_code_has_a_title_in_each_language() {
        for code in Code::ALL {
            let [english, korean] = [Locale::English, Locale::Korean].map(|locale| locale.title(*code));
            assert!(english.is_ascii() && !english.is_empty(), "{code:?}: {english}");
            assert!(hangul(korean), "{code:?}: {korean}");
        }
    }

    fn hangul(text: &str) -> bool {
        text.chars().any(|c| ('가'..='힣').contains(&c))
    }

    #[test]
    fn the_korean_of_the_specification_is_kept() {
        assert_eq!(Locale::Korean.title(Code::ObjectTypeNotFound), "요청하신 객체 타입을 찾을 수 없습니다");
        assert_eq!(Locale::Korean.title(Code::RequiredFieldMissing), "필수 필드가 누락되었습니다");
    }

    fn faults() -> Vec<FaultKind> {
        use FaultKind::*;
        vec![
            UnknownField,
            UnknownParameter,
            ReadOnlyField,
            Required,
            WrongType { expected: "string", found: "number" },
            NotOneOf { allowed: "A, B" },
            Malformed { expected: "a UUID" },
            Nul,
            NameForm,
            NameTooLong { actual: 65 },
            TooShort { min: 1 },
            TooLong { max: 255, actual: 256 },
            TooMany { max: 10, actual: 11 },
            TooDeep { max: 8 },
            Duplicate,
            Repeated,
            Excludes { other: "instance" },
            DuplicatePropertyName { name: "email".into() },
            UnknownDataType,
            NotApplicable { data_type: "STRING" },
            ValidatorNotApplicable { validator: "min", data_type: "STRING" },
            ValidatorValue { expected: "a whole number of 0 or more" },
            EmptyRange { lower: "min", upper: "max" },
            Pattern { reason: "unclosed group".into() },
            NameTaken { kind: Kind::ObjectType, name: "Customer".into() },
            NameTaken { kind: Kind::LinkType, name: "owns".into() },
            TypeNotFound { key: "Order".into() },
            CircularReference,
            UnknownProperty { name: "age".into() },
            NotOfDataType { data_type: "INTEGER", found: "string" },
            NotADate { data_type: "DATE" },
            NotADate { data_type: "DATETIME" },
            MinLength { min: 2, actual: 1 },
            MaxLength { max: 2, actual: 3 },
            PatternMismatch { pattern: "^a$".into() },
            Min { min: "0".into() },
            Max { max: "9".into() },
            RoleBeyondCaller { role: "admin".into() },
            Cursor,
            ResumeToken,
        ]
    }

    #[test]
    fn every_fault_is_explained_in_each_language_with_its_numbers_and_names() {
        for kind in faults() {
            let (english, korean) = (Locale::English.fault(&kind), Locale::Korean.fault(&kind));
            assert!(english.is_ascii() && english.ends_with('.'), "{kind:?}: {english}");
            assert!(hangul(&korean), "{kind:?}: {korean}");
            let debug = format!("{kind:?}");
            for number in debug.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()) {
                assert!(english.contains(number), "{kind:?}: {english}");
                assert!(korean.contains(number), "{kind:?}: {korean}");
            }
            for quoted in debug.split('"').skip(1).step_by(2) {
                assert!(english.contains(quoted), "{kind:?}: {english}");
                assert!(korean.contains(quoted) || hangul(&korean) && quoted.starts_with("a "), "{kind:?}: {korean}");
            }
        }
    }

    #[test]
    fn every_cause_is_explained_in_each_language_and_internals_are_not() {
        let secret = "relation \"object_types\" does not exist";
        let one = Error::fault(Code::InvalidObjectType, Location::root(), FaultKind::Required);
        let two = Error::Invalid {
            aggregate: Code::InvalidObjectType,
            faults: vec![Fault::at("/a", FaultKind::Required), Fault::at("/b", FaultKind::Required)],
        };
        let causes = [
            Cause::Core(one),
            Cause::Core(two),
            Cause::Core(Error::NotFound { code: Code::ObjectTypeNotFound, key: "Customer".into() }),
            Cause::Core(Error::NotFound { code: Code::VersionNotFound, key: "7".into() }),
            Cause::Core(Error::VersionConflict { expected: 3, actual: 5 }),
            Cause::Core(Error::InUse {
                referrers: vec![Referrer { kind: Kind::LinkType, name: "owns".into(), property: None }],
            }),
            Cause::Core(Error::NotDeleted { key: "Customer".into() }),
            Cause::Core(Error::IdempotencyKeyReused),
            Cause::Core(Error::ResumeTokenExpired),
            Cause::Core(Error::Forbidden { permission: Permission::ObjectTypeWrite }),
            Cause::Core(Error::Unavailable { cause: secret.into() }),
            Cause::Core(Error::internal(secret)),
            Cause::Unauthenticated { invalid_token: true },
            Cause::Unauthenticated { invalid_token: false },
            Cause::AmbiguousCredentials,
            Cause::RateLimited { retry_after: Duration::from_secs(60) },
            Cause::BodyTooLarge { limit: 1024 },
            Cause::BodyUnreadable,
            Cause::UnsupportedMediaType,
            Cause::MalformedJson { line: 3, column: 7 },
            Cause::RouteNotFound,
            Cause::ProcedureNotFound,
            Cause::MessageUnreadable { because: "no JSON".into() },
            Cause::RequestUnsupported { because: "another compression".into() },
            Cause::DeadlinePassed,
            Cause::MethodNotAllowed,
            Cause::PreconditionRequired,
            Cause::UnknownApiVersion,
            Cause::Timeout,
        ];
        for cause in &causes {
            let (english, korean) = (Locale::English.detail(cause), Locale::Korean.detail(cause));
            assert!(english.is_ascii() && english.ends_with('.'), "{cause:?}: {english}");
            assert!(hangul(&korean) && korean.ends_with('.'), "{cause:?}: {korean}");
            assert!(!english.contains("does not exist") && !korean.contains("does not exist"));
        }
    }
}
