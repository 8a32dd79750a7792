-- Rules that several statements had each for itself.

CREATE FUNCTION throttle_ahead(i integration) RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql RETURN
    CASE WHEN i.throttled_until > now() THEN i.throttled_until END;
COMMENT ON FUNCTION throttle_ahead IS 'Until when the target of an integration asked us to wait; null once that is over';

CREATE OR REPLACE FUNCTION lane_may_push(i integration, c company) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    lane_is_open(i, c) AND throttle_ahead(i) IS NULL;

CREATE FUNCTION is_repeatable(r request) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    r.at >= now() - interval '24 hours';
COMMENT ON FUNCTION is_repeatable IS 'Whether a repeat of a mutation still gets its first answer: for 24 hours';

-- A watermark cuts a lane anywhere: what comes due together is a microsecond apart, in the order in which it waited.
CREATE OR REPLACE FUNCTION forget_waits(integration uuid) RETURNS void LANGUAGE sql BEGIN ATOMIC
    WITH line AS MATERIALIZED (
        SELECT q.company_id, q.kind, q.due_at AS was, q.delivery_id,
            now() + row_number() OVER (ORDER BY q.due_at, q.delivery_id) * interval '1 microsecond' AS due_at
        FROM due q JOIN delivery d ON d.company_id = q.company_id AND d.id = q.delivery_id
        WHERE q.integration_id = integration AND q.due_at > now() AND d.waits > 0
    ), moved AS (
        UPDATE due q SET due_at = line.due_at FROM line
        WHERE q.integration_id = integration AND q.kind = line.kind AND q.due_at = line.was
            AND q.delivery_id = line.delivery_id
        RETURNING q.company_id, q.delivery_id, q.due_at
    )
    UPDATE delivery d SET due_at = moved.due_at, waits = 0 FROM moved
    WHERE d.company_id = moved.company_id AND d.id = moved.delivery_id;
END;
