-- Two integrations of one account may be pushed to by different daemons. What an account takes is kept in one memory: one
-- daemon at a time calls it.
CREATE TABLE account_hold (
    account_hash    bytea PRIMARY KEY,
    term            bigint NOT NULL DEFAULT 1,
    daemon_id       bigint,
    taken_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    given_at        timestamptz,
    ended_ms        integer[],
    last_push_ms    integer,
    exhausted_ms    integer,
    exhausted_error text,
    CHECK ((daemon_id IS NULL) = (given_at IS NOT NULL)),
    CHECK ((exhausted_ms IS NULL) = (exhausted_error IS NULL))
);
CREATE INDEX account_hold_daemon ON account_hold (daemon_id);
COMMENT ON TABLE account_hold IS 'Which daemon calls an account of a vendor, where calls of one daemon have to do with those of another';
COMMENT ON COLUMN account_hold.account_hash IS 'Hash of what the account is known by';
COMMENT ON COLUMN account_hold.term IS 'Counts each change of who has it: what was meant for an earlier one changes nothing';
COMMENT ON COLUMN account_hold.daemon_id IS 'Who calls it, until that daemon''s row is gone; null if it was given away and nobody has taken it yet';
COMMENT ON COLUMN account_hold.taken_at IS 'When whoever had it last took it: from then on the others wait for that daemon';
COMMENT ON COLUMN account_hold.given_at IS 'When it was given away; null while somebody has it';
COMMENT ON COLUMN account_hold.ended_ms IS 'How long before it was last given away, in milliseconds, the calls ended that count in the vendor''s quota; null if that is not known';
COMMENT ON COLUMN account_hold.last_push_ms IS 'How long before that, in milliseconds, a push for somebody ended; null if none did of late';
COMMENT ON COLUMN account_hold.exhausted_ms IS 'For how long after that, in milliseconds, the account''s last calls of the day are left to others; null if there are enough';
COMMENT ON COLUMN account_hold.exhausted_error IS 'What pushes fail with meanwhile';

CREATE TABLE account_wait (
    account_hash bytea NOT NULL,
    daemon_id    bigint NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    integrations uuid[] NOT NULL,
    PRIMARY KEY (account_hash, daemon_id)
);
COMMENT ON TABLE account_wait IS 'Which daemons have calls to make to an account that another one has: each gets it in its turn';
COMMENT ON COLUMN account_wait.account_hash IS 'As in account_hold';
COMMENT ON COLUMN account_wait.daemon_id IS 'Who waits; means nothing once that daemon''s row is gone';
COMMENT ON COLUMN account_wait.asked_at IS 'Since when: who asked first is first';
COMMENT ON COLUMN account_wait.integrations IS 'Whose pushes wait there';
