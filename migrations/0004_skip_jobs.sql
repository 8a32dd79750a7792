-- Bulk skips are jobs too, by which they can be undone.
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('retry', 'push', 'skip'));
COMMENT ON COLUMN job.kind IS 'Whether it retries deliveries, pushes leads that are not synced, or was a bulk skip';
