-- What a target calls things means nothing at another target.

ALTER TABLE integration ADD ids_from timestamptz;
COMMENT ON COLUMN integration.ids_from IS 'What was kept earlier in vendor_id is another target''s, as the address or the account was changed then; none if it never was';
