-- Flows: rules that say which leads go to which integrations.

CREATE TABLE flow (
    company_id bigint NOT NULL REFERENCES company,
    id         uuid NOT NULL,
    name       text NOT NULL CHECK (name <> ''),
    position   integer NOT NULL CHECK (position >= 1),
    condition  text NOT NULL CHECK (condition <> ''),
    enabled    boolean NOT NULL,
    stop       boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, id),
    UNIQUE (company_id, name)
);
COMMENT ON TABLE flow IS 'A rule that says which leads go to which integrations; part of what intake decides on, so that every change raises the company''s config_version';
COMMENT ON COLUMN flow.company_id IS 'Whose it is';
COMMENT ON COLUMN flow.id IS 'ULID';
COMMENT ON COLUMN flow.name IS 'Unique in its company; the reasons of deliveries name it';
COMMENT ON COLUMN flow.position IS 'From 1: flows are asked in this order';
COMMENT ON COLUMN flow.condition IS 'What is asked of the canonical event, called when in the API: an expression in CEL';
COMMENT ON COLUMN flow.enabled IS 'While false it sends nothing anywhere';
COMMENT ON COLUMN flow.stop IS 'Whether flows behind it are not asked about the leads it takes';
COMMENT ON COLUMN flow.created_at IS 'When it was created';

CREATE TABLE flow_target (
    company_id     bigint NOT NULL,
    flow_id        uuid NOT NULL,
    integration_id uuid NOT NULL,
    PRIMARY KEY (company_id, flow_id, integration_id),
    FOREIGN KEY (company_id, flow_id) REFERENCES flow ON DELETE CASCADE,
    FOREIGN KEY (company_id, integration_id) REFERENCES integration ON DELETE CASCADE
);
CREATE INDEX flow_target_integration ON flow_target (integration_id, company_id);
COMMENT ON TABLE flow_target IS 'Where the leads of a flow go';
COMMENT ON COLUMN flow_target.company_id IS 'Whose they are';
COMMENT ON COLUMN flow_target.flow_id IS 'Which flow';
COMMENT ON COLUMN flow_target.integration_id IS 'One of its integrations';
