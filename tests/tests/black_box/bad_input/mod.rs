//! What clients send by mistake or on purpose: it is refused with every fault named, and nothing of the database shows.

mod bodies;
mod bytes;
mod requests;

use oms_tests::Call;
use serde_json::Value;

/// Sends the call in both languages and checks the refusal. Places are JSON Pointers, or names of parameters and headers.
async fn refused(what: &str, call: Call, status: u16, code: &str, places: &[&str]) {
    for (language, call) in [("en", call.again()), ("ko", call.again())] {
        let answer = call.header("accept-language", language).send().await;
        let what = format!("{what}: {} {}", answer.status, answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{what}");
        assert_eq!(answer.header("content-language"), Some(language), "{what}");

        let faults = problem["errors"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<&str> = faults.iter().map(place).collect();
        let mut expected = places.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{what}");

        let is_korean = |text: &Value| text.as_str().unwrap().chars().any(|c| ('가'..='힣').contains(&c));
        assert_eq!(is_korean(&problem["title"]), language == "ko", "{what}");
        if language == "ko" {
            assert!(is_korean(&problem["detail"]), "{what}");
            assert!(faults.iter().all(|fault| is_korean(&fault["message"])), "{what}");
        }
        shows_nothing_of_the_database(&answer.text);
    }
}

fn place(fault: &Value) -> &str {
    let places = ["pointer", "parameter", "header"].map(|kind| fault.get(kind));
    places.into_iter().flatten().next().and_then(Value::as_str).unwrap_or_else(|| panic!("no place: {fault}"))
}

pub(crate) fn shows_nothing_of_the_database(text: &str) {
    let text = text.to_lowercase();
    for word in [
        "select ",
        "insert ",
        "update ",
        "delete from",
        "constraint",
        "_fkey",
        "_pkey",
        "violates",
        "relation ",
        "column \"",
        "sqlx",
        "postgres",
        "pg_",
        "tsquery",
        "syntax error",
        "byte sequence",
        "panicked",
    ] {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}
