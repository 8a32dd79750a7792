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
