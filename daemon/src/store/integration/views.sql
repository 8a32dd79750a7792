-- Integrations with their health, and what of their lanes is counted up to a bound.
WITH running AS (
    SELECT f.integration_id, count(*) AS count,
           (array_agg(f.delivery_id ORDER BY f.delivery_id))[1] AS oldest
    FROM in_flight f JOIN daemon m ON m.id = f.daemon_id
    GROUP BY f.integration_id)
SELECT i.company_id, c.name AS company_name, i.id, i.name, i.connector, i.enabled, i.config, i.mapping,
       i.events, i.payload, i.routing, i.created_at,
       throttle_ahead(i) AS throttled_until,
       s.last_pushed_at, s.failure_count, s.dead, s.last_error, s.last_error_at, s.last_class, s.failing,
       u.held AS "held!", u.oldest AS undelivered,
       q.count AS "queued!", q.oldest AS queued_oldest,
       (SELECT min(due_at) FROM due WHERE integration_id = i.id AND kind = 1) AS next_retry_at,
       coalesce(r.count, 0) AS "running!", r.oldest AS "running_oldest?", w.count AS "waiting!",
       x.secret_version, x.grace_until, x.staged_version,
       i.sealed_credentials IS NOT NULL AS "has_credentials!", i.credentials_for,
       i.account, i.findings, i.checked_at,
       i.awaits_cut_over, c.paused_at AS company_paused_at, i.notices,
       now() AS "now!", q.due_first AS "due_first!",
       q.due_again AS "due_again!", s.streak, s.breaker_until, s.breaker_error,
       sweep_comes(i, c, s.sweep_at) AS sweep_at
FROM integration i
JOIN company c ON c.id = i.company_id
JOIN integration_stat s ON s.company_id = i.company_id AND s.integration_id = i.id
LEFT JOIN running r ON r.integration_id = i.id
CROSS JOIN LATERAL (
    SELECT (SELECT count(*) FROM (
               SELECT FROM undelivered
               WHERE company_id = i.company_id AND integration_id = i.id AND state = 'held' LIMIT 10000) h) AS held,
           (SELECT delivery_id FROM undelivered
            WHERE company_id = i.company_id AND integration_id = i.id ORDER BY delivery_id LIMIT 1) AS oldest) u
CROSS JOIN LATERAL (
    SELECT count(*) AS count, (array_agg(delivery_id ORDER BY delivery_id))[1] AS oldest,
           count(*) FILTER (WHERE kind = 0 AND due_at <= now()) AS due_first,
           count(*) FILTER (WHERE kind = 1 AND due_at <= now()) AS due_again
    FROM (SELECT delivery_id, kind, due_at FROM due WHERE integration_id = i.id ORDER BY kind, due_at LIMIT 10000) d) q
CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (SELECT FROM delivery d
        WHERE d.integration_id = i.id AND d.successor_id IS NOT NULL LIMIT 10000) d) w
CROSS JOIN LATERAL (
    SELECT max(version) FILTER (WHERE expires_at IS NULL AND NOT staged) AS secret_version,
           max(version) FILTER (WHERE staged) AS staged_version,
           max(expires_at) FILTER (WHERE expires_at > now()) AS grace_until
    FROM signing_secret WHERE company_id = i.company_id AND integration_id = i.id) x
WHERE i.deleted_at IS NULL
  AND ($1::bigint IS NULL OR i.company_id = $1)
  AND ($2::uuid[] IS NULL OR i.id = ANY($2))
  AND ($3::uuid IS NULL OR i.id < $3)
ORDER BY i.id DESC LIMIT $4
