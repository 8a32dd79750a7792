-- What triage asks: leads by any part of name, e-mail address, phone number or uuid; failures by cause.

CREATE TABLE lead_recent (
    company_id bigint NOT NULL,
    lead_id    uuid NOT NULL,
    name       text NOT NULL,
    email      text NOT NULL,
    phone      text NOT NULL,
    folded     text NOT NULL,
    PRIMARY KEY (company_id, lead_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE lead_recent IS 'Who the newest leads are, written with them; moved to lead_person in batches, so that no flush pays for the index by which people are found';
COMMENT ON COLUMN lead_recent.company_id IS 'Whose lead';
COMMENT ON COLUMN lead_recent.lead_id IS 'Which lead';
COMMENT ON COLUMN lead_recent.name IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_recent.email IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_recent.phone IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_recent.folded IS 'What is searched: name without accents and case, e-mail address, digits of the phone number, uuid, a line each';

CREATE TABLE lead_person (
    company_id bigint NOT NULL,
    lead_id    uuid NOT NULL,
    name       text NOT NULL,
    email      text NOT NULL,
    phone      text NOT NULL,
    folded     text NOT NULL,
    PRIMARY KEY (company_id, lead_id)
);
COMMENT ON TABLE lead_person IS 'Who leads are: read beside lists and searched by operators; goes with the lead';
COMMENT ON COLUMN lead_person.company_id IS 'Whose lead';
COMMENT ON COLUMN lead_person.lead_id IS 'Which lead';
COMMENT ON COLUMN lead_person.name IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_person.email IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_person.phone IS 'As in its current event; empty if absent';
COMMENT ON COLUMN lead_person.folded IS 'What is searched: name without accents and case, e-mail address, digits of the phone number, uuid, a line each';

-- What many have in common is looked for from the newest on, over all companies.
CREATE INDEX lead_person_newest ON lead_person (lead_id);

CREATE VIEW person AS
SELECT company_id, lead_id, name, email, phone, folded FROM lead_person
UNION ALL SELECT company_id, lead_id, name, email, phone, folded FROM lead_recent;
COMMENT ON VIEW person IS 'Who leads are, wherever their row stands';
COMMENT ON COLUMN person.company_id IS 'Whose lead';
COMMENT ON COLUMN person.lead_id IS 'Which lead';
COMMENT ON COLUMN person.name IS 'As in its current event; empty if absent';
COMMENT ON COLUMN person.email IS 'As in its current event; empty if absent';
COMMENT ON COLUMN person.phone IS 'As in its current event; empty if absent';
COMMENT ON COLUMN person.folded IS 'What is searched';

-- No planner statistics quote people.
ALTER TABLE lead_recent ALTER name SET STATISTICS 0, ALTER email SET STATISTICS 0, ALTER phone SET STATISTICS 0,
    ALTER folded SET STATISTICS 0;
ALTER TABLE lead_person ALTER name SET STATISTICS 0, ALTER email SET STATISTICS 0, ALTER phone SET STATISTICS 0,
    ALTER folded SET STATISTICS 0;
ALTER TABLE event ALTER body SET STATISTICS 0;
ALTER TABLE delivery ALTER body SET STATISTICS 0, ALTER progress SET STATISTICS 0;
ALTER TABLE undelivered ALTER error SET STATISTICS 0;
ALTER TABLE attempt ALTER error SET STATISTICS 0, ALTER url SET STATISTICS 0, ALTER request_headers SET STATISTICS 0,
    ALTER request_body SET STATISTICS 0, ALTER response_headers SET STATISTICS 0, ALTER response_body SET STATISTICS 0;
ALTER TABLE refusal ALTER body SET STATISTICS 0;
ALTER TABLE vendor_id ALTER ids SET STATISTICS 0;
ALTER TABLE notice ALTER body SET STATISTICS 0;
ALTER TABLE integration_stat ALTER last_error SET STATISTICS 0, ALTER breaker_error SET STATISTICS 0;

CREATE TABLE cause (
    id            bigint PRIMARY KEY,
    connector     text NOT NULL,
    class         text NOT NULL,
    text          text NOT NULL CHECK (char_length(text) <= 200),
    snoozed_until timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cause IS 'What errors have in common; nothing of a person is in it';
COMMENT ON COLUMN cause.id IS 'A hash of connector, class and text: the same on every daemon';
COMMENT ON COLUMN cause.connector IS 'Whose error it is';
COMMENT ON COLUMN cause.class IS 'The failure class';
COMMENT ON COLUMN cause.text IS 'The error without what differs from lead to lead';
COMMENT ON COLUMN cause.snoozed_until IS 'Until when operators do not want to see it; null or past if they do';
COMMENT ON COLUMN cause.created_at IS 'When it was first seen';

ALTER TABLE undelivered ADD cause_id bigint, ADD currency text, ADD pence bigint,
    ADD CHECK (cause_id IS NULL OR state = 'dead'), ADD CHECK ((currency IS NULL) = (pence IS NULL));
COMMENT ON COLUMN undelivered.cause_id IS 'What a dead one is grouped under; null until it is named, within a second or two';
COMMENT ON COLUMN undelivered.currency IS 'Of the lead''s quote when it was named; null without one';
COMMENT ON COLUMN undelivered.pence IS 'What the quote comes to, in the smallest unit';
CREATE INDEX undelivered_unnamed ON undelivered (delivery_id) WHERE state = 'dead' AND cause_id IS NULL;
CREATE INDEX undelivered_cause ON undelivered (cause_id, delivery_id) INCLUDE (company_id, integration_id, lead_id, currency, pence)
    WHERE cause_id IS NOT NULL;

CREATE TABLE cause_count (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    cause_id       bigint NOT NULL,
    currency       text NOT NULL,
    deliveries     bigint NOT NULL,
    pence          bigint NOT NULL,
    first_at       timestamptz NOT NULL,
    last_at        timestamptz NOT NULL,
    PRIMARY KEY (company_id, integration_id, cause_id, currency)
) WITH (fillfactor = 50);
COMMENT ON TABLE cause_count IS 'How many dead deliveries a cause has, by integration and currency: kept by triggers of undelivered, once for a statement';
COMMENT ON COLUMN cause_count.company_id IS 'Whose they are';
COMMENT ON COLUMN cause_count.integration_id IS 'Where they should go';
COMMENT ON COLUMN cause_count.cause_id IS 'What they died of';
COMMENT ON COLUMN cause_count.currency IS 'Of their quotes; empty for those without';
COMMENT ON COLUMN cause_count.deliveries IS 'How many';
COMMENT ON COLUMN cause_count.pence IS 'What their quotes come to';
COMMENT ON COLUMN cause_count.first_at IS 'When the first died, of those there were since it was last none';
COMMENT ON COLUMN cause_count.last_at IS 'When the last died';

CREATE TABLE cause_trend (
    cause_id       bigint NOT NULL,
    at             timestamptz NOT NULL,
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    deliveries     bigint NOT NULL,
    PRIMARY KEY (cause_id, at, company_id, integration_id)
);
COMMENT ON TABLE cause_trend IS 'How many died of a cause in each quarter of an hour; kept for two days';
COMMENT ON COLUMN cause_trend.cause_id IS 'Which cause';
COMMENT ON COLUMN cause_trend.at IS 'When the quarter begins';
COMMENT ON COLUMN cause_trend.company_id IS 'Whose they were';
COMMENT ON COLUMN cause_trend.integration_id IS 'Where they should have gone';
COMMENT ON COLUMN cause_trend.deliveries IS 'How many died; those that came back since are not taken out';

-- Counts change with the rows, once for each statement, whoever writes them. In the order of the key, so that two
-- statements never wait for each other.
CREATE FUNCTION count_causes_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM added WHERE cause_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO cause_count AS c (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
    SELECT company_id, integration_id, cause_id, coalesce(currency, ''), count(*), coalesce(sum(pence), 0), min(since), max(since)
    FROM added WHERE cause_id IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
        SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence,
            first_at = CASE WHEN c.deliveries > 0 THEN least(c.first_at, excluded.first_at) ELSE excluded.first_at END,
            last_at = greatest(c.last_at, excluded.last_at);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION count_causes_added IS 'Adds dead deliveries that were named to the counts of their causes';

CREATE FUNCTION count_causes_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM gone WHERE cause_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO cause_count AS c (company_id, integration_id, cause_id, currency, deliveries, pence, first_at, last_at)
    SELECT company_id, integration_id, cause_id, coalesce(currency, ''), -count(*), -coalesce(sum(pence), 0), min(since), max(since)
    FROM gone WHERE cause_id IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (company_id, integration_id, cause_id, currency) DO UPDATE
        SET deliveries = c.deliveries + excluded.deliveries, pence = c.pence + excluded.pence;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION count_causes_gone IS 'Takes deliveries that are no longer dead out of the counts of their causes';

CREATE FUNCTION count_causes_changed() RETURNS trigger LANGUAGE plpgsql AS $$
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
            first_at = CASE WHEN c.deliveries > 0 THEN least(c.first_at, excluded.first_at) ELSE excluded.first_at END,
            last_at = greatest(c.last_at, excluded.last_at);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION count_causes_changed IS 'Moves deliveries whose cause changed between the counts';

CREATE TRIGGER undelivered_added AFTER INSERT ON undelivered REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_causes_added();
CREATE TRIGGER undelivered_gone AFTER DELETE ON undelivered REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION count_causes_gone();
CREATE TRIGGER undelivered_changed AFTER UPDATE ON undelivered REFERENCING OLD TABLE AS gone NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_causes_changed();

-- What dies of another error than before is named anew.
CREATE FUNCTION forget_cause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.cause_id = NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION forget_cause IS 'Takes the name of a cause off a row whose error or state is another';
CREATE TRIGGER undelivered_renamed BEFORE UPDATE OF state, class, error ON undelivered FOR EACH ROW
    WHEN (OLD.cause_id IS NOT NULL AND OLD.cause_id IS NOT DISTINCT FROM NEW.cause_id
        AND (OLD.state, OLD.class, OLD.error) IS DISTINCT FROM (NEW.state, NEW.class, NEW.error))
    EXECUTE FUNCTION forget_cause();
