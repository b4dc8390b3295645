//! The audit log: who did what, when, from where. Insert-only.

mod repository;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    context::{Context, Permission},
    entity::Entity,
    error::{Error, Kind, Result},
    fault::FaultKind,
    id::TenantId,
    input::parameter,
    link_type::LinkType,
    object_type::ObjectType,
    page::{self, MAX_LIMIT, Page, Position, SortValue},
    postgres::Database,
};

/// One thing that was done, or tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its identity.
    pub id: Uuid,
    /// `object_type`, `link_type`, `api_key` or `authentication`.
    pub entity_type: String,
    /// What it was done to; absent for a failed login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<Uuid>,
    /// `CREATE`, `UPDATE`, `DELETE`, `RESTORE`, `REVOKE` or `LOGIN_FAILED`.
    pub action: String,
    /// Who did it.
    pub actor: String,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The type before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_value: Option<Value>,
    /// The type after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_value: Option<Value>,
    /// `correlationId`, `traceparent`, `version`, `changeDescription`, `reason`.
    pub metadata: Value,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Whether `oldValue` and `newValue` were left out because the answer has no room for them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub truncated: bool,
}

/// Which entries; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// Of this entity type.
    pub entity_type: Option<String>,
    /// Of this entity.
    pub entity_id: Option<Uuid>,
    /// By this actor.
    pub actor: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
}

/// A login that failed.
#[derive(Debug, Clone)]
pub struct FailedLogin {
    /// Whose log it goes to: a caller without a valid token has no tenant of its own.
    pub tenant: TenantId,
    /// Why: `expired`, `wrong algorithm`, ...
    pub reason: &'static str,
    /// From where.
    pub ip: Option<IpAddr>,
    /// With what.
    pub user_agent: Option<String>,
    /// Ties it to the log line.
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// The use cases of the audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    db: Database,
}

impl Audit {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }

    /// A page of entries, newest first.
    pub async fn list(
        &self,
        context: &Context,
        filter: &AuditFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>> {
        context.require(Permission::AuditRead)?;
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(parameter("limit", FaultKind::Malformed { expected: "a whole number from 1 to 200" }));
        }
        let digest = page::digest(&context.tenant, &format!("audit {filter:?}"));
        let after = cursor.map(|cursor| after(cursor, digest)).transpose()?;
        let (rows, has_more) = repository::list(&self.db, &context.tenant, filter, after, limit).await?;
        let items: Vec<AuditEntry> = rows.into_iter().map(shown).collect::<Result<_>>()?;
        let cursor = |entry: &AuditEntry| Position { value: SortValue::Time(entry.created_at), id: entry.id };
        let cursors = items.iter().map(|entry| cursor(entry).encode(digest)).collect();
        Ok(Page { items, cursors, has_more, total: None })
    }

    /// Records a failed login.
    pub async fn record_failed_login(&self, login: FailedLogin) -> Result<()> {
        repository::insert_failed_login(&self.db, &login).await.map_err(Into::into)
    }
}

/// Types are kept as stored documents and shown as every other answer shows them.
fn shown(mut entry: AuditEntry) -> Result<AuditEntry> {
    entry.old_value = public(&entry.entity_type, entry.old_value)?;
    entry.new_value = public(&entry.entity_type, entry.new_value)?;
    Ok(entry)
}

fn public(entity_type: &str, document: Option<Value>) -> Result<Option<Value>> {
    fn json<E: Entity>(document: Value) -> Result<Value> {
        let entity: E = serde_json::from_value(document)
            .map_err(|error| Error::internal(format_args!("malformed audit row: {error}")))?;
        entity.to_json()
    }
    let Some(document) = document else { return Ok(None) };
    Ok(Some(match entity_type {
        kind if kind == Kind::ObjectType.as_str() => json::<ObjectType>(document)?,
        kind if kind == Kind::LinkType.as_str() => json::<LinkType>(document)?,
        _ => document,
    }))
}

fn after(cursor: &str, digest: page::Digest) -> Result<(DateTime<Utc>, Uuid)> {
    match Position::decode(cursor, digest)? {
        Position { value: SortValue::Time(time), id } => Ok((time, id)),
        Position { value: SortValue::Text(_), .. } => Err(parameter("cursor", FaultKind::Cursor)),
    }
}
