//! Query strings, read strictly: every parameter must be known and well-formed, and every fault is named.

use chrono::{DateTime, Utc};
use oms_core::{
    error::{Code, Error},
    fault::{Fault, FaultKind},
    input::{Faults, check_text},
    name::TypeKey,
};
use uuid::Uuid;

/// The parameters of a query string.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// Parameters that were there, well-formed or not.
    seen: Vec<&'static str>,
    faults: Faults,
}

impl Query {
    pub(crate) fn new(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        Self { pairs, seen: Vec::new(), faults: Faults::default() }
    }

    fn fault(&mut self, name: &'static str, kind: FaultKind) {
        self.faults.add(Fault::of_parameter(name, kind));
    }

    fn take(&mut self, name: &'static str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.pairs).into_iter().partition(|(known, _)| known == name);
        self.pairs = rest;
        let taken: Vec<(String, String)> = taken;
        if !taken.is_empty() {
            self.seen.push(name);
        }
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// A parameter that may stand once.
    fn one(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.take(name);
        if values.len() > 1 {
            self.fault(name, FaultKind::Repeated);
        }
        values.pop()
    }

    /// Text of 1 to `max` characters.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let text = self.one(name)?;
        match check_text(&text, 1, max) {
            Ok(()) => Some(text),
            Err(kind) => {
                self.fault(name, kind);
                None
            }
        }
    }

    /// A parameter that may be repeated, of texts of 1 to 64 characters.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let texts = self.take(name);
        for text in &texts {
            if let Err(kind) = check_text(text, 1, 64) {
                self.fault(name, kind);
            }
        }
        texts
    }

    /// A parameter that may be repeated, of values of a form that `read` knows.
    pub(crate) fn all<T>(&mut self, name: &'static str, fault: FaultKind, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let read: Vec<Option<T>> = self.take(name).iter().map(|text| read(text)).collect();
        if read.iter().any(Option::is_none) {
            self.fault(name, fault);
        }
        read.into_iter().flatten().collect()
    }

    /// UUIDs, in a parameter that may be repeated.
    pub(crate) fn ids(&mut self, name: &'static str) -> Vec<Uuid> {
        self.all(name, FaultKind::Malformed { expected: "a UUID" }, |text| Uuid::try_parse(text).ok())
    }

    /// A cursor that an earlier page gave. Longer than this none of ours is: a display name of 255 characters in four bytes
    /// each makes 1,394.
    pub(crate) fn cursor(&mut self) -> Option<String> {
        self.read("cursor", FaultKind::Cursor, |text| (1..=2_048).contains(&text.len()).then(|| text.to_owned()))
    }

    /// A value of a form that `read` knows.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        fault: FaultKind,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.one(name)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(name, fault);
        }
        value
    }

    /// The greatest number of items.
    pub(crate) fn limit(&mut self, default: u32, max: u32, expected: &'static str) -> u32 {
        let read = |text: &str| text.parse().ok().filter(|limit| (1..=max).contains(limit));
        self.read("limit", FaultKind::Malformed { expected }, read).unwrap_or(default)
    }

    /// `true` or `false`, false when absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        self.read(name, FaultKind::NotOneOf { allowed: "true, false" }, |text| text.parse().ok()).unwrap_or(false)
    }

    /// A version number.
    pub(crate) fn version(&mut self, name: &'static str) -> Option<i32> {
        self.read(name, FaultKind::Malformed { expected: "a version number" }, |text| text.parse().ok())
    }

    /// An object type, by name or id.
    pub(crate) fn key(&mut self, name: &'static str) -> Option<TypeKey> {
        let expected = "the name or id of an object type";
        self.read(name, FaultKind::Malformed { expected }, |text| TypeKey::parse(text).ok())
    }

    /// A UUID.
    pub(crate) fn id(&mut self, name: &'static str) -> Option<Uuid> {
        self.read(name, FaultKind::Malformed { expected: "a UUID" }, |text| Uuid::try_parse(text).ok())
    }

    /// A point in time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let read = |text: &str| {
            let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
            // Within what PostgreSQL can compare.
            (0..=253_402_300_799).contains(&time.timestamp()).then_some(time)
        };
        self.read(name, FaultKind::Malformed { expected: "an RFC 3339 timestamp from 1970 on" }, read)
    }

    /// Notes that a parameter is missing.
    pub(crate) fn require<T>(&mut self, name: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.seen.contains(&name) {
            self.fault(name, FaultKind::Required);
        }
        value
    }

    /// Ends the reading: everything must have been asked for.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        for (name, _) in self.pairs {
            self.faults.add(Fault::of_parameter(name, FaultKind::UnknownParameter));
        }
        self.faults.finish(Code::InvalidRequest)
    }
}
