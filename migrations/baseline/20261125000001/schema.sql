SET check_function_bodies = false;

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement and index searching based on trigrams';

CREATE FUNCTION public.begin_epoch() RETURNS bigint
    LANGUAGE sql
    AS $$
    UPDATE event_log_head SET epoch = epoch + 1 RETURNING epoch
$$;

CREATE FUNCTION public.claim_publisher_partitions(class integer, most integer) RETURNS SETOF smallint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.drop_oldest_event_range(age interval) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.extend_event_ranges(size bigint, ahead integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.link_types (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL COLLATE pg_catalog."C",
    source_object_type_id uuid NOT NULL,
    target_object_type_id uuid NOT NULL,
    cardinality text NOT NULL,
    description text,
    category text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    properties jsonb DEFAULT '[]'::jsonb NOT NULL,
    base_datasets jsonb DEFAULT '[]'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    is_live boolean GENERATED ALWAYS AS (
CASE
    WHEN is_deleted THEN NULL::boolean
    ELSE true
END) STORED,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text NOT NULL,
    search tsvector DEFAULT ''::tsvector NOT NULL,
    search_text text DEFAULT ''::text NOT NULL,
    CONSTRAINT link_type_name_format CHECK ((name ~ '^[a-zA-Z][a-zA-Z0-9_]*$'::text)),
    CONSTRAINT link_type_name_length CHECK ((char_length(name) <= 64)),
    CONSTRAINT link_types_cardinality_check CHECK ((cardinality = ANY (ARRAY['ONE_TO_ONE'::text, 'ONE_TO_MANY'::text, 'MANY_TO_MANY'::text])))
);

CREATE FUNCTION public.link_type_document(l public.link_types, source_name text, target_name text, type_references jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT jsonb_build_object(
        'id', l.id,
        'ends', jsonb_build_object(
            'source', jsonb_build_object('id', l.source_object_type_id, 'name', source_name),
            'target', jsonb_build_object('id', l.target_object_type_id, 'name', target_name),
            'cardinality', l.cardinality),
        'definition', jsonb_build_object(
            'name', l.name, 'displayName', l.display_name, 'description', l.description, 'category', l.category,
            'tags', to_jsonb(l.tags), 'properties', l.properties, 'references', type_references,
            'baseDatasets', l.base_datasets, 'metadata', l.metadata),
        'stamp', jsonb_build_object(
            'version', l.version, 'createdAt', l.created_at, 'createdBy', l.created_by,
            'updatedAt', l.updated_at, 'updatedBy', l.updated_by))
$$;

CREATE TABLE public.object_types (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL COLLATE pg_catalog."C",
    description text,
    category text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    properties jsonb DEFAULT '[]'::jsonb NOT NULL,
    base_datasets jsonb DEFAULT '[]'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    is_live boolean GENERATED ALWAYS AS (
CASE
    WHEN is_deleted THEN NULL::boolean
    ELSE true
END) STORED,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text NOT NULL,
    search tsvector DEFAULT ''::tsvector NOT NULL,
    search_text text DEFAULT ''::text NOT NULL,
    CONSTRAINT object_type_name_format CHECK ((name ~ '^[a-zA-Z][a-zA-Z0-9_]*$'::text)),
    CONSTRAINT object_type_name_length CHECK ((char_length(name) <= 64))
);

CREATE FUNCTION public.object_type_document(o public.object_types, type_references jsonb) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT jsonb_build_object(
        'id', o.id,
        'definition', jsonb_build_object(
            'name', o.name, 'displayName', o.display_name, 'description', o.description, 'category', o.category,
            'tags', to_jsonb(o.tags), 'properties', o.properties, 'references', type_references,
            'baseDatasets', o.base_datasets, 'metadata', o.metadata),
        'stamp', jsonb_build_object(
            'version', o.version, 'createdAt', o.created_at, 'createdBy', o.created_by,
            'updatedAt', o.updated_at, 'updatedBy', o.updated_by))
$$;

CREATE FUNCTION public.references_of(tenant text, owner uuid) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT coalesce(jsonb_object_agg(r.property_id, jsonb_build_object('id', t.id, 'name', t.name)), '{}')
    FROM type_references r
    JOIN object_types t ON t.tenant_id = r.tenant_id AND t.id = r.target_id
    WHERE r.tenant_id = tenant AND r.owner_id = owner
$$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION public.search_vector(a text, b text, c text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT setweight(to_tsvector('simple', a) || to_tsvector('english', a), 'A')
        || setweight(to_tsvector('simple', b) || to_tsvector('english', b), 'B')
        || setweight(to_tsvector('simple', c) || to_tsvector('english', c), 'C')
$$;

CREATE TABLE public.api_keys (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    roles text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    revoked_by text
);

CREATE TABLE public.audit_logs (
    tenant_id text NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    entity_type text NOT NULL,
    entity_id uuid,
    action text NOT NULL,
    actor text NOT NULL,
    ip_address inet,
    user_agent text,
    old_value jsonb,
    new_value jsonb,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.event_log_head (
    singleton boolean DEFAULT true NOT NULL,
    epoch bigint DEFAULT 1 NOT NULL,
    "position" bigint DEFAULT 0 NOT NULL,
    first_position bigint DEFAULT 1 NOT NULL,
    token_key bytea DEFAULT decode(replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text), 'hex'::text) NOT NULL,
    CONSTRAINT event_log_head_singleton_check CHECK (singleton)
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.event_ranges (
    first_position bigint NOT NULL,
    end_position bigint NOT NULL
);

CREATE TABLE public.events (
    "position" bigint NOT NULL,
    epoch bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    sequenced_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    correlation_id text,
    traceparent text,
    document jsonb NOT NULL,
    changes jsonb NOT NULL,
    bytes bigint NOT NULL,
    names text[] NOT NULL,
    publisher_partition smallint NOT NULL
)
PARTITION BY RANGE ("position");

CREATE TABLE public.events_from_1 (
    "position" bigint NOT NULL,
    epoch bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    sequenced_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    correlation_id text,
    traceparent text,
    document jsonb NOT NULL,
    changes jsonb NOT NULL,
    bytes bigint NOT NULL,
    names text[] NOT NULL,
    publisher_partition smallint NOT NULL
);

CREATE TABLE public.events_from_1000001 (
    "position" bigint NOT NULL,
    epoch bigint NOT NULL,
    event_id uuid NOT NULL,
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    sequenced_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    correlation_id text,
    traceparent text,
    document jsonb NOT NULL,
    changes jsonb NOT NULL,
    bytes bigint NOT NULL,
    names text[] NOT NULL,
    publisher_partition smallint NOT NULL
);

CREATE TABLE public.idempotency_keys (
    tenant_id text NOT NULL,
    actor text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    entities jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.outbox (
    seq bigint NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    tenant_id text NOT NULL,
    event_type text NOT NULL,
    entity_kind text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    actor text NOT NULL,
    occurred_at timestamp with time zone DEFAULT now() NOT NULL,
    correlation_id text,
    traceparent text,
    document jsonb NOT NULL,
    changes jsonb DEFAULT '[]'::jsonb NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.publisher_checkpoints (
    publisher_partition smallint NOT NULL,
    "position" bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.type_references (
    tenant_id text NOT NULL,
    owner_id uuid NOT NULL,
    property_id uuid NOT NULL,
    owner_kind text NOT NULL,
    target_id uuid NOT NULL,
    target_is_live boolean DEFAULT true NOT NULL,
    required boolean NOT NULL,
    CONSTRAINT type_references_owner_kind_check CHECK ((owner_kind = ANY (ARRAY['object_type'::text, 'link_type'::text]))),
    CONSTRAINT type_references_target_is_live_check CHECK (target_is_live)
);

CREATE TABLE public.type_versions (
    tenant_id text NOT NULL,
    entity_id uuid NOT NULL,
    version integer NOT NULL,
    entity_kind text NOT NULL,
    action text NOT NULL,
    snapshot jsonb NOT NULL,
    change_description text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT type_versions_action_check CHECK ((action = ANY (ARRAY['CREATE'::text, 'UPDATE'::text, 'DELETE'::text, 'RESTORE'::text]))),
    CONSTRAINT type_versions_entity_kind_check CHECK ((entity_kind = ANY (ARRAY['object_type'::text, 'link_type'::text])))
);

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_from_1 FOR VALUES FROM ('1') TO ('1000001');

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_from_1000001 FOR VALUES FROM ('1000001') TO ('2000001');

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_secret_key UNIQUE (secret_hash);

ALTER TABLE ONLY public.audit_logs
    ADD CONSTRAINT audit_logs_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.event_log_head
    ADD CONSTRAINT event_log_head_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.event_ranges
    ADD CONSTRAINT event_ranges_pkey PRIMARY KEY (first_position);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.events_from_1000001
    ADD CONSTRAINT events_from_1000001_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.events_from_1
    ADD CONSTRAINT events_from_1_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant_id, actor, route, key);

ALTER TABLE ONLY public.link_types
    ADD CONSTRAINT link_types_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.object_types
    ADD CONSTRAINT object_types_live_key UNIQUE (tenant_id, id, is_live);

ALTER TABLE ONLY public.object_types
    ADD CONSTRAINT object_types_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.publisher_checkpoints
    ADD CONSTRAINT publisher_checkpoints_pkey PRIMARY KEY (publisher_partition);

ALTER TABLE ONLY public.type_references
    ADD CONSTRAINT type_references_pkey PRIMARY KEY (tenant_id, owner_id, property_id);

ALTER TABLE ONLY public.type_versions
    ADD CONSTRAINT type_versions_pkey PRIMARY KEY (tenant_id, entity_id, version);

CREATE INDEX audit_logs_by_actor ON public.audit_logs USING btree (tenant_id, actor, created_at, id);

CREATE INDEX audit_logs_by_entity ON public.audit_logs USING btree (tenant_id, entity_id, created_at, id);

CREATE INDEX audit_logs_by_time ON public.audit_logs USING btree (tenant_id, created_at, id);

CREATE INDEX events_by_publisher ON ONLY public.events USING btree (publisher_partition, "position");

CREATE INDEX events_by_tenant ON ONLY public.events USING btree (tenant_id, "position");

CREATE INDEX events_from_1000001_publisher_partition_position_idx ON public.events_from_1000001 USING btree (publisher_partition, "position");

CREATE INDEX events_from_1000001_tenant_id_position_idx ON public.events_from_1000001 USING btree (tenant_id, "position");

CREATE INDEX events_from_1_publisher_partition_position_idx ON public.events_from_1 USING btree (publisher_partition, "position");

CREATE INDEX events_from_1_tenant_id_position_idx ON public.events_from_1 USING btree (tenant_id, "position");

CREATE INDEX idempotency_keys_by_time ON public.idempotency_keys USING btree (created_at);

CREATE INDEX link_types_by_category ON public.link_types USING btree (tenant_id, category, name, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_created_at ON public.link_types USING btree (tenant_id, created_at, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_display_name ON public.link_types USING btree (tenant_id, display_name, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_name ON public.link_types USING btree (tenant_id, name, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_source ON public.link_types USING btree (tenant_id, source_object_type_id, name, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_target ON public.link_types USING btree (tenant_id, target_object_type_id, name, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_by_updated_at ON public.link_types USING btree (tenant_id, updated_at, id) WHERE (NOT is_deleted);

CREATE INDEX link_types_deleted_name ON public.link_types USING btree (tenant_id, lower(name), updated_at) WHERE is_deleted;

CREATE UNIQUE INDEX link_types_name_key ON public.link_types USING btree (tenant_id, lower(name)) WHERE (NOT is_deleted);

CREATE INDEX link_types_search ON public.link_types USING gin (search) WHERE (NOT is_deleted);

CREATE INDEX link_types_search_text ON public.link_types USING gin (search_text public.gin_trgm_ops) WHERE (NOT is_deleted);

CREATE INDEX link_types_source_live ON public.link_types USING btree (tenant_id, source_object_type_id, is_live);

CREATE INDEX link_types_tags ON public.link_types USING gin (tags) WHERE (NOT is_deleted);

CREATE INDEX link_types_target_live ON public.link_types USING btree (tenant_id, target_object_type_id, is_live);

CREATE INDEX object_types_by_category ON public.object_types USING btree (tenant_id, category, name, id) WHERE (NOT is_deleted);

CREATE INDEX object_types_by_created_at ON public.object_types USING btree (tenant_id, created_at, id) WHERE (NOT is_deleted);

CREATE INDEX object_types_by_display_name ON public.object_types USING btree (tenant_id, display_name, id) WHERE (NOT is_deleted);

CREATE INDEX object_types_by_name ON public.object_types USING btree (tenant_id, name, id) WHERE (NOT is_deleted);

CREATE INDEX object_types_by_updated_at ON public.object_types USING btree (tenant_id, updated_at, id) WHERE (NOT is_deleted);

CREATE INDEX object_types_deleted_name ON public.object_types USING btree (tenant_id, lower(name), updated_at) WHERE is_deleted;

CREATE UNIQUE INDEX object_types_name_key ON public.object_types USING btree (tenant_id, lower(name)) WHERE (NOT is_deleted);

CREATE INDEX object_types_search ON public.object_types USING gin (search) WHERE (NOT is_deleted);

CREATE INDEX object_types_search_text ON public.object_types USING gin (search_text public.gin_trgm_ops) WHERE (NOT is_deleted);

CREATE INDEX object_types_tags ON public.object_types USING gin (tags) WHERE (NOT is_deleted);

CREATE INDEX type_references_by_target ON public.type_references USING btree (tenant_id, target_id, target_is_live);

ALTER INDEX public.events_pkey ATTACH PARTITION public.events_from_1000001_pkey;

ALTER INDEX public.events_by_publisher ATTACH PARTITION public.events_from_1000001_publisher_partition_position_idx;

ALTER INDEX public.events_by_tenant ATTACH PARTITION public.events_from_1000001_tenant_id_position_idx;

ALTER INDEX public.events_pkey ATTACH PARTITION public.events_from_1_pkey;

ALTER INDEX public.events_by_publisher ATTACH PARTITION public.events_from_1_publisher_partition_position_idx;

ALTER INDEX public.events_by_tenant ATTACH PARTITION public.events_from_1_tenant_id_position_idx;

CREATE STATISTICS public.link_types_folded_name ON lower(name) FROM public.link_types;

CREATE STATISTICS public.object_types_folded_name ON lower(name) FROM public.object_types;

CREATE TRIGGER audit_logs_insert_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_logs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.link_types
    ADD CONSTRAINT link_types_source_fkey FOREIGN KEY (tenant_id, source_object_type_id, is_live) REFERENCES public.object_types(tenant_id, id, is_live);

ALTER TABLE ONLY public.link_types
    ADD CONSTRAINT link_types_target_fkey FOREIGN KEY (tenant_id, target_object_type_id, is_live) REFERENCES public.object_types(tenant_id, id, is_live);

ALTER TABLE ONLY public.type_references
    ADD CONSTRAINT type_references_target_fkey FOREIGN KEY (tenant_id, target_id, target_is_live) REFERENCES public.object_types(tenant_id, id, is_live);
