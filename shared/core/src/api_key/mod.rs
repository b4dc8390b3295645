//! API keys: for callers without a token. Only the SHA-256 of a 256-bit random secret is kept.

mod repository;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    config::Secret,
    context::{Context, Permission, Permissions},
    error::{Code, Error, Result},
    fault::FaultKind,
    id::{ApiKeyId, TenantId},
    input::{Faults, Fields},
    postgres::Database,
};

/// What every key starts with, so that leaked ones are found by scanners.
const PREFIX: &str = "oms_";

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its identity; the actor of its requests is `api-key:<id>`.
    pub id: Uuid,
    /// For people.
    pub name: String,
    /// What it may do, by role.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// When it stops working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Who a key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key.
    pub id: ApiKeyId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// When it ends, if it does.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The use cases of API keys.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    db: Database,
}

impl ApiKeys {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }

    /// Who the secret belongs to; none when it is unknown, expired or revoked. One statement.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Identity>> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let Some(row) = repository::authenticate(&self.db, &hash(secret)).await? else { return Ok(None) };
        let tenant = row.tenant_id.parse().map_err(Error::internal)?;
        let (id, name) = (ApiKeyId(row.id), row.name);
        Ok(Some(Identity { id, tenant, name, roles: row.roles, expires_at: row.expires_at }))
    }

    /// Makes a key out of `{"name", "roles", "expiresAt"?}`; its secret is shown this once. Of the `known_roles` only those
    /// are taken that may do no more than the caller: nobody gets by a key what they were not given.
    pub async fn create(
        &self,
        context: &Context,
        input: &Value,
        known_roles: &HashMap<String, Permissions>,
    ) -> Result<(ApiKey, Secret)> {
        context.require(Permission::ApiKeyManage)?;
        let mut faults = Faults::default();
        let draft = parse(context, input, known_roles, &mut faults);
        faults.finish(Code::InvalidRequest)?;
        let Some((name, roles, expires_at)) = draft else {
            return Err(Error::internal("a key without faults is missing"));
        };
        let secret = new_secret()?;
        let key =
            repository::insert(&self.db, context, ApiKeyId::new().0, &name, &hash(&secret), &roles, expires_at).await?;
        Ok((key, Secret::new(secret)))
    }

    /// All keys of the tenant, newest first, revoked and expired ones too; at most 1,000.
    pub async fn list(&self, context: &Context) -> Result<Vec<ApiKey>> {
        context.require(Permission::ApiKeyManage)?;
        repository::list(&self.db, &context.tenant).await.map_err(Into::into)
    }

    /// Revokes a key at once; revoking it again changes nothing.
    pub async fn revoke(&self, context: &Context, id: Uuid) -> Result<()> {
        context.require(Permission::ApiKeyManage)?;
        if repository::revoke(&self.db, context, id).await? {
            Ok(())
        } else {
            Err(Error::NotFound { code: Code::ApiKeyNotFound, key: id.to_string() })
        }
    }
}

type Draft = (String, Vec<String>, Option<DateTime<Utc>>);

fn parse(
    context: &Context,
    input: &Value,
    known_roles: &HashMap<String, Permissions>,
    faults: &mut Faults,
) -> Option<Draft> {
    let mut fields = Fields::of(input, "", faults)?;
    let name = fields.text("name", 1, 255, faults);
    let name = fields.require("name", name, faults).map(str::to_owned);
    let before = faults.len();
    let roles = fields.text_set("roles", 20, 64, faults);
    if roles.is_empty() && faults.len() == before {
        faults.push(fields.at("roles"), FaultKind::TooShort { min: 1 });
    }
    // By their places in the body: the set has lost those that are no texts.
    for (index, role) in input["roles"].as_array().into_iter().flatten().enumerate() {
        let Some(role) = role.as_str().filter(|role| roles.iter().any(|r| r == role)) else { continue };
        let fault = match known_roles.get(role) {
            None => FaultKind::Malformed { expected: "a role of the configuration" },
            Some(permissions) if context.permissions.covers(*permissions) => continue,
            Some(_) => FaultKind::RoleBeyondCaller { role: role.to_owned() },
        };
        faults.push(format!("/roles/{index}"), fault);
    }
    let expires_at = fields.any_text("expiresAt", faults).and_then(|text| match DateTime::parse_from_rfc3339(text) {
        Ok(time) if time > Utc::now() => Some(time.to_utc()),
        _ => {
            faults
                .push(fields.at("expiresAt"), FaultKind::Malformed { expected: "an RFC 3339 timestamp in the future" });
            None
        }
    });
    fields.finish(faults);
    Some((name?, roles, expires_at))
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// 256 bits from the operating system's generator.
fn new_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}
