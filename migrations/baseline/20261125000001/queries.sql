DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(hours => $1) LIMIT 10000))
;
INSERT INTO audit_logs (tenant_id, entity_type, action, actor, ip_address, user_agent, metadata)
        VALUES ($1, 'authentication', 'LOGIN_FAILED', 'anonymous', $2::text::inet, $3, jsonb_strip_nulls($4))
;
INSERT INTO idempotency_keys (tenant_id, actor, route, key, body_hash, entities)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
;
SELECT 'link_type' AS "kind!", l.name AS "name!",
            NULL::jsonb AS "properties: sqlx::types::Json<Vec<crate::property::Property>>", NULL::uuid AS property_id
        FROM link_types l
        WHERE $3 AND l.tenant_id = $1 AND NOT l.is_deleted
            AND (l.source_object_type_id = $2 OR l.target_object_type_id = $2)
        UNION ALL
        SELECT r.owner_kind, coalesce(o.name, k.name), coalesce(o.properties, k.properties), r.property_id
        FROM type_references r
        LEFT JOIN object_types o ON o.tenant_id = $1 AND o.id = r.owner_id AND r.owner_kind = 'object_type'
        LEFT JOIN link_types k ON k.tenant_id = $1 AND k.id = r.owner_id AND r.owner_kind = 'link_type'
        WHERE r.tenant_id = $1 AND r.target_id = $2 AND r.owner_id <> $2
        ORDER BY 1, 2 LIMIT 100
;
SELECT ((SELECT max(end_position) FROM event_ranges) - position - 1) / $1 AS "ranges_ahead!",
            (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables
                WHERE relname IN ('outbox', 'publisher_checkpoints', 'event_log_head')) AS "dead_rows!"
        FROM event_log_head
;
SELECT claim_publisher_partitions AS "partition!" FROM claim_publisher_partitions($1, $2)
;
SELECT count(*) AS "count!" FROM object_types WHERE NOT is_deleted
;
SELECT drop_oldest_event_range($1)
;
SELECT entity_id, version, action, change_description, created_at, created_by, NULL AS snapshot
        FROM (
            SELECT v.*, sum(200 + coalesce(octet_length(change_description), 0)) OVER (ORDER BY place, entity_id) AS bytes
            FROM (SELECT DISTINCT id FROM unnest($3::uuid[]) AS id) wanted
            CROSS JOIN LATERAL (
                SELECT *, row_number() OVER (ORDER BY version DESC) AS place FROM type_versions
                WHERE tenant_id = $1 AND entity_kind = $2 AND entity_id = wanted.id
                ORDER BY version DESC LIMIT $4
            ) v
        ) sized
        WHERE place = 1 OR bytes <= $5
        ORDER BY entity_id, version DESC
;
SELECT entity_id, version, action, change_description, created_at, created_by, NULL AS snapshot
        FROM type_versions
        WHERE tenant_id = $1 AND entity_kind = $2 AND version < coalesce($5, 2147483647) AND entity_id = coalesce($3, CASE $2
            WHEN 'object_type' THEN (SELECT id FROM object_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted)
            ELSE (SELECT id FROM link_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted) END)
        ORDER BY version DESC LIMIT $6
;
SELECT entity_id, version, action, change_description, created_at, created_by, snapshot::text AS snapshot
        FROM type_versions
        WHERE tenant_id = $1 AND entity_kind = $2 AND (version = ANY($5) OR version = 1) AND entity_id = coalesce($3, CASE $2
            WHEN 'object_type' THEN (SELECT id FROM object_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted)
            ELSE (SELECT id FROM link_types WHERE tenant_id = $1 AND lower(name) = $4 AND NOT is_deleted) END)
        ORDER BY version
;
SELECT epoch, position, first_position, token_key, EXISTS (SELECT FROM outbox) AS "waiting!"
        FROM event_log_head
