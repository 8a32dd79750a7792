-- Gives an item of a claim a claim that is isolated: the same, if it holds nothing else, or one of its own, begun when the
-- first one was.
WITH fence AS MATERIALIZED (
    SELECT id, daemon_id, claimed_at, items, attempts FROM claim
    WHERE id = $2 AND daemon_id = $1 AND $3 = ANY(attempts) FOR UPDATE
), item AS MATERIALIZED (
    SELECT fence.id AS claim_id, u.attempt_id = $3 AS is_moved, u.attempt_id,
        ROW(u.company_id, u.integration_id, u.kind, u.due_at, u.delivery_id, u.trigger, u.operator)::claimed_item AS item
    FROM fence, unnest(fence.items, fence.attempts)
        u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
    WHERE cardinality(fence.items) > 1
), alone AS (
    UPDATE claim SET is_isolated = true FROM fence
    WHERE claim.id = fence.id AND cardinality(fence.items) = 1 RETURNING claim.id
), shrunk AS (
    UPDATE claim SET
        items = ARRAY(SELECT item.item FROM item WHERE NOT is_moved),
        attempts = ARRAY(SELECT item.attempt_id FROM item WHERE NOT is_moved)
    FROM fence WHERE claim.id = fence.id AND cardinality(fence.items) > 1
), moved AS (
    INSERT INTO claim (daemon_id, claimed_at, items, attempts, is_isolated)
    SELECT fence.daemon_id, fence.claimed_at, ARRAY[item.item], ARRAY[item.attempt_id], true
    FROM fence JOIN item ON item.is_moved
    RETURNING id
)
SELECT id AS "id!" FROM alone UNION ALL SELECT id FROM moved
