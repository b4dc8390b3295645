//! An event as the log keeps it, and as everybody gets it.

use std::{collections::HashMap, fmt};

use chrono::{DateTime, Utc};
use oms_events::{ClaimCheck, Data, EntityKind, Event, EventType, Metadata, SCHEMA_VERSION};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    error::{Error, Kind, Result},
    id::TenantId,
    link_type::{LinkType, LinkTypeView},
    object_type::{ObjectType, ObjectTypeView},
    version::FieldChange,
};

/// A row of the log.
pub(crate) struct Row {
    pub(crate) position: i64,
    pub(crate) epoch: i64,
    pub(crate) event_id: Uuid,
    pub(crate) tenant_id: String,
    pub(crate) event_type: String,
    pub(crate) entity_id: Uuid,
    pub(crate) version: i32,
    pub(crate) actor: String,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) publisher_partition: i16,
    pub(crate) document: String,
    pub(crate) changes: String,
    pub(crate) names: Vec<String>,
}

/// An event of the log. Its type is kept as stored and only read when the event is shown.
#[derive(Clone)]
pub struct LogEvent {
    /// Its place in the log.
    pub position: i64,
    /// The life of the database that it is from.
    pub epoch: i64,
    /// The same for every repeat.
    pub id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// Whose type it is.
    pub tenant: TenantId,
    /// The type that it happened to.
    pub entity_id: Uuid,
    /// The version that the write made.
    pub version: i32,
    /// Who did it.
    pub actor: String,
    /// When it was written.
    pub occurred_at: DateTime<Utc>,
    /// Ties it to its request.
    pub correlation_id: Option<String>,
    /// W3C trace context of its request.
    pub traceparent: Option<String>,
    /// The publisher partition.
    pub partition: i16,
    /// Folded names that it may be looked for by.
    pub(crate) names: Vec<String>,
    document: String,
    changes: String,
}

/// What the types of an event are grouped by, after the write and before it.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) categories: Vec<String>,
    pub(crate) tags: Vec<String>,
}

/// The part of a document that has labels.
#[derive(Deserialize)]
struct Labelled {
    definition: LabelledDefinition,
}

#[derive(Deserialize)]
struct LabelledDefinition {
    category: Option<String>,
    tags: Vec<String>,
}

/// The type that an event is about, after the write.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapshot {
    /// An object type.
    ObjectType(Box<ObjectType>),
    /// A link type.
    LinkType(Box<LinkType>),
}

impl fmt::Debug for LogEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogEvent({} {} v{} at {})", self.event_type, self.entity_id, self.version, self.position)
    }
}

