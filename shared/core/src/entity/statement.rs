//! The one statement of every write: the types themselves, their references, versions, audit rows, outbox rows and the
//! answer to a repeated request, all or nothing, in one round trip.

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    context::Context,
    definition::DatasetReference,
    property::Property,
    version::{Action, FieldChange},
};

/// What one write statement takes, beside its rows.
pub struct Statement<'a> {
    /// Who writes, for whom.
    pub context: &'a Context,
    /// The address as text, for the cast to `inet`.
    pub ip: Option<String>,
    /// The rows as a JSON array of [`Row`].
    pub rows: Value,
    /// Whether links of deleted object types go with them.
    pub cascade: bool,
}

impl<'a> Statement<'a> {
    /// Puts rows into a statement.
    pub fn new(context: &'a Context, rows: &[Row], cascade: bool) -> serde_json::Result<Self> {
        let ip = context.ip.map(|ip| ip.to_string());
        Ok(Self { context, ip, rows: serde_json::to_value(rows)?, cascade })
    }
}

/// One type to be written, as the statement's `input` reads it.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Position in the answer.
    pub ordinal: usize,
    pub id: Uuid,
    /// The version that must be current; 0 for a new type.
    pub expected: i32,
    pub action: Action,
    pub is_deleted: bool,
    pub name: String,
    pub display_name: String,
    pub description: Option<String>,
    pub category: Option<String>,
    pub tags: Vec<String>,
    pub properties: Vec<Property>,
    pub base_datasets: Vec<DatasetReference>,
    pub metadata: Map<String, Value>,
    pub refs: Vec<ReferenceRow>,
    pub source_id: Option<Uuid>,
    pub source_name: Option<String>,
    pub target_id: Option<Uuid>,
    pub target_name: Option<String>,
    pub cardinality: Option<&'static str>,
    pub search_a: String,
    pub search_b: String,
    pub search_c: String,
    pub search_text: String,
    pub change_description: Option<String>,
    pub old: Option<Value>,
    pub changes: Vec<FieldChange>,
}

/// One reference of a type to be written: the target by id where it is known, else by folded name.
#[derive(Debug, Clone, Serialize)]
pub struct ReferenceRow {
    pub property_id: Uuid,
    pub target_id: Option<Uuid>,
    pub target_name: Option<String>,
    pub required: bool,
    /// Whether a required edge is new, so that it could close a cycle.
    pub added: bool,
}

/// One row of the answer.
pub struct Outcome {
    /// `object_type`, `link_type`, or `circular` for a row that was not written because a reference would close a cycle.
    /// Then the id is that of the property.
    pub kind: String,
    pub id: Uuid,
    pub version: i32,
    /// Position in the request; null for what was deleted by a cascade.
    pub ordinal: Option<i32>,
    /// The type as it is now.
    pub document: Option<String>,
}

