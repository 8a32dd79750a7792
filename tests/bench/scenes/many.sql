-- $leads leads of 50 companies, of which the first has half; two deliveries and ten attempts each. One delivery in five is
-- dead, of 400 causes, one in two hundred is skipped, and one lead in a hundred arrived nowhere. Few attempts failed of
-- credentials, some were answered with 500.
CREATE TEMP TABLE lane ON COMMIT DROP AS
SELECT company_id, id, row_number() OVER (PARTITION BY company_id ORDER BY id) - 1 AS n FROM integration;

CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n, CASE WHEN n % 2 = 0 THEN 1 ELSE 1 + n / 2 % 50 END AS company_id, at,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5('lead ' || n), 1, 20))::uuid AS id,
    gen_random_uuid() AS event_id,
    (ARRAY['Sarah', 'Amelia', 'Oliver', 'Zoë', 'Harry', 'Isla', 'Noah', 'Priya', 'Tomasz', 'Grace'])[1 + n % 10] || ' '
        || (ARRAY['Patel', 'Smith', 'Jones', 'Kowalska', 'Brown', 'Evans', 'Walker'])[1 + n / 10 % 7] || ' ' || to_hex(n) AS name
FROM generate_series(1, $leads) n, LATERAL (SELECT now() - interval '5 days' * (1 - n / $leads::float8) AS at) t;

INSERT INTO lead (company_id, id, uuid, event_id, digest, received_at)
SELECT company_id, id, lpad(n::text, 26, '0'), event_id, sha256(n::text::bytea), at FROM made;
INSERT INTO event (company_id, id, lead_id, kind, body)
SELECT company_id, event_id, id, 'lead.created', convert_to(json_build_object('event', 'lead.created', 'lead',
    json_build_object('uuid', n, 'name', name, 'email', 'lead.' || n || '@example.com', 'message', repeat('x', 600)),
    'quote', json_build_object('total_pence', n % 1000000, 'currency', 'GBP'))::text, 'utf8') FROM made;
INSERT INTO lead_person (company_id, lead_id, name, email, phone, folded)
SELECT company_id, id, name, 'lead.' || n || '@example.com', '+447700' || lpad(n::text, 7, '0'),
    E'\n' || lower(name) || E'\nlead.' || n || E'@example.com\n7700' || lpad(n::text, 7, '0') || E'\n' || n || E'\n' FROM made;

INSERT INTO delivery (company_id, id, integration_id, lead_id, event_id, event, state, attempts, reason_code, created_at,
    finished_at)
SELECT m.company_id,
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || substr(md5('delivery ' || m.n || ' ' || k), 1, 20))::uuid,
    l.id, m.id, m.event_id, 'lead.created',
    s.state, CASE s.state WHEN 'skipped' THEN 0 ELSE 5 END, CASE s.state WHEN 'skipped' THEN 'no_consent' END, at,
    at + interval '1 second'
FROM made m CROSS JOIN generate_series(0, 1) k
JOIN lane l ON l.company_id = m.company_id AND l.n = (m.n / 50 + k) % 5
CROSS JOIN LATERAL (SELECT CASE WHEN (m.n / 2 + k) % 5 = 0 OR m.n % 101 = 7 THEN 'dead'
    WHEN m.n % 103 = 7 AND k = 1 THEN 'skipped' ELSE 'delivered' END AS state) s;
INSERT INTO undelivered (company_id, integration_id, delivery_id, lead_id, state, class, error, since)
SELECT d.company_id, d.integration_id, d.id, d.lead_id, 'dead', CASE WHEN m.n % 997 = 0 THEN 'credentials' ELSE 'rejected' END,
    CASE WHEN m.n % 997 = 0 THEN '401: the token has expired' ELSE '422: no field called '
    || (ARRAY['guest', 'menu', 'event', 'venue', 'budget', 'owner', 'region', 'source', 'brand', 'phone', 'diet', 'room', 'date',
        'season', 'team', 'stage', 'partner', 'referral', 'campaign', 'channel'])[1 + m.n / 10 % 20] || '_'
    || (ARRAY['name', 'kind', 'code', 'label', 'group', 'note', 'state', 'level', 'score', 'colour', 'size', 'type', 'unit',
        'title', 'rank', 'list', 'place', 'time', 'text', 'sum'])[1 + m.n / 200 % 20] END, created_at
FROM delivery d JOIN made m ON m.company_id = d.company_id AND m.id = d.lead_id WHERE state = 'dead';
UPDATE integration_stat s SET dead = d.dead
FROM (SELECT integration_id, count(*) AS dead FROM undelivered GROUP BY 1) d WHERE d.integration_id = s.integration_id;

-- The daemon has made the partitions from yesterday on.
DO $$
DECLARE
    day date;
    name text;
BEGIN
    FOR day IN SELECT generate_series(d - 6, d, '1 day') FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS d) today LOOP
        name := 'attempt_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I PARTITION OF attempt FOR VALUES FROM (%L) TO (%L)', name, day || ' 00:00+00',
            day + 1 || ' 00:00+00');
        EXECUTE format('ALTER TABLE %I ALTER error SET STATISTICS 0, ALTER url SET STATISTICS 0,
            ALTER request_headers SET STATISTICS 0, ALTER request_body SET STATISTICS 0,
            ALTER response_headers SET STATISTICS 0, ALTER response_body SET STATISTICS 0, ALTER note SET STATISTICS 0,
            ALTER calls SET STATISTICS 0', name);
    END LOOP;
END $$;
INSERT INTO attempt (company_id, integration_id, id, delivery_id, lead_id, event, number, trigger, delivered, class, error,
    status_code, started_at, duration_ms, method, url, request_headers, response_headers, response_body, response_bytes,
    config_version)
SELECT company_id, integration_id,
    (lpad(to_hex((extract(epoch FROM created_at) * 1000)::bigint + k), 12, '0') || substr(md5(id::text || k), 1, 20))::uuid,
    id, lead_id, event, k, CASE WHEN k = 1 THEN 'first' ELSE 'retry' END, class IS NULL, class, error, status,
    created_at + k * interval '1 ms', 12, 'POST', 'https://crm.example/leads', '[["content-type","application/json"]]',
    '[["content-length","2"]]', 'ok', 2, 1
FROM delivery CROSS JOIN generate_series(1, 5) k
CROSS JOIN LATERAL (SELECT ('x' || right(id::text, 4))::bit(16)::int AS chance OFFSET 0) c
CROSS JOIN LATERAL (
    SELECT * FROM (VALUES
        (k = 5 AND state = 'delivered', NULL, NULL, 200),
        (k = 1 AND chance % 1000 = 0, 'credentials', '401: the token has expired', 401),
        (k = 2 AND chance % 100 = 0, 'transient', '500: try again', 500),
        (true, 'rejected', '422: no field called x', 422)
    ) came_to(is_so, class, error, status) WHERE is_so LIMIT 1
) a
WHERE state <> 'skipped';
