-- Two restores from the same backup must not begin the same epoch: what the one gave out would be taken for the other's. The time
-- tells them apart.
CREATE OR REPLACE FUNCTION begin_epoch() RETURNS bigint LANGUAGE sql AS $$
    UPDATE event_log_head SET epoch = greatest(epoch + 1, extract(epoch FROM clock_timestamp())::bigint) RETURNING epoch
$$;
