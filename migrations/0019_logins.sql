-- Integrations that log in with one refresh token do so together: a token that is used twice may cost all of them.
ALTER TABLE integration ADD COLUMN login bytea, ADD COLUMN sealed_token bytea, ADD COLUMN login_at timestamptz;
CREATE INDEX integration_login ON integration (login) WHERE login IS NOT NULL;
COMMENT ON COLUMN integration.login IS 'Hash of what it last logged in with, where that is a refresh token: the same for all that log in alike, whoever they are of';
COMMENT ON COLUMN integration.sealed_token IS 'What the last login with it gave, for calls, until when and where to; sealed';
COMMENT ON COLUMN integration.login_at IS 'When what that login gave was kept here: of several integrations the newest counts';
