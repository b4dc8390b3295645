//! The table of operations of one kind of type.

use axum::routing::{delete, get, patch, post};
use http::{Method, StatusCode};
use oms_core::error::Kind;

use super::{Resource, create, list, read, update, validate, versions};
use crate::operation::{Docs, Operation, Parameter, header, query, required};

pub(crate) const LIMIT: Parameter =
    query("limit", r#"{"type":"integer","minimum":1,"maximum":200,"default":50}"#, "The most items of the page");
pub(crate) const CURSOR: Parameter =
    query("cursor", r#"{"type":"string"}"#, "`nextCursor` of the page before, for the same filter and sort");
const TEXT: &str = r#"{"type":"string"}"#;
const TEXTS: &str = r#"{"type":"array","items":{"type":"string"}}"#;
const VERSION: &str = r#"{"type":"integer","minimum":1}"#;
const SORT: &str = r#"{"type":"string","enum":["name","-name","displayName","-displayName","createdAt","-createdAt","updatedAt","-updatedAt"],"default":"name"}"#;
const IDEMPOTENCY: Parameter =
    header("Idempotency-Key", false, "The same key and request within 24 hours is answered as the first time");
const IF_MATCH: Parameter =
    header("If-Match", true, "The ETag of the version that is to be changed (or several), or *");
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Every operation of a kind of type.
pub(crate) fn operations<R: Resource>() -> Vec<Operation> {
    let base = format!("/api/v1/{}", R::SEGMENT);
    let one = format!("{base}/{{id}}");
    let (schema, words) = match R::KIND {
        Kind::ObjectType => (R::SCHEMA, "object type"),
        Kind::LinkType => (R::SCHEMA, "link type"),
    };
    let tag = if R::KIND == Kind::ObjectType { "Object types" } else { "Link types" };
    let docs = move |id: String, summary: String| Docs {
        id,
        tag,
        summary,
        parameters: Vec::new(),
        body: None,
        success: StatusCode::OK,
        answer: Some(schema.to_owned()),
        problems: &[404],
    };
    let json = |name: String| Some((name, "application/json"));
    vec![
        Operation {
            method: Method::GET,
            path: base.clone(),
            handler: get(list::list::<R>),
            docs: Box::new(move || Docs {
                parameters: list_parameters(R::KIND),
                answer: Some(format!("{schema}Page")),
                problems: &[],
                ..docs(format!("list{schema}s"), format!("List {words}s page by page"))
            }),
        },
        Operation {
            method: Method::POST,
            path: base.clone(),
            handler: post(create::create::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![IDEMPOTENCY],
                body: json(format!("{schema}Input")),
                success: StatusCode::CREATED,
                problems: &[409, 413, 415, 422],
                ..docs(format!("create{schema}"), format!("Create one {words}"))
            }),
        },
        Operation {
            method: Method::POST,
            path: format!("{base}:batch"),
            handler: post(create::create_batch::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![IDEMPOTENCY],
                body: json(format!("{schema}Batch")),
                success: StatusCode::CREATED,
                answer: Some(format!("{schema}s")),
                problems: &[409, 413, 415, 422],
                ..docs(format!("create{schema}s"), format!("Create up to 1,000 {words}s, all or none"))
            }),
        },
        Operation {
            method: Method::GET,
            path: one.clone(),
            handler: get(read::read::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![header("If-None-Match", false, "ETags that the client has; 304 when one is current")],
                ..docs(format!("get{schema}"), format!("Get one {words} by id or name"))
            }),
        },
        Operation {
            method: Method::PATCH,
            path: one.clone(),
            handler: patch(update::update::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![IF_MATCH, IDEMPOTENCY],
                body: Some((format!("{schema}Patch"), MERGE_PATCH)),
                problems: &[404, 409, 412, 413, 415, 422, 428],
                ..docs(format!("update{schema}"), format!("Change one {words} by a JSON merge patch (RFC 7396)"))
            }),
        },
        Operation {
            method: Method::DELETE,
            path: one.clone(),
            handler: delete(update::delete::<R>),
            docs: Box::new(move || Docs {
                parameters: delete_parameters(R::KIND),
                success: StatusCode::NO_CONTENT,
                answer: None,
                problems: &[404, 409, 412, 422, 428],
                ..docs(
                    format!("delete{schema}"),
                    format!("Delete one {words}; its versions stay, and it can be restored"),
                )
            }),
        },
        Operation {
            method: Method::POST,
            path: format!("{one}/restore"),
            handler: post(update::restore::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![Parameter { required: false, ..IF_MATCH }, IDEMPOTENCY],
                problems: &[404, 409, 412, 422],
                ..docs(format!("restore{schema}"), format!("Bring a deleted {words} back as it was"))
            }),
        },
        Operation {
            method: Method::GET,
            path: format!("{one}/versions"),
            handler: get(versions::list::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![LIMIT, CURSOR],
                answer: Some("VersionPage".to_owned()),
                ..docs(format!("list{schema}Versions"), format!("List the versions of one {words}, newest first"))
            }),
        },
        Operation {
            method: Method::GET,
            path: format!("{one}/versions/compare"),
            handler: get(versions::compare::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![
                    required(query("from", VERSION, "The version to compare from")),
                    required(query("to", VERSION, "The version to compare to")),
                ],
                answer: Some(format!("{schema}Comparison")),
                ..docs(format!("compare{schema}Versions"), format!("What changed between two versions of one {words}"))
            }),
        },
        Operation {
            method: Method::GET,
            path: format!("{one}/versions/{{version}}"),
            handler: get(versions::read::<R>),
            docs: Box::new(move || Docs {
                answer: Some(format!("{schema}Version")),
                ..docs(format!("get{schema}Version"), format!("One version of one {words} with its snapshot"))
            }),
        },
        Operation {
            method: Method::POST,
            path: format!("{one}/validate"),
            handler: post(validate::validate::<R>),
            docs: Box::new(move || Docs {
                parameters: vec![query("version", VERSION, "Against this version instead of the current one")],
                body: json("ValidationInput".to_owned()),
                answer: Some("ValidationResult".to_owned()),
                problems: &[404, 413, 415],
                ..docs(format!("validate{schema}Instances"), format!("Validate instances against one {words}"))
            }),
        },
    ]
}

fn list_parameters(kind: Kind) -> Vec<Parameter> {
    let mut parameters = vec![
        query("sort", SORT, "The order; `-` from the greatest down"),
        query("category", TEXT, "Of this category"),
        query("tag", TEXTS, "With at least one of these tags"),
        query("allTags", TEXTS, "With all of these tags"),
        query("count", r#"{"type":"boolean","default":false}"#, "Whether `totalCount` is wanted"),
        LIMIT,
        CURSOR,
    ];
    if kind == Kind::LinkType {
        parameters.extend([
            query("source", TEXT, "That start at this object type (name or id)"),
            query("target", TEXT, "That end at this object type (name or id)"),
            query("objectType", TEXT, "That start or end at this object type (name or id)"),
            query(
                "cardinality",
                r#"{"type":"string","enum":["ONE_TO_ONE","ONE_TO_MANY","MANY_TO_MANY"]}"#,
                "Of this cardinality",
            ),
        ]);
    }
    parameters
}

fn delete_parameters(kind: Kind) -> Vec<Parameter> {
    let mut parameters = vec![IF_MATCH, IDEMPOTENCY];
    if kind == Kind::ObjectType {
        let cascade = "Whether link types from and to it are deleted too (permission link_type:delete)";
        parameters.push(query("cascade", r#"{"type":"boolean","default":false}"#, cascade));
    }
    parameters
}
