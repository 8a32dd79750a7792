-- Rules of the queue that several statements ask for: each stands here once.

CREATE FUNCTION lane_is_open(i integration, c company) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    i.enabled AND NOT i.awaits_cut_over AND i.deleted_at IS NULL AND c.paused_at IS NULL;
COMMENT ON FUNCTION lane_is_open IS 'Whether nobody''s command keeps an integration from pushing: it is enabled, no rotation holds it, its company is not paused';

CREATE FUNCTION lane_may_push(i integration, c company) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    lane_is_open(i, c) AND (i.throttled_until IS NULL OR i.throttled_until <= now());
COMMENT ON FUNCTION lane_may_push IS 'Whether an integration pushes now: nobody''s command keeps it, and its target asked for no pause';

-- After 20 failures in a row a breaker opens for 15 s, each further time for twice as long, 300 s at most. One answer of
-- the target closes it. While it is open it counts, but does not move.
CREATE FUNCTION breaker_after(
    streak_before integer, trips_before integer, until_before timestamptz, is_up boolean, down integer, at timestamptz
) RETURNS TABLE (streak integer, trips integer, until timestamptz) IMMUTABLE ROWS 1 LANGUAGE sql BEGIN ATOMIC
    SELECT n.streak, n.trips + o.opens::integer,
        CASE WHEN o.opens THEN at + least(15 * 2 ^ least(n.trips, 10), 300) * interval '1 second' ELSE n.until END
    FROM (SELECT down + CASE WHEN is_up THEN 0 ELSE streak_before END AS streak,
              CASE WHEN is_up THEN 0 ELSE trips_before END AS trips,
              CASE WHEN NOT is_up THEN until_before END AS until) n
    CROSS JOIN LATERAL (SELECT down > 0 AND n.streak >= 20 AND (n.until IS NULL OR n.until <= at) AS opens) o;
END;
COMMENT ON FUNCTION breaker_after IS 'A breaker after a flush of attempts, of which one found the target up, or not, and so many behind that one found it down';

ALTER TABLE delivery RENAME COLUMN deaths TO crashes;
COMMENT ON COLUMN delivery.crashes IS 'Attempts during which the daemon died; a suspect is pushed alone, a third crash makes the delivery dead';

-- A reason is a code for the machine, with a typed detail; its sentence is made where people read it.
ALTER TABLE delivery RENAME COLUMN reason TO reason_code;
ALTER TABLE delivery ADD COLUMN reason_detail jsonb;
COMMENT ON COLUMN delivery.reason_code IS 'Why it is held, skipped or dead, or what a pending one waits for: a code; null if that needs no reason';
COMMENT ON COLUMN delivery.reason_detail IS 'What the code leaves open: an id, a name, a class; null for a code that says all';
UPDATE delivery d SET (reason_code, reason_detail) = (
    SELECT code, detail FROM (VALUES
        (1, 'integration disabled', 'integration_disabled', NULL::jsonb),
        (2, 'rotation: held until cut over', 'rotation', NULL),
        (3, 'consent', 'no_consent', NULL),
        (4, 'erased', 'erased', NULL),
        (5, 'flow: none sends leads here', 'no_flow', NULL),
        (6, 'superseded%a later push', 'superseded', NULL),
        (6, 'superseded', 'superseded', NULL),
        (7, 'waits for %', 'waits_for', to_jsonb(right(d.reason_code, 26))),
        (8, 'superseded by %', 'superseded', to_jsonb(right(d.reason_code, 26))),
        (9, 'replaced by %', 'replaced', to_jsonb(right(d.reason_code, 26))),
        (10, 'operator: held by %', 'held_by_operator', to_jsonb(substr(d.reason_code, 19))),
        (11, 'operator: skipped%', 'skipped_by_operator',
            jsonb_build_object('operator', coalesce(substring(d.reason_code FROM ' by (.*)'), ''), 'was', 'pending')),
        (12, 'flow %cannot be evaluated: %', 'flow_fails', jsonb_build_object(
            'flow', coalesce(substring(d.reason_code FROM '^flow "(.*)" cannot be evaluated: '), ''),
            'problem', split_part(d.reason_code, ' cannot be evaluated: ', 2))),
        (13, 'flow%', 'flow_not_met', jsonb_build_object(
            'flows', jsonb_build_array(coalesce(substring(d.reason_code FROM '"(.*)"'), '')))),
        (14, 'poison%', 'crashed', to_jsonb(3)),
        (15, '%: the sweep failed too', 'sweep_failed', to_jsonb(substring(d.reason_code FROM '^[a-z]+'))),
        (16, '%automatic retries failed', 'retries_failed', jsonb_build_object(
            'class', substring(d.reason_code FROM '^[a-z]+'),
            'retries', substring(d.reason_code FROM '([0-9]+) automatic')::integer)),
        (17, 'unknown, maybe delivered', CASE d.state WHEN 'pending' THEN 'maybe_delivered' ELSE 'failed' END,
            CASE WHEN d.state <> 'pending' THEN to_jsonb('unknown'::text) END),
        (18, '%', CASE d.state WHEN 'held' THEN 'held_by_operator' ELSE 'failed' END,
            to_jsonb(CASE d.state WHEN 'held' THEN d.reason_code ELSE substring(d.reason_code FROM '^[a-z]+') END))
    ) known(rank, pattern, code, detail) WHERE d.reason_code LIKE pattern ORDER BY rank LIMIT 1
) WHERE reason_code IS NOT NULL;

-- A job's counts are its own: what it brought to an end stays counted as that, whatever becomes of the delivery later.
ALTER TABLE job ADD COLUMN delivered bigint NOT NULL DEFAULT 0 CHECK (delivered >= 0);
ALTER TABLE job ADD COLUMN dead bigint NOT NULL DEFAULT 0 CHECK (dead >= 0);
ALTER TABLE job ADD COLUMN settled_at timestamptz;
COMMENT ON COLUMN job.delivered IS 'Deliveries that arrived under it and belong to it no more, because somebody moved them on';
COMMENT ON COLUMN job.dead IS 'Deliveries that died under it and belong to it no more, because somebody moved them on';
COMMENT ON COLUMN job.settled_at IS 'When the last of those became final; null for none';
COMMENT ON COLUMN delivery.job_id IS 'The job that last brought it back, until somebody else moves on what came of it; null for none';

CREATE FUNCTION leave_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE job SET delivered = delivered + (OLD.state = 'delivered')::integer, dead = dead + (OLD.state = 'dead')::integer,
        settled_at = greatest(settled_at, OLD.finished_at)
    WHERE company_id = OLD.company_id AND id = OLD.job_id AND integration_id = OLD.integration_id;
    IF NEW.job_id = OLD.job_id THEN
        NEW.job_id := NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION leave_job IS 'Keeps in a job''s counts what a delivery came to under it, when that is about to change';
CREATE TRIGGER leave_job BEFORE UPDATE OF state ON delivery FOR EACH ROW
    WHEN (OLD.job_id IS NOT NULL AND OLD.state IN ('delivered', 'dead') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION leave_job();
