//! Shapes that only the OpenAPI document needs: what clients send, and what stands around the types in answers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use oms_core::{
    api_key::ApiKey, audit::AuditEntry, definition::DatasetReference, link_type::Cardinality, property::DataType,
    version::VersionInfo,
};
use oms_events::EventType;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi::reference;

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub(crate) struct $name { $($(#[$fdoc])* $field: $type,)* }
    )+};
}

inputs! {
    /// A rule for a property's values.
    ValidatorInput {
        /// `minLength`, `maxLength`, `pattern` (STRING), `min` or `max` (NUMBER).
        r#type: String,
        /// A whole number, a regular expression (RE2 syntax), or a number.
        value: Value,
    }
    /// A property to be defined. Without an id it keeps the identity of the property with its name.
    PropertyInput {
        id: Option<Uuid>,
        /// Unique within its level; upper and lower case are different.
        #[schema(max_length = 64, pattern = "^[a-zA-Z][a-zA-Z0-9_]*$")]
        name: String,
        /// The name when absent.
        #[schema(min_length = 1, max_length = 255)]
        display_name: Option<String>,
        data_type: DataType,
        required: Option<bool>,
        unique: Option<bool>,
        indexed: Option<bool>,
        default_value: Option<Value>,
        #[schema(max_length = 65536)]
        description: Option<String>,
        #[schema(max_items = 5)]
        validators: Option<Vec<ValidatorInput>>,
        metadata: Option<BTreeMap<String, Value>>,
        /// What the items of an ARRAY are; not ARRAY. Without it they may be anything.
        item_type: Option<DataType>,
        /// The fields of an OBJECT, up to 8 levels deep. Without them it may be any object.
        #[schema(no_recursion)]
        properties: Option<Vec<PropertyInput>>,
        /// Name or id of the object type that a REFERENCE points at. Without it, any type.
        reference_to: Option<String>,
    }
    /// An object type to be created.
    ObjectTypeInput {
        #[schema(max_length = 64, pattern = "^[a-zA-Z][a-zA-Z0-9_]*$")]
        name: String,
        #[schema(min_length = 1, max_length = 255)]
        display_name: String,
        #[schema(max_length = 65536)]
        description: Option<String>,
        #[schema(min_length = 1, max_length = 64)]
        category: Option<String>,
        #[schema(max_items = 100)]
        tags: Option<Vec<String>>,
        properties: Option<Vec<PropertyInput>>,
        base_datasets: Option<Vec<DatasetReference>>,
        metadata: Option<BTreeMap<String, Value>>,
        /// Why, kept with the version.
        #[schema(min_length = 1, max_length = 1000)]
        change_description: Option<String>,
    }
    /// A link type to be created.
    LinkTypeInput {
        #[schema(max_length = 64, pattern = "^[a-zA-Z][a-zA-Z0-9_]*$")]
        name: String,
        #[schema(min_length = 1, max_length = 255)]
        display_name: String,
        /// Name or id of the object type where links start.
        source: String,
        /// Name or id of the object type where links end.
        target: String,
        cardinality: Cardinality,
        #[schema(max_length = 65536)]
        description: Option<String>,
        #[schema(min_length = 1, max_length = 64)]
        category: Option<String>,
        #[schema(max_items = 100)]
        tags: Option<Vec<String>>,
        properties: Option<Vec<PropertyInput>>,
        base_datasets: Option<Vec<DatasetReference>>,
        metadata: Option<BTreeMap<String, Value>>,
        #[schema(min_length = 1, max_length = 1000)]
        change_description: Option<String>,
    }
    /// Where the next page starts.
    PageInfo {
        /// Null on the last page.
        #[schema(required)]
        next_cursor: Option<String>,
        /// How many there are in all, if `count=true`.
        total_count: Option<i64>,
    }
    /// A page of versions.
    VersionPage {
        data: Vec<VersionInfo>,
        page: PageInfo,
    }
    /// One instance, or up to 1,000.
    ValidationInput {
        instance: Option<Value>,
        #[schema(max_items = 1000)]
        instances: Option<Vec<Value>>,
    }
    /// What is wrong with an instance.
    ValidationResult {
        valid: bool,
        /// Of the one instance.
        errors: Option<Vec<ProblemEntry>>,
        /// Of each instance.
        results: Option<Vec<InstanceResult>>,
        /// True when not every fault is listed: 1,000 in all, and no more than an answer has room for.
        truncated: Option<bool>,
    }
    /// What is wrong with one of several instances.
    InstanceResult {
        index: i32,
        valid: bool,
        errors: Vec<ProblemEntry>,
    }
    /// One fault.
    ProblemEntry {
        /// JSON Pointer into the body.
        pointer: Option<String>,
        /// Name of a query or path parameter.
        parameter: Option<String>,
        /// Name of a header.
        header: Option<String>,
        code: String,
        message: String,
    }
    /// What went wrong (RFC 9457).
    Problem {
        r#type: String,
        title: String,
        status: i32,
        detail: String,
        code: String,
        errors: Option<Vec<ProblemEntry>>,
        correlation_id: String,
    }
    /// A page of the audit log.
    AuditPage {
        data: Vec<AuditEntry>,
        page: PageInfo,
    }
    /// An API key to be made.
    ApiKeyInput {
        #[schema(min_length = 1, max_length = 255)]
        name: String,
        #[schema(min_items = 1, max_items = 20)]
        roles: Vec<String>,
        expires_at: Option<DateTime<Utc>>,
    }
    /// All API keys.
    ApiKeys {
        data: Vec<ApiKey>,
    }
}

