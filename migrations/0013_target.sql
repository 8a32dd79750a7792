-- What a target calls things means nothing at another target.

ALTER TABLE integration ADD ids_from timestamptz;
COMMENT ON COLUMN integration.ids_from IS 'What was kept earlier in vendor_id is another target''s, as the address or the account was changed then; none if it never was';

CREATE FUNCTION target_of(config jsonb) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    concat_ws(' ', config->>'base_url', config->>'login_url', substring(config->>'path' FROM '^https?://[^/?#]*'));
COMMENT ON FUNCTION target_of IS 'Whom an integration pushes to, as its configuration says; blank for the connector''s own target';
