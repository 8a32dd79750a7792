-- Skips that operators can undo, and the jobs that bulk skips are.
CREATE TABLE skipped (
    company_id  bigint NOT NULL,
    delivery_id uuid NOT NULL,
    job_id      uuid,
    skipped_at  timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL CHECK (state IN ('pending', 'held', 'dead')),
    reason      text,
    finished_at timestamptz,
    class       text,
    error       text,
    since       timestamptz,
    due_at      timestamptz,
    PRIMARY KEY (company_id, delivery_id)
);
CREATE INDEX skipped_job ON skipped (job_id, company_id, delivery_id) WHERE job_id IS NOT NULL;
CREATE INDEX skipped_at ON skipped (skipped_at);
COMMENT ON TABLE skipped IS 'What operators skipped and may still undo: how it stood before; forgotten after 24 hours';
COMMENT ON COLUMN skipped.company_id IS 'Whose it is';
COMMENT ON COLUMN skipped.delivery_id IS 'Which delivery';
COMMENT ON COLUMN skipped.job_id IS 'The bulk skip that it was part of; null where it was named';
COMMENT ON COLUMN skipped.skipped_at IS 'When';
COMMENT ON COLUMN skipped.state IS 'The state before';
COMMENT ON COLUMN skipped.reason IS 'The reason before';
COMMENT ON COLUMN skipped.finished_at IS 'When it had died; null if it had not';
COMMENT ON COLUMN skipped.class IS 'The failure class it had died of; null if it had not';
COMMENT ON COLUMN skipped.error IS 'The error it had died of; null if it had not, and once its person is erased';
COMMENT ON COLUMN skipped.since IS 'Since when it was held or dead';
COMMENT ON COLUMN skipped.due_at IS 'When the sweep would have returned to it';
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('retry', 'push', 'skip'));
COMMENT ON COLUMN job.kind IS 'Whether it retries deliveries, pushes leads that are not synced, or was a bulk skip';
