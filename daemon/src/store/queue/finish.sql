-- Records a flush of ended attempts, moves their deliveries, and sums up what it means for each lane.
--
-- On this connection only index scans and nested loops are left to the planner, so nothing here joins the flush with
-- itself: what one part needs of another it reads from an array or carries along.
--
-- Nothing waits for a row. A lane whose counts somebody has locked, or one of whose deliveries, or what waits behind one
-- or died before it, is left out whole, and told as `left`.
WITH fence AS MATERIALIZED (
    -- `IS TRUE` keeps the planner from the index of daemons: beside a held snapshot all claims ever made stand there.
    SELECT id FROM claim WHERE id = ANY($1::bigint[] || $2::bigint[]) AND (daemon_id = $3) IS TRUE FOR KEY SHARE
), lane AS MATERIALIZED (
    -- Integrations first, then their counts: a pause is written to the one, everything else to the other.
    -- `was_well` is read from what is locked: this statement's snapshot may have an older version.
    SELECT h.*, s.was_well FROM unnest($34::bigint[], $35::uuid[], $36::bool[], $37::bool[], $38::bigint[], $39::text[],
        $40::text[], $41::bool[], $42::bigint[], $43::bool[], $44::int[])
        h(company_id, integration_id, has_news, pushed, failures, error, class, failing, throttle_us, is_up, down)
    LEFT JOIN LATERAL (
        SELECT id FROM integration WHERE h.throttle_us IS NOT NULL AND company_id = h.company_id
            AND id = h.integration_id FOR NO KEY UPDATE SKIP LOCKED
    ) i ON true
    CROSS JOIN LATERAL (
        SELECT last_class IS NULL AND NOT failing AND streak = 0 AND trips = 0 AND breaker_until IS NULL
            AND breaker_error IS NULL
            AND coalesce(last_pushed_at BETWEEN now() - interval '1 second' AND now() + interval '1 minute', false)
            AS was_well
        FROM integration_stat WHERE company_id = h.company_id AND integration_id = h.integration_id
        FOR NO KEY UPDATE SKIP LOCKED
    ) s
    WHERE h.throttle_us IS NULL OR i.id IS NOT NULL
), given AS MATERIALIZED (
    -- As they are before: who waits behind one that becomes final is handed on once, by whoever makes it so.
    SELECT u.*, f.is_fenced, d.is_locked, d.was, d.successor_id,
        -- What changes with it is locked here, too. One that this snapshot does not see is new, and nobody's.
        CASE WHEN d.successor_id IS NOT NULL AND (u.state <> 'pending' OR d.was <> 'pending') THEN
            EXISTS (SELECT FROM delivery s WHERE s.company_id = u.company_id AND s.id = d.successor_id)
            AND NOT EXISTS (SELECT FROM delivery s WHERE s.company_id = u.company_id AND s.id = d.successor_id
                FOR UPDATE SKIP LOCKED)
        ELSE false END
        OR CASE WHEN u.state = 'delivered' AND (d.event <> 'lead.created' OR NOT d.automatic) THEN
            (SELECT count(*) FROM delivery o WHERE o.company_id = u.company_id AND o.lead_id = d.lead_id
                AND o.integration_id = u.integration_id AND o.state = 'dead'
                AND (o.created_at, o.id) < (d.created_at, u.delivery_id))
            > (SELECT count(*) FROM (SELECT FROM delivery o WHERE o.company_id = u.company_id AND o.lead_id = d.lead_id
                AND o.integration_id = u.integration_id AND o.state = 'dead'
                AND (o.created_at, o.id) < (d.created_at, u.delivery_id) FOR UPDATE SKIP LOCKED) free)
        ELSE false END AS are_others_held
    FROM unnest($1::bigint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::uuid[], $8::int[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::int[], $14::smallint[], $15::bigint[], $16::bytea[], $17::bool[], $18::bool[],
        $47::text[], $48::smallint[])
        WITH ORDINALITY u(claim_id, company_id, integration_id, delivery_id, attempt_id, number, class, error, state,
            reason_code, retries, crashes, after_us, rendered, verbatim, is_swept, reason_detail, waits, n)
    CROSS JOIN LATERAL (SELECT u.claim_id = ANY(ARRAY(SELECT id FROM fence)) AS is_fenced) f
    LEFT JOIN LATERAL (
        SELECT true AS is_locked, state AS was, successor_id, lead_id, event, automatic, created_at FROM delivery
        WHERE f.is_fenced AND company_id = u.company_id AND id = u.delivery_id
            AND u.integration_id = ANY(ARRAY(SELECT integration_id FROM lane))
        FOR UPDATE SKIP LOCKED
    ) d ON true
), busy AS MATERIALIZED (
    -- Not those of deliveries that are gone.
    SELECT DISTINCT integration_id FROM given g WHERE is_fenced AND (are_others_held OR is_locked IS NULL AND EXISTS (
        SELECT FROM delivery d WHERE d.company_id = g.company_id AND d.id = g.delivery_id))
), taken AS MATERIALIZED (
    SELECT * FROM given WHERE is_fenced AND integration_id <> ALL(ARRAY(SELECT integration_id FROM busy))
), recorded AS (
    INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger,
        delivered, class, error, status_code, started_at, duration_ms, method, url, request_headers,
        response_headers, response_body, response_bytes, secret_version, config_version, operator, calls, note)
    SELECT company_id, integration_id, attempt_id, delivery_id, lead_id, event, number, trigger, class IS NULL,
        class, error, status_code, 'epoch'::timestamptz + started_us * interval '1 microsecond', duration_ms,
        method, url, request_headers::json, response_headers::json, response_body, response_bytes,
        secret_version, config_version, operator, calls::json, note
    FROM unnest($4::bigint[], $5::uuid[], $7::uuid[], $6::uuid[], $8::int[], $9::text[], $10::text[],
        $19::uuid[], $20::text[], $21::text[], $22::text[], $23::bigint[], $24::int[], $25::smallint[], $26::text[],
        $27::text[], $28::text[], $29::text[], $30::bytea[], $31::bigint[], $32::int[], $33::int[],
        $49::text[], $50::text[])
        WITH ORDINALITY a(company_id, integration_id, attempt_id, delivery_id, number, class, error,
            lead_id, event, trigger, operator, started_us, duration_ms, status_code, method,
            url, request_headers, response_headers, response_body, response_bytes, secret_version, config_version,
            calls, note, n)
    WHERE (ARRAY(SELECT is_fenced AND integration_id <> ALL(ARRAY(SELECT integration_id FROM busy))
        FROM given ORDER BY n))[a.n::int]
        -- Whoever lost the answer of a flush sends it again, and must count nothing twice. Asked, and not left to
        -- ON CONFLICT, which writes each row into the log twice.
        AND NOT EXISTS (SELECT FROM attempt old WHERE old.company_id = a.company_id
            AND old.integration_id = a.integration_id AND old.id = a.attempt_id
            AND old.started_at = 'epoch'::timestamptz + a.started_us * interval '1 microsecond')
    RETURNING integration_id
), moved AS (
    UPDATE delivery d SET
        attempts = t.number,
        retries = t.retries,
        waits = t.waits,
        crashes = t.crashes,
        body = coalesce(t.rendered, d.body),
        verbatim = d.verbatim OR t.verbatim,
        -- What an operator took out of pending keeps its state, unless the push delivered.
        state = CASE WHEN d.state = 'pending' OR t.state = 'delivered' THEN t.state ELSE d.state END,
        reason_code = CASE WHEN d.state = 'pending' OR t.state = 'delivered' THEN t.reason_code ELSE d.reason_code END,
        reason_detail = CASE WHEN d.state = 'pending' OR t.state = 'delivered'
            THEN t.reason_detail::jsonb ELSE d.reason_detail END,
        due_at = CASE WHEN d.state = 'pending' AND t.state = 'pending'
            THEN now() + t.after_us * interval '1 microsecond' END,
        successor_id = CASE WHEN d.state = 'held' AND t.state <> 'delivered'
            OR d.state = 'pending' AND t.state = 'pending' THEN d.successor_id END,
        finished_at = CASE
            WHEN d.state NOT IN ('pending', 'held') AND t.state <> 'delivered' THEN d.finished_at
            WHEN t.state IN ('delivered', 'dead', 'skipped') AND (d.state = 'pending' OR t.state = 'delivered')
                THEN now() END
    FROM taken t WHERE d.company_id = t.company_id AND d.id = t.delivery_id AND d.attempts = t.number - 1
    RETURNING d.company_id, d.id, d.integration_id, d.lead_id, d.event, d.automatic, d.state, d.due_at,
        d.created_at, t.successor_id, t.was, t.class, t.error, t.is_swept
), woken AS (
    -- Whatever it was when this statement began: what was held then may have been released meanwhile.
    UPDATE delivery d SET due_at = CASE WHEN d.state = 'pending' THEN now() ELSE d.due_at END,
        reason_code = CASE WHEN d.state <> 'pending' THEN d.reason_code END,
        reason_detail = CASE WHEN d.state <> 'pending' THEN d.reason_detail END
    FROM moved WHERE moved.state IN ('delivered', 'dead', 'skipped')
        AND d.company_id = moved.company_id AND d.id = moved.successor_id
    RETURNING d.company_id, d.integration_id, d.id, d.state, d.due_at, d.attempts
), unseen AS MATERIALIZED (
    -- An update that was committed while this statement took the lock is linked but not seen here: it is new, and
    -- nobody else would ever hand it on.
    SELECT company_id, integration_id, successor_id FROM moved
    WHERE state IN ('delivered', 'dead', 'skipped') AND successor_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM delivery d
            WHERE d.company_id = moved.company_id AND d.id = moved.successor_id)
), again AS (
    INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
    SELECT company_id, integration_id, 1, due_at, id, 'retry' FROM moved WHERE due_at IS NOT NULL
    UNION ALL
    SELECT company_id, integration_id, kind_after(attempts), due_at, id, trigger_after(attempts)
    FROM woken WHERE state = 'pending'
    UNION ALL
    SELECT company_id, integration_id, 0, now(), successor_id, 'first' FROM unseen
    RETURNING company_id, integration_id, kind, due_at
), superseded AS (
    -- The first event of a lead has nothing before it, unless an operator pushed it again.
    UPDATE delivery d SET state = 'skipped', finished_at = now(), due_at = NULL,
        reason_code = 'superseded', reason_detail = NULL
    FROM moved WHERE moved.state = 'delivered' AND (moved.event <> 'lead.created' OR NOT moved.automatic)
        AND d.company_id = moved.company_id AND d.lead_id = moved.lead_id
        AND d.integration_id = moved.integration_id AND d.state = 'dead'
        AND (d.created_at, d.id) < (moved.created_at, moved.id)
    RETURNING d.company_id, d.integration_id, d.id
), listed AS MATERIALIZED (
    -- One that is listed as dead though it was pending is counted already.
    SELECT u.delivery_id FROM moved m CROSS JOIN LATERAL (
        SELECT delivery_id FROM undelivered WHERE company_id = m.company_id AND integration_id = m.integration_id
            AND delivery_id = m.id AND state = 'dead' OFFSET 0
    ) u WHERE m.state = 'dead' AND m.was = 'pending'
), died AS (
    INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, due_at)
    SELECT company_id, integration_id, id, lead_id, 'dead', class, error,
        CASE WHEN is_swept THEN swept_at(now() + $45::float8 * interval '1 second', created_at, $46) END
    FROM moved WHERE state = 'dead' AND was = 'pending'
    ON CONFLICT (company_id, integration_id, delivery_id) DO UPDATE SET state = excluded.state,
        class = excluded.class, error = excluded.error, since = excluded.since, due_at = excluded.due_at
    RETURNING integration_id, delivery_id, due_at
), counted AS (
    UPDATE integration_stat s SET
        last_pushed_at = CASE WHEN h.pushed THEN now() ELSE s.last_pushed_at END,
        failure_count = s.failure_count + h.failures,
        dead = s.dead + d.dead,
        last_error = coalesce(h.error, s.last_error),
        last_error_at = CASE WHEN h.error IS NOT NULL THEN now() ELSE s.last_error_at END,
        last_class = h.class,
        failing = coalesce(h.failing, s.failing),
        sweep_at = coalesce(s.sweep_at, d.swept),
        (streak, trips, breaker_until) = (SELECT * FROM
            breaker_after(s.streak, s.trips, s.breaker_until, h.is_up, h.down, now())),
        breaker_error = CASE WHEN h.down > 0 THEN coalesce(h.error, s.breaker_error)
            WHEN NOT h.is_up THEN s.breaker_error END,
        updated_at = now()
    FROM lane h
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE delivery_id <> ALL(ARRAY(SELECT delivery_id FROM listed))) AS dead,
            min(due_at) AS swept
        FROM died WHERE died.integration_id = h.integration_id
    ) d
    WHERE s.company_id = h.company_id AND s.integration_id = h.integration_id AND h.has_news
        AND h.integration_id = ANY(ARRAY(SELECT integration_id FROM recorded))
        -- Where all goes well only the time of the last push changes, and that is written once a second: each version of
        -- a row stays for as long as somebody holds a snapshot, a dump for example, and who reads the row passes them all.
        AND NOT (h.was_well AND h.pushed AND h.is_up AND h.down = 0 AND h.failures = 0 AND h.class IS NULL AND d.dead = 0)
    RETURNING s.company_id, s.integration_id, s.breaker_until
), throttled AS (
    UPDATE integration i SET throttled_until = greatest(
        i.throttled_until, now() + h.throttle_us * interval '1 microsecond')
    FROM lane h
    WHERE h.throttle_us IS NOT NULL AND i.company_id = h.company_id AND i.id = h.integration_id
        AND h.integration_id = ANY(ARRAY(SELECT integration_id FROM recorded))
    RETURNING i.company_id, i.id, i.throttled_until
), cleared AS (
    DELETE FROM claim WHERE id = ANY($2) AND (daemon_id = $3) IS TRUE
        AND id <> ALL(ARRAY(SELECT claim_id FROM given WHERE integration_id = ANY(ARRAY(SELECT integration_id FROM busy))))
)
SELECT 'recorded' AS "what!", NULL::bigint AS "company_id?", NULL::uuid AS "integration_id?", NULL::uuid AS "id?",
    count(*)::smallint AS "kind?", NULL::timestamptz AS "at?: jiff_sqlx::Timestamp" FROM taken
UNION ALL
SELECT 'pause', company_id, id, NULL, NULL, throttled_until FROM throttled
UNION ALL
SELECT 'due', company_id, integration_id, NULL, kind, due_at FROM again
UNION ALL
SELECT 'breaker', company_id, integration_id, NULL, NULL, breaker_until FROM counted
UNION ALL
-- What stands in `undelivered` may have been written since this statement began, so another one takes it away.
SELECT 'arrived', company_id, integration_id, id, NULL, NULL FROM moved WHERE state = 'delivered' AND was <> 'pending'
UNION ALL
SELECT 'arrived', company_id, integration_id, id, NULL, NULL FROM superseded
UNION ALL
-- So that another statement notes when it is due.
SELECT 'unseen', company_id, integration_id, successor_id, NULL, now() FROM unseen
UNION ALL
SELECT 'left', company_id, integration_id, attempt_id, NULL, NULL FROM given
WHERE is_fenced AND integration_id = ANY(ARRAY(SELECT integration_id FROM busy))
