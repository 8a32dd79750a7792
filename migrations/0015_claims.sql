-- A beat asks whether claims are left of daemons that are gone: between the ids of those that live, and not by reading all
-- of theirs.
CREATE INDEX claim_daemon ON claim (daemon_id);
COMMENT ON COLUMN integration_stat.last_pushed_at IS 'When an attempt last delivered, to within a second';
