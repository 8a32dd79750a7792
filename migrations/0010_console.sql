-- What the console asks besides: leads by when they came, when keys were last used, since when a cause fails.

-- Senders may give any uuid, so the order of the ids says nothing. New rows are written at its end.
CREATE INDEX lead_received ON lead (received_at, company_id, id);
-- It finds what many leads have in common, too.
DROP INDEX lead_person_newest;

CREATE TABLE key_use (
    company_id   bigint NOT NULL,
    key_id       uuid NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, key_id)
);
COMMENT ON TABLE key_use IS 'When intake keys were last used: apart from them, so that no operator waits for a post';
COMMENT ON COLUMN key_use.company_id IS 'Whose key';
COMMENT ON COLUMN key_use.key_id IS 'Which key';
COMMENT ON COLUMN key_use.last_used_at IS 'When it last opened the intake, to the minute';

ALTER TABLE cause_count ADD COLUMN emptied_at timestamptz;
COMMENT ON COLUMN cause_count.emptied_at IS 'When it last had no deliveries left; null if it always had some';
COMMENT ON COLUMN cause_count.first_at IS 'When the first died, of those there were since it last had none for an hour: a retry that fails is no new beginning';

CREATE OR REPLACE FUNCTION count_causes_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM added WHERE cause_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO cause_count AS c (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
    SELECT company_id, integration_id, cause_id, coalesce(currency, ''), count(*), coalesce(sum(pence), 0), min(since), max(since)
    FROM added WHERE cause_id IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
        SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence,
            first_at = CASE WHEN c.deliveries > 0 OR c.emptied_at > now() - interval '1 hour'
                            THEN least(c.first_at, excluded.first_at) ELSE excluded.first_at END,
            last_at = greatest(c.last_at, excluded.last_at);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_causes_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM gone WHERE cause_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO cause_count AS c (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
    SELECT company_id, integration_id, cause_id, coalesce(currency, ''), -count(*), -coalesce(sum(pence), 0), min(since), max(since)
    FROM gone WHERE cause_id IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
        SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence,
            emptied_at = CASE WHEN c.deliveries + excluded.deliveries <= 0 THEN now() ELSE c.emptied_at END;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_causes_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM gone WHERE cause_id IS NOT NULL) AND NOT EXISTS (SELECT FROM added WHERE cause_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO cause_count AS c (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
    SELECT company_id, integration_id, cause_id, currency, sum(deliveries), sum(pence), min(since), max(since)
    FROM (SELECT company_id, integration_id, cause_id, coalesce(currency, '') AS currency, 1 AS deliveries,
                 coalesce(pence, 0) AS pence, since FROM added WHERE cause_id IS NOT NULL
          UNION ALL
          SELECT company_id, integration_id, cause_id, coalesce(currency, ''), -1, -coalesce(pence, 0), since
          FROM gone WHERE cause_id IS NOT NULL) changed
    GROUP BY 1, 2, 3, 4 HAVING sum(deliveries) <> 0 OR sum(pence) <> 0 ORDER BY 1, 2, 3, 4
    ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
        SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence,
            first_at = CASE WHEN c.deliveries > 0 OR c.emptied_at > now() - interval '1 hour'
                            THEN least(c.first_at, excluded.first_at) ELSE excluded.first_at END,
            last_at = greatest(c.last_at, excluded.last_at),
            emptied_at = CASE WHEN c.deliveries + excluded.deliveries <= 0 THEN now() ELSE c.emptied_at END;
    RETURN NULL;
END $$;
