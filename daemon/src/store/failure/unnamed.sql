-- The next deliveries that died of a cause without a name, with what the name is made of.
-- The few are taken before anything is joined to them: who orders the joined rows may join all that died.
WITH unnamed AS MATERIALIZED (
    SELECT company_id, integration_id, delivery_id, lead_id, class, error FROM undelivered
    -- What failed in a way that only a newer daemon knows is named by that one.
    WHERE state = 'dead' AND cause_id IS NULL AND (class IS NULL OR class = ANY($2)) AND delivery_id > $3
    ORDER BY delivery_id LIMIT $1
)
SELECT u.company_id, u.integration_id, u.delivery_id, u.class, u.error, i.connector, c.name AS company,
    e.body AS "body?"
FROM unnamed u JOIN company c ON c.id = u.company_id
JOIN integration i ON i.company_id = u.company_id AND i.id = u.integration_id
LEFT JOIN lead l ON l.company_id = u.company_id AND l.id = u.lead_id
LEFT JOIN event e ON e.company_id = l.company_id AND e.id = l.event_id
ORDER BY u.delivery_id
