-- Who may do what at the intake: rights of keys, signed requests that are remembered, and forms of browsers.

ALTER TABLE intake_key
    ADD COLUMN may_read      boolean NOT NULL DEFAULT false,
    ADD COLUMN signature     text NOT NULL DEFAULT 'any' CHECK (signature IN ('any', 'standard', 'simple')),
    ADD COLUMN allow_origins text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN intake_key.may_read IS 'Whether it reads what became of leads, too';
COMMENT ON COLUMN intake_key.signature IS 'Which of the signatures is taken, where one is required';
COMMENT ON COLUMN intake_key.allow_origins IS 'The browser pages that may use it: scheme, host and port; empty for none';

ALTER TABLE saved_lead ADD COLUMN key_id uuid;
COMMENT ON COLUMN saved_lead.key_id IS 'The intake key it came with: another one is not told the uuid; null if that is not known';

CREATE TABLE signed_request (
    company_id bigint NOT NULL,
    key_id     uuid NOT NULL,
    id_hash    bytea NOT NULL CHECK (length(id_hash) = 32),
    at         timestamptz NOT NULL DEFAULT now(),
    lead_id    uuid,
    PRIMARY KEY (company_id, key_id, id_hash)
);
CREATE INDEX signed_request_at ON signed_request (at);
COMMENT ON TABLE signed_request IS 'The webhook-ids of signed posts, as long as their timestamps are taken: one that comes once more makes nothing new';
COMMENT ON COLUMN signed_request.company_id IS 'Whose key it was';
COMMENT ON COLUMN signed_request.key_id IS 'The intake key that it came with';
COMMENT ON COLUMN signed_request.id_hash IS 'SHA-256 of the webhook-id';
COMMENT ON COLUMN signed_request.at IS 'When it came';
COMMENT ON COLUMN signed_request.lead_id IS 'The lead it brought; null while it is worked on';

CREATE TABLE form (
    company_id    bigint NOT NULL REFERENCES company,
    id            uuid NOT NULL,
    name          text NOT NULL CHECK (name <> ''),
    enabled       boolean NOT NULL,
    map           jsonb NOT NULL,
    constants     jsonb NOT NULL,
    honeypot      text CHECK (honeypot <> ''),
    redirect      text CHECK (redirect <> ''),
    allow_origins text[] NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, id),
    UNIQUE (company_id, name)
);
CREATE INDEX form_id ON form (id);
COMMENT ON TABLE form IS 'What pages of browsers may post to: a public id that can only write';
COMMENT ON COLUMN form.company_id IS 'Whose leads it brings';
COMMENT ON COLUMN form.id IS 'ULID; stands in the page';
COMMENT ON COLUMN form.name IS 'Unique in its company';
COMMENT ON COLUMN form.enabled IS 'Whether it takes leads in';
COMMENT ON COLUMN form.map IS 'Field of the page -> canonical field, or null to leave it out; what is not named goes by its own name';
COMMENT ON COLUMN form.constants IS 'Canonical field -> value, for leads that bring none';
COMMENT ON COLUMN form.honeypot IS 'A field that people do not see: who fills it in is thanked and forgotten; null for none';
COMMENT ON COLUMN form.redirect IS 'Where the browser goes afterwards; null for a page of ours';
COMMENT ON COLUMN form.allow_origins IS 'The pages that may post it: scheme, host and port; empty for all';
COMMENT ON COLUMN form.created_at IS 'When it was made';