/// Makes the write statement of a kind. `$head` defines `blocked`, `written` and `changed` out of `input`, `resolved` and
/// `shown`; what follows from a change is the same for all.
///
/// Foreign keys and unique constraints are checked at the statement's end, so rows may refer to each other in any order.
macro_rules! write_statement {
    ($head:literal, $statement:expr, $kind:expr $(, $extra:expr)*) => {
        sqlx::query_as!(
            crate::entity::statement::Outcome,
            "WITH RECURSIVE input AS (
                SELECT * FROM jsonb_to_recordset($3) AS i(
                    ordinal integer, id uuid, expected integer, action text, is_deleted boolean,
                    name text, display_name text, description text, category text, tags text[], properties jsonb,
                    base_datasets jsonb, metadata jsonb, refs jsonb,
                    source_id uuid, source_name text, target_id uuid, target_name text, cardinality text,
                    search_a text, search_b text, search_c text, search_text text,
                    change_description text, old jsonb, changes jsonb)
            ), resolved AS (
                SELECT i.id AS owner_id, r.property_id, r.required, r.added,
                    coalesce(r.target_id, by_name.id) AS target_id,
                    coalesce(sibling.name, by_id.name, by_name.name) AS target_name
                FROM input i
                CROSS JOIN LATERAL jsonb_to_recordset(i.refs)
                    AS r(property_id uuid, target_id uuid, target_name text, required boolean, added boolean)
                LEFT JOIN input sibling ON sibling.id = r.target_id AND $4 = 'object_type'
                LEFT JOIN object_types by_id ON by_id.tenant_id = $1 AND by_id.id = r.target_id
                LEFT JOIN object_types by_name
                    ON by_name.tenant_id = $1 AND lower(by_name.name) = r.target_name AND NOT by_name.is_deleted
            ), shown AS (
                SELECT owner_id, jsonb_object_agg(property_id, jsonb_build_object('id', target_id, 'name', target_name)) AS refs
                FROM resolved GROUP BY owner_id
            ), " + $head + ", references_gone AS (
                DELETE FROM type_references r USING written w
                WHERE r.tenant_id = $1 AND r.owner_id = w.id AND (w.is_deleted OR NOT EXISTS (
                    SELECT FROM resolved n WHERE n.owner_id = r.owner_id AND n.property_id = r.property_id))
            ), references_set AS (
                INSERT INTO type_references (tenant_id, owner_id, property_id, owner_kind, target_id, required)
                SELECT $1, n.owner_id, n.property_id, $4, n.target_id, n.required
                FROM resolved n JOIN written w ON w.id = n.owner_id AND NOT w.is_deleted
                ON CONFLICT (tenant_id, owner_id, property_id)
                DO UPDATE SET target_id = excluded.target_id, required = excluded.required
                WHERE (type_references.target_id, type_references.required)
                    IS DISTINCT FROM (excluded.target_id, excluded.required)
            ), versioned AS (
                INSERT INTO type_versions
                    (tenant_id, entity_id, version, entity_kind, action, snapshot, change_description, created_by)
                SELECT $1, entity_id, version, entity_kind, action, document, change_description, $2 FROM changed
            ), audited AS (
                INSERT INTO audit_logs
                    (tenant_id, entity_type, entity_id, action, actor, ip_address, user_agent, old_value, new_value, metadata)
                SELECT $1, entity_kind, entity_id, action, $2, $5::text::inet, $6, old,
                    CASE WHEN action <> 'DELETE' THEN document END,
                    jsonb_strip_nulls(jsonb_build_object('correlationId', $7::text, 'traceparent', $8::text,
                        'version', version, 'changeDescription', change_description))
                FROM changed
            ), queued AS (
                INSERT INTO outbox
                    (tenant_id, event_type, entity_kind, entity_id, version, actor, correlation_id, traceparent, document, changes)
                SELECT $1, CASE entity_kind WHEN 'object_type' THEN 'ObjectType' ELSE 'LinkType' END
                        || CASE action WHEN 'CREATE' THEN 'Created' WHEN 'UPDATE' THEN 'Updated'
                            WHEN 'DELETE' THEN 'Deleted' ELSE 'Restored' END,
                    entity_kind, entity_id, version, $2, $7, $8, document, changes
                FROM changed ORDER BY ordinal NULLS FIRST
            ), remembered AS (
                INSERT INTO idempotency_keys (tenant_id, actor, route, key, body_hash, entities)
                SELECT $1, $2, $9, $10, $11, (
                    SELECT jsonb_agg(jsonb_build_array(entity_id, version) ORDER BY ordinal)
                    FROM changed WHERE ordinal IS NOT NULL)
                WHERE $9::text IS NOT NULL AND EXISTS (SELECT FROM changed)
            )
            SELECT entity_kind AS \"kind!\", entity_id AS \"id!\", version AS \"version!\", ordinal,
                document::text AS document
            FROM changed
            UNION ALL
            SELECT 'circular', property_id, 0, NULL, NULL FROM blocked",
            $statement.context.tenant.as_str(),
            $statement.context.actor,
            $statement.rows,
            $kind,
            $statement.ip.as_deref(),
            $statement.context.user_agent.as_deref(),
            $statement.context.correlation_id,
            $statement.context.traceparent.as_deref(),
            $statement.context.idempotency.as_ref().map(|key| key.route.as_str()),
            $statement.context.idempotency.as_ref().map(|key| key.key.as_str()),
            $statement.context.idempotency.as_ref().map(|key| key.body_hash.as_slice()),
            $($extra,)*
        )
    };
}
pub(crate) use write_statement;
