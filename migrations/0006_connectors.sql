-- What connectors leave behind: each call of an attempt, and logins whose tokens rotate.

ALTER TABLE attempt ADD COLUMN calls jsonb, ADD COLUMN note text;
COMMENT ON COLUMN attempt.calls IS 'Each call in order, as it was made, credentials shortened and bodies cut; null where the other columns tell of the one call';
COMMENT ON COLUMN attempt.note IS 'What is to be known of it though it did not fail; null if nothing';

ALTER TABLE integration ADD COLUMN sealed_refresh bytea, ADD COLUMN refresh_version integer,
    ADD CHECK ((sealed_refresh IS NULL) = (refresh_version IS NULL));
COMMENT ON COLUMN integration.sealed_refresh IS 'The newest refresh token that the target''s login gave, sealed; it stands in for the one of the credentials';
COMMENT ON COLUMN integration.refresh_version IS 'Counts the refresh tokens that were given, so that of two daemons the later one''s is kept';
