//! Reading definitions out of JSON so that every fault is found, not only the first.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value};

use crate::{
    error::{Code, Error},
    fault::{Fault, FaultKind, Location},
};

/// More faults than this are not listed: an answer must stay small whatever a client sends.
pub const MAX_FAULTS: usize = 1_000;

/// The longest JSON Pointer or name that a fault shows, in bytes: clients choose keys, and a fault repeats them.
pub const MAX_PLACE: usize = 1_024;

/// No more faults are listed once their places fill this many bytes.
const MAX_PLACES: usize = 512 * 1_024;

/// The faults found so far.
#[derive(Debug)]
pub struct Faults {
    list: Vec<Fault>,
    /// What is known already: looking through the list would cost the square of its length.
    seen: HashSet<(Location, Code)>,
    max: usize,
    /// All places together, in bytes.
    size: usize,
}

impl Default for Faults {
    fn default() -> Self {
        Self::at_most(MAX_FAULTS)
    }
}

impl Faults {
    /// An empty list that takes no more than `max` faults.
    pub fn at_most(max: usize) -> Self {
        Self { list: Vec::new(), seen: HashSet::new(), max, size: 0 }
    }

    /// Notes a fault in the body.
    pub fn push(&mut self, pointer: impl Into<String>, kind: FaultKind) {
        self.add(Fault::at(pointer, kind));
    }

    /// Notes a fault; one of the same code at the same place is noted once. Long places are cut.
    pub fn add(&mut self, mut fault: Fault) {
        if self.is_full() {
            return;
        }
        match &mut fault.location {
            Location::Pointer(pointer) => shorten(pointer, MAX_PLACE),
            Location::Parameter(Cow::Owned(name)) => shorten(name, MAX_PLACE),
            Location::Parameter(Cow::Borrowed(_)) | Location::Header(_) => {}
        }
        if self.seen.insert((fault.location.clone(), fault.kind.code())) {
            self.size += fault.location.as_str().len();
            self.list.push(fault);
        }
    }

    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is no room for more.
    pub fn is_full(&self) -> bool {
        self.list.len() >= self.max || self.size >= MAX_PLACES
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The faults as a list.
    pub fn into_vec(self) -> Vec<Fault> {
        self.list
    }

    /// Nothing, or the error that names every fault.
    pub fn finish(self, aggregate: Code) -> Result<(), Error> {
        if self.list.is_empty() { Ok(()) } else { Err(Error::Invalid { aggregate, faults: self.list }) }
    }
}

/// Cuts a text that is longer than `max` bytes and says so with an ellipsis.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
}

/// Appends one step to a JSON Pointer.
pub fn step(pointer: &str, key: impl std::fmt::Display) -> String {
    let key = key.to_string();
    if key.contains(['~', '/']) {
        format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
    } else {
        format!("{pointer}/{key}")
    }
}

/// The name of a value's JSON type.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// How deep free-form JSON may be nested: a stored document wraps it, and must stay within what parsers take.
pub const MAX_JSON_DEPTH: usize = 64;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// The longest key of free-form JSON, in characters.
pub const MAX_KEY: usize = 256;

/// Notes what free-form JSON must not have: NUL in keys and texts, long keys, and too many levels.
pub fn check_json(value: &Value, pointer: &str, faults: &mut Faults) {
    if depth(value) > MAX_JSON_DEPTH {
        faults.push(pointer, FaultKind::TooDeep { max: MAX_JSON_DEPTH });
    } else {
        Scan { base: pointer, max_key: MAX_KEY, path: Vec::new() }.check(value, faults);
    }
}

/// Notes every NUL in keys and texts below the value: PostgreSQL can't keep them.
pub fn refuse_nul(value: &Value, pointer: &str, faults: &mut Faults) {
    Scan { base: pointer, max_key: usize::MAX, path: Vec::new() }.check(value, faults);
}

/// A walk through free-form JSON. Where it stands is written out only for a fault.
struct Scan<'a> {
    base: &'a str,
    max_key: usize,
    path: Vec<Step<'a>>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Scan<'a> {
    fn check(&mut self, value: &'a Value, faults: &mut Faults) {
        match value {
            _ if faults.is_full() => {}
            Value::String(text) if text.contains('\0') => faults.push(self.pointer(), FaultKind::Nul),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(index));
                    self.check(item, faults);
                    self.path.pop();
                }
            }
            Value::Object(map) => {
                for (key, item) in map {
                    self.path.push(Step::Key(key));
                    match check_text(key, 0, self.max_key) {
                        Ok(()) => self.check(item, faults),
                        Err(kind) => faults.push(self.pointer(), kind),
                    }
                    self.path.pop();
                }
            }
            _ => {}
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = self.base.to_owned();
        for part in &self.path {
            if pointer.len() > MAX_PLACE {
                break;
            }
            pointer = match part {
                Step::Key(key) => step(&pointer, shown(key)),
                Step::Index(index) => step(&pointer, index),
            };
        }
        pointer
    }
}

