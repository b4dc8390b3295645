//! The OpenAPI 3.1 document, made from the table of operations and the shapes of the core when it is first asked for.

use http::{HeaderName, StatusCode};
use oms_core::{
    api_key::ApiKey,
    audit::AuditEntry,
    definition::{DatasetReference, DefinitionView, PropertyView, Stamp, ValidatorSchema},
    link_type::{Cardinality, LinkTypeView},
    object_type::ObjectTypeView,
    property::DataType,
    version::{Action, ChangeType, FieldChange, VersionInfo},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    operation::{Docs, Operation, Parameter},
    resource::TrimmedObjectType,
    schemas,
};

/// The document of a service whose API keys come in this header.
pub fn document(api_key_header: &HeaderName) -> Value {
    let mut paths = Map::new();
    for Operation { method, path, docs, .. } in crate::operations() {
        let described = describe(&path, docs());
        paths.entry(path).or_insert_with(|| json!({}))[method.as_str().to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "OMS: Ontology Metadata Service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The registry of object types, link types and their properties. Errors are problem+json \
                (RFC 9457) and name every fault; `Accept-Language: ko` answers in Korean.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, { "apiKey": [] }],
        "tags": [
            { "name": "Object types" }, { "name": "Link types" }, { "name": "Search" }, { "name": "Events" }, { "name": "Audit" }, { "name": "API keys" },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "apiKey": { "type": "apiKey", "in": "header", "name": api_key_header.as_str() },
            },
            "schemas": components(),
        },
    })
}

pub(crate) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// Object types have one shape per version of the API.
fn answered(schema: &str) -> Value {
    match schema {
        "ObjectType" => json!({ "anyOf": [reference("ObjectType"), reference("ObjectTypeV1")] }),
        other => reference(other),
    }
}

