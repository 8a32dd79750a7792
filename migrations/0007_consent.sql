-- Integrations that only leads may go to who agreed to be written to.

ALTER TABLE integration ADD needs_consent boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN integration.needs_consent IS 'Only leads that consented may be pushed, the connector says: deliveries of the others are skipped';
