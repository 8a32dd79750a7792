-- Notes how things stand where that is not what was told last, and says what changed.
WITH audience AS MATERIALIZED (
    SELECT DISTINCT company_id FROM integration WHERE notices AND deleted_at IS NULL
), standing AS (
    SELECT i.company_id, i.id AS subject, 'health' AS aspect, CASE
        WHEN s.last_class = 'credentials' THEN 'credentials' WHEN s.failing THEN 'failing' ELSE 'ok'
    END AS state
    FROM audience JOIN integration i USING (company_id)
    JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
    WHERE i.enabled AND i.deleted_at IS NULL
    UNION ALL
    SELECT i.company_id, i.id, 'secret', coalesce((
        SELECT 'version ' || x.version FROM signing_secret x
        WHERE x.company_id = i.company_id AND x.integration_id = i.id
            AND x.expires_at > now() AND x.expires_at <= now() + interval '1 hour'), 'ok')
    FROM audience JOIN integration i USING (company_id) WHERE i.enabled AND i.deleted_at IS NULL
    UNION ALL
    SELECT c.id, $1, 'leads', CASE
        -- Where none ever came in, silence begins when somebody said what is usual.
        WHEN coalesce(l.at, c.quiet_since) < now() - c.quiet_hours * interval '1 hour' THEN 'quiet'
        ELSE 'ok' END
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
INSERT INTO notice_told (company_id, subject, aspect, state)
SELECT n.company_id, n.subject, n.aspect, n.state FROM standing n
LEFT JOIN notice_told t USING (company_id, subject, aspect)
WHERE n.state <> coalesce(t.state, 'ok')
ORDER BY n.company_id, n.subject, n.aspect
ON CONFLICT (company_id, subject, aspect) DO UPDATE SET state = excluded.state, since = now()
WHERE notice_told.state <> excluded.state
RETURNING company_id, subject, aspect, state
