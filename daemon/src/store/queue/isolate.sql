-- Moves an item of a claim into a claim of its own, begun when the first one was.
WITH fence AS MATERIALIZED (
    SELECT id, daemon_id, claimed_at, items, attempts FROM claim WHERE id = $2 AND daemon_id = $1 FOR UPDATE
), item AS MATERIALIZED (
    SELECT fence.id AS claim_id, u.attempt_id = $3 AS is_moved, u.attempt_id,
        ROW(u.company_id, u.integration_id, u.kind, u.due_at, u.delivery_id, u.trigger, u.operator)::claimed_item AS item
    FROM fence, unnest(fence.items, fence.attempts)
        u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
), shrunk AS (
    UPDATE claim SET
        items = ARRAY(SELECT item.item FROM item WHERE NOT is_moved),
        attempts = ARRAY(SELECT item.attempt_id FROM item WHERE NOT is_moved)
    FROM fence WHERE claim.id = fence.id
)
INSERT INTO claim (daemon_id, claimed_at, items, attempts)
SELECT fence.daemon_id, fence.claimed_at, ARRAY[item.item], ARRAY[item.attempt_id]
FROM fence JOIN item ON item.is_moved
RETURNING id