fn describe(path: &str, docs: Docs) -> Value {
    let Docs { id, tag, summary, parameters, body, success, answer, problems } = docs;
    let in_path = path.split(['{', '}']).skip(1).step_by(2).map(|name| {
        let (schema, description) = match name {
            "version" => (json!({ "type": "integer", "minimum": 1 }), "The version"),
            _ if path.contains("api-keys") => (json!({ "type": "string", "format": "uuid" }), "The key's id"),
            _ => (json!({ "type": "string" }), "The type's id, or its name in any case"),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description })
    });
    let version = Parameter {
        name: "X-API-Version",
        location: "header",
        required: false,
        schema: r#"{"type":"string","enum":["v1","v2"],"default":"v1"}"#,
        description: "v1 trims object types to id, name, displayName and properties; v2 has every field",
    };
    let others = std::iter::once(&version).chain(&parameters).map(|parameter| {
        json!({
            "name": parameter.name, "in": parameter.location, "required": parameter.required,
            "schema": serde_json::from_str::<Value>(parameter.schema).unwrap_or_default(),
            "description": parameter.description,
        })
    });
    let mut responses = Map::new();
    let mut done = json!({ "description": success.canonical_reason().unwrap_or_default() });
    if let Some(schema) = &answer {
        done["content"] = json!({ "application/json": { "schema": answered(schema) } });
        if schema == "EventFeed" {
            let description = "Server-Sent Events: `id` is a resume token, `event` the type, `data` the event as JSON";
            done["content"]["text/event-stream"] =
                json!({ "schema": { "type": "string", "description": description } });
        }
    }
    let headers = response_headers(success, answer.as_deref());
    if !headers.is_empty() {
        done["headers"] = Value::Object(headers);
    }
    responses.insert(success.as_u16().to_string(), done);
    for status in [400, 401, 403, 429, 503].iter().chain(problems) {
        let reason =
            StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
        let problem = json!({
            "description": reason,
            "content": { "application/problem+json": { "schema": reference("Problem") } },
        });
        responses.insert(status.to_string(), problem);
    }
    if parameters.iter().any(|parameter| parameter.name == "If-None-Match") {
        responses.insert(
            "304".to_owned(),
            json!({ "description": "Not Modified", "headers": { "ETag": text_header(ETAG) } }),
        );
    }
    let mut described = json!({
        "operationId": id, "tags": [tag], "summary": summary,
        "parameters": in_path.chain(others).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some((schema, media_type)) = body {
        let mut content = json!({ media_type: { "schema": reference(&schema) } });
        content["application/json"] = json!({ "schema": reference(&schema) });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

const ETAG: &str = "The version in quotes, for If-Match and If-None-Match";

fn text_header(description: &str) -> Value {
    json!({ "description": description, "schema": { "type": "string" } })
}

/// What a success says in its headers follows from what it answers: one type, a page, something new.
fn response_headers(success: StatusCode, answer: Option<&str>) -> Map<String, Value> {
    let mut headers = Map::new();
    let answer = answer.unwrap_or_default();
    if matches!(answer, "ObjectType" | "LinkType") {
        headers.insert("ETag".to_owned(), text_header(ETAG));
        if success == StatusCode::CREATED {
            headers.insert("Location".to_owned(), text_header("The path of what was created"));
        }
    }
    if answer.ends_with("Page") {
        headers.insert("Link".to_owned(), text_header("The next page, with rel=\"next\"; absent on the last one"));
    }
    headers
}

fn components() -> Value {
    let mut all = Map::new();
    macro_rules! add {
        ($($shape:ty),+ $(,)?) => { $(
            let schema = serde_json::to_value(<$shape as utoipa::PartialSchema>::schema()).unwrap_or_default();
            all.insert(<$shape as ToSchema>::name().into_owned(), schema);
        )+ };
    }
    add!(
        ObjectTypeView<'_>,
        TrimmedObjectType<'_>,
        LinkTypeView<'_>,
        DefinitionView<'_>,
        PropertyView<'_>,
        ValidatorSchema,
        DataType,
        Cardinality,
        DatasetReference,
        Stamp,
        VersionInfo,
        Action,
        FieldChange,
        ChangeType,
        AuditEntry,
        ApiKey,
        schemas::ValidatorInput,
        schemas::PropertyInput,
        schemas::ObjectTypeInput,
        schemas::LinkTypeInput,
        schemas::PageInfo,
        schemas::VersionPage,
        schemas::ValidationInput,
        schemas::ValidationResult,
        schemas::InstanceResult,
        schemas::ProblemEntry,
        schemas::Problem,
        schemas::AuditPage,
        schemas::ApiKeyInput,
        schemas::ApiKeys,
    );
    // The derived schemas have the names of the Rust variants: their values are those of the wire.
    let values = |values: Vec<&str>| json!({ "type": "string", "enum": values });
    all.insert("DataType".to_owned(), values(DataType::ALL.iter().map(|value| value.as_str()).collect()));
    all.insert("Cardinality".to_owned(), values(Cardinality::ALL.iter().map(|value| value.as_str()).collect()));
    let page = |items: Value| {
        json!({
            "type": "object", "required": ["data", "page"],
            "properties": { "data": { "type": "array", "items": items }, "page": reference("PageInfo") },
        })
    };
    for (kind, id) in [("ObjectType", "objectTypeId"), ("LinkType", "linkTypeId")] {
        let input = format!("{kind}Input");
        let mut patch = all.get(&input).cloned().unwrap_or_default();
        if let Some(patch) = patch.as_object_mut() {
            patch.remove("required");
            let description =
                "A merge patch (RFC 7396): what is absent stays, null takes away, a list is replaced as a whole";
            patch.insert("description".to_owned(), json!(description));
        }
        all.insert(format!("{kind}Patch"), patch);
        all.insert(
            format!("{kind}Batch"),
            json!({
                "type": "object", "required": ["items"],
                "properties": { "items": { "type": "array", "items": reference(&input), "minItems": 1, "maxItems": 1000 } },
            }),
        );
        all.insert(
            format!("{kind}Comparison"),
            json!({
                "type": "object", "required": [id, "version1", "version2", "changes"],
                "properties": {
                    id: { "type": "string", "format": "uuid" },
                    "version1": { "type": "integer" },
                    "version2": { "type": "integer" },
                    "changes": { "type": "array", "items": reference("FieldChange") },
                },
            }),
        );
        let list = json!({ "type": "array", "items": answered(kind) });
        all.insert(format!("{kind}Page"), page(answered(kind)));
        all.insert(
            format!("{kind}s"),
            json!({
                "type": "object", "required": ["data"], "properties": { "data": list },
                "description": "What was created, in order; only id and version where the answer would be too long",
            }),
        );
        all.insert(
            format!("{kind}Version"),
            json!({ "allOf": [
                reference("VersionInfo"),
                { "type": "object", "required": ["snapshot"], "properties": { "snapshot": reference(kind) } },
            ] }),
        );
    }
    all.insert(
        "SearchResults".to_owned(),
        json!({
            "type": "object", "required": ["data"],
            "properties": { "data": { "type": "array", "items": {
                "type": "object", "required": ["kind", "score"],
                "properties": {
                    "kind": { "type": "string", "enum": ["object_type", "link_type"] },
                    "score": { "type": "number" },
                    "objectType": answered("ObjectType"),
                    "linkType": reference("LinkType"),
                },
            } } },
        }),
    );
    all.extend(schemas::events());
    all.insert(
        "NewApiKey".to_owned(),
        json!({ "allOf": [
            reference("ApiKey"),
            { "type": "object", "required": ["secret"], "properties": { "secret": { "type": "string" } } },
        ] }),
    );
    let mut all = Value::Object(all);
    for_readers(&mut all);
    all
}

/// Comments of the code say which section of the specification they follow; readers of the API have no use for it.
fn for_readers(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description")
                && let Some((before, rest)) = text.split_once(" (specification")
                && let Some((_, after)) = rest.split_once(')')
            {
                *text = format!("{before}{after}");
            }
            map.values_mut().for_each(for_readers);
        }
        Value::Array(items) => items.iter_mut().for_each(for_readers),
        _ => {}
    }
}
