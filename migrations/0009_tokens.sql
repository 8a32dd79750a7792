-- Who may call the control API beside the users of the machine, and which daemon is which.

CREATE TABLE token (
    id           uuid PRIMARY KEY,
    company_id   bigint,
    name         text NOT NULL CHECK (name <> ''),
    role         text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    masked       boolean NOT NULL,
    prefix       text NOT NULL,
    token_hash   bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE token IS 'What opens the control API over the network; rows stay, so that audits can be read';
COMMENT ON COLUMN token.id IS 'ULID';
COMMENT ON COLUMN token.company_id IS 'The only company whose things it reaches; null for all';
COMMENT ON COLUMN token.name IS 'Who holds it; audits carry it';
COMMENT ON COLUMN token.role IS 'What it may do';
COMMENT ON COLUMN token.masked IS 'Whether people are masked, whatever the role';
COMMENT ON COLUMN token.prefix IS 'Its first characters, enough to tell tokens apart';
COMMENT ON COLUMN token.token_hash IS 'SHA-256 of the token, which is kept nowhere';
COMMENT ON COLUMN token.created_at IS 'When it was made';
COMMENT ON COLUMN token.created_by IS 'The operator who made it';
COMMENT ON COLUMN token.expires_at IS 'From when on it opens nothing; null for never';
COMMENT ON COLUMN token.revoked_at IS 'Since when it opens nothing; null while it is not revoked';
COMMENT ON COLUMN token.last_used_at IS 'To the minute; null if it never was';

COMMENT ON COLUMN audit.company_id IS 'Whose thing was changed; 0 for what is about all companies';

ALTER TABLE daemon
    ADD COLUMN version    text NOT NULL DEFAULT '',
    ADD COLUMN started_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN daemon.version IS 'Of its program';
COMMENT ON COLUMN daemon.started_at IS 'When this life began';
