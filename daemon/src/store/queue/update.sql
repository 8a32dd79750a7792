-- Writes the deliveries of an update: due, held, skipped, or behind the earlier one that each must wait for.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bool[], $10::uuid[], $11::text[])
        g(id, integration_id, event, state, reason_code, is_due, predecessor_id, reason_detail)
), added AS (
    INSERT INTO delivery
        (company_id, id, integration_id, lead_id, event_id, event, state, reason_code, reason_detail,
            due_at, finished_at)
    SELECT $1, id, integration_id, $2, $3, event, state, reason_code, reason_detail::jsonb,
        CASE WHEN is_due THEN now() END,
        CASE WHEN state = 'skipped' THEN now() END
    FROM given
), queued AS (
    INSERT INTO due (company_id, integration_id, kind, due_at, delivery_id, trigger)
    SELECT $1, integration_id, 0, now(), id, 'first' FROM given WHERE is_due
), held AS (
    INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state)
    SELECT $1, integration_id, id, $2, 'held' FROM given WHERE state = 'held'
), linked AS (
    -- One that is held waits for its operator; it takes its place in the line when it is released.
    UPDATE delivery d SET successor_id = given.id FROM given
    WHERE d.company_id = $1 AND d.id = given.predecessor_id AND d.id = ANY($10) AND given.state = 'pending'
)
SELECT now() AS "now!"
