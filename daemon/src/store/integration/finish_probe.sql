-- Ends a probe: keeps its attempt, what it found, and the credentials that it tried with success.
WITH gone AS (
    DELETE FROM probe WHERE company_id = $1 AND id = $3 RETURNING company_id, sealed_candidate,
        $5::text IS NULL AND kind <> 'mapping' AS is_good
), told AS (
    UPDATE integration i SET
        account = coalesce($21, i.account),
        throttled_until = CASE WHEN NOT gone.is_good THEN i.throttled_until END,
        ids_from = CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL
            AND $21::text IS NOT NULL
            AND split_part($21, ' (', 1) IS DISTINCT FROM split_part(i.account, ' (', 1)
            THEN now() ELSE i.ids_from END,
        findings = CASE WHEN $20 THEN $22 ELSE i.findings END,
        proposals = CASE WHEN $20 THEN $26 ELSE i.proposals END,
        checked_at = CASE WHEN $20 THEN now() ELSE i.checked_at END,
        -- Sealed anew for its new place.
        sealed_credentials = CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL
            THEN $27 ELSE i.sealed_credentials END,
        credentials_for = CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL
            THEN $25 ELSE i.credentials_for END,
        login = CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL THEN $28 ELSE i.login END,
        sealed_refresh = CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL
            THEN NULL ELSE i.sealed_refresh END,
        version = i.version + (CASE WHEN $5::text IS NULL AND gone.sealed_candidate IS NOT NULL
            THEN 1 ELSE 0 END)
    FROM gone WHERE i.company_id = $1 AND i.id = $2
        AND ($20 OR gone.is_good)
)
INSERT INTO attempt (company_id, integration_id, id, event, number, trigger, delivered, class, error,
    status_code, started_at, duration_ms, method, url, request_headers, request_body, response_headers,
    response_body, response_bytes, secret_version, config_version, operator, calls, note)
SELECT company_id, $2, $3, $4, 1, 'test', $5::text IS NULL, $5, $6,
    $7, 'epoch'::timestamptz + $8::bigint * interval '1 microsecond', $9, $10, $11, $12::text::json, $13,
    $14::text::json, $15, $16, $17, $18, $19, $23::text::json, $24
FROM gone RETURNING (SELECT is_good FROM gone) AS "is_good!"