/// The schemas of the change feed. The types in an event are those of answers.
pub(crate) fn events() -> [(String, Value); 3] {
    let uuid = json!({ "type": "string", "format": "uuid" });
    let types: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
    let claim_check = json!({
        "type": "object", "required": ["entityKind", "entityId", "version", "href", "bytes"],
        "description": "In place of the type and its changes when they are too large: where to read them",
        "properties": {
            "entityKind": { "type": "string", "enum": ["object_type", "link_type"] }, "entityId": uuid,
            "version": { "type": "integer" }, "href": { "type": "string" }, "bytes": { "type": "integer" },
        },
    });
    let data = json!({
        "type": "object", "required": ["version", "actor", "changes"],
        "properties": {
            "objectType": reference("ObjectType"), "linkType": reference("LinkType"), "claimCheck": claim_check,
            "version": { "type": "integer" }, "actor": { "type": "string" },
            "changes": { "type": "array", "items": reference("FieldChange") },
        },
    });
    let metadata = json!({
        "type": "object", "required": ["tenantId", "position", "epoch", "schemaVersion"],
        "properties": {
            "tenantId": { "type": "string" }, "position": { "type": "integer", "format": "int64" },
            "epoch": { "type": "integer", "format": "int64" }, "schemaVersion": { "type": "integer" },
        },
    });
    let event = json!({
        "type": "object", "required": ["id", "type", "entityId", "actor", "timestamp", "data", "metadata"],
        "properties": {
            "id": uuid, "type": reference("EventType"), "entityId": uuid, "actor": { "type": "string" },
            "timestamp": { "type": "string", "format": "date-time" }, "data": data, "metadata": metadata,
            "correlationId": { "type": "string" },
        },
    });
    let feed = json!({
        "type": "object", "required": ["data", "page"],
        "properties": {
            "data": { "type": "array", "items": reference("Event") },
            "page": {
                "type": "object", "required": ["resumeToken", "hasMore"],
                "properties": {
                    "resumeToken": { "type": "string", "description": "For `after`; a page may be empty and still move it on" },
                    "hasMore": { "type": "boolean", "description": "Whether there are more events already" },
                },
            },
        },
    });
    [
        ("EventType".to_owned(), json!({ "type": "string", "enum": types })),
        ("Event".to_owned(), event),
        ("EventFeed".to_owned(), feed),
    ]
}
