-- How things stand of which somebody is to be told, with what was told last.
WITH audience AS MATERIALIZED (
    SELECT DISTINCT company_id FROM integration WHERE notices AND deleted_at IS NULL
), standing AS (
    SELECT i.company_id, i.id AS subject, s.last_class, s.failing,
        (SELECT max(x.version) FROM signing_secret x WHERE x.company_id = i.company_id AND x.integration_id = i.id
            AND x.expires_at > now() AND x.expires_at <= now() + interval '1 hour') AS expiring,
        NULL::bool AS is_quiet
    FROM audience JOIN integration i USING (company_id)
    JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
    WHERE i.enabled AND i.deleted_at IS NULL
    UNION ALL
    -- Where none ever came in, silence begins when somebody said what is usual.
    SELECT c.id, $1, NULL, NULL, NULL,
        coalesce(coalesce(l.at, c.quiet_since) < now() - c.quiet_hours * interval '1 hour', false)
    FROM audience JOIN company c ON c.id = audience.company_id
    LEFT JOIN LATERAL (
        -- The newest that came in: what an operator's push made is newer than its lead's own event.
        -- OFFSET keeps the planner from reading all leads for it.
        SELECT l.at FROM event e CROSS JOIN LATERAL (
            SELECT l.event_id, coalesce(l.updated_at, l.received_at) AS at FROM lead l
            WHERE l.company_id = e.company_id AND l.id = e.lead_id OFFSET 0) l
        WHERE e.company_id = c.id AND l.event_id = e.id ORDER BY e.id DESC LIMIT 1) l ON true
    WHERE c.quiet_hours IS NOT NULL
)
SELECT n.company_id AS "company_id!", n.subject AS "subject!", n.last_class, n.failing AS "failing?", n.expiring,
    n.is_quiet, (SELECT jsonb_object_agg(t.aspect, t.state) FROM notice_told t
        WHERE t.company_id = n.company_id AND t.subject = n.subject) AS told
FROM standing n
