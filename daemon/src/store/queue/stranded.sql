-- Of the next deliveries in the order of their ids: the pending ones that stand in neither the queue, a claim nor a line,
-- and the held and dead ones that are missing from `undelivered`, each with its state. The last row, without one, says how
-- far this has read.
WITH batch AS MATERIALIZED (
    SELECT company_id, id, integration_id, lead_id, state, due_at FROM delivery
    WHERE (company_id, id) > ($1, $2) ORDER BY company_id, id LIMIT $3
), working AS MATERIALIZED (
    SELECT delivery_id FROM in_flight
), unplaced AS MATERIALIZED (
    -- The time of a due row is kept with its delivery, and is the way to find it: the queue is not indexed by delivery.
    SELECT b.* FROM batch b
    JOIN integration i ON i.company_id = b.company_id AND i.id = b.integration_id AND i.deleted_at IS NULL
    WHERE b.state = 'pending' AND b.id NOT IN (SELECT delivery_id FROM working)
        AND NOT EXISTS (SELECT FROM due q WHERE q.integration_id = b.integration_id AND q.kind IN (0, 1)
            AND q.due_at = b.due_at AND q.delivery_id = b.id)
        AND NOT EXISTS (SELECT FROM delivery p WHERE p.company_id = b.company_id AND p.lead_id = b.lead_id
            AND p.integration_id = b.integration_id AND p.successor_id = b.id AND p.state IN ('pending', 'held'))
)
SELECT company_id AS "company_id!", id AS "id!", state AS "state?" FROM unplaced u
WHERE NOT EXISTS (SELECT FROM due q WHERE q.integration_id = u.integration_id AND q.delivery_id = u.id)
UNION ALL
SELECT b.company_id, b.id, b.state FROM batch b
JOIN integration i ON i.company_id = b.company_id AND i.id = b.integration_id AND i.deleted_at IS NULL
WHERE b.state IN ('held', 'dead') AND NOT EXISTS (SELECT FROM undelivered u WHERE u.company_id = b.company_id
    AND u.integration_id = b.integration_id AND u.delivery_id = b.id)
UNION ALL
(SELECT company_id, id, NULL FROM batch ORDER BY company_id DESC, id DESC LIMIT 1)
