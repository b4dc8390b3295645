-- The ranges of the log are tables, which only their owner may make and drop. Whoever moves rows into the log, or sweeps, may
-- be another role: these functions act as the owner then. Their search path is fixed and has temporary tables last, so that no
-- caller can put a table of its own in place of ours.
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY['extend_event_ranges(bigint, integer)', 'drop_oldest_event_range(interval)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', signature, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', signature);
    END LOOP;
END
$$;

-- For operators, after a restore.
REVOKE EXECUTE ON FUNCTION begin_epoch() FROM PUBLIC;
