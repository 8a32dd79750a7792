-- Who reads leads by key: counted by the hour, in a table of its own, so that a program that asks all the time fills
-- neither the audit nor the lists that are made of it.

CREATE TABLE reading (
    company_id bigint NOT NULL,
    id         uuid NOT NULL,
    hour       timestamptz NOT NULL,
    operator   text NOT NULL,
    target     text NOT NULL,
    times      bigint NOT NULL CHECK (times > 0),
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, id),
    UNIQUE (target, hour, operator, company_id),
    CHECK (last_at >= first_at)
) WITH (fillfactor = 80);
COMMENT ON TABLE reading IS 'Who read who a lead is by an intake key: a row for each hour, key and lead; kept for --keep-readings';
COMMENT ON COLUMN reading.company_id IS 'Whose lead it is';
COMMENT ON COLUMN reading.id IS 'ULID, of the first reading in that hour';
COMMENT ON COLUMN reading.hour IS 'When the hour begins';
COMMENT ON COLUMN reading.operator IS 'Who, as the audit names them';
COMMENT ON COLUMN reading.target IS 'Which lead, as the audit names it';
COMMENT ON COLUMN reading.times IS 'How often in that hour';
COMMENT ON COLUMN reading.first_at IS 'When first in that hour';
COMMENT ON COLUMN reading.last_at IS 'When last in that hour';

-- What stood in the audit, a line for each answer. A daemon of the version before may still write some; they stay there.
WITH moved AS (DELETE FROM audit WHERE action = 'ReadLead' RETURNING company_id, id, at, operator, target)
INSERT INTO reading (company_id, id, hour, operator, target, times, first_at, last_at)
SELECT company_id, (array_agg(id ORDER BY id))[1], date_trunc('hour', at, 'UTC'), operator, target, count(*), min(at), max(at)
FROM moved GROUP BY company_id, date_trunc('hour', at, 'UTC'), operator, target;
