//! The envelope: the same for every event and every transport.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::payload::{FieldChange, LinkType, ObjectType};

/// The CloudEvents and EventBridge source of every event.
pub const SOURCE: &str = "openfoundry.oms";

/// The version of the payloads that this crate describes, as in [`Metadata::schema_version`]. Added optional fields keep it.
pub const SCHEMA_VERSION: u32 = 1;

/// One event (specification 5.1). `O` and `L` are how the types themselves are held: a producer borrows them, a consumer that
/// only routes events takes `serde::de::IgnoredAny`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Event"))]
#[serde(rename_all = "camelCase")]
pub struct Event<O = ObjectType, L = LinkType> {
    /// The same for every repeat of the event, on every transport.
    pub id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// The object type or link type that it happened to; the key of the Kafka message.
    pub entity_id: Uuid,
    /// Who did it: the subject of a token, or `api-key:<id>`.
    pub actor: String,
    /// When it was written.
    pub timestamp: DateTime<Utc>,
    /// What there is to know about it.
    pub data: Data<O, L>,
    /// Where it stands in the log.
    pub metadata: Metadata,
    /// Ties together the request, its log lines, audit rows and events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// What there is to know about an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Data"))]
#[serde(rename_all = "camelCase")]
pub struct Data<O = ObjectType, L = LinkType> {
    /// The object type after the write (after a deletion: as it was, with the version that the deletion made).
    #[serde(default = "none::<O>", skip_serializing_if = "Option::is_none")]
    pub object_type: Option<O>,
    /// The link type after the write.
    #[serde(default = "none::<L>", skip_serializing_if = "Option::is_none")]
    pub link_type: Option<L>,
    /// Stands in place of the type and the changes when they are too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_check: Option<ClaimCheck>,
    /// The version that the write made: 1, and one more with every write. A consumer drops what is not above the version
    /// that it has.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub version: i32,
    /// Who did it, as in the envelope.
    pub actor: String,
    /// What changed since the version before; empty but for updates.
    #[serde(default)]
    pub changes: Vec<FieldChange>,
}

/// `Default` would ask it of the type in the option.
fn none<T>() -> Option<T> {
    None
}

/// Where to find what an event was too large to carry: `GET {href}` with `X-API-Version: v2` answers the version, its
/// snapshot and what made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ClaimCheck {
    /// What the entity is.
    pub entity_kind: EntityKind,
    /// Its id.
    pub entity_id: Uuid,
    /// The version that the event is about.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub version: i32,
    /// The path of the version in the REST API.
    pub href: String,
    /// How many bytes the whole event would have had.
    pub bytes: u64,
}

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Whose type it is.
    pub tenant_id: String,
    /// Its place in the log of the installation, without gaps over all tenants; 1 is the first.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub position: i64,
    /// Which life of the database it is from: a restore from a backup begins the next one.
    pub epoch: i64,
    /// The version of the payload: [`SCHEMA_VERSION`].
    pub schema_version: u32,
}

/// An object type or a link type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// An object type.
    ObjectType,
    /// A link type.
    LinkType,
}

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident $kind:ident,)+) => {
        /// What happened (specification 5.1, completed).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum EventType { $($(#[$doc])* $variant,)+ }

        impl EventType {
            /// Every type of event.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As in JSON, in Kafka's header `event-type` and in EventBridge's detail-type.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// What it happens to.
            #[must_use]
            pub fn kind(self) -> EntityKind {
                match self { $(Self::$variant => EntityKind::$kind,)+ }
            }
        }
    };
}

event_types! {
    /// An object type was created.
    ObjectTypeCreated ObjectType,
    /// An object type was changed.
    ObjectTypeUpdated ObjectType,
    /// An object type was deleted.
    ObjectTypeDeleted ObjectType,
    /// A deleted object type was restored.
    ObjectTypeRestored ObjectType,
    /// A link type was created.
    LinkTypeCreated LinkType,
    /// A link type was changed.
    LinkTypeUpdated LinkType,
    /// A link type was deleted, by itself or with an object type that it linked.
    LinkTypeDeleted LinkType,
    /// A deleted link type was restored.
    LinkTypeRestored LinkType,
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or(UnknownEventType)
    }
}

/// The text names no type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEventType;

impl fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a type of event")
    }
}

impl std::error::Error for UnknownEventType {}
