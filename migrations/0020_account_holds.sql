-- Two integrations of one account may be pushed to by different daemons. What an account takes is kept in one memory: one
-- daemon at a time calls it.
CREATE TABLE account_hold (
    account   bytea PRIMARY KEY,
    daemon_id bigint,
    asked_by  bigint,
    asked_at  timestamptz,
    given_at  timestamptz,
    ended_ms  integer[],
    met_ms    integer,
    CHECK ((daemon_id IS NULL) = (given_at IS NOT NULL)),
    CHECK ((asked_by IS NULL) = (asked_at IS NULL))
);
CREATE INDEX account_hold_asked ON account_hold (daemon_id) WHERE asked_by IS NOT NULL;
COMMENT ON TABLE account_hold IS 'Which daemon calls an account of a vendor, where calls of one daemon have to do with those of another';
COMMENT ON COLUMN account_hold.account IS 'Hash of what the account is known by';
COMMENT ON COLUMN account_hold.daemon_id IS 'Who calls it, as long as that daemon lives; null if it was given away and nobody has taken it yet';
COMMENT ON COLUMN account_hold.asked_by IS 'The daemon that has calls to make next';
COMMENT ON COLUMN account_hold.asked_at IS 'Since when it waits';
COMMENT ON COLUMN account_hold.given_at IS 'When it was given away';
COMMENT ON COLUMN account_hold.ended_ms IS 'How long before that, in milliseconds, the calls ended that count in the vendor''s quota; null if that is not known';
COMMENT ON COLUMN account_hold.met_ms IS 'How long before that, in milliseconds, a push for somebody ended; null if none did of late';
