//! The audit log in the schema.

use async_graphql::{ID, InputObject, Json, Object};
use oms_core::{
    audit::{AuditEntry, AuditFilter},
    error::{Code, Result},
    fault::FaultKind,
    input::Faults,
};
use serde_json::Value;
use uuid::Uuid;

use super::{filter::text, scalar::Time};

/// One thing that was done, or tried.
pub(crate) struct AuditLog(pub(crate) AuditEntry);

/// One thing that was done, or tried.
#[Object]
impl AuditLog {
    /// Its identity.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// `object_type`, `link_type`, `api_key` or `authentication`.
    async fn entity_type(&self) -> &str {
        &self.0.entity_type
    }

    /// What it was done to; null for a failed login.
    async fn entity_id(&self) -> Option<ID> {
        self.0.entity_id.map(|id| ID(id.to_string()))
    }

    /// `CREATE`, `UPDATE`, `DELETE`, `RESTORE`, `REVOKE` or `LOGIN_FAILED`.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// Who did it.
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// From where.
    async fn ip_address(&self) -> Option<&str> {
        self.0.ip_address.as_deref()
    }

    /// With what.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// The type before.
    async fn old_value(&self) -> Option<Json<&Value>> {
        self.0.old_value.as_ref().map(Json)
    }

    /// The type after.
    async fn new_value(&self) -> Option<Json<&Value>> {
        self.0.new_value.as_ref().map(Json)
    }

    /// `correlationId`, `traceparent`, `version`, `changeDescription`, `reason`.
    async fn metadata(&self) -> Json<&Value> {
        Json(&self.0.metadata)
    }

    /// When.
    async fn created_at(&self) -> Time {
        Time(self.0.created_at)
    }
}

/// Which entries; all conditions must hold.
#[derive(Default, InputObject)]
pub(crate) struct AuditLogFilter {
    /// Of this entity type.
    entity_type: Option<String>,
    /// Of this entity.
    entity_id: Option<ID>,
    /// By this actor.
    actor: Option<String>,
    /// Of this action.
    action: Option<String>,
    /// Not before.
    since: Option<Time>,
    /// Before.
    until: Option<Time>,
}

impl AuditLogFilter {
    /// Checks what a client asks for.
    pub(crate) fn read(self) -> Result<AuditFilter> {
        let mut faults = Faults::default();
        let entity_id = self.entity_id.and_then(|id| {
            let parsed = Uuid::try_parse(&id).ok();
            if parsed.is_none() {
                faults.push("/filter/entityId", FaultKind::Malformed { expected: "a UUID" });
            }
            parsed
        });
        let filter = AuditFilter {
            entity_type: text(self.entity_type, "/filter/entityType", 64, &mut faults),
            entity_id,
            actor: text(self.actor, "/filter/actor", 255, &mut faults),
            action: text(self.action, "/filter/action", 64, &mut faults),
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
        };
        faults.finish(Code::InvalidRequest)?;
        Ok(filter)
    }
}
