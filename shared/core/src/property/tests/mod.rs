mod defining;
mod generated;
mod instances;

pub(crate) use generated::{Field, a_field, a_level, definition_of, fields};

use serde_json::Value;

use super::{Drafts, Property, parse_list};
use crate::{fixture::places_of, input::Faults};

/// Reads a level of new properties: what came of it, and what is wrong with it.
fn parse(items: &Value) -> (Vec<Property>, Vec<(String, &'static str)>) {
    parse_over(items, &[])
}

fn parse_over(items: &Value, base: &[Property]) -> (Vec<Property>, Vec<(String, &'static str)>) {
    let mut faults = Faults::default();
    let properties = parse_list(items.as_array().unwrap(), base, "", 1, &mut Drafts::default(), &mut faults);
    (properties, places_of(faults))
}

fn sound(items: &Value) -> Vec<Property> {
    let (properties, faults) = parse(items);
    assert_eq!(faults, [], "{items}");
    properties
}
