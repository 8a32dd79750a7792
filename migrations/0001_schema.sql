-- The schema: companies, leads, deliveries, the queue, attempts, and what operators do.
--
-- Rules (ARCHITECTURE.md, "Schema"): company_id leads every key, ids are ULIDs made by the daemon and stored as uuid,
-- no sequences and no constraint reaches across companies, except in the queue's own daemon, claim and wake.
-- Every time that decides something is the database's.

CREATE TABLE installation (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    key_fingerprint bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE installation IS 'The one row that says which installation this database belongs to';
COMMENT ON COLUMN installation.one IS 'Always true: there is one row';
COMMENT ON COLUMN installation.key_fingerprint IS 'SHA-256 over a label and the master key; a daemon with another key refuses to start';
COMMENT ON COLUMN installation.created_at IS 'When the first daemon started on this database';

CREATE TABLE company (
    id             bigint PRIMARY KEY CHECK (id > 0),
    name           text NOT NULL CHECK (name <> ''),
    plan           text NOT NULL CHECK (plan IN ('free', 'starter', 'pro', 'multi')),
    brand          text CHECK (brand <> ''),
    config_version bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    paused_at      timestamptz,
    quiet_hours    integer CHECK (quiet_hours BETWEEN 1 AND 8760),
    quiet_since    timestamptz,
    time_zone      text CHECK (time_zone <> ''),
    locale         text CHECK (locale <> ''),
    lead_url       text CHECK (lead_url <> ''),
    CHECK ((quiet_hours IS NULL) = (quiet_since IS NULL))
);
COMMENT ON TABLE company IS 'Who collects leads';
COMMENT ON COLUMN company.id IS 'Chosen by the operator, or the next free number';
COMMENT ON COLUMN company.name IS 'As shown, and as pushed where an event names no company';
COMMENT ON COLUMN company.plan IS 'Limits how many integrations other than email may be enabled';
COMMENT ON COLUMN company.brand IS 'NAME or NAME/VERSION for the delivery headers; null for the daemon''s';
COMMENT ON COLUMN company.config_version IS 'Raised by every change of the company, its keys and its integrations; intake commits only against the version it decided on';
COMMENT ON COLUMN company.created_at IS 'When it was created';
COMMENT ON COLUMN company.paused_at IS 'Since when nothing is pushed for it; leads are accepted all the same. Null while it is not paused';
COMMENT ON COLUMN company.quiet_hours IS 'After so many hours without a lead a notice says so; null for never';
COMMENT ON COLUMN company.time_zone IS 'By whose clock its people are told times, as the IANA database names it; null for the sender''s';
COMMENT ON COLUMN company.locale IS 'How days and amounts are written for its people, as en-GB; null for that one';
COMMENT ON COLUMN company.lead_url IS 'Where its people open a lead, with {uuid} for the lead''s; null if nowhere';
COMMENT ON COLUMN company.quiet_since IS 'When those hours were set: they count from here at the earliest';

CREATE TABLE intake_key (
    company_id        bigint NOT NULL REFERENCES company,
    id                uuid NOT NULL,
    prefix            text NOT NULL,
    token_hash        bytea NOT NULL CHECK (length(token_hash) = 32),
    require_signature boolean NOT NULL,
    sealed_secret     bytea,
    created_at        timestamptz NOT NULL DEFAULT now(),
    revoked_at        timestamptz,
    rate_per_second   double precision CHECK (rate_per_second > 0),
    PRIMARY KEY (company_id, id),
    CHECK (require_signature = (sealed_secret IS NOT NULL))
);
COMMENT ON TABLE intake_key IS 'Credentials that open the intake for one company';
COMMENT ON COLUMN intake_key.company_id IS 'The company it opens';
COMMENT ON COLUMN intake_key.id IS 'ULID';
COMMENT ON COLUMN intake_key.prefix IS 'The first characters of the key, to tell keys apart';
COMMENT ON COLUMN intake_key.token_hash IS 'SHA-256 of the key; the key itself is not kept';
COMMENT ON COLUMN intake_key.require_signature IS 'Whether bodies must be signed too';
COMMENT ON COLUMN intake_key.sealed_secret IS 'The secret of that signature, sealed; null if none is required';
COMMENT ON COLUMN intake_key.created_at IS 'When it was created';
COMMENT ON COLUMN intake_key.revoked_at IS 'When it stopped opening anything; null while it does';
COMMENT ON COLUMN intake_key.rate_per_second IS 'How many leads a second each daemon takes in with it; null for no limit';

CREATE TABLE integration (
    company_id           bigint NOT NULL REFERENCES company,
    id                   uuid NOT NULL,
    name                 text NOT NULL CHECK (name <> ''),
    connector            text NOT NULL,
    enabled              boolean NOT NULL,
    config               jsonb NOT NULL,
    sealed_config        bytea NOT NULL,
    mapping              jsonb NOT NULL,
    events               text[] NOT NULL,
    payload              text NOT NULL CHECK (payload <> ''),
    routing              text NOT NULL CHECK (routing IN ('all', 'flows')),
    version              integer NOT NULL DEFAULT 1,
    throttled_until      timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    deleted_at           timestamptz,
    awaits_cut_over      boolean NOT NULL DEFAULT false,
    spent_secret_version integer NOT NULL DEFAULT 0,
    notices              boolean NOT NULL DEFAULT false,
    sealed_credentials   bytea,
    credentials_for      text,
    account              text,
    findings             jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(findings) = 'array'),
    proposals            jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(proposals) = 'array'),
    checked_at           timestamptz,
    needs_consent        boolean NOT NULL DEFAULT false,
    ids_from             timestamptz,
    PRIMARY KEY (company_id, id),
    CHECK ((sealed_credentials IS NULL) = (credentials_for IS NULL)),
    CHECK (events <@ ARRAY['lead.created', 'lead.updated'] AND (cardinality(events) > 0 OR notices))
);
CREATE UNIQUE INDEX integration_name ON integration (company_id, name) WHERE deleted_at IS NULL;
COMMENT ON TABLE integration IS 'One configured target of a company';
COMMENT ON COLUMN integration.company_id IS 'Whose it is';
COMMENT ON COLUMN integration.id IS 'ULID';
COMMENT ON COLUMN integration.name IS 'Unique in its company';
COMMENT ON COLUMN integration.connector IS 'The code that speaks to it';
COMMENT ON COLUMN integration.enabled IS 'While false nothing is pushed and new leads are held';
COMMENT ON COLUMN integration.config IS 'The configuration as shown, credentials shortened';
COMMENT ON COLUMN integration.sealed_config IS 'The whole configuration, sealed';
COMMENT ON COLUMN integration.mapping IS 'The operator''s field mapping, laid over the connector''s';
COMMENT ON COLUMN integration.events IS 'Which events it is subscribed to';
COMMENT ON COLUMN integration.payload IS 'The payload version it stays on';
COMMENT ON COLUMN integration.routing IS 'Whether it takes every lead or only what flows send';
COMMENT ON COLUMN integration.version IS 'Raised by every change that matters to a push';
COMMENT ON COLUMN integration.throttled_until IS 'Until when the target asked us to wait; null or past if it does not';
COMMENT ON COLUMN integration.created_at IS 'When it was created';
COMMENT ON COLUMN integration.deleted_at IS 'Set while its deliveries and attempts are being removed in batches; it is hidden from then on';
COMMENT ON COLUMN integration.awaits_cut_over IS 'While true nothing is pushed and new leads are held: a rotation is staged with hold';
COMMENT ON COLUMN integration.spent_secret_version IS 'The highest version of a secret that was staged and cancelled: none gets that number again';
COMMENT ON COLUMN integration.notices IS 'Whether it is told what operators of its company should hear of';
COMMENT ON COLUMN integration.sealed_credentials IS 'What we log in with, one JSON object, sealed; null for none';
COMMENT ON COLUMN integration.credentials_for IS 'The origins, as the configuration named them, that these credentials were given for: they are sent to no others; null for none';
COMMENT ON COLUMN integration.account IS 'Whose account it is, in the target''s words; null until a probe was told';
COMMENT ON COLUMN integration.findings IS 'What the last probe found wrong with the mapping or missing at the target, a sentence each';
COMMENT ON COLUMN integration.proposals IS 'What the last probe proposed to add to the mapping, from the target''s own fields: objects with field, rule and why';
COMMENT ON COLUMN integration.checked_at IS 'When a probe last looked at the mapping; null if never';
COMMENT ON COLUMN integration.needs_consent IS 'Only leads that consented may be pushed, the connector says: deliveries of the others are skipped';
COMMENT ON COLUMN integration.ids_from IS 'What was kept earlier in vendor_id is another target''s, as the address or the account was changed then; none if it never was';

