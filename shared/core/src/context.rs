//! Who asks, for which tenant, from where, with which permissions: what every use case needs to know of its caller.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::{
    error::{Error, Result},
    id::TenantId,
    idempotency::IdempotencyKey,
};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident = $bit:literal, $text:literal;)+) => {
        /// What a caller may do (specification 9.2, completed).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Permission { $($(#[$doc])* $variant = $bit,)+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The permission as in role configuration: `object_type:read`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads `object_type:read` and its like.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|permission| permission.as_str() == text)
            }
        }
    };
}

permissions! {
    /// Read object types, their versions, search them, validate against them.
    ObjectTypeRead = 1, "object_type:read";
    /// Create, update and restore object types.
    ObjectTypeWrite = 2, "object_type:write";
    /// Delete object types.
    ObjectTypeDelete = 4, "object_type:delete";
    /// Read link types, their versions, search them, validate against them.
    LinkTypeRead = 8, "link_type:read";
    /// Create, update and restore link types.
    LinkTypeWrite = 16, "link_type:write";
    /// Delete link types (also by a cascade).
    LinkTypeDelete = 32, "link_type:delete";
    /// Read the audit log.
    AuditRead = 64, "audit:read";
    /// Create, list and revoke API keys.
    ApiKeyManage = 128, "api_key:manage";
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u16);

impl Permissions {
    /// This set with one more.
    #[must_use]
    pub fn with(self, permission: Permission) -> Self {
        Self(self.0 | permission as u16)
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the permission is in the set.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission as u16 != 0
    }

    /// Whether every permission of the other set is in this one.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Every permission there is.
    pub fn all() -> Self {
        Permission::ALL.iter().fold(Self::default(), |set, permission| set.with(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(iter: I) -> Self {
        iter.into_iter().fold(Self::default(), Self::with)
    }
}

/// The caller of one request. It reaches the audit row and the outbox row of every write.
#[derive(Debug, Clone)]
pub struct Context {
    /// The tenant whose types are seen and changed.
    pub tenant: TenantId,
    /// The subject of the token, or `api-key:<id>`; at most 255 characters.
    pub actor: String,
    /// What the caller may do.
    pub permissions: Permissions,
    /// When the caller's token or key ends, if it does: no stream outlives it.
    pub expires_at: Option<DateTime<Utc>>,
    /// Address of the client.
    pub ip: Option<IpAddr>,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// Ties together the log lines, audit rows and events of one request.
    pub correlation_id: String,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// Makes a repeated write answer as the first did.
    pub idempotency: Option<IdempotencyKey>,
}

impl Context {
    /// Refuses a caller without the permission.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.permissions.has(permission) { Ok(()) } else { Err(Error::Forbidden { permission }) }
    }
}
