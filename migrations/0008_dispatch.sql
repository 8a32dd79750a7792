-- Waits that targets ask for: they are counted, so that they grow, and another target does not inherit them.

ALTER TABLE delivery ADD waits smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN delivery.waits IS 'Waits on the current schedule that the target asked for and that used up no retry: each is at least twice as long as the one before';

CREATE FUNCTION is_same_target(one jsonb, other jsonb) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    one - '{concurrency,rate_per_second,timeout_seconds,retries}'::text[]
    IS NOT DISTINCT FROM other - '{concurrency,rate_per_second,timeout_seconds,retries}'::text[];
COMMENT ON FUNCTION is_same_target IS 'Whether two configurations push to the same place in the same way, however fast';

CREATE FUNCTION front_of_lane(integration uuid, of_kind smallint) RETURNS timestamptz STABLE LANGUAGE sql RETURN
    least(now(), (SELECT due_at FROM due WHERE integration_id = integration AND kind = of_kind ORDER BY due_at LIMIT 1))
    - interval '1 millisecond';
COMMENT ON FUNCTION front_of_lane IS 'A due time before all others of one kind in a lane: what an operator names goes first, as it may be the only one that goes';

-- What is written once and read seldom is kept as it comes: as jsonb it is half as long again, in the log too.
ALTER TABLE attempt
    ALTER request_headers TYPE json USING request_headers::json,
    ALTER response_headers TYPE json USING response_headers::json;

-- Every delivery is updated once by its first attempt: with room for the new row beside the old one that touches no index.
ALTER TABLE delivery SET (fillfactor = 50);

CREATE FUNCTION forget_waits(integration uuid) RETURNS void LANGUAGE sql BEGIN ATOMIC
    UPDATE due q SET due_at = now() FROM delivery d
    WHERE q.integration_id = integration AND q.due_at > now() AND d.company_id = q.company_id AND d.id = q.delivery_id
        AND d.waits > 0;
    UPDATE delivery d SET due_at = now(), waits = 0 FROM due q
    WHERE q.integration_id = integration AND q.due_at = now() AND d.company_id = q.company_id AND d.id = q.delivery_id
        AND d.waits > 0;
END;
COMMENT ON FUNCTION forget_waits IS 'Makes due what waits because its target asked for it: whoever lifts a lane''s pause lifts those waits, too';

CREATE FUNCTION resume_lane() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM forget_waits(NEW.id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION resume_lane IS 'Whatever lifts a pause before its time (a retry, a reset, another target, a test that arrives) lifts what waits for it';
CREATE TRIGGER integration_resumed AFTER UPDATE OF throttled_until ON integration
    FOR EACH ROW WHEN (OLD.throttled_until IS NOT NULL AND NEW.throttled_until IS NULL) EXECUTE FUNCTION resume_lane();
