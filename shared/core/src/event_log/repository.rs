//! SQL of the event log.

use sqlx::{PgConnection, PgExecutor, postgres::types::PgInterval};
use uuid::Uuid;

use super::{PARTITIONS, Row};

/// How many positions a range of the log has.
const RANGE: i64 = 1_000_000;

/// About how many bytes of documents, as they lie in the outbox, one transaction moves into the log.
const MOVE_BYTES: i64 = 32 << 20;

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
    /// Positions that have a range.
    pub(super) free: i64,
}

pub(super) async fn lock_head(db: &mut PgConnection) -> sqlx::Result<LockedHead> {
    sqlx::query_as!(
        LockedHead,
        r#"SELECT position, (SELECT max(end_position) FROM event_ranges) - position - 1 AS "free!"
        FROM event_log_head FOR UPDATE"#
    )
    .fetch_one(db)
    .await
}

/// Sees to it that two ranges are empty.
pub(super) async fn extend_ranges(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT extend_event_ranges($1, 2)", RANGE).execute(db).await?;
    Ok(())
}

/// Lets a transaction wait only so long for locks, so that nobody waits long behind it.
pub(super) async fn be_impatient(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SET LOCAL lock_timeout = '1s'").execute(db).await?;
    Ok(())
}

/// What one transaction moved.
pub(super) struct Moved {
    pub(super) rows: i64,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// Moves up to `limit` rows into the log, fewer when they are large, in the order of the outbox.
pub(super) async fn move_rows(db: &mut PgConnection, head: &LockedHead, limit: i64) -> sqlx::Result<Moved> {
    sqlx::query_as!(
        Moved,
        r#"WITH next AS MATERIALIZED (
            SELECT seq, pg_column_size(document) + pg_column_size(changes) AS size FROM outbox ORDER BY seq LIMIT $2
        ), fitting AS MATERIALIZED (
            SELECT seq, place FROM (
                SELECT seq, row_number() OVER w AS place, sum(size) OVER w - size AS before FROM next WINDOW w AS (ORDER BY seq)
            ) n WHERE before < $4::bigint
        ), taken AS (
            DELETE FROM outbox o USING fitting f WHERE o.seq = f.seq RETURNING f.place, o.*
        ), moved AS (
            INSERT INTO events (position, epoch, event_id, tenant_id, event_type, entity_kind, entity_id, version, actor,
                occurred_at, correlation_id, traceparent, document, changes, bytes, names, publisher_partition)
            SELECT $1 + t.place, h.epoch, t.event_id, t.tenant_id, t.event_type, t.entity_kind,
                t.entity_id, t.version, t.actor, t.occurred_at, t.correlation_id, t.traceparent, t.document, t.changes,
                octet_length(t.document::text) + octet_length(t.changes::text),
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
        SELECT moved AS "rows!", (SELECT count(*) FROM next) = $2 OR (SELECT count(*) FROM next) > moved AS "more!"
        FROM counted"#,
        head.position,
        limit,
        i32::from(PARTITIONS),
        MOVE_BYTES,
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

/// The events of partitions that were not published, above the checkpoint of each and above the position up to which it was
/// read before, in order: at most `share` of each partition, and as many as have about `bytes` together, but always one. Only
/// those that are taken are made into text. Rows are compared, so that no index but the publisher's will do: by positions
/// alone the events of all others would be passed over, row by row.
pub(super) async fn unpublished(
    db: &mut PgConnection,
    partitions: &[i16],
    read: &[i64],
    share: i64,
    bytes: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"WITH waiting AS MATERIALIZED (
            SELECT e.position, e.bytes
            FROM unnest($1::smallint[], $2::bigint[]) AS n(publisher_partition, read)
            JOIN publisher_checkpoints c USING (publisher_partition)
            CROSS JOIN LATERAL (
                SELECT position, bytes FROM events
                WHERE publisher_partition = c.publisher_partition AND (events.publisher_partition, events.position)
                    > (c.publisher_partition, greatest(c.position, n.read))
                ORDER BY events.position LIMIT $3
            ) e
        ), fitting AS (
            SELECT position FROM (SELECT position, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM waiting) w
            WHERE before < $4::bigint
        )
        SELECT e.position, e.epoch, e.event_id, e.tenant_id, e.event_type, e.entity_id, e.version, e.actor,
            e.occurred_at, e.correlation_id, e.traceparent, e.publisher_partition,
            e.document::text AS "document!", e.changes::text AS "changes!", e.names
        FROM fitting f CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = f.position OFFSET 0) e
        ORDER BY f.position"#,
        partitions,
        read,
        share,
        bytes,
    )
    .fetch_all(db)
    .await
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

/// Moves every checkpoint to the end of the log.
pub(super) async fn advance_all(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE publisher_checkpoints c SET position = h.position FROM event_log_head h WHERE c.position < h.position"
    )
    .execute(db)
    .await?;
    Ok(())
}

