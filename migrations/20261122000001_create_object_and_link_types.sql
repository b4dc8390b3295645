-- Object types, link types and the references between them (specification 3.1, corrected by the design, section 2).
CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE object_types (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL,
    description text,
    category text,
    tags text[] NOT NULL DEFAULT '{}',
    properties jsonb NOT NULL DEFAULT '[]',
    base_datasets jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    is_deleted boolean NOT NULL DEFAULT false,
    -- Null when deleted, so that live rows alone can be the target of a foreign key.
    is_live boolean GENERATED ALWAYS AS (CASE WHEN is_deleted THEN NULL ELSE true END) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    search tsvector NOT NULL DEFAULT '',
    search_text text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT object_types_live_key UNIQUE (tenant_id, id, is_live),
    CONSTRAINT object_type_name_format CHECK (name ~ '^[a-zA-Z][a-zA-Z0-9_]*$'),
    CONSTRAINT object_type_name_length CHECK (char_length(name) <= 64)
);

-- The name is unique among the live types of a tenant, compared without case; this constraint alone decides.
CREATE UNIQUE INDEX object_types_name_key ON object_types (tenant_id, lower(name)) WHERE NOT is_deleted;
-- Finds the type to restore.
CREATE INDEX object_types_deleted_name ON object_types (tenant_id, lower(name), updated_at) WHERE is_deleted;
CREATE INDEX object_types_by_name ON object_types (tenant_id, name, id) WHERE NOT is_deleted;
CREATE INDEX object_types_by_display_name ON object_types (tenant_id, display_name, id) WHERE NOT is_deleted;
CREATE INDEX object_types_by_created_at ON object_types (tenant_id, created_at, id) WHERE NOT is_deleted;
CREATE INDEX object_types_by_updated_at ON object_types (tenant_id, updated_at, id) WHERE NOT is_deleted;
CREATE INDEX object_types_by_category ON object_types (tenant_id, category, name, id) WHERE NOT is_deleted;
CREATE INDEX object_types_tags ON object_types USING gin (tags) WHERE NOT is_deleted;
CREATE INDEX object_types_search ON object_types USING gin (search) WHERE NOT is_deleted;
CREATE INDEX object_types_search_text ON object_types USING gin (search_text gin_trgm_ops) WHERE NOT is_deleted;

CREATE TABLE link_types (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    display_name text COLLATE "C" NOT NULL,
    source_object_type_id uuid NOT NULL,
    target_object_type_id uuid NOT NULL,
    cardinality text NOT NULL CHECK (cardinality IN ('ONE_TO_ONE', 'ONE_TO_MANY', 'MANY_TO_MANY')),
    description text,
    category text,
    tags text[] NOT NULL DEFAULT '{}',
    properties jsonb NOT NULL DEFAULT '[]',
    base_datasets jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    version integer NOT NULL DEFAULT 1,
    is_deleted boolean NOT NULL DEFAULT false,
    is_live boolean GENERATED ALWAYS AS (CASE WHEN is_deleted THEN NULL ELSE true END) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    search tsvector NOT NULL DEFAULT '',
    search_text text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT link_type_name_format CHECK (name ~ '^[a-zA-Z][a-zA-Z0-9_]*$'),
    CONSTRAINT link_type_name_length CHECK (char_length(name) <= 64),
    -- A live link holds both its ends live; a deleted one (is_live is null) holds nothing.
    CONSTRAINT link_types_source_fkey FOREIGN KEY (tenant_id, source_object_type_id, is_live)
        REFERENCES object_types (tenant_id, id, is_live),
    CONSTRAINT link_types_target_fkey FOREIGN KEY (tenant_id, target_object_type_id, is_live)
        REFERENCES object_types (tenant_id, id, is_live)
);

CREATE UNIQUE INDEX link_types_name_key ON link_types (tenant_id, lower(name)) WHERE NOT is_deleted;
CREATE INDEX link_types_deleted_name ON link_types (tenant_id, lower(name), updated_at) WHERE is_deleted;
CREATE INDEX link_types_by_name ON link_types (tenant_id, name, id) WHERE NOT is_deleted;
CREATE INDEX link_types_by_display_name ON link_types (tenant_id, display_name, id) WHERE NOT is_deleted;
CREATE INDEX link_types_by_created_at ON link_types (tenant_id, created_at, id) WHERE NOT is_deleted;
CREATE INDEX link_types_by_updated_at ON link_types (tenant_id, updated_at, id) WHERE NOT is_deleted;
CREATE INDEX link_types_by_category ON link_types (tenant_id, category, name, id) WHERE NOT is_deleted;
-- Also what the foreign keys' checks use when an object type is deleted.
CREATE INDEX link_types_by_source ON link_types (tenant_id, source_object_type_id, name, id) WHERE NOT is_deleted;
CREATE INDEX link_types_by_target ON link_types (tenant_id, target_object_type_id, name, id) WHERE NOT is_deleted;
CREATE INDEX link_types_source_live ON link_types (tenant_id, source_object_type_id, is_live);
CREATE INDEX link_types_target_live ON link_types (tenant_id, target_object_type_id, is_live);
CREATE INDEX link_types_tags ON link_types USING gin (tags) WHERE NOT is_deleted;
CREATE INDEX link_types_search ON link_types USING gin (search) WHERE NOT is_deleted;
CREATE INDEX link_types_search_text ON link_types USING gin (search_text gin_trgm_ops) WHERE NOT is_deleted;

-- Where REFERENCE properties of live types point. Rows of a deleted type are gone; its snapshots keep them.
CREATE TABLE type_references (
    tenant_id text NOT NULL,
    owner_id uuid NOT NULL,
    property_id uuid NOT NULL,
    -- Whether the owner is an object type; a link type's references can't be part of a cycle.
    owner_kind text NOT NULL CHECK (owner_kind IN ('object_type', 'link_type')),
    target_id uuid NOT NULL,
    target_is_live boolean NOT NULL DEFAULT true CHECK (target_is_live),
    -- Whether no instance of the owner can exist without an instance of the target.
    required boolean NOT NULL,
    PRIMARY KEY (tenant_id, owner_id, property_id),
    CONSTRAINT type_references_target_fkey FOREIGN KEY (tenant_id, target_id, target_is_live)
        REFERENCES object_types (tenant_id, id, is_live)
);

CREATE INDEX type_references_by_target ON type_references (tenant_id, target_id, target_is_live);

-- The references of a type as its document shows them: property id -> {id, name} of the target.
CREATE FUNCTION references_of(tenant text, owner uuid) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(r.property_id, jsonb_build_object('id', t.id, 'name', t.name)), '{}')
    FROM type_references r
    JOIN object_types t ON t.tenant_id = r.tenant_id AND t.id = r.target_id
    WHERE r.tenant_id = tenant AND r.owner_id = owner
$$;

-- A type as one JSON document: what services read, what versions keep and events carry.
CREATE FUNCTION object_type_document(o object_types, type_references jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
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

CREATE FUNCTION link_type_document(l link_types, source_name text, target_name text, type_references jsonb) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
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

-- What full-text search looks into, by weight: A name and display name, B property names and tags, C description.
CREATE FUNCTION search_vector(a text, b text, c text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector('simple', a) || to_tsvector('english', a), 'A')
        || setweight(to_tsvector('simple', b) || to_tsvector('english', b), 'B')
        || setweight(to_tsvector('simple', c) || to_tsvector('english', c), 'C')
$$;
