-- Commits new leads with who they are, their events, deliveries, due rows and held ones: a whole flush of intake.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[]) v(id, version)
), version AS MATERIALIZED (
    -- The lock keeps an operator's change until this is committed. A company that somebody has locked is left out:
    -- the others of the flush do not wait for it.
    SELECT v.id, v.version FROM wanted v JOIN company c ON c.id = v.id AND c.config_version = v.version
    FOR SHARE OF c SKIP LOCKED
), given AS MATERIALIZED (
    SELECT g.ordinal, g.company_id, g.lead_id, g.uuid, g.digest, g.event_id, g.body, g.trace
    FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::text[], $5::bytea[], $6::uuid[], $7::bytea[],
            $20::bytea[])
        WITH ORDINALITY g(company_id, version, lead_id, uuid, digest, event_id, body, trace, ordinal)
    JOIN version v ON v.id = g.company_id AND v.version = g.version
), led AS (
    INSERT INTO lead (company_id, id, uuid, event_id, digest)
    SELECT company_id, lead_id, uuid, event_id, digest FROM given
    ON CONFLICT DO NOTHING RETURNING company_id, id
), recent AS (
    INSERT INTO lead_recent (company_id, lead_id, name, email, phone, folded)
    SELECT led.company_id, led.id, w.name, w.email, w.phone, w.folded
    FROM unnest($1::bigint[], $3::uuid[], $16::text[], $17::text[], $18::text[], $19::text[])
        w(company_id, lead_id, name, email, phone, folded)
    JOIN led ON led.company_id = w.company_id AND led.id = w.lead_id
), event AS (
    INSERT INTO event (company_id, id, lead_id, kind, body, trace)
    SELECT g.company_id, g.event_id, g.lead_id, 'lead.created', g.body, g.trace
    FROM given g JOIN led ON led.company_id = g.company_id AND led.id = g.lead_id
), planned AS MATERIALIZED (
    SELECT p.*, now() + p.ordinal * interval '1 microsecond' AS due_at
    FROM unnest($8::bigint[], $9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::text[], $15::text[])
        WITH ORDINALITY p(company_id, lead_id, event_id, id, integration_id, state, reason_code, reason_detail, ordinal)
    JOIN led ON led.company_id = p.company_id AND led.id = p.lead_id
), delivery AS (
    INSERT INTO delivery
        (company_id, id, integration_id, lead_id, event_id, event, state, reason_code, reason_detail,
            due_at, finished_at)
    SELECT company_id, id, integration_id, lead_id, event_id, 'lead.created', state, reason_code, reason_detail::jsonb,
        CASE WHEN state = 'pending' THEN due_at END, CASE WHEN state = 'skipped' THEN now() END
    FROM planned
), queued AS (
    INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
    SELECT company_id, integration_id, 0, due_at, id, 'first' FROM planned WHERE state = 'pending'
), held AS (
    INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
    SELECT company_id, integration_id, id, lead_id, 'held' FROM planned WHERE state = 'held'
)
SELECT g.ordinal AS "ordinal!", led.id IS NOT NULL AS "created!", false AS "locked!", now() AS "now!"
FROM given g LEFT JOIN led ON led.company_id = g.company_id AND led.id = g.lead_id
UNION ALL
SELECT g.ordinal, false, true, now()
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY g(id, version, ordinal)
WHERE NOT EXISTS (SELECT FROM version v WHERE v.id = g.id)
    AND EXISTS (SELECT FROM company c WHERE c.id = g.id AND c.config_version = g.version)
