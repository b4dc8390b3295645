//! Validates instances against properties: data types, unknown keys, validators; every fault with its JSON Pointer.

use std::{cell::OnceCell, cmp::Ordering};

use chrono::{DateTime, NaiveDate};
use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::{DataType, Property, Validator};
use crate::{
    fault::FaultKind,
    input::{Faults, shorten, step, type_of},
};

/// How much of an unknown property's name a message shows, in bytes.
const MAX_SHOWN_NAME: usize = 200;

/// Within this many bytes most patterns fit when they are compiled.
pub(super) const SMALL_PATTERN: usize = 64 * 1_024;
/// What a repeated Unicode class such as `^[\p{L}\s]{1,64}$` needs. To compile it takes a hundred times longer.
pub(super) const LARGE_PATTERN: usize = 4 * 1_024 * 1_024;

/// Compiles a pattern within a bound on memory; the engine runs in linear time whatever the pattern.
pub(super) fn compile(pattern: &str, size: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(size).build()
}

/// What the regex engine says of a pattern.
pub(super) fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
        // The last line of the engine's report says what is wrong; those before draw the pattern.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).to_owned()
        }
    }
}

/// Compares numbers exactly where both are integers.
pub(crate) fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
    }
}

/// Where a value stands. Most values are right, so it is written out only for a fault.
#[derive(Clone, Copy)]
enum Place<'a> {
    Start(&'a str),
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl From<&Place<'_>> for String {
    fn from(place: &Place<'_>) -> Self {
        match place {
            Place::Start(pointer) => (*pointer).to_owned(),
            Place::Field(parent, key) => step(&Self::from(*parent), key),
            Place::Item(parent, index) => step(&Self::from(*parent), index),
        }
    }
}

/// The properties of a type made ready: names in order, patterns compiled once, when they are first needed.
pub struct InstanceValidator<'a> {
    properties: Vec<Compiled<'a>>,
    by_name: Vec<(&'a str, usize)>,
}

struct Compiled<'a> {
    property: &'a Property,
    pattern: OnceCell<Option<Regex>>,
    nested: Option<InstanceValidator<'a>>,
}

impl<'a> InstanceValidator<'a> {
    /// For the properties of a type, or of one level.
    pub fn new(properties: &'a [Property]) -> Self {
        let compiled = |property: &'a Property| Compiled {
            property,
            pattern: OnceCell::new(),
            nested: property.properties.as_deref().map(Self::new),
        };
        let mut by_name: Vec<_> =
            properties.iter().enumerate().map(|(index, property)| (property.name.as_str(), index)).collect();
        by_name.sort_unstable();
        Self { properties: properties.iter().map(compiled).collect(), by_name }
    }

    /// The property of this name. Fields come in the order of their names too, so `next` mostly points at it.
    fn find(&self, name: &str, next: &mut usize) -> Option<usize> {
        let at = match self.by_name.get(*next) {
            Some((expected, _)) if *expected == name => *next,
            _ => self.by_name.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?,
        };
        *next = at + 1;
        self.by_name.get(at).map(|(_, index)| *index)
    }

    /// All that is wrong with an instance.
    pub fn validate(&self, instance: &Value, pointer: &str, faults: &mut Faults) {
        match instance {
            Value::Object(map) => self.check_object(map, &Place::Start(pointer), faults),
            other => {
                faults.push(pointer, FaultKind::NotOfDataType { data_type: "OBJECT", found: type_of(other) });
            }
        }
    }

    fn check_object(&self, map: &Map<String, Value>, place: &Place<'_>, faults: &mut Faults) {
        let (mut present, mut next) = (0_usize, 0_usize);
        for (key, value) in map {
            if faults.is_full() {
                return;
            }
            match self.find(key, &mut next) {
                None => {
                    let mut name = key.clone();
                    shorten(&mut name, MAX_SHOWN_NAME);
                    faults.push(&Place::Field(place, key), FaultKind::UnknownProperty { name });
                }
                Some(_) if value.is_null() => {}
                Some(index) => {
                    present += 1;
                    self.check_at(index, value, &Place::Field(place, key), faults);
                }
            }
        }
        if present == self.properties.len() {
            return;
        }
        for Compiled { property, .. } in &self.properties {
            let absent = || map.get(property.name.as_str()).is_none_or(Value::is_null);
            if property.required && property.default_value.is_none() && absent() {
                faults.push(&Place::Field(place, property.name.as_str()), FaultKind::Required);
            }
        }
    }

    /// All that is wrong with a present value of one property, by its position.
    pub(super) fn check_value(&self, index: usize, value: &Value, pointer: &str, faults: &mut Faults) {
        self.check_at(index, value, &Place::Start(pointer), faults);
    }

    fn check_at(&self, index: usize, value: &Value, place: &Place<'_>, faults: &mut Faults) {
        let Some(compiled) = self.properties.get(index) else { return };
        if compiled.property.data_type != DataType::Array {
            return compiled.check(compiled.property.data_type, value, place, faults);
        }
        let Value::Array(items) = value else {
            faults.push(place, FaultKind::NotOfDataType { data_type: "ARRAY", found: type_of(value) });
            return;
        };
        if let Some(item_type) = compiled.property.item_type {
            for (index, item) in items.iter().enumerate() {
                if faults.is_full() {
                    return;
                }
                compiled.check(item_type, item, &Place::Item(place, index), faults);
            }
        }
    }
}

