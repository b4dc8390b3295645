//! Reads properties out of JSON, with every rule that holds when a type is defined.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    DataType, InstanceValidator, MAX_DEPTH, MAX_LARGE_PATTERNS, MAX_PATTERNS, MAX_PROPERTIES, Property, Validator,
    Wanted, WantedReferences,
    validate::{LARGE_PATTERN, SMALL_PATTERN, compile, reason},
};
use crate::{
    fault::FaultKind,
    id::PropertyId,
    input::{Faults, Fields, step, type_of},
    name::{PropertyName, TypeKey},
};

/// What the parsing of a whole type gathers along the way.
#[derive(Default)]
pub struct Drafts {
    /// The targets found.
    pub references: WantedReferences,
    claimed: HashSet<PropertyId>,
    count: usize,
    patterns: usize,
    large_patterns: usize,
}

/// Reads a level of properties. `base` is the same level of the type as it is now: a property keeps its identity by the
/// given id, else by its name, else it is new.
pub fn parse_list(
    items: &[Value],
    base: &[Property],
    pointer: &str,
    depth: usize,
    drafts: &mut Drafts,
    faults: &mut Faults,
) -> Vec<Property> {
    if depth > MAX_DEPTH {
        faults.push(pointer, FaultKind::TooDeep { max: MAX_DEPTH });
        return Vec::new();
    }
    drafts.count += items.len();
    if drafts.count > MAX_PROPERTIES {
        faults.push(pointer, FaultKind::TooMany { max: MAX_PROPERTIES, actual: drafts.count });
        return Vec::new();
    }
    let given = claim_ids(items, pointer, drafts, faults);
    let mut names = HashSet::with_capacity(items.len());
    let mut properties = Vec::with_capacity(items.len());
    for ((index, item), id) in items.iter().enumerate().zip(given) {
        let pointer = step(pointer, index);
        let Some(mut fields) = Fields::of(item, &pointer, faults) else { continue };
        let name = fields.any_text("name", faults);
        let name = fields.require("name", name, faults).and_then(|text| match text.parse::<PropertyName>() {
            Ok(name) => Some(name),
            Err(kind) => {
                faults.push(fields.at("name"), kind);
                None
            }
        });
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            faults.push(fields.at("name"), FaultKind::DuplicatePropertyName { name: name.to_string() });
        }
        let known = match id {
            Some(id) => base.iter().find(|known| known.id == id),
            None => base.iter().find(|known| Some(&known.name) == name.as_ref() && !drafts.claimed.contains(&known.id)),
        };
        let id = id.or(known.map(|known| known.id)).unwrap_or_else(PropertyId::new);
        drafts.claimed.insert(id);
        fields.value("id");
        properties.extend(parse_one(fields, id, name, known, depth, drafts, faults));
    }
    properties
}

/// The ids that clients gave come first, so that a property found by name never takes one of them.
fn claim_ids(items: &[Value], pointer: &str, drafts: &mut Drafts, faults: &mut Faults) -> Vec<Option<PropertyId>> {
    let ids = items.iter().enumerate().map(|(index, item)| {
        let given = item.get("id").filter(|id| !id.is_null())?;
        let at = || step(&step(pointer, index), "id");
        match given.as_str().map(uuid::Uuid::try_parse) {
            Some(Ok(id)) if drafts.claimed.insert(PropertyId(id)) => Some(PropertyId(id)),
            Some(Ok(_)) => {
                faults.push(at(), FaultKind::Duplicate);
                None
            }
            Some(Err(_)) => {
                faults.push(at(), FaultKind::Malformed { expected: "a UUID" });
                None
            }
            None => {
                faults.push(at(), FaultKind::WrongType { expected: "string", found: type_of(given) });
                None
            }
        }
    });
    ids.collect()
}

