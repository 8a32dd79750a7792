-- What connectors leave behind: each call of an attempt, and logins whose tokens rotate.

ALTER TABLE attempt ADD COLUMN calls json, ADD COLUMN note text;
COMMENT ON COLUMN attempt.calls IS 'Each call in order, as it was made, credentials shortened and bodies cut; null where the other columns tell of the one call';
COMMENT ON COLUMN attempt.note IS 'What is to be known of it though it did not fail; null if nothing';

ALTER TABLE integration ADD COLUMN sealed_refresh bytea, ADD COLUMN refreshing_until timestamptz;
COMMENT ON COLUMN integration.sealed_refresh IS 'The newest refresh tokens that the target''s login gave, each under the hash of the one in the credentials for which it stands in; sealed';
COMMENT ON COLUMN integration.refreshing_until IS 'A daemon is logging in with such a token, until then at the latest; null if none is';
