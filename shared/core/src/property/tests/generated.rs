//! Properties by the thousand: for property tests here, of definitions and of comparisons.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::sound;
use crate::{
    definition::{DatasetReference, Definition, TypeRef},
    fixture::with,
    property::{Property, walk},
};

/// The rules of a property without its name, and a value that fits them.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) rules: Value,
    pub(crate) value: Value,
}

fn field(data_type: &str, validators: Value, value: Value) -> Field {
    Field { rules: json!({"dataType": data_type, "validators": validators}), value }
}

fn a_text() -> impl Strategy<Value = Field> {
    ("\\PC{0,8}", 0_usize..3, 0_usize..3).prop_map(|(text, below, above)| {
        let length = text.chars().count();
        let validators = json!([
            {"type": "minLength", "value": length.saturating_sub(below)},
            {"type": "maxLength", "value": length + above},
        ]);
        field("STRING", validators, json!(text))
    })
}

fn a_number() -> impl Strategy<Value = Field> {
    let whole = (any::<i64>(), 0_i64..3)
        .prop_map(|(n, by)| (json!(n), json!(n.saturating_sub(by)), json!(n.saturating_add(by))));
    let broken = (-1e9..1e9).prop_map(|n: f64| (json!(n), json!(n - 0.5), json!(n)));
    prop_oneof![whole, broken].prop_map(|(value, min, max)| {
        field("NUMBER", json!([{"type": "min", "value": min}, {"type": "max", "value": max}]), value)
    })
}

fn a_scalar() -> impl Strategy<Value = Field> {
    let date = (1_u16..=9999, 1_u8..=12, 1_u8..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let time = (0_u8..24, 0_u8..60, select(&["", ".5", ".123456789"]), select(&["Z", "+09:00", "-03:30"]))
        .prop_map(|(h, m, fraction, offset)| format!("T{h:02}:{m:02}:59{fraction}{offset}"));
    let date_time = (date.clone(), time).prop_map(|(date, time)| date + &time);
    prop_oneof![
        a_text(),
        a_number(),
        any::<bool>().prop_map(|flag| field("BOOLEAN", json!([]), json!(flag))),
        date.prop_map(|date| field("DATE", json!([]), json!(date))),
        date_time.prop_map(|time| field("DATETIME", json!([]), json!(time))),
        "\\PC{1,8}".prop_map(|id| field("REFERENCE", json!([]), json!(id))),
    ]
}

/// A property of any data type, objects and lists of objects among them.
pub(crate) fn a_field() -> impl Strategy<Value = Field> {
    a_scalar().prop_recursive(3, 12, 3, |inner| {
        let object = vec((inner, any::<bool>()), 0..4).prop_map(|members| {
            let (rules, value) = fields(&members);
            Field { rules: json!({"dataType": "OBJECT", "properties": rules}), value }
        });
        let list = (prop_oneof![object.clone(), a_scalar().boxed()], 0_usize..3).prop_map(|(item, count)| {
            // A list in a list is not allowed, and its own item type would be lost.
            let rules = with(item.rules.clone(), json!({"dataType": "ARRAY", "itemType": item.rules["dataType"]}));
            Field { rules, value: json!(vec![item.value; count]) }
        });
        prop_oneof![object, list]
    })
}

/// Properties `p0`, `p1`, ... with these rules, required or not, and an object with a value for each.
pub(crate) fn fields(members: &[(Field, bool)]) -> (Value, Value) {
    let named = |(i, (field, required)): (usize, &(Field, bool))| {
        with(field.rules.clone(), json!({"name": format!("p{i}"), "required": required}))
    };
    let values = members.iter().enumerate().map(|(i, (field, _))| (format!("p{i}"), field.value.clone()));
    (members.iter().enumerate().map(named).collect(), Value::Object(values.collect()))
}

/// A level of properties out of few ids and few rules, so that two of them have much in common.
pub(crate) fn a_level() -> impl Strategy<Value = Vec<Property>> {
    let rules = select(vec![
        json!({"dataType": "STRING"}),
        json!({"dataType": "STRING", "required": true, "defaultValue": "x", "unique": true}),
        json!({"dataType": "STRING", "validators": [{"type": "minLength", "value": 1}], "indexed": true}),
        json!({"dataType": "NUMBER", "description": "d", "metadata": {"a": 1}, "displayName": "N"}),
        json!({"dataType": "ARRAY", "itemType": "DATE"}),
        json!({"dataType": "REFERENCE", "referenceTo": "T"}),
        json!({"dataType": "OBJECT"}),
        json!({"dataType": "OBJECT", "properties": [{"id": id(7), "name": "city", "dataType": "STRING"}]}),
        json!({"dataType": "OBJECT", "properties": [{"id": id(8), "name": "city", "dataType": "STRING", "required": true}]}),
        json!({"dataType": "OBJECT", "properties": [
            {"id": id(9), "name": "zip", "dataType": "STRING"}, {"id": id(7), "name": "town", "dataType": "STRING"}]}),
    ]);
    let names = Just(vec!["a", "b", "c", "d"]).prop_shuffle();
    let ids = Just(vec![1_u128, 2, 3, 4]).prop_shuffle();
    (ids, names, vec(rules, 0..4)).prop_map(|(ids, names, rules)| {
        let mut nested_ids = std::collections::HashSet::new();
        let items: Vec<Value> = ids
            .into_iter()
            .zip(names)
            .zip(rules)
            .filter(|(_, rules)| {
                let nested = rules["properties"].as_array().into_iter().flatten();
                nested.map(|property| property["id"].to_string()).all(|id| nested_ids.insert(id))
            })
            .map(|((number, name), rules)| with(rules, json!({"id": id(number), "name": name})))
            .collect();
        sound(&json!(items))
    })
}

fn id(number: u128) -> String {
    uuid::Uuid::from_u128(number).to_string()
}

/// A definition with these properties; their references point at one type, `variant` decides about the rest.
pub(crate) fn definition_of(properties: Vec<Property>, variant: u8) -> Definition {
    let mut references = std::collections::BTreeMap::new();
    walk(&properties, true, &mut |property, _| {
        if property.data_type == crate::property::DataType::Reference {
            let target = uuid::Uuid::from_u128(u128::from(variant % 2)).into();
            references.insert(property.id, TypeRef { id: target, name: format!("T{}", variant % 2) });
        }
    });
    let bit = |n: u8| variant & (1 << n) != 0;
    Definition {
        name: if bit(1) { "Customer" } else { "Client" }.parse().unwrap(),
        display_name: if bit(2) { "고객" } else { "Client" }.into(),
        description: bit(3).then(|| "Who buys".into()),
        category: bit(4).then(|| "sales".into()),
        tags: if bit(5) { vec!["a".into(), "b".into()] } else { vec![] },
        properties,
        references,
        base_datasets: bit(6)
            .then(|| DatasetReference { dataset_rid: "ri.1".into(), name: "one".into() })
            .into_iter()
            .collect(),
        metadata: bit(7).then(|| ("a".to_owned(), json!([1, {"b": null}]))).into_iter().collect(),
    }
}
