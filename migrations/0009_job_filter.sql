-- What a job's filter keeps of what an operator typed.

-- An operator's search text may quote a person, and only a running job needs it.
UPDATE job SET filter = filter - 'error' WHERE kind = 'retry' AND state <> 'running';
COMMENT ON COLUMN job.filter IS 'Which deliveries or leads, as it was asked for; an error text is forgotten when the job ends, because it may quote a person';
