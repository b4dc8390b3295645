-- The event log: committed outbox rows in one gap-free order, and how far each publisher has come in it.

-- One row: where the log ends. Whoever moves rows into the log holds its lock.
CREATE TABLE event_log_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    -- The life of the database: a restore from a backup begins the next one, see begin_epoch.
    epoch bigint NOT NULL DEFAULT 1,
    -- The last position that was given.
    position bigint NOT NULL DEFAULT 0,
    -- The first position that is still kept.
    first_position bigint NOT NULL DEFAULT 1,
    -- Signs resume tokens, so that nobody can make one up.
    token_key bytea NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0);

INSERT INTO event_log_head DEFAULT VALUES;

-- Append-only, but for whole ranges that are dropped when they are old.
CREATE TABLE events (
    position bigint NOT NULL,
    epoch bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamptz NOT NULL,
    sequenced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    correlation_id text,
    traceparent text,
    document jsonb NOT NULL,
    changes jsonb NOT NULL,
    -- How many bytes document and changes have as text: readers take as much as they have room for.
    bytes bigint NOT NULL,
    -- The folded name after the write, and the one before when it was renamed: what feeds are filtered by.
    names text[] NOT NULL,
    -- Which publisher sends it: all events of an entity have the same.
    publisher_partition smallint NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);

CREATE INDEX events_by_publisher ON events (publisher_partition, position);
CREATE INDEX events_by_tenant ON events (tenant_id, position);

-- How far each of the 16 publisher partitions was sent.
CREATE TABLE publisher_checkpoints (
    publisher_partition smallint PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0);

INSERT INTO publisher_checkpoints (publisher_partition) SELECT generate_series(0, 15);

-- The ranges of the log: each has a table of its own, named after its first position.
CREATE TABLE event_ranges (
    first_position bigint PRIMARY KEY,
    -- The first position after it.
    end_position bigint NOT NULL
);

-- Makes ranges of `size` positions until at least `ahead` of them are empty. Attaching waits for nobody who reads or writes
-- events; the caller holds the head, so no two make the same range.
CREATE FUNCTION extend_event_ranges(size bigint, ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head event_log_head;
    first bigint;
    range_name text;
BEGIN
    SELECT * INTO STRICT head FROM event_log_head FOR UPDATE;
    SELECT coalesce(max(end_position), 1) INTO first FROM event_ranges;
    WHILE first - head.position - 1 < ahead * size LOOP
        range_name := 'events_from_' || first;
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', range_name);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', range_name, first, first + size);
        INSERT INTO event_ranges VALUES (first, first + size);
        first := first + size;
    END LOOP;
END
$$;

-- Drops the oldest range when all its events are older than `age` and sent; whether it did.
CREATE FUNCTION drop_oldest_event_range(age interval) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    head event_log_head;
    oldest event_ranges;
    last_event timestamptz;
BEGIN
    -- The same order of locks as the sequencer's.
    SELECT * INTO STRICT head FROM event_log_head FOR UPDATE;
    SELECT * INTO STRICT oldest FROM event_ranges ORDER BY first_position LIMIT 1;
    IF oldest.end_position > head.position + 1
        OR EXISTS (SELECT FROM publisher_checkpoints WHERE position < oldest.end_position - 1) THEN
        RETURN false;
    END IF;
    SELECT sequenced_at INTO last_event FROM events WHERE position = oldest.end_position - 1;
    IF last_event > now() - age THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', 'events_from_' || oldest.first_position);
    DELETE FROM event_ranges WHERE first_position = oldest.first_position;
    UPDATE event_log_head SET first_position = oldest.end_position;
    RETURN true;
END
$$;

-- To be called once after a restore from a backup, before anything runs on the database: its positions may have been given
-- before, in a future that is lost.
CREATE FUNCTION begin_epoch() RETURNS bigint LANGUAGE sql AS $$
    UPDATE event_log_head SET epoch = epoch + 1 RETURNING epoch
$$;

-- Locks, for this session, up to `most` of the publisher partitions that have something to send, in any order, so that none
-- waits for another. Partitions that another session has locked are passed over.
CREATE FUNCTION claim_publisher_partitions(class integer, most integer) RETURNS SETOF smallint LANGUAGE plpgsql AS $$
DECLARE
    candidate record;
    claimed integer := 0;
BEGIN
    FOR candidate IN
        SELECT c.publisher_partition FROM publisher_checkpoints c
        WHERE EXISTS (
            SELECT FROM events e WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position)
        ORDER BY random()
    LOOP
        EXIT WHEN claimed = most;
        IF pg_try_advisory_lock(class, candidate.publisher_partition) THEN
            claimed := claimed + 1;
            RETURN NEXT candidate.publisher_partition;
        END IF;
    END LOOP;
END
$$;

SELECT extend_event_ranges(1000000, 2);
