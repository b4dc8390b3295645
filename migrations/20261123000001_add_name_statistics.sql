-- The planner has no statistics of a partial index: without these, it takes a hundred names for a large part of all types.
CREATE STATISTICS object_types_folded_name ON lower(name) FROM object_types;
CREATE STATISTICS link_types_folded_name ON lower(name) FROM link_types;
