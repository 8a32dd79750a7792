-- Whether a suspect died or only waited for its turn cannot be told from how many items its claim has.
ALTER TABLE claim ADD COLUMN is_isolated boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN claim.is_isolated IS 'Its one item is a delivery that daemons died of, and is pushed apart from others';
