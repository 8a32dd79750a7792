-- What adopted claims hold, each item with its delivery unless its attempt is recorded already.
WITH item AS (
    SELECT claim.id AS claim_id, claim.claimed_at, claim.is_isolated, u.* FROM claim, unnest(claim.items, claim.attempts)
        u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
    WHERE claim.id = ANY($2) AND claim.daemon_id = $1
)
SELECT item.claim_id AS "claim?", item.claimed_at AS "claimed_at!: jiff_sqlx::Timestamp",
    item.company_id AS "company_id?", item.integration_id AS "integration_id?", item.kind AS "kind?",
    item.due_at AS "due_at?: jiff_sqlx::Timestamp", item.attempt_id AS "attempt_id?",
    item.delivery_id AS "delivery_id?", item.trigger AS "trigger?", item.operator AS "operator?",
    d.lead_id AS "lead_id?", d.event AS "event?", NULL::bytea AS "body?", NULL::bytea AS "trace?", NULL::bytea AS "rendered?",
    d.attempts AS "attempts?", d.retries AS "retries?", d.waits AS "waits?",
    d.crashes AS "crashes?", d.created_at AS "created_at?: jiff_sqlx::Timestamp", i.version AS "version?",
    item.is_isolated AS "is_isolated?"
FROM item
LEFT JOIN delivery d ON d.company_id = item.company_id AND d.id = item.delivery_id
    AND NOT EXISTS (
        SELECT FROM attempt a
        WHERE a.company_id = item.company_id AND a.integration_id = item.integration_id
            AND a.id = item.attempt_id AND a.started_at = item.claimed_at
    )
LEFT JOIN integration i ON i.company_id = item.company_id AND i.id = item.integration_id
