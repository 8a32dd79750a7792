-- What is being pushed, asked in many places and told in one.

CREATE VIEW in_flight AS
SELECT k.id AS claim_id, k.daemon_id, k.claimed_at, u.company_id, u.integration_id, u.kind, u.due_at, u.delivery_id,
    u.trigger, u.operator, u.attempt_id
FROM claim k CROSS JOIN LATERAL unnest(k.items, k.attempts)
    AS u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
WHERE NOT EXISTS (
    SELECT FROM attempt a
    WHERE a.company_id = u.company_id AND a.integration_id = u.integration_id
        AND a.id = u.attempt_id AND a.started_at = k.claimed_at);
COMMENT ON VIEW in_flight IS 'Items of claims whose attempt is not recorded yet: a claim goes with the last of its items';
COMMENT ON COLUMN in_flight.claim_id IS 'The claim that holds it';
COMMENT ON COLUMN in_flight.daemon_id IS 'Who works on it; a daemon without a row is dead';
COMMENT ON COLUMN in_flight.claimed_at IS 'The start of the attempt';
COMMENT ON COLUMN in_flight.company_id IS 'Whose it is';
COMMENT ON COLUMN in_flight.integration_id IS 'Where it goes';
COMMENT ON COLUMN in_flight.kind IS 'As the due row was: 0 first attempts, 1 retries';
COMMENT ON COLUMN in_flight.due_at IS 'When it was due';
COMMENT ON COLUMN in_flight.delivery_id IS 'Which delivery';
COMMENT ON COLUMN in_flight.trigger IS 'What started the attempt';
COMMENT ON COLUMN in_flight.operator IS 'Who asked for it; null unless manual';
COMMENT ON COLUMN in_flight.attempt_id IS 'The id of the attempt that it becomes';