fn parse_one(
    mut fields: Fields<'_>,
    id: PropertyId,
    name: Option<PropertyName>,
    known: Option<&Property>,
    depth: usize,
    drafts: &mut Drafts,
    faults: &mut Faults,
) -> Option<Property> {
    let display_name = fields.text("displayName", 1, 255, faults);
    let required = fields.flag("required", faults);
    let unique = fields.flag("unique", faults);
    let indexed = fields.flag("indexed", faults);
    let description = fields.text("description", 0, 65_536, faults).map(str::to_owned);
    let metadata = fields.object("metadata", faults).unwrap_or_default();

    let before = faults.len();
    let data_type = data_type(&mut fields, "dataType", true, faults);
    let item_type = data_type_of_items(&mut fields, data_type, faults);
    let element = if data_type == Some(DataType::Array) { item_type } else { data_type };
    // Where the data type itself is at fault, what depends on it is not judged.
    let unknown = faults.len() > before;
    let applies_to = |only: DataType| element.map_or(unknown, |element| element == only);

    let at = fields.at("properties");
    let nested = fields.array("properties", MAX_PROPERTIES, faults);
    if nested.is_some() && !applies_to(DataType::Object) {
        faults.push(&at, not_applicable(element));
    }
    let properties = nested.map(|items| {
        let base = known.and_then(|known| known.properties.as_deref()).unwrap_or_default();
        parse_list(items, base, &at, depth + 1, drafts, faults)
    });

    if let Some(text) = fields.any_text("referenceTo", faults) {
        let pointer = fields.at("referenceTo");
        match TypeKey::parse(text) {
            Ok(_) if !applies_to(DataType::Reference) => faults.push(pointer, not_applicable(element)),
            // Whether it is forced is known once the whole type is.
            Ok(key) => drop(drafts.references.insert(id, Wanted { key, pointer, required: false })),
            Err(kind) => faults.push(pointer, kind),
        }
    }

    let validators = validators(&mut fields, &applies_to, element, drafts, faults);
    let sound = faults.len() == before;
    let default_value = fields.value("defaultValue").cloned();
    let default_at = fields.at("defaultValue");
    fields.finish(faults);

    let name = name?;
    let property = Property {
        id,
        display_name: display_name.map_or_else(|| name.to_string(), str::to_owned),
        name,
        data_type: data_type?,
        required,
        unique,
        indexed,
        default_value,
        description,
        validators,
        metadata,
        item_type,
        properties,
    };
    // A default is judged by the property's own rules, once these are sound.
    if let Some(value) = &property.default_value {
        let before = faults.len();
        crate::input::check_json(value, &default_at, faults);
        if sound && faults.len() == before {
            let validator = InstanceValidator::new(std::slice::from_ref(&property));
            validator.check_value(0, value, &default_at, faults);
        }
    }
    Some(property)
}

fn not_applicable(element: Option<DataType>) -> FaultKind {
    FaultKind::NotApplicable { data_type: element.map_or("ARRAY", DataType::as_str) }
}

fn data_type(fields: &mut Fields<'_>, key: &'static str, required: bool, faults: &mut Faults) -> Option<DataType> {
    let mut text = fields.any_text(key, faults);
    if required {
        text = fields.require(key, text, faults);
    }
    let parsed = DataType::parse(text?);
    if parsed.is_none() {
        faults.push(fields.at(key), FaultKind::UnknownDataType);
    }
    parsed
}

fn data_type_of_items(fields: &mut Fields<'_>, data_type: Option<DataType>, faults: &mut Faults) -> Option<DataType> {
    let item_type = self::data_type(fields, "itemType", false, faults)?;
    match data_type {
        Some(DataType::Array) if item_type == DataType::Array => {
            let allowed = "STRING, NUMBER, BOOLEAN, DATE, DATETIME, OBJECT, REFERENCE";
            faults.push(fields.at("itemType"), FaultKind::NotOneOf { allowed });
            None
        }
        Some(DataType::Array) | None => Some(item_type),
        Some(other) => {
            faults.push(fields.at("itemType"), FaultKind::NotApplicable { data_type: other.as_str() });
            None
        }
    }
}

