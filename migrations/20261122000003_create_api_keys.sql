-- API keys: only the SHA-256 of a 256-bit random secret is kept.
CREATE TABLE api_keys (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    roles text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT api_keys_secret_key UNIQUE (secret_hash)
);