impl Compiled<'_> {
    fn check(&self, data_type: DataType, value: &Value, place: &Place<'_>, faults: &mut Faults) {
        match (data_type, value) {
            (DataType::String, Value::String(text)) => self.check_text(text, place, faults),
            (DataType::Number, Value::Number(number)) => self.check_number(number, place, faults),
            (DataType::Boolean, Value::Bool(_)) => {}
            (DataType::Date, Value::String(text)) if is_date(text) => {}
            (DataType::DateTime, Value::String(text)) if is_date_time(text) => {}
            (DataType::Date | DataType::DateTime, Value::String(_)) => {
                faults.push(place, FaultKind::NotADate { data_type: data_type.as_str() });
            }
            (DataType::Reference, Value::String(id)) if !id.is_empty() => {}
            (DataType::Reference, Value::String(_)) => faults.push(place, FaultKind::TooShort { min: 1 }),
            (DataType::Object, Value::Object(map)) => {
                if let Some(nested) = &self.nested {
                    nested.check_object(map, place, faults);
                }
            }
            _ => {
                let found = type_of(value);
                faults.push(place, FaultKind::NotOfDataType { data_type: data_type.as_str(), found });
            }
        }
    }

    fn check_text(&self, text: &str, place: &Place<'_>, faults: &mut Faults) {
        let mut counted = None;
        let mut length = || *counted.get_or_insert_with(|| text.chars().count() as u64);
        for validator in &self.property.validators {
            match validator {
                Validator::MinLength(min) if length() < *min => {
                    faults.push(place, FaultKind::MinLength { min: *min, actual: length() });
                }
                Validator::MaxLength(max) if length() > *max => {
                    faults.push(place, FaultKind::MaxLength { max: *max, actual: length() });
                }
                Validator::Pattern(pattern) if self.mismatches(pattern, text) => {
                    faults.push(place, FaultKind::PatternMismatch { pattern: pattern.clone() });
                }
                _ => {}
            }
        }
    }

    /// A stored pattern that no longer compiles matches everything: its author can't be told here.
    fn mismatches(&self, pattern: &str, text: &str) -> bool {
        let regex = self.pattern.get_or_init(|| compile(pattern, LARGE_PATTERN).ok());
        regex.as_ref().is_some_and(|regex| !regex.is_match(text))
    }

    fn check_number(&self, number: &Number, place: &Place<'_>, faults: &mut Faults) {
        for validator in &self.property.validators {
            match validator {
                Validator::Min(min) if compare(number, min).is_lt() => {
                    faults.push(place, FaultKind::Min { min: min.to_string() });
                }
                Validator::Max(max) if compare(number, max).is_gt() => {
                    faults.push(place, FaultKind::Max { max: max.to_string() });
                }
                _ => {}
            }
        }
    }
}

fn is_date(text: &str) -> bool {
    // To parse it by a format costs several times as much, and takes signs, spaces and single digits.
    let form = |(i, b): (usize, u8)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() };
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().copied().enumerate().all(form)
        && NaiveDate::from_ymd_opt(number(&bytes[..4]).cast_signed(), number(&bytes[5..7]), number(&bytes[8..]))
            .is_some()
}

fn is_date_time(text: &str) -> bool {
    // chrono also takes a space between date and time; RFC 3339's JSON profile has 'T'.
    text.as_bytes().get(10).is_some_and(|b| matches!(b, b'T' | b't')) && DateTime::parse_from_rfc3339(text).is_ok()
}