pub(super) async fn begin_epoch(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT begin_epoch() AS "epoch!""#).fetch_one(db).await
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
        r#"SELECT ((SELECT max(end_position) FROM event_ranges) - position - 1) / $1 AS "ranges_ahead!",
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

/// Events of a tenant above a position and up to another, and the position up to which the page speaks. They have about
/// `bytes` together, but there is always one.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    filter: &FeedFilter<'_>,
    (after, until): (i64, i64),
    limit: i64,
    bytes: i64,
) -> sqlx::Result<(Vec<Row>, i64)> {
    let rows = sqlx::query!(
        r#"WITH seen AS MATERIALIZED (
            SELECT position, bytes, (($4::text[] IS NULL OR event_type = ANY($4))
                AND ($5::uuid[] IS NULL OR entity_id = ANY($5)) AND ($6::text[] IS NULL OR names && $6)) AS matches
            FROM events WHERE tenant_id = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $8
        ), matched AS (
            SELECT position, bytes FROM seen WHERE matches ORDER BY position LIMIT $7
        ), fitting AS (
            SELECT position FROM (SELECT position, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM matched) m
            WHERE before < $9::bigint
        ), reached AS (
            SELECT CASE
                WHEN (SELECT count(*) FROM fitting) < (SELECT count(*) FROM matched) OR (SELECT count(*) FROM matched) = $7
                    THEN (SELECT max(position) FROM fitting)
                WHEN (SELECT count(*) FROM seen) = $8 THEN (SELECT max(position) FROM seen)
                ELSE $3 END AS until
        )
        SELECT r.until AS "until!", e.position AS "position?", e.epoch AS "epoch?", e.event_id AS "event_id?",
            e.tenant_id AS "tenant_id?", e.event_type AS "event_type?", e.entity_id AS "entity_id?",
            e.version AS "version?", e.actor AS "actor?", e.occurred_at AS "occurred_at?", e.correlation_id, e.traceparent,
            e.publisher_partition AS "publisher_partition?", e.names AS "names?", e.document::text AS document,
            e.changes::text AS changes
        FROM reached r LEFT JOIN (
            SELECT e.* FROM fitting f CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = f.position OFFSET 0) e
        ) e ON true ORDER BY e.position"#,
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
    let reached = rows.first().map_or(until, |row| row.until);
    // A row without an event only tells how far was looked.
    let events = rows.into_iter().filter_map(|row| {
        Some(Row {
            position: row.position?,
            epoch: row.epoch?,
            event_id: row.event_id?,
            tenant_id: row.tenant_id?,
            event_type: row.event_type?,
            entity_id: row.entity_id?,
            version: row.version?,
            actor: row.actor?,
            occurred_at: row.occurred_at?,
            correlation_id: row.correlation_id,
            traceparent: row.traceparent,
            publisher_partition: row.publisher_partition?,
            document: row.document?,
            changes: row.changes?,
            names: row.names?,
        })
    });
    Ok((events.collect(), reached))
}

/// The newest events of all tenants above a position, for those who watch: at most `limit`, and as many as have about `bytes`
/// together, but always one.
pub(crate) async fn newest(db: impl PgExecutor<'_>, after: i64, limit: i64, bytes: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"WITH next AS MATERIALIZED (
            SELECT position, bytes FROM events WHERE position > $1 ORDER BY position LIMIT $2
        ), fitting AS (
            SELECT position FROM (SELECT position, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM next) n
            WHERE before < $3::bigint
        )
        SELECT e.position, e.epoch, e.event_id, e.tenant_id, e.event_type, e.entity_id, e.version, e.actor,
            e.occurred_at, e.correlation_id, e.traceparent, e.publisher_partition, e.document::text AS "document!",
            e.changes::text AS "changes!", e.names
        FROM fitting f CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = f.position OFFSET 0) e
        ORDER BY f.position"#,
        after,
        limit,
        bytes,
    )
    .fetch_all(db)
    .await
}
