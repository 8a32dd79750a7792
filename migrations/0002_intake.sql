-- The intake's further doors: saved leads, refusals, rates of keys, erased persons.

CREATE TABLE saved_lead (
    company_id bigint NOT NULL,
    email_hash bytea NOT NULL CHECK (length(email_hash) = 32),
    lead_id    uuid NOT NULL,
    PRIMARY KEY (company_id, email_hash)
);
CREATE INDEX saved_lead_lead ON saved_lead (lead_id, company_id);
COMMENT ON TABLE saved_lead IS 'Which lead last came through /v1/save_lead with an e-mail address';
COMMENT ON COLUMN saved_lead.company_id IS 'Whose it is';
COMMENT ON COLUMN saved_lead.email_hash IS 'SHA-256 of the address in lower case; the address itself stands in the event alone';
COMMENT ON COLUMN saved_lead.lead_id IS 'The lead that the next post of this address is merged into';

CREATE TABLE refusal (
    company_id bigint NOT NULL,
    key_id     uuid NOT NULL,
    id         uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    path       text NOT NULL,
    status     smallint NOT NULL,
    detail     text NOT NULL,
    errors     jsonb NOT NULL,
    body       text,
    PRIMARY KEY (company_id, key_id, id)
);
COMMENT ON TABLE refusal IS 'What the intake refused lately: the last 100 of each key, without anybody''s data';
COMMENT ON COLUMN refusal.company_id IS 'Whose key it was';
COMMENT ON COLUMN refusal.key_id IS 'The intake key that was shown';
COMMENT ON COLUMN refusal.id IS 'ULID';
COMMENT ON COLUMN refusal.at IS 'When';
COMMENT ON COLUMN refusal.path IS 'Where it was posted to';
COMMENT ON COLUMN refusal.status IS 'The HTTP status it was answered with';
COMMENT ON COLUMN refusal.detail IS 'What the sender was told';
COMMENT ON COLUMN refusal.errors IS 'The fields that were wrong: pairs of pointer and detail';
COMMENT ON COLUMN refusal.body IS 'What was sent, its texts masked to their form; null if it was not read';

ALTER TABLE intake_key ADD rate_per_second double precision CHECK (rate_per_second > 0);
COMMENT ON COLUMN intake_key.rate_per_second IS 'How many leads a second each daemon takes in with it; null for no limit';

ALTER TABLE lead ADD erased_at timestamptz;
COMMENT ON COLUMN lead.erased_at IS 'When the person was erased; the row stays for the counts';

-- Not every event has a delivery that names it, and erasing must find them all.
CREATE INDEX event_lead ON event (lead_id, company_id);

CREATE TABLE erasure (
    company_id bigint NOT NULL,
    lead_id    uuid NOT NULL,
    PRIMARY KEY (company_id, lead_id)
);
COMMENT ON TABLE erasure IS 'Leads erased lately: what pushes under way leave behind is still to be removed';
COMMENT ON COLUMN erasure.company_id IS 'Whose lead it was';
COMMENT ON COLUMN erasure.lead_id IS 'Which lead';

-- Which payload versions there are is the daemon's to know, in one place.
ALTER TABLE integration DROP CONSTRAINT integration_payload_check;
ALTER TABLE integration ADD CONSTRAINT integration_payload_check CHECK (payload <> '');
