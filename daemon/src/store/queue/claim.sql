-- Takes the oldest due rows of the lanes that have room, and notes them as one claim.
--
-- `OFFSET 0` keeps each probe a probe: a join of tables that are small today is planned as a read of all of them.
WITH picked AS (
    DELETE FROM due WHERE ctid = ANY(ARRAY(
        SELECT d.ctid
        FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::int[], $5::bigint[])
            lane(company_id, integration_id, kind, room, watermark)
        CROSS JOIN LATERAL (
            -- A lane that may not push gives nothing, whatever this daemon believes of it.
            SELECT FROM integration i JOIN company c ON c.id = i.company_id
            WHERE i.company_id = lane.company_id AND i.id = lane.integration_id AND lane_may_push(i, c)
            OFFSET 0
        ) open
        CROSS JOIN LATERAL (
            SELECT ctid FROM due
            WHERE integration_id = lane.integration_id AND kind = lane.kind
                AND due_at >= 'epoch'::timestamptz + lane.watermark * interval '1 microsecond'
                AND due_at <= now()
            ORDER BY due_at LIMIT lane.room FOR UPDATE SKIP LOCKED
        ) d
    )) RETURNING *
), numbered AS MATERIALIZED (
    SELECT picked.*, ($6::uuid[])[row_number() OVER ()] AS attempt_id FROM picked
), claimed AS (
    INSERT INTO claim (daemon_id, items, attempts)
    SELECT $7, array_agg(ROW(company_id, integration_id, kind, due_at, delivery_id, trigger, operator)::claimed_item),
        array_agg(attempt_id)
    FROM numbered HAVING count(*) > 0
    RETURNING id, claimed_at
)
SELECT now() AS "claimed_at!: jiff_sqlx::Timestamp", c.id AS "claim?", n.company_id AS "company_id?", n.integration_id AS "integration_id?",
    n.kind AS "kind?", n.due_at AS "due_at?: jiff_sqlx::Timestamp", n.attempt_id AS "attempt_id?",
    n.delivery_id AS "delivery_id?", n.trigger AS "trigger?", n.operator AS "operator?", d.lead_id AS "lead_id?",
    d.event AS "event?", e.body AS "body?", e.trace AS "trace?", coalesce(d.body, CASE WHEN d.verbatim THEN e.body END) AS "rendered?",
    d.attempts AS "attempts?", d.retries AS "retries?", d.waits AS "waits?", d.crashes AS "crashes?",
    d.created_at AS "created_at?: jiff_sqlx::Timestamp", i.version AS "version?", false AS "is_isolated?"
FROM (SELECT 1) one
LEFT JOIN (numbered n CROSS JOIN claimed c) ON true
LEFT JOIN LATERAL (
    SELECT * FROM delivery
    WHERE company_id = n.company_id AND id = n.delivery_id AND state = 'pending' OFFSET 0
) d ON true
LEFT JOIN LATERAL (
    SELECT body, trace FROM event WHERE company_id = d.company_id AND id = d.event_id OFFSET 0
) e ON true
LEFT JOIN LATERAL (
    SELECT version FROM integration WHERE company_id = n.company_id AND id = n.integration_id OFFSET 0
) i ON true
