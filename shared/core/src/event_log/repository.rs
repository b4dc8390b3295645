//! SQL of the event log.

use sqlx::{PgConnection, PgExecutor, postgres::types::PgInterval};
use uuid::Uuid;

use super::{LogEvent, PARTITIONS, Row};

/// How many positions a range of the log has.
const RANGE: i64 = 1_000_000;

/// Where the log ends.
pub(crate) struct Head {
    pub(crate) epoch: i64,
    pub(crate) position: i64,
    pub(crate) first_position: i64,
    pub(crate) token_key: Vec<u8>,
    /// Whether rows wait to be moved into the log.
    pub(crate) waiting: bool,
}

pub(crate) async fn head(db: impl PgExecutor<'_>) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"SELECT epoch, position, first_position, token_key, EXISTS (SELECT FROM outbox) AS "waiting!"
        FROM event_log_head"#
    )
    .fetch_one(db)
    .await
}

/// The head, locked: what comes after it in the transaction sees all that was committed before the lock was had.
pub(super) struct LockedHead {
    pub(super) position: i64,
    pub(super) ranges_end: i64,
}

pub(super) async fn lock_head(db: &mut PgConnection) -> sqlx::Result<LockedHead> {
    sqlx::query_as!(LockedHead, "SELECT position, ranges_end FROM event_log_head FOR UPDATE").fetch_one(db).await
}

/// Sees to it that two ranges are empty.
pub(super) async fn extend_ranges(db: &mut PgConnection, head: &LockedHead) -> sqlx::Result<()> {
    if head.ranges_end - head.position > 2 * RANGE {
        return Ok(());
    }
    sqlx::query!("SELECT extend_event_ranges($1, 2)", RANGE).execute(db).await?;
    Ok(())
}

/// Moves up to `limit` rows into the log, in the order of the outbox; how many.
pub(super) async fn move_rows(db: &mut PgConnection, head: &LockedHead, limit: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"WITH taken AS (
            DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT $2) RETURNING *
        ), moved AS (
            INSERT INTO events (position, epoch, event_id, tenant_id, event_type, entity_kind, entity_id, version, actor,
                occurred_at, correlation_id, traceparent, document, changes, names, publisher_partition)
            SELECT $1 + row_number() OVER (ORDER BY t.seq), h.epoch, t.event_id, t.tenant_id, t.event_type, t.entity_kind,
                t.entity_id, t.version, t.actor, t.occurred_at, t.correlation_id, t.traceparent, t.document, t.changes,
                ARRAY(SELECT lower(t.document #>> '{definition,name}') UNION
                    SELECT lower(before) FROM jsonb_array_elements_text(
                        jsonb_path_query_array(t.changes, '$[*] ? (@.field == "name").oldValue')) AS before),
                get_byte(uuid_send(t.entity_id), 15) % $3::int
            FROM taken t CROSS JOIN event_log_head h
            RETURNING position
        ), counted AS (
            SELECT count(*) AS moved FROM moved
        ), ended AS (
            UPDATE event_log_head SET position = position + moved FROM counted WHERE moved > 0
        )
        SELECT moved AS "moved!" FROM counted"#,
        head.position,
        limit,
        i32::from(PARTITIONS),
    )
    .fetch_one(db)
    .await
}

/// Locks partitions that have something to publish.
pub(super) async fn claim(db: &mut PgConnection, class: i32, most: i32) -> sqlx::Result<Vec<i16>> {
    sqlx::query_scalar!(
        r#"SELECT claim_publisher_partitions AS "partition!" FROM claim_publisher_partitions($1, $2)"#,
        class,
        most
    )
    .fetch_all(db)
    .await
}

/// The events of these partitions that were not published, in order.
pub(super) async fn unpublished(db: &mut PgConnection, partitions: &[i16], limit: i64) -> sqlx::Result<Vec<LogEvent>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT e.position, e.epoch, e.event_id, e.tenant_id, e.event_type, e.entity_id, e.version, e.actor,
            e.occurred_at, e.correlation_id, e.traceparent, e.publisher_partition,
            e.document::text AS "document!", e.changes::text AS "changes!", e.names
        FROM publisher_checkpoints c CROSS JOIN LATERAL (
            SELECT * FROM events e
            WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position
            ORDER BY e.position LIMIT $2
        ) e
        WHERE c.publisher_partition = ANY($1)
        ORDER BY e.position LIMIT $2"#,
        partitions,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(LogEvent::try_from).collect()
}

/// Moves checkpoints forward, never back.
pub(super) async fn advance(db: &mut PgConnection, partitions: &[i16], positions: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE publisher_checkpoints c SET position = n.position
        FROM unnest($1::smallint[], $2::bigint[]) AS n(publisher_partition, position)
        WHERE c.publisher_partition = n.publisher_partition AND c.position < n.position",
        partitions,
        positions,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn unlock_all(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_unlock_all()").execute(db).await?;
    Ok(())
}

/// Moves the checkpoints of partitions that have nothing to publish to the end of the log, so that they hold no old range.
/// A publisher at work has something to publish until it moves its checkpoint itself.
pub(super) async fn advance_idle(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE publisher_checkpoints c SET position = h.position FROM event_log_head h
        WHERE c.position < h.position AND NOT EXISTS (
            SELECT FROM events e WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position)"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops the oldest range of the log if it is old enough and published; whether it did.
pub(super) async fn drop_oldest_range(db: impl PgExecutor<'_>, age: PgInterval) -> sqlx::Result<bool> {
    let dropped = sqlx::query_scalar!("SELECT drop_oldest_event_range($1)", age).fetch_one(db).await?;
    Ok(dropped.unwrap_or(false))
}

/// Seconds since the oldest unpublished event was written; none when there is none.
pub(super) async fn oldest_unpublished(db: impl PgExecutor<'_>) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM now() - least(
            (SELECT occurred_at FROM outbox ORDER BY seq LIMIT 1),
            (SELECT min(waiting.occurred_at) FROM publisher_checkpoints c CROSS JOIN LATERAL (
                SELECT e.occurred_at FROM events e
                WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position
                ORDER BY e.position LIMIT 1) waiting)))::float8"#
    )
    .fetch_one(db)
    .await
}

