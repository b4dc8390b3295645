//! Takes out of an answer what differs from run to run, so that its shape can be compared.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

const UUID_LENGTH: usize = 36;

/// The value with `[id 1]`, `[id 2]`... for UUIDs, the same for the same, and `[time]` for timestamps.
#[must_use]
pub fn redact(value: &Value) -> Value {
    redact_value(value, &mut HashMap::new())
}

fn redact_value(value: &Value, seen: &mut HashMap<String, usize>) -> Value {
    match value {
        Value::String(text) if is_time(text) => Value::from("[time]"),
        Value::String(text) => Value::from(redact_text(text, seen)),
        Value::Array(items) => items.iter().map(|item| redact_value(item, seen)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (redact_text(key, seen), redact_value(value, seen))).collect()
        }
        other => other.clone(),
    }
}

fn redact_text(text: &str, seen: &mut HashMap<String, usize>) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(id) = rest.get(..UUID_LENGTH).filter(|id| Uuid::try_parse(id).is_ok()) {
            let next = seen.len() + 1;
            let number = *seen.entry(id.to_owned()).or_insert(next);
            shown.push_str(&format!("[id {number}]"));
            rest = &rest[UUID_LENGTH..];
        } else {
            shown.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    shown
}

fn is_time(text: &str) -> bool {
    let digits =
        |range: std::ops::Range<usize>| text.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    text.len() >= 20 && digits(0..4) && text.as_bytes().get(10) == Some(&b'T') && digits(11..13) && text.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_id_keeps_its_number_wherever_it_stands() {
        let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
        let value =
            json!({"a": a, "b": [b, format!("/types/{a}")], "at": "2026-01-01T00:00:00.123Z", "n": 1, "k": "고객"});
        assert_eq!(
            redact(&value),
            json!({"a": "[id 1]", "b": ["[id 2]", "/types/[id 1]"], "at": "[time]", "n": 1, "k": "고객"})
        );
    }
}
