-- Notes deliveries as dead, each with what its last attempt died of, and the lanes to which the sweep comes back for them.
WITH given AS MATERIALIZED (
    SELECT d.company_id, d.integration_id, d.id, d.lead_id, d.finished_at AS since, a.class, a.error,
        CASE WHEN g.is_swept THEN swept_at(now() + $4::float8 * interval '1 second', d.created_at, $5) END AS due_at
    FROM unnest($2::uuid[], $3::bool[]) g(id, is_swept)
    JOIN delivery d ON d.company_id = $1 AND d.id = g.id
    LEFT JOIN LATERAL (SELECT class, error FROM attempt a WHERE a.company_id = d.company_id
        AND a.delivery_id = d.id ORDER BY number DESC LIMIT 1) a ON true
), listed AS MATERIALIZED (
    -- One that is listed as dead is counted already.
    SELECT u.delivery_id FROM undelivered u JOIN given g ON u.company_id = g.company_id
        AND u.integration_id = g.integration_id AND u.delivery_id = g.id WHERE u.state = 'dead'
), added AS (
    INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, since, due_at)
    SELECT company_id, integration_id, id, lead_id, 'dead', class, error, since, due_at FROM given
    ON CONFLICT (company_id, integration_id, delivery_id) DO UPDATE SET state = excluded.state,
        class = excluded.class, error = excluded.error, since = excluded.since, due_at = excluded.due_at
    RETURNING integration_id, delivery_id, due_at
)
UPDATE integration_stat s SET dead = s.dead + c.dead, sweep_at = coalesce(s.sweep_at, c.swept), updated_at = now()
FROM (SELECT integration_id, min(due_at) AS swept,
        count(*) FILTER (WHERE delivery_id NOT IN (SELECT delivery_id FROM listed)) AS dead
      FROM added GROUP BY integration_id) c
WHERE s.company_id = $1 AND s.integration_id = c.integration_id
