-- The lanes of integrations that share an account are one daemon's, so that its quota is kept and its people are locked
-- in one place. All daemons must divide lanes alike: each says whether it knows of that.

ALTER TABLE daemon ADD COLUMN by_account boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN daemon.by_account IS 'Whether it can divide lanes by account; false for a daemon from before this column, and while one of those lives all divide them by integration';
