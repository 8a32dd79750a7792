-- The master key is rotated while daemons work: which keys are in use, and which of them each daemon can open with.

ALTER TABLE installation
    ADD COLUMN next_fingerprint     bytea,
    ADD COLUMN previous_fingerprint bytea,
    ADD CHECK (next_fingerprint IS NULL OR previous_fingerprint IS NULL);
COMMENT ON COLUMN installation.key_fingerprint IS 'SHA-256 over a label and the master key that seals; a daemon without that key refuses to start';
COMMENT ON COLUMN installation.next_fingerprint IS 'The key that is to seal once every daemon can open with it; null unless a rotation waits for that';
COMMENT ON COLUMN installation.previous_fingerprint IS 'The key that sealed before; null once nothing is sealed with it any more';

ALTER TABLE daemon
    ADD COLUMN key_fingerprints bytea[] NOT NULL DEFAULT '{}',
    ADD COLUMN key_file         text NOT NULL DEFAULT '';
COMMENT ON COLUMN daemon.key_fingerprints IS 'The master keys that it can open with';
COMMENT ON COLUMN daemon.key_file IS 'Where it reads them: machine and path, or empty for a daemon from before this column';