/// A client's key as a pointer can show it: no longer than any place, and without NUL.
fn shown(key: &str) -> String {
    // One byte more than fits, so that the place is cut and marked as such.
    key[..key.floor_char_boundary(MAX_PLACE + 4)].replace('\0', "\u{fffd}")
}

/// A JSON object read field by field; `null` is the same as absent. [`Fields::finish`] refuses what nobody asked for.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    pointer: &'a str,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of the value, if it is an object.
    pub fn of(value: &'a Value, pointer: &'a str, faults: &mut Faults) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, pointer, known: Vec::with_capacity(12) }),
            other => {
                faults.push(pointer, FaultKind::WrongType { expected: "object", found: type_of(other) });
                None
            }
        }
    }

    /// The pointer of a field.
    pub fn at(&self, key: &str) -> String {
        step(self.pointer, key)
    }

    /// The field as it is.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Notes the absence of a required field.
    pub fn require<T>(&self, key: &'static str, value: Option<T>, faults: &mut Faults) -> Option<T> {
        if value.is_none() && self.map.get(key).is_none_or(Value::is_null) {
            faults.push(self.at(key), FaultKind::Required);
        }
        value
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        faults: &mut Faults,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value);
        if read.is_none() {
            faults.push(self.at(key), FaultKind::WrongType { expected, found: type_of(value) });
        }
        read
    }

    /// Text of `min..=max` Unicode scalar values without NUL.
    pub fn text(&mut self, key: &'static str, min: usize, max: usize, faults: &mut Faults) -> Option<&'a str> {
        let text = self.any_text(key, faults)?;
        check_text(text, min, max).map_err(|kind| faults.push(self.at(key), kind)).ok()?;
        Some(text)
    }

    /// Any text: what it may be is checked by the caller.
    pub fn any_text(&mut self, key: &'static str, faults: &mut Faults) -> Option<&'a str> {
        self.typed(key, "string", faults, Value::as_str)
    }

    /// A truth value, false when absent.
    pub fn flag(&mut self, key: &'static str, faults: &mut Faults) -> bool {
        self.typed(key, "boolean", faults, Value::as_bool).unwrap_or(false)
    }

    /// A list of at most `max` items.
    pub fn array(&mut self, key: &'static str, max: usize, faults: &mut Faults) -> Option<&'a [Value]> {
        let items = self.typed(key, "array", faults, |value| value.as_array().map(Vec::as_slice))?;
        if items.len() > max {
            faults.push(self.at(key), FaultKind::TooMany { max, actual: items.len() });
            return None;
        }
        Some(items)
    }

    /// A free-form object without NUL in it.
    pub fn object(&mut self, key: &'static str, faults: &mut Faults) -> Option<Map<String, Value>> {
        let value = self.value(key)?;
        let Value::Object(map) = value else {
            faults.push(self.at(key), FaultKind::WrongType { expected: "object", found: type_of(value) });
            return None;
        };
        check_json(value, &self.at(key), faults);
        Some(map.clone())
    }

    /// A set of texts: none empty, none twice.
    pub fn text_set(
        &mut self,
        key: &'static str,
        max_items: usize,
        max_length: usize,
        faults: &mut Faults,
    ) -> Vec<String> {
        let pointer = self.at(key);
        let mut set: Vec<String> = Vec::new();
        for (index, item) in self.array(key, max_items, faults).unwrap_or_default().iter().enumerate() {
            let fault = match item {
                Value::String(text) => match check_text(text, 1, max_length) {
                    Err(kind) => kind,
                    Ok(()) if set.contains(text) => FaultKind::Duplicate,
                    Ok(()) => {
                        set.push(text.clone());
                        continue;
                    }
                },
                other => FaultKind::WrongType { expected: "string", found: type_of(other) },
            };
            faults.push(step(&pointer, index), fault);
        }
        set
    }

    /// A field that only the service sets: absent, or equal to what is stored.
    pub fn read_only(&mut self, key: &'static str, stored: Option<&Value>, faults: &mut Faults) {
        if let Some(value) = self.value(key)
            && Some(value) != stored
        {
            faults.push(self.at(key), FaultKind::ReadOnlyField);
        }
    }

    /// Notes every field that was not asked for.
    pub fn finish(self, faults: &mut Faults) {
        for key in self.map.keys() {
            if !self.known.contains(&key.as_str()) {
                faults.push(step(self.pointer, shown(key)), FaultKind::UnknownField);
            }
        }
    }
}

/// Text of `min..=max` Unicode scalar values without NUL.
pub fn check_text(text: &str, min: usize, max: usize) -> Result<(), FaultKind> {
    if text.contains('\0') {
        return Err(FaultKind::Nul);
    }
    // Bytes bound characters from above, so that most texts need no counting.
    let length =
        if text.len() <= max && text.len() >= min.saturating_mul(4) { return Ok(()) } else { text.chars().count() };
    if length < min {
        Err(FaultKind::TooShort { min })
    } else if length > max {
        Err(FaultKind::TooLong { max, actual: length })
    } else {
        Ok(())
    }
}

/// One fault outside the body.
pub fn parameter(name: &'static str, kind: FaultKind) -> Error {
    Error::fault(Code::InvalidRequest, Location::Parameter(name.into()), kind)
}