/// The events of rows in order, up to the first that makes no sense here: one of a type that only a newer version knows waits
/// for it.
///
/// # Errors
///
/// The first one makes no sense already.
pub(crate) fn readable(rows: Vec<Row>) -> Result<Vec<LogEvent>> {
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        match LogEvent::try_from(row) {
            Ok(event) => events.push(event),
            Err(error) if events.is_empty() => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(events)
}

/// The same for partitions, each of which ends with its first event that makes no sense; the others go on.
///
/// # Errors
///
/// All end at once.
pub(crate) fn readable_by_partition(rows: Vec<Row>) -> Result<Vec<LogEvent>> {
    let mut events = Vec::with_capacity(rows.len());
    let mut ended: HashMap<i16, sqlx::Error> = HashMap::new();
    for row in rows {
        let partition = row.publisher_partition;
        if ended.contains_key(&partition) {
            continue;
        }
        match LogEvent::try_from(row) {
            Ok(event) => events.push(event),
            Err(error) => {
                ended.insert(partition, error);
            }
        }
    }
    match ended.into_values().next() {
        Some(error) if events.is_empty() => Err(error.into()),
        _ => Ok(events),
    }
}

impl TryFrom<Row> for LogEvent {
    type Error = sqlx::Error;

    /// A row that makes no sense is ours to mend: the error names it.
    fn try_from(row: Row) -> sqlx::Result<Self> {
        let malformed =
            |what: &str| sqlx::Error::Decode(format!("event {} has a malformed {what}", row.position).into());
        Ok(Self {
            position: row.position,
            epoch: row.epoch,
            id: row.event_id,
            event_type: row.event_type.parse().map_err(|_| malformed("event_type"))?,
            tenant: row.tenant_id.parse().map_err(|_| malformed("tenant_id"))?,
            entity_id: row.entity_id,
            version: row.version,
            actor: row.actor,
            occurred_at: row.occurred_at,
            correlation_id: row.correlation_id,
            traceparent: row.traceparent,
            partition: row.publisher_partition,
            names: row.names,
            document: row.document,
            changes: row.changes,
        })
    }
}

impl LogEvent {
    /// What it happened to.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.event_type.kind() {
            EntityKind::ObjectType => Kind::ObjectType,
            EntityKind::LinkType => Kind::LinkType,
        }
    }

    /// How many bytes its type and its changes have as stored; as JSON of the API it is about as many.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.document.len() + self.changes.len()
    }

    /// Whether an object type got another name, so that documents which show the one before are old.
    pub(crate) fn renames(&self) -> bool {
        let changed = || serde_json::from_str::<Vec<FieldChange>>(&self.changes).unwrap_or_default();
        self.event_type == EventType::ObjectTypeUpdated && changed().iter().any(|change| change.field == "name")
    }

    /// The labels after the write, and those that it took away.
    pub(crate) fn labels(&self) -> Result<Labels> {
        let Labelled { definition } = self.read(&self.document)?;
        let mut labels = Labels { categories: Vec::from_iter(definition.category), tags: definition.tags };
        for change in self.changes()? {
            match (change.field.as_str(), change.old_value) {
                ("category", Some(Value::String(category))) => labels.categories.push(category),
                ("tags", Some(Value::Array(tags))) => {
                    labels.tags.extend(tags.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
        }
        Ok(labels)
    }

    /// The type after the write.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(match self.kind() {
            Kind::ObjectType => Snapshot::ObjectType(self.read(&self.document)?),
            Kind::LinkType => Snapshot::LinkType(self.read(&self.document)?),
        })
    }

    /// What changed since the version before; empty but for updates.
    pub fn changes(&self) -> Result<Vec<FieldChange>> {
        self.read(&self.changes)
    }

    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text)
            .map_err(|error| Error::internal(format_args!("malformed event {}: {error}", self.position)))
    }

    /// The envelope as JSON. Above `max_bytes` the type and the changes give way to a claim check.
    pub fn to_json(&self, max_bytes: usize) -> Result<String> {
        self.envelope(max_bytes).map(|(json, _)| json)
    }

    /// The envelope as JSON, and the claim check in it when the whole would be above `max_bytes`.
    pub(crate) fn envelope(&self, max_bytes: usize) -> Result<(String, Option<ClaimCheck>)> {
        let changes = self.changes()?;
        let whole = match self.snapshot()? {
            Snapshot::ObjectType(entity) => self.text(Some(entity.view()), None, changes, None)?,
            Snapshot::LinkType(entity) => self.text(None, Some(entity.view()), changes, None)?,
        };
        if whole.len() <= max_bytes {
            return Ok((whole, None));
        }
        self.checked(whole.len())
    }

    /// The envelope with a claim check in place of the type and the changes. It can be made of an event whose type can't be
    /// read, too.
    pub fn to_claim_check(&self) -> Result<String> {
        self.checked(self.stored_bytes()).map(|(json, _)| json)
    }

    pub(crate) fn checked(&self, bytes: usize) -> Result<(String, Option<ClaimCheck>)> {
        let claim_check = self.claim_check(bytes);
        Ok((self.text(None, None, Vec::new(), Some(claim_check.clone()))?, Some(claim_check)))
    }

    fn claim_check(&self, bytes: usize) -> ClaimCheck {
        let (entity_kind, entity_id, version) = (self.event_type.kind(), self.entity_id, self.version);
        let collection = match entity_kind {
            EntityKind::ObjectType => "object-types",
            EntityKind::LinkType => "link-types",
        };
        let href = format!("/api/v1/{collection}/{entity_id}/versions/{version}");
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        ClaimCheck { entity_kind, entity_id, version, href, bytes }
    }

    fn text(
        &self,
        object_type: Option<ObjectTypeView<'_>>,
        link_type: Option<LinkTypeView<'_>>,
        changes: Vec<FieldChange>,
        claim_check: Option<ClaimCheck>,
    ) -> Result<String> {
        let actor = self.actor.clone();
        let event = Event {
            id: self.id,
            event_type: self.event_type,
            entity_id: self.entity_id,
            actor: actor.clone(),
            timestamp: self.occurred_at,
            data: Data { object_type, link_type, claim_check, version: self.version, actor, changes },
            metadata: Metadata {
                tenant_id: self.tenant.to_string(),
                position: self.position,
                epoch: self.epoch,
                schema_version: SCHEMA_VERSION,
            },
            correlation_id: self.correlation_id.clone(),
        };
        serde_json::to_string(&event).map_err(Error::internal)
    }
}
