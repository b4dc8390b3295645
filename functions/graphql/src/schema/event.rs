//! Events in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use oms_core::{error::Error, event_log::Snapshot, feed::FeedEvent};

use super::{
    link_type::LinkType,
    object_type::ObjectType,
    scalar::{Long, Time},
    version::FieldChange,
};
use crate::asked::{Asked, Place};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "oms_events::EventType")]
pub(crate) enum EventType {
    /// An object type was created.
    ObjectTypeCreated,
    /// An object type was changed.
    ObjectTypeUpdated,
    /// An object type was deleted.
    ObjectTypeDeleted,
    /// A deleted object type was restored.
    ObjectTypeRestored,
    /// A link type was created.
    LinkTypeCreated,
    /// A link type was changed.
    LinkTypeUpdated,
    /// A link type was deleted, by itself or with an object type that it linked.
    LinkTypeDeleted,
    /// A deleted link type was restored.
    LinkTypeRestored,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "oms_events::EntityKind")]
pub(crate) enum EntityKind {
    /// An object type.
    ObjectType,
    /// A link type.
    LinkType,
}

/// Where to find what an event was too large to carry.
#[derive(SimpleObject)]
pub(crate) struct ClaimCheck {
    /// What the entity is.
    entity_kind: EntityKind,
    /// Its id.
    entity_id: ID,
    /// The version that the event is about: `objectTypeVersion` and `linkTypeVersion` read it.
    version: i32,
    /// The path of the version in the REST API.
    href: String,
    /// How many bytes the whole event would have had.
    bytes: Long,
}

impl From<&oms_events::ClaimCheck> for ClaimCheck {
    fn from(check: &oms_events::ClaimCheck) -> Self {
        Self {
            entity_kind: check.entity_kind.into(),
            entity_id: ID(check.entity_id.to_string()),
            version: check.version,
            href: check.href.clone(),
            bytes: Long(i64::try_from(check.bytes).unwrap_or(i64::MAX)),
        }
    }
}

/// Something that happened to a type: every write makes one event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) event: Arc<FeedEvent>,
    /// Resumes after it.
    pub(crate) token: String,
}

impl Event {
    /// The type that it carries, unless that is too large.
    fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        match self.event.claim_check()? {
            Some(_) => Ok(None),
            None => self.event.event.snapshot().map(Some),
        }
    }
}

/// Something that happened to a type: every write makes one event.
#[Object]
impl Event {
    /// The same on every transport, and for every repeat.
    async fn id(&self) -> ID {
        ID(self.event.event.id.to_string())
    }

    /// What happened.
    #[graphql(name = "type")]
    async fn event_type(&self) -> EventType {
        self.event.event.event_type.into()
    }

    /// The object type or link type that it happened to.
    async fn entity_id(&self) -> ID {
        ID(self.event.event.entity_id.to_string())
    }

    /// Who did it.
    async fn actor(&self) -> &str {
        &self.event.event.actor
    }

    /// When it was written.
    async fn timestamp(&self) -> Time {
        Time(self.event.event.occurred_at)
    }

    /// The version that the write made.
    async fn version(&self) -> i32 {
        self.event.event.version
    }

    /// What changed since the version before; empty but for updates, and when there is a claim check.
    #[graphql(complexity = "crate::schema::page::list_cost(child_complexity)")]
    async fn changes(&self, context: &Context<'_>) -> Result<Vec<FieldChange>> {
        let changes = || match self.event.claim_check()? {
            Some(_) => Ok(Vec::new()),
            None => self.event.event.changes(),
        };
        let changes = changes().map_err(|error| Asked::of(context).explain(error, Place::Arguments))?;
        Ok(changes.into_iter().map(Into::into).collect())
    }

    /// The object type as the write left it; null when the event is about a link type, or is too large.
    async fn object_type(&self, context: &Context<'_>) -> Result<Option<ObjectType>> {
        match self.snapshot().map_err(|error| Asked::of(context).explain(error, Place::Arguments))? {
            Some(Snapshot::ObjectType(entity)) => Ok(Some(ObjectType((*entity).into()))),
            Some(Snapshot::LinkType(_)) | None => Ok(None),
        }
    }

    /// The link type as the write left it; null when the event is about an object type, or is too large.
    async fn link_type(&self, context: &Context<'_>) -> Result<Option<LinkType>> {
        match self.snapshot().map_err(|error| Asked::of(context).explain(error, Place::Arguments))? {
            Some(Snapshot::LinkType(entity)) => Ok(Some(LinkType((*entity).into()))),
            Some(Snapshot::ObjectType(_)) | None => Ok(None),
        }
    }

    /// Stands in place of the type and the changes when they are too large.
    async fn claim_check(&self, context: &Context<'_>) -> Result<Option<ClaimCheck>> {
        let check = self.event.claim_check().map_err(|error| Asked::of(context).explain(error, Place::Arguments))?;
        Ok(check.map(Into::into))
    }

    /// Its place in the log of the installation; within a tenant there may be gaps.
    async fn position(&self) -> Long {
        Long(self.event.event.position)
    }

    /// Which life of the database it is from: a restore from a backup begins the next one.
    async fn epoch(&self) -> Long {
        Long(self.event.event.epoch)
    }

    /// Whose type it is.
    async fn tenant_id(&self) -> &str {
        self.event.event.tenant.as_str()
    }

    /// Ties together the request, its log lines, audit entries and events.
    async fn correlation_id(&self) -> Option<&str> {
        self.event.event.correlation_id.as_deref()
    }

    /// `after` this token a subscription goes on with the next event.
    async fn resume_token(&self) -> &str {
        &self.token
    }
}