;
SELECT extend_event_ranges($1, 2)
;
SELECT extract(epoch FROM now() - least(
            (SELECT occurred_at FROM outbox ORDER BY seq LIMIT 1),
            (SELECT min(waiting.occurred_at) FROM publisher_checkpoints c CROSS JOIN LATERAL (
                SELECT e.occurred_at FROM events e
                WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position
                ORDER BY e.position LIMIT 1) waiting)))::float8
;
SELECT id, lower(name) AS "name!" FROM object_types
        WHERE tenant_id = $1 AND NOT is_deleted AND (id = ANY($2) OR lower(name) = ANY($3))
;
SELECT id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at FROM api_keys
        WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1000
;
SELECT link_type_document(t, s.name, g.name, references_of($1, t.id))::text AS "document!"
                    FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    WHERE t.tenant_id = $1 AND lower(t.name) = $2 AND NOT t.is_deleted
;
SELECT link_type_document(t, s.name, g.name, references_of($1, t.id))::text AS "document!"
                    FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    WHERE t.tenant_id = $1 AND t.id = $2 AND NOT t.is_deleted
;
SELECT lower(name) AS "name!", id FROM link_types
            WHERE tenant_id = $1 AND NOT is_deleted AND lower(name) = ANY($2)
;
SELECT lower(name) AS "name!", id FROM object_types
            WHERE tenant_id = $1 AND NOT is_deleted AND lower(name) = ANY($2)
;
SELECT object_type_document(t, references_of($1, t.id))::text AS "document!"
                    FROM object_types t WHERE t.tenant_id = $1 AND lower(t.name) = $2 AND NOT t.is_deleted
;
SELECT object_type_document(t, references_of($1, t.id))::text AS "document!"
                    FROM object_types t WHERE t.tenant_id = $1 AND t.id = $2 AND NOT t.is_deleted
;
SELECT pg_advisory_unlock_all()
;
SELECT position, (SELECT max(end_position) FROM event_ranges) - position - 1 AS "free!"
        FROM event_log_head FOR UPDATE
;
SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM link_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND lower(t.name) = $2
                    ORDER BY t.is_deleted, t.updated_at DESC LIMIT 1
;
SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM link_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND t.id = $2
;
SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM object_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND lower(t.name) = $2
                    ORDER BY t.is_deleted, t.updated_at DESC LIMIT 1
;
SELECT t.version, t.is_deleted, v.snapshot::text AS "document!"
                    FROM object_types t
                    JOIN type_versions v ON v.tenant_id = $1 AND v.entity_id = t.id AND v.version = t.version
                    WHERE t.tenant_id = $1 AND t.id = $2
;
SET LOCAL lock_timeout = '1s'
;
UPDATE publisher_checkpoints c SET position = h.position FROM event_log_head h
        WHERE c.position < h.position AND NOT EXISTS (
            SELECT FROM events e WHERE e.publisher_partition = c.publisher_partition AND e.position > c.position)
;
UPDATE publisher_checkpoints c SET position = h.position FROM event_log_head h WHERE c.position < h.position
;
UPDATE publisher_checkpoints c SET position = n.position
        FROM unnest($1::smallint[], $2::bigint[]) AS n(publisher_partition, position)
        WHERE c.publisher_partition = n.publisher_partition AND c.position < n.position