fn validators(
    fields: &mut Fields<'_>,
    applies_to: &impl Fn(DataType) -> bool,
    element: Option<DataType>,
    drafts: &mut Drafts,
    faults: &mut Faults,
) -> Vec<Validator> {
    let list = fields.at("validators");
    let mut validators: Vec<Validator> = Vec::new();
    for (index, item) in fields.array("validators", 5, faults).unwrap_or_default().iter().enumerate() {
        let pointer = step(&list, index);
        let Some(mut inner) = Fields::of(item, &pointer, faults) else { continue };
        let name = inner.any_text("type", faults);
        let name = inner.require("type", name, faults);
        let value = inner.value("value");
        let value = inner.require("value", value, faults);
        let at_type = inner.at("type");
        let at_value = inner.at("value");
        inner.finish(faults);
        let (Some(name), Some(value)) = (name, value) else { continue };
        if name == "pattern" {
            drafts.patterns += 1;
            if drafts.patterns > MAX_PATTERNS {
                faults.push(&list, FaultKind::TooMany { max: MAX_PATTERNS, actual: drafts.patterns });
                continue;
            }
        }
        match validator(name, value, drafts) {
            Err(None) => {
                faults.push(at_type, FaultKind::NotOneOf { allowed: "minLength, maxLength, pattern, min, max" });
            }
            Err(Some(kind)) => faults.push(at_value, kind),
            Ok(validator) => {
                let fits = match validator {
                    Validator::Min(_) | Validator::Max(_) => DataType::Number,
                    _ => DataType::String,
                };
                if !applies_to(fits) {
                    let data_type = element.map_or("ARRAY", DataType::as_str);
                    faults.push(at_type, FaultKind::ValidatorNotApplicable { validator: validator.name(), data_type });
                } else if validators.iter().any(|earlier| earlier.name() == validator.name()) {
                    faults.push(at_type, FaultKind::Duplicate);
                } else {
                    validators.push(validator);
                }
            }
        }
    }
    if let Some((lower, upper)) = empty_range(&validators) {
        faults.push(list, FaultKind::EmptyRange { lower, upper });
    }
    validators
}

fn validator(name: &str, value: &Value, drafts: &mut Drafts) -> Result<Validator, Option<FaultKind>> {
    let length = || value.as_u64().ok_or(Some(FaultKind::ValidatorValue { expected: "a whole number of 0 or more" }));
    let number = || match value {
        Value::Number(number) => Ok(number.clone()),
        _ => Err(Some(FaultKind::ValidatorValue { expected: "a number" })),
    };
    match name {
        "minLength" => length().map(Validator::MinLength),
        "maxLength" => length().map(Validator::MaxLength),
        "min" => number().map(Validator::Min),
        "max" => number().map(Validator::Max),
        "pattern" => {
            let Value::String(pattern) = value else {
                return Err(Some(FaultKind::ValidatorValue { expected: "a regular expression" }));
            };
            crate::input::check_text(pattern, 1, 1_000).map_err(Some)?;
            match check_pattern(pattern, drafts) {
                Ok(()) => Ok(Validator::Pattern(pattern.clone())),
                Err(reason) => Err(Some(FaultKind::Pattern { reason })),
            }
        }
        _ => Err(None),
    }
}

/// Whether we can run the pattern. A type may have a few large ones only: each takes long to compile.
fn check_pattern(pattern: &str, drafts: &mut Drafts) -> Result<(), String> {
    match compile(pattern, SMALL_PATTERN) {
        Ok(_) => return Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {}
        Err(error) => return Err(reason(&error)),
    }
    drafts.large_patterns += 1;
    if drafts.large_patterns > MAX_LARGE_PATTERNS {
        return Err(format!("the type has more than {MAX_LARGE_PATTERNS} patterns as large as this one"));
    }
    compile(pattern, LARGE_PATTERN).map(drop).map_err(|error| reason(&error))
}

fn empty_range(validators: &[Validator]) -> Option<(&'static str, &'static str)> {
    let (mut lengths, mut numbers) = ((None, None), (None, None));
    for validator in validators {
        match validator {
            Validator::MinLength(min) => lengths.0 = Some(*min),
            Validator::MaxLength(max) => lengths.1 = Some(*max),
            Validator::Min(min) => numbers.0 = Some(min),
            Validator::Max(max) => numbers.1 = Some(max),
            Validator::Pattern(_) => {}
        }
    }
    if let (Some(min), Some(max)) = lengths
        && min > max
    {
        return Some(("minLength", "maxLength"));
    }
    if let (Some(min), Some(max)) = numbers
        && super::validate::compare(min, max).is_gt()
    {
        return Some(("min", "max"));
    }
    None
}
