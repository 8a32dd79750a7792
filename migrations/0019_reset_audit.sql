-- The audit is kept for good, and an erasure does not reach it: what a target said of a person must not stand there.
UPDATE audit SET before = before - 'last_error', after = after - 'last_error'
WHERE action = 'ResetIntegration' AND (before ? 'last_error' OR after ? 'last_error');
