-- What every write leaves behind: a version, an audit row, an outbox row, and the answer to a repeated request.

CREATE TABLE type_versions (
    tenant_id text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    entity_kind text NOT NULL CHECK (entity_kind IN ('object_type', 'link_type')),
    action text NOT NULL CHECK (action IN ('CREATE', 'UPDATE', 'DELETE', 'RESTORE')),
    snapshot jsonb NOT NULL,
    change_description text,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (tenant_id, entity_id, version)
);

CREATE TABLE audit_logs (
    tenant_id text NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    entity_type text NOT NULL,
    -- Null where there is no entity: a failed login.
    entity_id uuid,
    action text NOT NULL,
    actor text NOT NULL,
    ip_address inet,
    user_agent text,
    old_value jsonb,
    new_value jsonb,
    -- correlationId, traceparent, version, changeDescription, reason.
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX audit_logs_by_time ON audit_logs (tenant_id, created_at, id);
CREATE INDEX audit_logs_by_entity ON audit_logs (tenant_id, entity_id, created_at, id);
CREATE INDEX audit_logs_by_actor ON audit_logs (tenant_id, actor, created_at, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_logs_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Committed rows leave in the order of seq. Only writers insert, only the sequencer deletes.
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT now(),
    correlation_id text,
    traceparent text,
    -- The document after the write, and what changed.
    document jsonb NOT NULL,
    changes jsonb NOT NULL DEFAULT '[]'
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL,
    actor text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    -- [[entity id, version], ...] in the order of the answer.
    entities jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, actor, route, key)
);

CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