CREATE TABLE signing_secret (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    sealed         bytea NOT NULL,
    expires_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    staged         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (company_id, integration_id, version),
    FOREIGN KEY (company_id, integration_id) REFERENCES integration,
    CHECK (NOT staged OR expires_at IS NULL)
);
COMMENT ON TABLE signing_secret IS 'What webhook bodies are signed with; the highest version that is not staged is the current one';
COMMENT ON COLUMN signing_secret.company_id IS 'Whose it is';
COMMENT ON COLUMN signing_secret.integration_id IS 'Whose pushes it signs';
COMMENT ON COLUMN signing_secret.version IS 'From 1, raised by each rotation';
COMMENT ON COLUMN signing_secret.sealed IS 'The secret, sealed';
COMMENT ON COLUMN signing_secret.expires_at IS 'When its grace ends; null for the current one';
COMMENT ON COLUMN signing_secret.created_at IS 'When it was made or brought along';
COMMENT ON COLUMN signing_secret.staged IS 'Goes along with the current one until cut over; signs alone in tests only';

CREATE TABLE integration_stat (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    last_pushed_at timestamptz,
    failure_count  bigint NOT NULL DEFAULT 0,
    dead           bigint NOT NULL DEFAULT 0,
    last_error     text CHECK (char_length(last_error) <= 500),
    last_error_at  timestamptz,
    last_class     text,
    failing        boolean NOT NULL DEFAULT false,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    streak         integer NOT NULL DEFAULT 0,
    trips          integer NOT NULL DEFAULT 0,
    breaker_until  timestamptz,
    breaker_error  text CHECK (char_length(breaker_error) <= 500),
    sweep_at       timestamptz,
    PRIMARY KEY (company_id, integration_id),
    FOREIGN KEY (company_id, integration_id) REFERENCES integration,
    CHECK ((last_error IS NULL) = (last_error_at IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX integration_stat_sweep ON integration_stat (sweep_at) WHERE sweep_at IS NOT NULL;
COMMENT ON TABLE integration_stat IS 'The health of an integration, summed up once per flush of finished attempts';
COMMENT ON COLUMN integration_stat.company_id IS 'Whose it is';
COMMENT ON COLUMN integration_stat.integration_id IS 'Whose health it is';
COMMENT ON COLUMN integration_stat.last_pushed_at IS 'When an attempt last delivered';
COMMENT ON COLUMN integration_stat.failure_count IS 'Failed attempts since the last reset, tests left out';
COMMENT ON COLUMN integration_stat.dead IS 'Deliveries that wait dead';
COMMENT ON COLUMN integration_stat.last_error IS 'The last failure, in words';
COMMENT ON COLUMN integration_stat.last_error_at IS 'When that was';
COMMENT ON COLUMN integration_stat.last_class IS 'The failure class of the last finished attempt; null if it delivered';
COMMENT ON COLUMN integration_stat.failing IS 'From a delivery that died until the next delivered push';
COMMENT ON COLUMN integration_stat.updated_at IS 'When this row last changed, for watchers';
COMMENT ON COLUMN integration_stat.streak IS 'Attempts in a row after which the target seemed to be down';
COMMENT ON COLUMN integration_stat.trips IS 'How often the breaker opened since the target last answered; each time it stays open for longer';
COMMENT ON COLUMN integration_stat.breaker_until IS 'Null: the breaker is closed. Future: it is open until then. Past: it is half-open, one retry goes ahead';
COMMENT ON COLUMN integration_stat.breaker_error IS 'The error that opened the breaker';
COMMENT ON COLUMN integration_stat.sweep_at IS 'When the sweep comes back to the dead deliveries of this integration; null if there are none for it';

CREATE TABLE lead (
    company_id  bigint NOT NULL,
    id          uuid NOT NULL,
    uuid        text NOT NULL CHECK (length(uuid) = 26),
    event_id    uuid NOT NULL,
    digest      bytea NOT NULL CHECK (length(digest) = 32),
    received_at timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz,
    erased_at   timestamptz,
    PRIMARY KEY (company_id, id)
);
COMMENT ON TABLE lead IS 'One prospect''s details, as accepted';
COMMENT ON COLUMN lead.company_id IS 'Whose it is';
COMMENT ON COLUMN lead.id IS 'Its ULID, the idempotency key';
COMMENT ON COLUMN lead.uuid IS 'The same as text, in the case in which it was received';
COMMENT ON COLUMN lead.event_id IS 'The event that holds its current content';
COMMENT ON COLUMN lead.digest IS 'SHA-256 of the content in a form without order and white space: tells a repeat from a change';
COMMENT ON COLUMN lead.received_at IS 'When it was first accepted';
COMMENT ON COLUMN lead.updated_at IS 'When its content last changed; null if never';
COMMENT ON COLUMN lead.erased_at IS 'When the person was erased; the row stays for the counts';

CREATE TABLE event (
    company_id bigint NOT NULL,
    id         uuid NOT NULL,
    lead_id    uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('lead.created', 'lead.updated')),
    body       bytea NOT NULL,
    trace      bytea CHECK (length(trace) = 25),
    PRIMARY KEY (company_id, id)
);
ALTER TABLE event ALTER body SET COMPRESSION lz4;
-- Not every event has a delivery that names it, and erasing must find them all.
CREATE INDEX event_lead ON event (lead_id, company_id);
COMMENT ON TABLE event IS 'Why we push: a lead came to be or changed';
COMMENT ON COLUMN event.company_id IS 'Whose it is';
COMMENT ON COLUMN event.id IS 'ULID';
COMMENT ON COLUMN event.lead_id IS 'Whose event it is';
COMMENT ON COLUMN event.kind IS 'What happened';
COMMENT ON COLUMN event.trace IS 'Where its pushes stand in a distributed trace: trace id, span id and flags; none if nobody traces it';
COMMENT ON COLUMN event.body IS 'The canonical event, byte for byte as it is pushed: the received text with what was absent filled in';

CREATE TABLE delivery (
    company_id     bigint NOT NULL,
    id             uuid NOT NULL,
    integration_id uuid NOT NULL,
    lead_id        uuid NOT NULL,
    event_id       uuid NOT NULL,
    event          text NOT NULL,
    automatic      boolean NOT NULL DEFAULT true,
    state          text NOT NULL CHECK (state IN ('pending', 'held', 'delivered', 'dead', 'skipped')),
    reason         text,
    attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    retries        integer NOT NULL DEFAULT 0 CHECK (retries >= 0),
    deaths         smallint NOT NULL DEFAULT 0,
    successor_id   uuid,
    progress       jsonb,
    body           bytea,
    due_at         timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    verbatim       boolean NOT NULL DEFAULT false,
    job_id         uuid,
    PRIMARY KEY (company_id, id),
    CHECK ((state IN ('delivered', 'dead', 'skipped')) = (finished_at IS NOT NULL)),
    CHECK (state NOT IN ('held', 'skipped') OR reason IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX delivery_integration ON delivery (integration_id, company_id, id);
-- Without the state: an index on what finishing changes would keep those updates from staying in place.
CREATE INDEX delivery_job ON delivery (job_id) WHERE job_id IS NOT NULL;
-- One index for two things: it finds a lead's deliveries, and allows one automatic delivery for an event and an
-- integration. Others have null at its end, which equals nothing.
CREATE UNIQUE INDEX delivery_lead ON delivery (lead_id, integration_id, event_id, company_id, nullif(automatic, false));
CREATE INDEX delivery_successor ON delivery (integration_id) WHERE successor_id IS NOT NULL;
COMMENT ON TABLE delivery IS 'The duty to bring one event to one integration; outlives its attempts';
COMMENT ON COLUMN delivery.company_id IS 'Whose it is';
COMMENT ON COLUMN delivery.id IS 'ULID; the webhook-id that every attempt carries';
COMMENT ON COLUMN delivery.integration_id IS 'Where the event must go';
COMMENT ON COLUMN delivery.lead_id IS 'The lead that the event is about';
COMMENT ON COLUMN delivery.event_id IS 'What is brought';
COMMENT ON COLUMN delivery.event IS 'The kind of event under which it is pushed';
COMMENT ON COLUMN delivery.automatic IS 'Made by intake; at most one for an event and an integration. Operators may make more';
COMMENT ON COLUMN delivery.state IS 'Where it stands';
COMMENT ON COLUMN delivery.reason IS 'Why it is held, skipped or dead';
COMMENT ON COLUMN delivery.attempts IS 'Finished attempts, the number of the last one';
COMMENT ON COLUMN delivery.retries IS 'Automatic retries used up on the current schedule; a manual retry starts a fresh one';
COMMENT ON COLUMN delivery.deaths IS 'Attempts during which the daemon died; a suspect is pushed alone, a third death kills the delivery';
COMMENT ON COLUMN delivery.successor_id IS 'The update of the same lead that waits for this one to be final; null for none';
COMMENT ON COLUMN delivery.progress IS 'What a push of several calls has reached; null before the first';
COMMENT ON COLUMN delivery.body IS 'The rendered body, kept with the first attempt so that repeats are the same bytes; null if it is the event''s. Delivered ones are retried too, so it is kept until the lead is erased';
COMMENT ON COLUMN delivery.due_at IS 'When it was last made due, for lists: the queue itself is not indexed by delivery';
COMMENT ON COLUMN delivery.created_at IS 'When it came to be';
COMMENT ON COLUMN delivery.finished_at IS 'When it became final; null until then';
COMMENT ON COLUMN delivery.verbatim IS 'Whether the event''s own bytes were sent: repeats are the same, whatever the mapping says by then';
COMMENT ON COLUMN delivery.job_id IS 'The job that last brought it back; null for none';

CREATE TABLE undelivered (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    delivery_id    uuid NOT NULL,
    lead_id        uuid NOT NULL,
    state          text NOT NULL CHECK (state IN ('held', 'dead')),
    class          text,
    error          text,
    since          timestamptz NOT NULL DEFAULT now(),
    due_at         timestamptz,
    PRIMARY KEY (company_id, integration_id, delivery_id)
);
CREATE INDEX undelivered_held ON undelivered (integration_id, company_id, delivery_id) WHERE state = 'held';
COMMENT ON TABLE undelivered IS 'The deliveries that are held or dead, small beside all that were delivered';
COMMENT ON COLUMN undelivered.company_id IS 'Whose it is';
COMMENT ON COLUMN undelivered.integration_id IS 'Where it should go';
COMMENT ON COLUMN undelivered.delivery_id IS 'Which delivery';
COMMENT ON COLUMN undelivered.lead_id IS 'Whose lead';
COMMENT ON COLUMN undelivered.state IS 'The delivery''s state, written in the same transaction';
COMMENT ON COLUMN undelivered.class IS 'The failure class it died of; null if held';
COMMENT ON COLUMN undelivered.error IS 'The error it died of; null if held';
COMMENT ON COLUMN undelivered.since IS 'Since when';
COMMENT ON COLUMN undelivered.due_at IS 'Set if the sweep comes back to it: the visit is at the integration''s sweep_at; null if it does not';

CREATE TABLE due (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    kind           smallint NOT NULL CHECK (kind IN (0, 1)),
    due_at         timestamptz NOT NULL,
    delivery_id    uuid NOT NULL,
    trigger        text NOT NULL,
    operator       text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due_lane ON due (integration_id, kind, due_at);
COMMENT ON TABLE due IS 'The queue: a row for every pending delivery on which nobody works';
COMMENT ON COLUMN due.company_id IS 'Whose it is';
COMMENT ON COLUMN due.integration_id IS 'The lane it waits in';
COMMENT ON COLUMN due.kind IS '0 first attempts, 1 retries: the first go first';
COMMENT ON COLUMN due.due_at IS 'Not pushed before this time; within a flush a microsecond apart, so that a watermark can cut anywhere';
COMMENT ON COLUMN due.delivery_id IS 'What to push';
COMMENT ON COLUMN due.trigger IS 'What made it due: first, retry, sweep or manual';
COMMENT ON COLUMN due.operator IS 'Who asked for it; null unless manual';

CREATE TABLE daemon (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lease_until timestamptz NOT NULL
);
COMMENT ON TABLE daemon IS 'The daemons that live: a new row for each life';
COMMENT ON COLUMN daemon.id IS 'The fence: claims of a daemon that has no row are void';
COMMENT ON COLUMN daemon.lease_until IS 'Moved on by every beat; past it, anybody may delete the row';

-- Not the row type of `due`: a table whose type a column has can get no column with a default.
CREATE TYPE claimed_item AS (
    company_id     bigint,
    integration_id uuid,
    kind           smallint,
    due_at         timestamptz,
    delivery_id    uuid,
    trigger        text,
    operator       text
);
COMMENT ON TYPE claimed_item IS 'A due row as it was when it was claimed';

CREATE TABLE claim (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    daemon_id  bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    items      claimed_item[] NOT NULL,
    attempts   uuid[] NOT NULL CHECK (cardinality(attempts) = cardinality(items))
);
-- Its items are alike: compressed they are a third.
ALTER TABLE claim ALTER items SET COMPRESSION lz4;
COMMENT ON TABLE claim IS 'What a daemon works on: one row for each batch it claimed';
COMMENT ON COLUMN claim.id IS 'Named by the finish of its items';
COMMENT ON COLUMN claim.daemon_id IS 'Who works on it';
COMMENT ON COLUMN claim.claimed_at IS 'Since when: the start of the attempts';
COMMENT ON COLUMN claim.items IS 'The due rows as they were';
COMMENT ON COLUMN claim.attempts IS 'The ids of the attempts, in the order of the items';

CREATE TABLE wake (
    daemon_id bigint NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    body      jsonb NOT NULL,
    PRIMARY KEY (daemon_id, seq)
);
COMMENT ON TABLE wake IS 'What one daemon tells the others, kept for a minute: hints only, a scan repairs what is lost';
COMMENT ON COLUMN wake.daemon_id IS 'Who tells';
COMMENT ON COLUMN wake.seq IS 'In the order of commits, because each daemon writes from one connection';
COMMENT ON COLUMN wake.at IS 'When, for removal';
COMMENT ON COLUMN wake.body IS 'Lanes that have due deliveries, integrations that changed, probes that wait';

CREATE TABLE attempt (
    company_id       bigint NOT NULL,
    integration_id   uuid NOT NULL,
    id               uuid NOT NULL,
    delivery_id      uuid,
    lead_id          uuid,
    event            text NOT NULL,
    number           integer NOT NULL CHECK (number >= 1),
    trigger          text NOT NULL CHECK (trigger IN ('first', 'retry', 'sweep', 'manual', 'test')),
    delivered        boolean NOT NULL,
    class            text,
    error            text,
    status_code      smallint,
    started_at       timestamptz NOT NULL,
    duration_ms      integer NOT NULL CHECK (duration_ms >= 0),
    method           text,
    url              text,
    request_headers  jsonb,
    request_body     bytea,
    response_headers jsonb,
    response_body    bytea,
    response_bytes   bigint,
    secret_version   integer,
    config_version   integer NOT NULL,
    operator         text,
    PRIMARY KEY (company_id, integration_id, id, started_at),
    CHECK (delivered = (class IS NULL)),
    CHECK ((trigger = 'test') = (delivery_id IS NULL)),
    CHECK ((status_code IS NULL) = (response_headers IS NULL))
) PARTITION BY RANGE (started_at);
CREATE INDEX attempt_delivery ON attempt (delivery_id, company_id);
CREATE TABLE attempt_rest PARTITION OF attempt DEFAULT;
COMMENT ON TABLE attempt IS 'One numbered try of a delivery, written once when it finished; a partition for each day, dropped when that is older than attempts are kept';
COMMENT ON COLUMN attempt.company_id IS 'Whose it is';
COMMENT ON COLUMN attempt.integration_id IS 'Where it went';
COMMENT ON COLUMN attempt.id IS 'ULID, made when the delivery was claimed';
COMMENT ON COLUMN attempt.delivery_id IS 'Whose try it is; null for a test';
COMMENT ON COLUMN attempt.lead_id IS 'Which lead; null for a test';
COMMENT ON COLUMN attempt.event IS 'Under which event it was pushed';
COMMENT ON COLUMN attempt.number IS 'From 1 within the delivery';
COMMENT ON COLUMN attempt.trigger IS 'What started it';
COMMENT ON COLUMN attempt.delivered IS 'Whether it delivered';
COMMENT ON COLUMN attempt.class IS 'Which kind of failure; null if delivered';
COMMENT ON COLUMN attempt.error IS 'What went wrong, in words; null if nothing';
COMMENT ON COLUMN attempt.status_code IS 'The answer''s status; null if there was none';
COMMENT ON COLUMN attempt.started_at IS 'When it was claimed';
COMMENT ON COLUMN attempt.duration_ms IS 'From the start of the push to its end';
COMMENT ON COLUMN attempt.method IS 'What was sent; null if nothing was';
COMMENT ON COLUMN attempt.url IS 'Where to, credentials shortened';
COMMENT ON COLUMN attempt.request_headers IS 'Pairs in the order sent, credentials shortened';
COMMENT ON COLUMN attempt.request_body IS 'Only where neither the delivery nor the event has the same bytes';
COMMENT ON COLUMN attempt.response_headers IS 'Pairs in the order received';
COMMENT ON COLUMN attempt.response_body IS 'At most 4 KiB';
COMMENT ON COLUMN attempt.response_bytes IS 'How much of the body was read, at most 64 KiB';
COMMENT ON COLUMN attempt.secret_version IS 'Which secret signed it; null if none';
COMMENT ON COLUMN attempt.config_version IS 'The integration''s version that rendered it';
COMMENT ON COLUMN attempt.operator IS 'Who asked for it; null unless manual or test';
COMMENT ON TABLE attempt_rest IS 'Attempts of no day''s partition: the last 50 of idle integrations and those of open deliveries, when their day was dropped';

CREATE TABLE probe (
    company_id       bigint NOT NULL,
    id               uuid NOT NULL,
    integration_id   uuid NOT NULL,
    operator         text NOT NULL,
    requested_at     timestamptz NOT NULL DEFAULT now(),
    daemon_id        bigint,
    kind             text NOT NULL DEFAULT 'test' CHECK (kind IN ('test', 'mapping', 'credentials')),
    sealed_candidate bytea,
    PRIMARY KEY (company_id, id),
    CHECK ((kind = 'credentials') = (sealed_candidate IS NOT NULL))
);
COMMENT ON TABLE probe IS 'Calls to a target that push no lead, asked for by operators and carried out by dispatch';
COMMENT ON COLUMN probe.company_id IS 'Whose it is';
COMMENT ON COLUMN probe.id IS 'ULID; the id of the attempt that it becomes';
COMMENT ON COLUMN probe.integration_id IS 'What is probed';
COMMENT ON COLUMN probe.operator IS 'Who asked';
COMMENT ON COLUMN probe.requested_at IS 'When';
COMMENT ON COLUMN probe.daemon_id IS 'Who carries it out; null until somebody does';
COMMENT ON COLUMN probe.kind IS 'What is looked for: whether a test arrives, the mapping against the target''s fields, or whether new credentials work';
COMMENT ON COLUMN probe.sealed_candidate IS 'The new credentials, sealed for the integration: they replace the old ones if the probe delivers';

CREATE TABLE request (
    operator    text NOT NULL,
    id          text NOT NULL,
    fingerprint bytea NOT NULL,
    answer      bytea NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (operator, id)
);
COMMENT ON TABLE request IS 'Mutations of the last 24 hours, so that a repeat gets the same answer';
COMMENT ON COLUMN request.operator IS 'Who asked';
COMMENT ON COLUMN request.id IS 'The client''s request id';
COMMENT ON COLUMN request.fingerprint IS 'SHA-256 of method and request: another request under the id is refused';
COMMENT ON COLUMN request.answer IS 'The encoded answer, without secrets';
COMMENT ON COLUMN request.at IS 'When';

CREATE TABLE audit (
    company_id bigint NOT NULL,
    id         uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    operator   text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    before     jsonb,
    after      jsonb,
    PRIMARY KEY (company_id, id)
);
COMMENT ON TABLE audit IS 'What operators changed; kept for good';
COMMENT ON COLUMN audit.company_id IS 'Whose thing was changed';
COMMENT ON COLUMN audit.id IS 'ULID';
COMMENT ON COLUMN audit.at IS 'When';
COMMENT ON COLUMN audit.operator IS 'Who';
COMMENT ON COLUMN audit.action IS 'The method called';
COMMENT ON COLUMN audit.target IS 'What it was called on';
COMMENT ON COLUMN audit.before IS 'What was, without secrets; null if nothing';
COMMENT ON COLUMN audit.after IS 'What is, without secrets; null if nothing';

CREATE TABLE saved_lead (
    company_id bigint NOT NULL,
    email_hash bytea NOT NULL CHECK (length(email_hash) = 32),
    lead_id    uuid NOT NULL,
    PRIMARY KEY (company_id, email_hash)
);
CREATE INDEX saved_lead_lead ON saved_lead (lead_id, company_id);
COMMENT ON TABLE saved_lead IS 'Which lead last came through /v1/save_lead with an e-mail address';
COMMENT ON COLUMN saved_lead.company_id IS 'Whose it is';
COMMENT ON COLUMN saved_lead.email_hash IS 'SHA-256 of the address in lower case; the address itself stands in the event alone';
COMMENT ON COLUMN saved_lead.lead_id IS 'The lead that the next post of this address is merged into';

CREATE TABLE refusal (
    company_id bigint NOT NULL,
    key_id     uuid NOT NULL,
    id         uuid NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    path       text NOT NULL,
    status     smallint NOT NULL,
    detail     text NOT NULL,
    errors     jsonb NOT NULL,
    body       text,
    PRIMARY KEY (company_id, key_id, id)
);
COMMENT ON TABLE refusal IS 'What the intake refused lately: the last 100 of each key, without anybody''s data';
COMMENT ON COLUMN refusal.company_id IS 'Whose key it was';
COMMENT ON COLUMN refusal.key_id IS 'The intake key that was shown';
COMMENT ON COLUMN refusal.id IS 'ULID';
COMMENT ON COLUMN refusal.at IS 'When';
COMMENT ON COLUMN refusal.path IS 'Where it was posted to';
COMMENT ON COLUMN refusal.status IS 'The HTTP status it was answered with';
COMMENT ON COLUMN refusal.detail IS 'What the sender was told';
COMMENT ON COLUMN refusal.errors IS 'The fields that were wrong: pairs of pointer and detail';
COMMENT ON COLUMN refusal.body IS 'What was sent, its texts masked to their form; null if it was not read';

CREATE TABLE erasure (
    company_id bigint NOT NULL,
    lead_id    uuid NOT NULL,
    PRIMARY KEY (company_id, lead_id)
);
COMMENT ON TABLE erasure IS 'Leads erased lately: what pushes under way leave behind is still to be removed';
COMMENT ON COLUMN erasure.company_id IS 'Whose lead it was';
COMMENT ON COLUMN erasure.lead_id IS 'Which lead';

CREATE TABLE flow (
    company_id bigint NOT NULL REFERENCES company,
    id         uuid NOT NULL,
    name       text NOT NULL CHECK (name <> ''),
    position   integer NOT NULL CHECK (position >= 1),
    condition  text NOT NULL CHECK (condition <> ''),
    enabled    boolean NOT NULL,
    stop       boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, id),
    UNIQUE (company_id, name)
);
COMMENT ON TABLE flow IS 'A rule that says which leads go to which integrations; part of what intake decides on, so that every change raises the company''s config_version';
COMMENT ON COLUMN flow.company_id IS 'Whose it is';
COMMENT ON COLUMN flow.id IS 'ULID';
COMMENT ON COLUMN flow.name IS 'Unique in its company; the reasons of deliveries name it';
COMMENT ON COLUMN flow.position IS 'From 1: flows are asked in this order';
COMMENT ON COLUMN flow.condition IS 'What is asked of the canonical event, called when in the API: an expression in CEL';
COMMENT ON COLUMN flow.enabled IS 'While false it sends nothing anywhere';
COMMENT ON COLUMN flow.stop IS 'Whether flows behind it are not asked about the leads it takes';
COMMENT ON COLUMN flow.created_at IS 'When it was created';

CREATE TABLE flow_target (
    company_id     bigint NOT NULL,
    flow_id        uuid NOT NULL,
    integration_id uuid NOT NULL,
    PRIMARY KEY (company_id, flow_id, integration_id),
    FOREIGN KEY (company_id, flow_id) REFERENCES flow ON DELETE CASCADE,
    FOREIGN KEY (company_id, integration_id) REFERENCES integration ON DELETE CASCADE
);
CREATE INDEX flow_target_integration ON flow_target (integration_id, company_id);
COMMENT ON TABLE flow_target IS 'Where the leads of a flow go';
COMMENT ON COLUMN flow_target.company_id IS 'Whose they are';
COMMENT ON COLUMN flow_target.flow_id IS 'Which flow';
COMMENT ON COLUMN flow_target.integration_id IS 'One of its integrations';

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
COMMENT ON TABLE job IS 'Bulk retries and pushes that operators asked for: a row for each lane that one goes through; kept as long as attempts once all have ended';
COMMENT ON COLUMN job.company_id IS 'Whose deliveries';
COMMENT ON COLUMN job.id IS 'ULID; the same in all rows of one job';
COMMENT ON COLUMN job.integration_id IS 'The lane';
COMMENT ON COLUMN job.kind IS 'Whether it retries deliveries or pushes leads that are not synced';
COMMENT ON COLUMN job.operator IS 'Who asked';
COMMENT ON COLUMN job.filter IS 'Which deliveries or leads, as it was asked for; an error text is forgotten when the job ends, because it may quote a person';
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

CREATE TABLE notice_told (
    company_id bigint NOT NULL REFERENCES company,
    subject    uuid NOT NULL,
    aspect     text NOT NULL CHECK (aspect IN ('health', 'secret', 'leads')),
    state      text NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, subject, aspect)
);
COMMENT ON TABLE notice_told IS 'What notices told last, so that a change is told once, whichever daemon sees it and whatever restarts; a row for each integration and aspect, without anybody''s data';
COMMENT ON COLUMN notice_told.company_id IS 'Whose it is';
COMMENT ON COLUMN notice_told.subject IS 'The integration, or all zeros for the company itself';
COMMENT ON COLUMN notice_told.aspect IS 'What of it: its health, its old secret, or the leads that come in';
COMMENT ON COLUMN notice_told.state IS 'How that stood when it was told last';
COMMENT ON COLUMN notice_told.since IS 'When it was told';

CREATE TABLE notice (
    company_id     bigint NOT NULL REFERENCES company,
    id             uuid NOT NULL,
    integration_id uuid NOT NULL,
    kind           text NOT NULL,
    body           bytea NOT NULL,
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    error          text CHECK (char_length(error) <= 500),
    due_at         timestamptz NOT NULL DEFAULT now(),
    daemon_id      bigint,
    created_at     timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    PRIMARY KEY (company_id, id),
    FOREIGN KEY (company_id, integration_id) REFERENCES integration ON DELETE CASCADE,
    CHECK ((state = 'pending') = (finished_at IS NULL))
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'pending';
COMMENT ON TABLE notice IS 'What an integration that is marked for notices is told: pushed like an event, kept as long as attempts';
COMMENT ON COLUMN notice.company_id IS 'Whose it is';
COMMENT ON COLUMN notice.id IS 'ULID; the webhook-id that every attempt carries';
COMMENT ON COLUMN notice.integration_id IS 'Who is told';
COMMENT ON COLUMN notice.kind IS 'The event under which it is pushed';
COMMENT ON COLUMN notice.body IS 'What is pushed, JSON';
COMMENT ON COLUMN notice.state IS 'Where it stands';
COMMENT ON COLUMN notice.attempts IS 'Finished attempts';
COMMENT ON COLUMN notice.error IS 'Why the last one failed; null if none did';
COMMENT ON COLUMN notice.due_at IS 'When it is pushed next';
COMMENT ON COLUMN notice.daemon_id IS 'Who pushes it; null until somebody does';
COMMENT ON COLUMN notice.created_at IS 'When the change was seen';
COMMENT ON COLUMN notice.finished_at IS 'When it was delivered or given up; null until then';

CREATE TABLE vendor_id (
    company_id     bigint NOT NULL,
    integration_id uuid NOT NULL,
    lead_id        uuid NOT NULL,
    ids            jsonb NOT NULL CHECK (jsonb_typeof(ids) = 'object'),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (company_id, integration_id, lead_id)
);
COMMENT ON TABLE vendor_id IS 'What targets call the things they made of a lead, so that a push goes on where it stopped and an update finds them';
COMMENT ON COLUMN vendor_id.company_id IS 'Whose it is';
COMMENT ON COLUMN vendor_id.integration_id IS 'At which target';
COMMENT ON COLUMN vendor_id.lead_id IS 'Of which lead';
COMMENT ON COLUMN vendor_id.ids IS 'Names of the connector''s own, each with the target''s id';
COMMENT ON COLUMN vendor_id.updated_at IS 'When an id was last added';

CREATE VIEW in_flight AS
SELECT k.id AS claim_id, k.daemon_id, k.claimed_at, u.company_id, u.integration_id, u.kind, u.due_at, u.delivery_id,
    u.trigger, u.operator, u.attempt_id
FROM claim k CROSS JOIN LATERAL unnest(k.items, k.attempts)
    AS u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
WHERE NOT EXISTS (
    SELECT FROM attempt a
    WHERE a.company_id = u.company_id AND a.integration_id = u.integration_id
        AND a.id = u.attempt_id AND a.started_at = k.claimed_at);
COMMENT ON VIEW in_flight IS 'Items of claims whose attempt is not recorded yet: a claim goes with the last of its items';
COMMENT ON COLUMN in_flight.claim_id IS 'The claim that holds it';
COMMENT ON COLUMN in_flight.daemon_id IS 'Who works on it; a daemon without a row is dead';
COMMENT ON COLUMN in_flight.claimed_at IS 'The start of the attempt';
COMMENT ON COLUMN in_flight.company_id IS 'Whose it is';
COMMENT ON COLUMN in_flight.integration_id IS 'Where it goes';
COMMENT ON COLUMN in_flight.kind IS 'As the due row was: 0 first attempts, 1 retries';
COMMENT ON COLUMN in_flight.due_at IS 'When it was due';
COMMENT ON COLUMN in_flight.delivery_id IS 'Which delivery';
COMMENT ON COLUMN in_flight.trigger IS 'What started the attempt';
COMMENT ON COLUMN in_flight.operator IS 'Who asked for it; null unless manual';
COMMENT ON COLUMN in_flight.attempt_id IS 'The id of the attempt that it becomes';

CREATE FUNCTION target_of(config jsonb) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    concat_ws(' ', config->>'base_url', config->>'login_url', substring(config->>'path' FROM '^https?://[^/?#]*'));
COMMENT ON FUNCTION target_of IS 'Whom an integration pushes to, as its configuration says; blank for the connector''s own target';