;
WITH RECURSIVE input AS (
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
            ), blocked AS (
                SELECT NULL::uuid AS property_id WHERE false
            ), ends AS (
                SELECT i.id, coalesce(i.source_id, sn.id) AS source_id, coalesce(i.target_id, gn.id) AS target_id,
                    coalesce(si.name, sn.name) AS source_name, coalesce(gi.name, gn.name) AS target_name
                FROM input i
                LEFT JOIN object_types si ON si.tenant_id = $1 AND si.id = i.source_id
                LEFT JOIN object_types sn ON sn.tenant_id = $1 AND lower(sn.name) = i.source_name AND NOT sn.is_deleted
                LEFT JOIN object_types gi ON gi.tenant_id = $1 AND gi.id = i.target_id
                LEFT JOIN object_types gn ON gn.tenant_id = $1 AND lower(gn.name) = i.target_name AND NOT gn.is_deleted
            ), created AS (
                INSERT INTO link_types AS t (tenant_id, id, name, display_name, source_object_type_id, target_object_type_id,
                    cardinality, description, category, tags, properties, base_datasets, metadata, created_by, updated_by,
                    search, search_text)
                SELECT $1, i.id, i.name, i.display_name, e.source_id, e.target_id, i.cardinality, i.description, i.category,
                    i.tags, i.properties, i.base_datasets, i.metadata, $2, $2,
                    search_vector(i.search_a, i.search_b, i.search_c), i.search_text
                FROM input i JOIN ends e ON e.id = i.id WHERE i.expected = 0 ORDER BY lower(i.name)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), revised AS (
                UPDATE link_types t SET name = i.name, display_name = i.display_name, description = i.description,
                    source_object_type_id = e.source_id, target_object_type_id = e.target_id, cardinality = i.cardinality,
                    category = i.category, tags = i.tags, properties = i.properties, base_datasets = i.base_datasets,
                    metadata = i.metadata, is_deleted = i.is_deleted, version = t.version + 1,
                    updated_at = greatest(now(), t.updated_at), updated_by = $2,
                    search = search_vector(i.search_a, i.search_b, i.search_c), search_text = i.search_text
                FROM input i JOIN ends e ON e.id = i.id
                WHERE t.tenant_id = $1 AND t.id = i.id AND t.version = i.expected
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), written AS (
                SELECT * FROM created UNION ALL SELECT * FROM revised
            ), changed AS (
                SELECT 'link_type' AS entity_kind, w.id AS entity_id, w.version, i.ordinal, i.action,
                    link_type_document(w.entity, e.source_name, e.target_name, coalesce(s.refs, '{}')) AS document,
                    i.old, i.changes, i.change_description
                FROM written w
                JOIN input i ON i.id = w.id
                JOIN ends e ON e.id = w.id
                LEFT JOIN shown s ON s.owner_id = w.id
            ), references_gone AS (
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
            SELECT entity_kind AS "kind!", entity_id AS "id!", version AS "version!", ordinal,
                document::text AS document
            FROM changed
            UNION ALL
            SELECT 'circular', property_id, 0, NULL, NULL FROM blocked
;
WITH RECURSIVE input AS (
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
            ), reach(owner_id, property_id, node) AS (
                SELECT owner_id, property_id, target_id FROM resolved WHERE required AND added
                UNION
                SELECT reach.owner_id, reach.property_id, r.target_id FROM reach JOIN type_references r
                    ON r.tenant_id = $1 AND r.owner_id = reach.node AND r.owner_kind = 'object_type' AND r.required
                WHERE reach.node <> reach.owner_id
            ), blocked AS (
                SELECT owner_id, property_id FROM reach WHERE node = owner_id
            ), created AS (
                INSERT INTO object_types AS t (tenant_id, id, name, display_name, description, category, tags, properties,
                    base_datasets, metadata, created_by, updated_by, search, search_text)
                SELECT $1, id, name, display_name, description, category, tags, properties, base_datasets, metadata, $2, $2,
                    search_vector(search_a, search_b, search_c), search_text
                FROM input WHERE expected = 0 ORDER BY lower(name)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), revised AS (
                UPDATE object_types t SET name = i.name, display_name = i.display_name, description = i.description,
                    category = i.category, tags = i.tags, properties = i.properties, base_datasets = i.base_datasets,
                    metadata = i.metadata, is_deleted = i.is_deleted, version = t.version + 1,
                    updated_at = greatest(now(), t.updated_at), updated_by = $2,
                    search = search_vector(i.search_a, i.search_b, i.search_c), search_text = i.search_text
                FROM input i
                WHERE t.tenant_id = $1 AND t.id = i.id AND t.version = i.expected
                    AND NOT EXISTS (SELECT FROM blocked b WHERE b.owner_id = i.id)
                RETURNING t AS entity, t.id, t.version, t.is_deleted
            ), cascaded AS (
                UPDATE link_types l SET is_deleted = true, version = l.version + 1,
                    updated_at = greatest(now(), l.updated_at), updated_by = $2
                FROM revised r
                WHERE $12::boolean AND r.is_deleted AND l.tenant_id = $1 AND NOT l.is_deleted
                    AND (l.source_object_type_id = r.id OR l.target_object_type_id = r.id)
                RETURNING l AS entity, l.id, l.version, l.source_object_type_id AS source_id, l.target_object_type_id AS target_id
            ), written AS (
                SELECT id, is_deleted FROM created UNION ALL SELECT id, is_deleted FROM revised
                UNION ALL SELECT id, true FROM cascaded
            ), changed AS (
                SELECT 'object_type' AS entity_kind, w.id AS entity_id, w.version, i.ordinal, i.action,
                    object_type_document(w.entity, coalesce(s.refs, '{}')) AS document, i.old, i.changes, i.change_description
                FROM (SELECT * FROM created UNION ALL SELECT * FROM revised) w
                JOIN input i ON i.id = w.id
                LEFT JOIN shown s ON s.owner_id = w.id
                UNION ALL
                SELECT 'link_type', c.id, c.version, NULL, 'DELETE',
                    link_type_document(c.entity, source.name, target.name, references_of($1, c.id)),
                    link_type_document(before, source.name, target.name, references_of($1, c.id)), '[]', NULL
                FROM cascaded c
                JOIN link_types before ON before.tenant_id = $1 AND before.id = c.id
                JOIN object_types source ON source.tenant_id = $1 AND source.id = c.source_id
                JOIN object_types target ON target.tenant_id = $1 AND target.id = c.target_id
            ), references_gone AS (
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
            SELECT entity_kind AS "kind!", entity_id AS "id!", version AS "version!", ordinal,
                document::text AS document
            FROM changed
            UNION ALL
            SELECT 'circular', property_id, 0, NULL, NULL FROM blocked
;
WITH expired AS (
            DELETE FROM idempotency_keys WHERE tenant_id = $1 AND actor = $2 AND route = $3 AND key = $4
                AND created_at < now() - make_interval(hours => $5)
        )
        SELECT body_hash, entities AS "entities: Json<Vec<(Uuid, i32)>>" FROM idempotency_keys
        WHERE tenant_id = $1 AND actor = $2 AND route = $3 AND key = $4
            AND created_at >= now() - make_interval(hours => $5)
;
WITH found AS MATERIALIZED (
                SELECT link_type_document(t, s.name, g.name, references_of($1, t.id))::text AS document
                FROM link_types t
                JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                WHERE t.tenant_id = $1 AND NOT t.is_deleted AND (t.id = ANY($2) OR lower(t.name) = ANY($3))
            )
            SELECT CASE WHEN row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4
                THEN document END AS document
            FROM found WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
;
WITH found AS MATERIALIZED (
                SELECT object_type_document(t, references_of($1, t.id))::text AS document
                FROM object_types t
                WHERE t.tenant_id = $1 AND NOT t.is_deleted AND (t.id = ANY($2) OR lower(t.name) = ANY($3))
            )
            SELECT CASE WHEN row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4
                THEN document END AS document
            FROM found WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)
;
WITH found AS MATERIALIZED (
            SELECT wanted.ordinal, v.snapshot::text AS document
            FROM unnest($3::uuid[], $4::integer[]) WITH ORDINALITY AS wanted(id, version, ordinal)
            JOIN type_versions v ON v.tenant_id = $1 AND v.entity_kind = $2
                AND v.entity_id = wanted.id AND v.version = wanted.version
        )
        SELECT ordinal AS "ordinal!", CASE WHEN row_number() OVER so_far = 1
            OR sum(octet_length(document)) OVER so_far <= $5 THEN document END AS document
        FROM found WINDOW so_far AS (ORDER BY ordinal)
        ORDER BY ordinal
;
WITH found AS MATERIALIZED (
        SELECT id, entity_type, entity_id, action, actor, host(ip_address) AS ip_address, user_agent,
            old_value, new_value, metadata, created_at
        FROM audit_logs
        WHERE tenant_id = $1
            AND ($2::text IS NULL OR entity_type = $2)
            AND ($3::uuid IS NULL OR entity_id = $3)
            AND ($4::text IS NULL OR actor = $4)
            AND ($5::text IS NULL OR action = $5)
            AND ($6::timestamptz IS NULL OR created_at >= $6)
            AND ($7::timestamptz IS NULL OR created_at < $7)
            AND ($8::timestamptz IS NULL OR (created_at, id) < ($8, $9))
        ORDER BY created_at DESC, id DESC LIMIT $10::bigint + 1
        ), numbered AS (
            SELECT *, row_number() OVER () AS place,
                sum(coalesce(octet_length(old_value::text), 0) + coalesce(octet_length(new_value::text), 0))
                    OVER (ROWS UNBOUNDED PRECEDING) AS bytes
            FROM found
        )
        SELECT id AS "id!", entity_type AS "entity_type!", entity_id, action AS "action!", actor AS "actor!", ip_address,
            user_agent, old_value, new_value, metadata AS "metadata!", created_at AS "created_at!",
            (SELECT count(*) FROM found) AS "found!"
        FROM numbered WHERE place = 1 OR (place <= $10 AND bytes <= $11) ORDER BY place
;
WITH made AS (
            INSERT INTO api_keys (tenant_id, id, name, secret_hash, roles, created_by, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            RETURNING id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at
        ), audited AS (
            INSERT INTO audit_logs (tenant_id, entity_type, entity_id, action, actor, ip_address, user_agent, new_value, metadata)
            SELECT $1, 'api_key', id, 'CREATE', $6, $8::text::inet, $9,
                jsonb_strip_nulls(jsonb_build_object('name', name, 'roles', roles, 'expiresAt', expires_at)),
                jsonb_strip_nulls(jsonb_build_object('correlationId', $10::text, 'traceparent', $11::text))
            FROM made
        )
        SELECT id, name, roles, created_at, created_by, expires_at, last_used_at, revoked_at FROM made
;
WITH next AS MATERIALIZED (
            SELECT position, bytes FROM events WHERE position > $1 ORDER BY position LIMIT $2
        ), fitting AS (
            SELECT position FROM (SELECT position, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM next) n
            WHERE before < $3::bigint
        )
        SELECT e.position, e.epoch, e.event_id, e.tenant_id, e.event_type, e.entity_id, e.version, e.actor,
            e.occurred_at, e.correlation_id, e.traceparent, e.publisher_partition, e.document::text AS "document!",
            e.changes::text AS "changes!", e.names
        FROM fitting f CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = f.position OFFSET 0) e
        ORDER BY f.position
;
WITH next AS MATERIALIZED (
            SELECT seq, pg_column_size(document) + pg_column_size(changes) AS size FROM outbox ORDER BY seq LIMIT $2
        ), fitting AS (
            SELECT seq FROM (SELECT seq, sum(size) OVER (ORDER BY seq) - size AS before FROM next) n WHERE before < $4::bigint
        ), taken AS (
            DELETE FROM outbox WHERE seq IN (SELECT seq FROM fitting) RETURNING *
        ), moved AS (
            INSERT INTO events (position, epoch, event_id, tenant_id, event_type, entity_kind, entity_id, version, actor,
                occurred_at, correlation_id, traceparent, document, changes, bytes, names, publisher_partition)
            SELECT $1 + row_number() OVER (ORDER BY t.seq), h.epoch, t.event_id, t.tenant_id, t.event_type, t.entity_kind,
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
        FROM counted
;
WITH query AS (
            SELECT to_tsquery('simple', $2) || to_tsquery('english', $2) AS words
        ), hits AS (
            (SELECT 'object_type' AS kind, t.id, t.name,
                ts_rank(t.search, words) + 10 * (replace(lower(t.name), '_', '') = $3)::integer AS score
            FROM object_types t, query
            WHERE $6 AND t.tenant_id = $1 AND NOT t.is_deleted AND t.search @@ words
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
            UNION ALL
            (SELECT 'link_type', t.id, t.name,
                ts_rank(t.search, words) + 10 * (replace(lower(t.name), '_', '') = $3)::integer AS score
            FROM link_types t, query
            WHERE $7 AND t.tenant_id = $1 AND NOT t.is_deleted AND t.search @@ words
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
        ), alike AS (
            (SELECT 'object_type' AS kind, t.id, t.name,
                0.25 * word_similarity($4, t.search_text) + 0.25 * similarity($4, t.search_text) AS score
            FROM object_types t
            WHERE $6 AND (SELECT count(*) FROM hits) < $5 AND t.tenant_id = $1 AND NOT t.is_deleted
                AND $4 <% t.search_text AND NOT EXISTS (SELECT FROM hits h WHERE h.id = t.id)
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
            UNION ALL
            (SELECT 'link_type', t.id, t.name,
                0.25 * word_similarity($4, t.search_text) + 0.25 * similarity($4, t.search_text) AS score
            FROM link_types t
            WHERE $7 AND (SELECT count(*) FROM hits) < $5 AND t.tenant_id = $1 AND NOT t.is_deleted
                AND $4 <% t.search_text AND NOT EXISTS (SELECT FROM hits h WHERE h.id = t.id)
            ORDER BY score DESC, length(t.name), t.name LIMIT $5)
        ), best AS (
            SELECT *, row_number() OVER (ORDER BY score DESC, length(name), name) AS place
            FROM (SELECT * FROM hits UNION ALL SELECT * FROM alike) found
            ORDER BY place LIMIT $5
        ), documents AS (
            SELECT b.kind, b.score, b.place, coalesce(
                (SELECT object_type_document(t, references_of($1, t.id)) FROM object_types t
                    WHERE b.kind = 'object_type' AND t.tenant_id = $1 AND t.id = b.id),
                (SELECT link_type_document(t, s.name, g.name, references_of($1, t.id)) FROM link_types t
                    JOIN object_types s ON s.tenant_id = $1 AND s.id = t.source_object_type_id
                    JOIN object_types g ON g.tenant_id = $1 AND g.id = t.target_object_type_id
                    WHERE b.kind = 'link_type' AND t.tenant_id = $1 AND t.id = b.id))::text AS document
            FROM best b
        ), sized AS (
            SELECT *, sum(octet_length(document)) OVER (ORDER BY place) AS bytes FROM documents
        )
        SELECT kind AS "kind!", score::real AS "score!", document AS "document!"
        FROM sized WHERE place = 1 OR bytes <= $8 ORDER BY place
;
WITH revoked AS (
            UPDATE api_keys SET revoked_at = now(), revoked_by = $3
            WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING id
        ), audited AS (
            INSERT INTO audit_logs (tenant_id, entity_type, entity_id, action, actor, ip_address, user_agent, metadata)
            SELECT $1, 'api_key', id, 'REVOKE', $3, $4::text::inet, $5,
                jsonb_strip_nulls(jsonb_build_object('correlationId', $6::text, 'traceparent', $7::text))
            FROM revoked
        )
        SELECT EXISTS (SELECT FROM api_keys WHERE tenant_id = $1 AND id = $2) AS "exists!"
;
WITH seen AS MATERIALIZED (
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
        ) e ON true ORDER BY e.position
;
WITH valid AS (
            SELECT tenant_id, id, name, roles, expires_at FROM api_keys
            WHERE secret_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
        ), used AS (
            UPDATE api_keys k SET last_used_at = now() FROM valid v
            WHERE k.tenant_id = v.tenant_id AND k.id = v.id
                AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute')
        )
        SELECT tenant_id, id, name, roles, expires_at FROM valid
;
WITH waiting AS MATERIALIZED (
            SELECT e.position, e.bytes FROM publisher_checkpoints c CROSS JOIN LATERAL (
                SELECT position, bytes FROM events
                WHERE publisher_partition = c.publisher_partition AND events.position > c.position
                ORDER BY events.position LIMIT $2
            ) e
            WHERE c.publisher_partition = ANY($1)
            ORDER BY e.position LIMIT $2
        ), fitting AS (
            SELECT position FROM (SELECT position, sum(bytes) OVER (ORDER BY position) - bytes AS before FROM waiting) w
            WHERE before < $3::bigint
        )
        SELECT e.position, e.epoch, e.event_id, e.tenant_id, e.event_type, e.entity_id, e.version, e.actor,
            e.occurred_at, e.correlation_id, e.traceparent, e.publisher_partition,
            e.document::text AS "document!", e.changes::text AS "changes!", e.names
        FROM fitting f CROSS JOIN LATERAL (SELECT * FROM events WHERE events.position = f.position OFFSET 0) e
        ORDER BY f.position
;
WITH wanted AS (
                SELECT * FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, ordinal)
            ), found AS MATERIALIZED (
                SELECT w.ordinal, l.place,
                    link_type_document(l.t, s.name, g.name, references_of($1, (l.t).id))::text AS document
                FROM wanted w
                CROSS JOIN LATERAL (
                    SELECT t, row_number() OVER (ORDER BY t.name, t.id) AS place
                    FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t.source_object_type_id = w.id
                    ORDER BY t.name, t.id LIMIT $3::bigint + 1
                ) l
                JOIN object_types s ON s.tenant_id = $1 AND s.id = (l.t).source_object_type_id
                JOIN object_types g ON g.tenant_id = $1 AND g.id = (l.t).target_object_type_id
            ), sized AS (
                SELECT *, row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4 AS fits
                FROM found WINDOW so_far AS (ORDER BY place, ordinal)
            ), pages AS (
                SELECT ordinal, array_agg(document ORDER BY place) FILTER (WHERE place <= $3 AND fits) AS documents,
                    bool_or(place > $3 OR NOT fits) AS has_more
                FROM sized GROUP BY ordinal
            )
            SELECT coalesce(p.documents, '{}') AS "documents!", coalesce(p.has_more, false) AS "has_more!",
                CASE WHEN $5::boolean THEN (
                    SELECT count(*) FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t.source_object_type_id = w.id) END AS total
            FROM wanted w LEFT JOIN pages p ON p.ordinal = w.ordinal
            ORDER BY w.ordinal
;
WITH wanted AS (
                SELECT * FROM unnest($2::uuid[]) WITH ORDINALITY AS w(id, ordinal)
            ), found AS MATERIALIZED (
                SELECT w.ordinal, l.place,
                    link_type_document(l.t, s.name, g.name, references_of($1, (l.t).id))::text AS document
                FROM wanted w
                CROSS JOIN LATERAL (
                    SELECT t, row_number() OVER (ORDER BY t.name, t.id) AS place
                    FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t.target_object_type_id = w.id
                    ORDER BY t.name, t.id LIMIT $3::bigint + 1
                ) l
                JOIN object_types s ON s.tenant_id = $1 AND s.id = (l.t).source_object_type_id
                JOIN object_types g ON g.tenant_id = $1 AND g.id = (l.t).target_object_type_id
            ), sized AS (
                SELECT *, row_number() OVER so_far = 1 OR sum(octet_length(document)) OVER so_far <= $4 AS fits
                FROM found WINDOW so_far AS (ORDER BY place, ordinal)
            ), pages AS (
                SELECT ordinal, array_agg(document ORDER BY place) FILTER (WHERE place <= $3 AND fits) AS documents,
                    bool_or(place > $3 OR NOT fits) AS has_more
                FROM sized GROUP BY ordinal
            )
            SELECT coalesce(p.documents, '{}') AS "documents!", coalesce(p.has_more, false) AS "has_more!",
                CASE WHEN $5::boolean THEN (
                    SELECT count(*) FROM link_types t
                    WHERE t.tenant_id = $1 AND NOT t.is_deleted AND t.target_object_type_id = w.id) END AS total
            FROM wanted w LEFT JOIN pages p ON p.ordinal = w.ordinal
            ORDER BY w.ordinal
;
