-- The document of a type as text, for those who read it: `(SELECT document FROM object_type_as_text(t))`. The planner puts the body
-- of a function that returns a table into the statement; a call of references_of was set up anew in each. And as text it is
-- written once, where jsonb is built, sorted, and then written. Writes keep jsonb: it is what versions and events have.
CREATE FUNCTION references_as_json(tenant text, owner uuid) RETURNS TABLE (shown json)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(json_object_agg(r.property_id, json_build_object('id', t.id, 'name', t.name)), '{}')
    FROM type_references r
    JOIN object_types t ON t.tenant_id = r.tenant_id AND t.id = r.target_id
    WHERE r.tenant_id = tenant AND r.owner_id = owner
$$;

CREATE FUNCTION object_type_as_text(o object_types) RETURNS TABLE (document text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT json_build_object(
        'id', o.id,
        'definition', json_build_object(
            'name', o.name, 'displayName', o.display_name, 'description', o.description, 'category', o.category,
            'tags', to_json(o.tags), 'properties', o.properties,
            'references', (SELECT shown FROM references_as_json(o.tenant_id, o.id)),
            'baseDatasets', o.base_datasets, 'metadata', o.metadata),
        'stamp', json_build_object(
            'version', o.version, 'createdAt', o.created_at, 'createdBy', o.created_by,
            'updatedAt', o.updated_at, 'updatedBy', o.updated_by))::text
$$;

CREATE FUNCTION link_type_as_text(l link_types, source_name text, target_name text) RETURNS TABLE (document text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT json_build_object(
        'id', l.id,
        'ends', json_build_object(
            'source', json_build_object('id', l.source_object_type_id, 'name', source_name),
            'target', json_build_object('id', l.target_object_type_id, 'name', target_name),
            'cardinality', l.cardinality),
        'definition', json_build_object(
            'name', l.name, 'displayName', l.display_name, 'description', l.description, 'category', l.category,
            'tags', to_json(l.tags), 'properties', l.properties,
            'references', (SELECT shown FROM references_as_json(l.tenant_id, l.id)),
            'baseDatasets', l.base_datasets, 'metadata', l.metadata),
        'stamp', json_build_object(
            'version', l.version, 'createdAt', l.created_at, 'createdBy', l.created_by,
            'updatedAt', l.updated_at, 'updatedBy', l.updated_by))::text
$$;
