-- What connectors need beside webhooks: credentials, the ids that targets give, and probes of several kinds.

ALTER TABLE integration
    ADD sealed_credentials bytea,
    ADD account            text,
    ADD findings           jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),
    ADD checked_at         timestamptz;
COMMENT ON COLUMN integration.sealed_credentials IS 'What we log in with, one JSON object, sealed; null for none';
COMMENT ON COLUMN integration.account IS 'Whose account it is, in the target''s words; null until a probe was told';
COMMENT ON COLUMN integration.findings IS 'What the last probe found wrong with the mapping or missing at the target, a sentence each';
COMMENT ON COLUMN integration.checked_at IS 'When a probe last looked at the mapping; null if never';

ALTER TABLE probe
    ADD kind             text NOT NULL DEFAULT 'test' CHECK (kind IN ('test', 'mapping', 'credentials')),
    ADD sealed_candidate bytea,
    ADD CHECK ((kind = 'credentials') = (sealed_candidate IS NOT NULL));
COMMENT ON COLUMN probe.kind IS 'What is looked for: whether a test arrives, the mapping against the target''s fields, or whether new credentials work';
COMMENT ON COLUMN probe.sealed_candidate IS 'The new credentials, sealed for the integration: they replace the old ones if the probe delivers';

CREATE TABLE vendor_id (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    lead_id        uuid NOT NULL,
    ids            jsonb NOT NULL CHECK (jsonb_typeof(ids) = 'object'),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, integration_id, lead_id)
);
COMMENT ON TABLE vendor_id IS 'What targets call the things they made of a lead, so that a push goes on where it stopped and an update finds them';
COMMENT ON COLUMN vendor_id.company_id IS 'Whose it is';
COMMENT ON COLUMN vendor_id.integration_id IS 'At which target';
COMMENT ON COLUMN vendor_id.lead_id IS 'Of which lead';
COMMENT ON COLUMN vendor_id.ids IS 'Names of the connector''s own, each with the target''s id';
COMMENT ON COLUMN vendor_id.updated_at IS 'When an id was last added';
