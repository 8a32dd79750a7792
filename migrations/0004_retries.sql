-- What comes back to deliveries after their first minutes: the breaker, the sweep, jobs and re-rendering.

ALTER TABLE delivery ADD COLUMN verbatim boolean NOT NULL DEFAULT false;
ALTER TABLE delivery ADD COLUMN job_id uuid;
COMMENT ON COLUMN delivery.verbatim IS 'Whether the event''s own bytes were sent: repeats are the same, whatever the mapping says by then';
COMMENT ON COLUMN delivery.job_id IS 'The job that last brought it back; null for none';
COMMENT ON COLUMN delivery.due_at IS 'When it was last made due, for lists: the queue itself is not indexed by delivery';
-- Without the state: an index on what finishing changes would keep those updates from staying in place.
CREATE INDEX delivery_job ON delivery (job_id) WHERE job_id IS NOT NULL;
-- An order within a lead is asked for in one integration.
DROP INDEX delivery_lead;
CREATE INDEX delivery_lead ON delivery (lead_id, integration_id, company_id);

ALTER TABLE integration_stat ADD COLUMN streak integer NOT NULL DEFAULT 0;
ALTER TABLE integration_stat ADD COLUMN trips integer NOT NULL DEFAULT 0;
ALTER TABLE integration_stat ADD COLUMN breaker_until timestamptz;
ALTER TABLE integration_stat ADD COLUMN breaker_error text CHECK (char_length(breaker_error) <= 500);
ALTER TABLE integration_stat ADD COLUMN sweep_at timestamptz;
COMMENT ON COLUMN integration_stat.streak IS 'Attempts in a row after which the target seemed to be down';
COMMENT ON COLUMN integration_stat.trips IS 'How often the breaker opened since the target last answered; each time it stays open for longer';
COMMENT ON COLUMN integration_stat.breaker_until IS 'Null: the breaker is closed. Future: it is open until then. Past: it is half-open, one retry goes ahead';
COMMENT ON COLUMN integration_stat.breaker_error IS 'The error that opened the breaker';
COMMENT ON COLUMN integration_stat.sweep_at IS 'When the sweep comes back to the dead deliveries of this integration; null if there are none for it';
CREATE INDEX integration_stat_sweep ON integration_stat (sweep_at) WHERE sweep_at IS NOT NULL;
COMMENT ON COLUMN undelivered.due_at IS 'Set if the sweep comes back to it: the visit is at the integration''s sweep_at; null if it does not';

CREATE TABLE sweep (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    canary_id      uuid NOT NULL,
    is_passed      boolean NOT NULL DEFAULT false,
    started_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, integration_id)
);
COMMENT ON TABLE sweep IS 'The visits of the sweep that are under way: one canary first, then the rest';
COMMENT ON COLUMN sweep.company_id IS 'Whose it is';
COMMENT ON COLUMN sweep.integration_id IS 'Whose dead deliveries are swept';
COMMENT ON COLUMN sweep.canary_id IS 'The delivery that goes first';
COMMENT ON COLUMN sweep.is_passed IS 'Whether the canary was delivered, so that the rest follows';
COMMENT ON COLUMN sweep.started_at IS 'When the visit began: what died since is left to the next one';

CREATE TABLE job (
    company_id     bigint NOT NULL,
    id             uuid NOT NULL,
    integration_id uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('retry', 'push')),
    operator       text NOT NULL,
    filter         jsonb NOT NULL,
    re_render      boolean NOT NULL,
    leads          bigint,
    state          text NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
    total          bigint NOT NULL CHECK (total >= 0),
    released       bigint NOT NULL DEFAULT 0 CHECK (released >= 0),
    left_alone     bigint NOT NULL DEFAULT 0 CHECK (left_alone >= 0),
    position       uuid,
    last_id        uuid NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    PRIMARY KEY (company_id, id, integration_id),
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK ((kind = 'push') = (leads IS NOT NULL))
);
CREATE INDEX job_running ON job (id) WHERE state = 'running';
COMMENT ON TABLE job IS 'Bulk retries and pushes that operators asked for: a row for each lane that one goes through';
COMMENT ON COLUMN job.company_id IS 'Whose deliveries';
COMMENT ON COLUMN job.id IS 'ULID; the same in all rows of one job';
COMMENT ON COLUMN job.integration_id IS 'The lane';
COMMENT ON COLUMN job.kind IS 'Whether it retries deliveries or pushes leads that are not synced';
COMMENT ON COLUMN job.operator IS 'Who asked';
COMMENT ON COLUMN job.filter IS 'Which deliveries or leads, as it was asked for';
COMMENT ON COLUMN job.re_render IS 'Whether they are rendered anew, under ids of their own';
COMMENT ON COLUMN job.leads IS 'How many leads it pushes, in all its lanes; null for a retry';
COMMENT ON COLUMN job.state IS 'Whether it still brings deliveries back; what it has brought back goes on by itself';
COMMENT ON COLUMN job.total IS 'How many deliveries it was to be when it was asked for';
COMMENT ON COLUMN job.released IS 'How many it has brought back to the queue';
COMMENT ON COLUMN job.left_alone IS 'How many were no longer as asked for when their turn came';
COMMENT ON COLUMN job.position IS 'The last delivery or lead that was looked at; null before the first';
COMMENT ON COLUMN job.last_id IS 'The last delivery or lead that the filter found: what comes later is not part of the job';
COMMENT ON COLUMN job.created_at IS 'When it was asked for';
COMMENT ON COLUMN job.finished_at IS 'When the last one was brought back, or the job was cancelled; null while it runs';