/// What operators are warned by.
pub(super) struct Vitals {
    /// Empty ranges ahead of the end.
    pub(super) ranges_ahead: i64,
    /// Rows of the queue tables that vacuum has not taken away yet.
    pub(super) dead_rows: i64,
}

pub(super) async fn vitals(db: impl PgExecutor<'_>) -> sqlx::Result<Vitals> {
    sqlx::query_as!(
        Vitals,
        r#"SELECT (ranges_end - position - 1) / $1 AS "ranges_ahead!",
            (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables
                WHERE relname IN ('outbox', 'publisher_checkpoints', 'event_log_head')) AS "dead_rows!"
        FROM event_log_head"#,
        RANGE,
    )
    .fetch_one(db)
    .await
}

/// What a feed is read by.
pub(crate) struct FeedFilter<'a> {
    pub(crate) tenant: &'a str,
    /// Types of events; null means all.
    pub(crate) types: Option<Vec<String>>,
    /// Entities; null means all.
    pub(crate) entities: Option<&'a [Uuid]>,
    /// Folded names; null means all.
    pub(crate) names: Option<&'a [String]>,
}

/// How many events of a tenant are looked at for one page, whatever the filter lets through.
const LOOK_AT: i64 = 5_000;

/// Events of a tenant above a position and up to another, and the position up to which the page speaks. The text of all
/// together stays below `bytes`, but for the first.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    filter: &FeedFilter<'_>,
    (after, until): (i64, i64),
    limit: i64,
    bytes: i64,
) -> sqlx::Result<(Vec<LogEvent>, i64)> {
    let rows = sqlx::query!(
        r#"WITH seen AS MATERIALIZED (
            SELECT position, (($4::text[] IS NULL OR event_type = ANY($4)) AND ($5::uuid[] IS NULL OR entity_id = ANY($5))
                AND ($6::text[] IS NULL OR names && $6)) AS matches
            FROM events WHERE tenant_id = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $8
        ), matched AS (
            SELECT position FROM seen WHERE matches ORDER BY position LIMIT $7
        ), reached AS (
            SELECT CASE WHEN (SELECT count(*) FROM matched) = $7 THEN (SELECT max(position) FROM matched)
                WHEN (SELECT count(*) FROM seen) = $8 THEN (SELECT max(position) FROM seen)
                ELSE $3 END AS until
        ), whole AS (
            SELECT e.*, e.document::text AS document_text, e.changes::text AS changes_text
            FROM matched JOIN events e USING (position)
        ), fitting AS (
            SELECT *, sum(length(document_text) + length(changes_text)) OVER (ORDER BY position) AS size,
                row_number() OVER (ORDER BY position) AS n
            FROM whole
        )
        SELECT r.until AS "until!", f.position AS "position?", f.epoch AS "epoch?", f.event_id AS "event_id?",
            f.tenant_id AS "tenant_id?", f.event_type AS "event_type?", f.entity_id AS "entity_id?",
            f.version AS "version?", f.actor AS "actor?", f.occurred_at AS "occurred_at?", f.correlation_id, f.traceparent,
            f.publisher_partition AS "publisher_partition?", f.names AS "names?",
            CASE WHEN f.n = 1 OR f.size <= $9 THEN f.document_text END AS document,
            CASE WHEN f.n = 1 OR f.size <= $9 THEN f.changes_text END AS changes
        FROM reached r LEFT JOIN fitting f ON true ORDER BY f.position"#,
        filter.tenant,
        after,
        until,
        filter.types.as_deref(),
        filter.entities,
        filter.names,
        limit,
        LOOK_AT,
        bytes,
    )
    .fetch_all(db)
    .await?;
    let mut reached = rows.first().map_or(until, |row| row.until);
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(position) = row.position else { break };
        let (Some(document), Some(changes)) = (row.document, row.changes) else {
            // The page is full: it speaks up to the event before.
            reached = position - 1;
            break;
        };
        let missing = || sqlx::Error::Decode(format!("event {position} lacks a column").into());
        events.push(LogEvent::try_from(Row {
            position,
            epoch: row.epoch.ok_or_else(missing)?,
            event_id: row.event_id.ok_or_else(missing)?,
            tenant_id: row.tenant_id.ok_or_else(missing)?,
            event_type: row.event_type.ok_or_else(missing)?,
            entity_id: row.entity_id.ok_or_else(missing)?,
            version: row.version.ok_or_else(missing)?,
            actor: row.actor.ok_or_else(missing)?,
            occurred_at: row.occurred_at.ok_or_else(missing)?,
            correlation_id: row.correlation_id,
            traceparent: row.traceparent,
            publisher_partition: row.publisher_partition.ok_or_else(missing)?,
            document,
            changes,
            names: row.names.ok_or_else(missing)?,
        })?);
    }
    Ok((events, reached))
}

/// The newest events of all tenants above a position, for those who watch.
pub(crate) async fn newest(db: impl PgExecutor<'_>, after: i64, limit: i64) -> sqlx::Result<Vec<LogEvent>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT position, epoch, event_id, tenant_id, event_type, entity_id, version, actor, occurred_at, correlation_id,
            traceparent, publisher_partition, document::text AS "document!", changes::text AS "changes!", names
        FROM events WHERE position > $1 ORDER BY position LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(LogEvent::try_from).collect()
}
