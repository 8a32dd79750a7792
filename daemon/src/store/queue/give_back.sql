-- Puts items of claims back into the queue. What else a claim holds stays claimed, and so does an item whose delivery
-- somebody has locked.
WITH fence AS MATERIALIZED (
    SELECT id, claimed_at, items, attempts FROM claim WHERE id = ANY($2) AND daemon_id = $1 ORDER BY id FOR UPDATE
), item AS MATERIALIZED (
    SELECT fence.id AS claim_id, fence.claimed_at, u.* FROM fence, unnest(fence.items, fence.attempts)
        u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
), free AS MATERIALIZED (
    -- The locks tell of what an operator held or skipped since this statement began.
    SELECT i.attempt_id, d.state FROM item i
    JOIN delivery d ON d.company_id = i.company_id AND d.id = i.delivery_id
    WHERE i.attempt_id = ANY($3) ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
), gone AS MATERIALIZED (
    SELECT attempt_id, (SELECT f.state FROM free f WHERE f.attempt_id = i.attempt_id) AS state FROM item i
    WHERE attempt_id = ANY($3) AND (attempt_id IN (SELECT attempt_id FROM free) OR NOT EXISTS (
        SELECT FROM delivery d WHERE d.company_id = i.company_id AND d.id = i.delivery_id))
), rest AS MATERIALIZED (
    SELECT claim_id, array_agg(attempt_id) AS attempts, array_agg(
        ROW(company_id, integration_id, kind, due_at, delivery_id, trigger, operator)::claimed_item) AS items
    FROM item WHERE attempt_id NOT IN (SELECT attempt_id FROM gone) GROUP BY claim_id
), shrunk AS (
    UPDATE claim SET items = rest.items, attempts = rest.attempts FROM rest WHERE claim.id = rest.claim_id
), emptied AS (
    DELETE FROM claim USING fence
    WHERE claim.id = fence.id AND fence.id NOT IN (SELECT claim_id FROM rest)
), back AS (
    INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger, operator)
    -- What was broken off may have arrived: what comes now is a repeat.
    SELECT company_id, integration_id, kind, CASE WHEN $5::float8 > 0
            THEN greatest(due_at, now() + $5::float8 * interval '1 second') ELSE due_at END, delivery_id,
        CASE WHEN $4 THEN 'retry' ELSE trigger END, operator
    FROM item i JOIN gone g USING (attempt_id)
    WHERE g.state = 'pending' AND NOT EXISTS (
        SELECT FROM attempt a WHERE a.company_id = i.company_id AND a.integration_id = i.integration_id
            AND a.id = i.attempt_id AND a.started_at = i.claimed_at)
    RETURNING company_id, integration_id, kind, due_at, delivery_id
), noted AS (
    -- Lists tell it, and the due row is found by it.
    UPDATE delivery d SET due_at = back.due_at FROM back
    WHERE d.company_id = back.company_id AND d.id = back.delivery_id AND d.due_at IS DISTINCT FROM back.due_at
)
SELECT NULL::uuid AS attempt_id, company_id AS "company_id?", integration_id AS "integration_id?", kind AS "kind?",
    due_at AS "due_at?: jiff_sqlx::Timestamp" FROM back
UNION ALL
SELECT attempt_id, NULL, NULL, NULL, NULL FROM item
WHERE attempt_id = ANY($3) AND attempt_id NOT IN (SELECT attempt_id FROM gone)
