-- Integrations that log in with one refresh token do so together: a token that is used twice may cost all of them.
CREATE TABLE login (
    id               uuid PRIMARY KEY,
    sealed_refresh   bytea,
    sealed_token     bytea,
    turn             bigint NOT NULL DEFAULT 0,
    given_turn       bigint NOT NULL DEFAULT 0,
    refreshing_until timestamptz NOT NULL
);
COMMENT ON TABLE login IS 'Logins with a refresh token: what the last one gave, for all integrations that log in alike, whoever they are of';
COMMENT ON COLUMN login.id IS 'Half of a hash of all that is sent, and of where what is got goes';
COMMENT ON COLUMN login.sealed_refresh IS 'The newest refresh token; sealed; null as long as that of the credentials is';
COMMENT ON COLUMN login.sealed_token IS 'What the last login gave for calls, until when and where to; sealed';
COMMENT ON COLUMN login.turn IS 'Counts the logins that have begun: one that ends late ends nobody else''s turn';
COMMENT ON COLUMN login.given_turn IS 'Which of them gave what stands here: one before it leaves nothing any more';
COMMENT ON COLUMN login.refreshing_until IS 'A daemon is logging in, until then at the latest; once that is past nobody is; a login that an integration has gets the time of each day, so that it tells since when nobody has it';

ALTER TABLE integration ADD COLUMN login uuid, DROP COLUMN refreshing_until;
CREATE INDEX integration_login ON integration (login) WHERE login IS NOT NULL;
COMMENT ON COLUMN integration.login IS 'How it logs in, if that is with a refresh token: a login that no integration has is forgotten after a while';
COMMENT ON COLUMN integration.sealed_refresh IS 'What its logins gave before there was a table of them: refresh tokens, each under the hash of the one in the credentials for which it stands in; sealed; null once it has joined a login, which takes it over';
