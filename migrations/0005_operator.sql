-- Staged rotation, paused companies, and notices of what operators should hear of.

ALTER TABLE signing_secret ADD COLUMN staged boolean NOT NULL DEFAULT false;
ALTER TABLE signing_secret ADD CHECK (NOT staged OR expires_at IS NULL);
COMMENT ON TABLE signing_secret IS 'What webhook bodies are signed with; the highest version that is not staged is the current one';
COMMENT ON COLUMN signing_secret.staged IS 'Goes along with the current one until cut over; signs alone in tests only';

ALTER TABLE integration ADD COLUMN awaits_cut_over boolean NOT NULL DEFAULT false;
ALTER TABLE integration ADD COLUMN spent_secret_version integer NOT NULL DEFAULT 0;
ALTER TABLE integration ADD COLUMN notices boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN integration.awaits_cut_over IS 'While true nothing is pushed and new leads are held: a rotation is staged with hold';
COMMENT ON COLUMN integration.spent_secret_version IS 'The highest version of a secret that was staged and cancelled: none gets that number again';
COMMENT ON COLUMN integration.notices IS 'Whether it is told what operators of its company should hear of';
ALTER TABLE integration DROP CONSTRAINT integration_events_check;
ALTER TABLE integration ADD CONSTRAINT integration_events_check CHECK (
    events <@ ARRAY['lead.created', 'lead.updated'] AND (cardinality(events) > 0 OR notices));

ALTER TABLE company ADD COLUMN paused_at timestamptz;
ALTER TABLE company ADD COLUMN quiet_hours integer CHECK (quiet_hours BETWEEN 1 AND 8760);
ALTER TABLE company ADD COLUMN quiet_since timestamptz;
ALTER TABLE company ADD CHECK ((quiet_hours IS NULL) = (quiet_since IS NULL));
COMMENT ON COLUMN company.paused_at IS 'Since when nothing is pushed for it; leads are accepted all the same. Null while it is not paused';
COMMENT ON COLUMN company.quiet_hours IS 'After so many hours without a lead a notice says so; null for never';
COMMENT ON COLUMN company.quiet_since IS 'When those hours were set: they count from here at the earliest';

CREATE TABLE notice_told (
    company_id bigint NOT NULL REFERENCES company,
    subject    uuid NOT NULL,
    aspect     text NOT NULL CHECK (aspect IN ('health', 'secret', 'leads')),
    state      text NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, subject, aspect)
);
COMMENT ON TABLE notice_told IS 'What notices told last, so that a change is told once, whichever daemon sees it and whatever restarts';
COMMENT ON COLUMN notice_told.company_id IS 'Whose it is';
COMMENT ON COLUMN notice_told.subject IS 'The integration, or all zeros for the company itself';
COMMENT ON COLUMN notice_told.aspect IS 'What of it: its health, its old secret, or the leads that come in';
COMMENT ON COLUMN notice_told.state IS 'How that stood when it was told last';
COMMENT ON COLUMN notice_told.since IS 'When it was told';

CREATE TABLE notice (
    company_id     bigint NOT NULL REFERENCES company,
    id             uuid NOT NULL,
    integration_id uuid NOT NULL,
    kind           text NOT NULL,
    body           bytea NOT NULL,
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    error          text CHECK (char_length(error) <= 500),
    due_at         timestamptz NOT NULL DEFAULT now(),
    daemon_id      bigint,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    PRIMARY KEY (company_id, id),
    FOREIGN KEY (company_id, integration_id) REFERENCES integration ON DELETE CASCADE,
    CHECK ((state = 'pending') = (finished_at IS NULL))
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'pending';
COMMENT ON TABLE notice IS 'What an integration that is marked for notices is told: pushed like an event, kept for 30 days';
COMMENT ON COLUMN notice.company_id IS 'Whose it is';
COMMENT ON COLUMN notice.id IS 'ULID; the webhook-id that every attempt carries';
COMMENT ON COLUMN notice.integration_id IS 'Who is told';
COMMENT ON COLUMN notice.kind IS 'The event under which it is pushed';
COMMENT ON COLUMN notice.body IS 'What is pushed, JSON';
COMMENT ON COLUMN notice.state IS 'Where it stands';
COMMENT ON COLUMN notice.attempts IS 'Finished attempts';
COMMENT ON COLUMN notice.error IS 'Why the last one failed; null if none did';
COMMENT ON COLUMN notice.due_at IS 'When it is pushed next';
COMMENT ON COLUMN notice.daemon_id IS 'Who pushes it; null until somebody does';
COMMENT ON COLUMN notice.created_at IS 'When the change was seen';
COMMENT ON COLUMN notice.finished_at IS 'When it was delivered or given up; null until then';
