//! `GET /audit-logs`.

use axum::{extract::State, response::Response, routing::get};
use http::{Method, StatusCode};
use oms_core::{
    audit::{AuditEntry, AuditFilter},
    page::{DEFAULT_LIMIT, MAX_LIMIT},
};
use oms_edge::{ApiError, Edge};

use crate::{
    answer::Items,
    call::Call,
    operation::{Docs, Operation, query},
    resource::{CURSOR, LIMIT},
};

pub(crate) fn operation() -> Operation {
    const TEXT: &str = r#"{"type":"string"}"#;
    const TIME: &str = r#"{"type":"string","format":"date-time"}"#;
    Operation {
        method: Method::GET,
        path: "/api/v1/audit-logs".to_owned(),
        handler: get(list),
        docs: Box::new(move || Docs {
            id: "listAuditLogs".to_owned(),
            tag: "Audit",
            summary: "Who did what, newest first (permission audit:read)".to_owned(),
            parameters: vec![
                query("entityType", TEXT, "object_type, link_type, api_key or authentication"),
                query("entityId", r#"{"type":"string","format":"uuid"}"#, "Of this entity"),
                query("actor", TEXT, "By this actor"),
                query("action", TEXT, "CREATE, UPDATE, DELETE, RESTORE, REVOKE or LOGIN_FAILED"),
                query("since", TIME, "Not before"),
                query("until", TIME, "Before"),
                LIMIT,
                CURSOR,
            ],
            body: None,
            success: StatusCode::OK,
            answer: Some("AuditPage".to_owned()),
            problems: &[],
        }),
    }
}

async fn list(State(edge): State<Edge>, call: Call) -> Result<Response, ApiError> {
    let mut query = call.query();
    let filter = AuditFilter {
        entity_type: query.text("entityType", 64),
        entity_id: query.id("entityId"),
        actor: query.text("actor", 255),
        action: query.text("action", 64),
        since: query.time("since"),
        until: query.time("until"),
    };
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT, "a whole number from 1 to 200");
    let cursor = query.cursor();
    query.finish()?;

    let page = edge.registry.audit.list(&call.context, &filter, cursor.as_deref(), limit).await?;
    let mut items = Items::new(edge.config.max_response_bytes);
    for entry in &page.items {
        let short = || AuditEntry { old_value: None, new_value: None, truncated: true, ..entry.clone() };
        if !items.push_or(entry, short)? {
            break;
        }
    }
    let next = crate::resource::next_cursor(&page, items.kept());
    items.finish_page(&call, next, None)
}
