-- Bulk skips are jobs too, by which they can be undone; a job may keep a pace, and be resumed after it was cancelled.
ALTER TABLE job DROP CONSTRAINT job_kind_check;
ALTER TABLE job ADD CONSTRAINT job_kind_check CHECK (kind IN ('retry', 'push', 'skip'));
COMMENT ON COLUMN job.kind IS 'Whether it retries deliveries, pushes leads that are not synced, or was a bulk skip';

ALTER TABLE job ADD COLUMN per_second double precision CHECK (per_second > 0);
COMMENT ON COLUMN job.per_second IS 'So many deliveries a second at most are brought back in this lane; null for as many as the lane takes';
ALTER TABLE job ADD COLUMN paced_until timestamptz;
COMMENT ON COLUMN job.paced_until IS 'Nothing more is brought back before, so that the pace is kept';
