//! Definitions that tests start from.

use serde_json::{Value, json};

/// The least of an object type.
#[must_use]
pub fn object_type(name: &str) -> Value {
    json!({"name": name, "displayName": name})
}

/// The least of a link type.
#[must_use]
pub fn link_type(name: &str, source: &str, target: &str) -> Value {
    json!({"name": name, "displayName": name, "source": source, "target": target, "cardinality": "ONE_TO_MANY"})
}

/// An object type that uses every field.
#[must_use]
pub fn customer() -> Value {
    json!({
        "name": "Customer",
        "displayName": "고객",
        "description": "Who buys from us.",
        "category": "sales",
        "tags": ["core", "gdpr"],
        "properties": [
            {
                "name": "email", "displayName": "E-mail", "dataType": "STRING", "required": true, "unique": true,
                "indexed": true, "description": "Where invoices go.", "metadata": {"pii": true},
                "validators": [{"type": "maxLength", "value": 254}, {"type": "pattern", "value": "@"}],
            },
            {
                "name": "tier", "dataType": "NUMBER", "defaultValue": 1,
                "validators": [{"type": "min", "value": 1}, {"type": "max", "value": 5}],
            },
            {"name": "since", "dataType": "DATE"},
            {"name": "nicknames", "dataType": "ARRAY", "itemType": "STRING"},
            {
                "name": "address", "dataType": "OBJECT",
                "properties": [{"name": "city", "dataType": "STRING", "required": true}, {"name": "zip", "dataType": "STRING"}],
            },
            {"name": "referredBy", "dataType": "REFERENCE", "referenceTo": "customer"},
        ],
        "baseDatasets": [{"datasetRid": "ri.dataset.1", "name": "customers"}],
        "metadata": {"owner": "sales"},
        "changeDescription": "The first draft.",
    })
}
