//! What must hold of the rows of the queue after every commit, whatever happened and in whatever order.

use sqlx::PgPool;

/// Every rule is told by the rows that break it. One statement, so that it sees the rows of one moment.
const BROKEN: &str = "
    WITH working AS MATERIALIZED (
        -- An item is worked on until its attempt is recorded; its claim goes with the last of its items.
        SELECT u.company_id, u.delivery_id FROM claim k, unnest(k.items, k.attempts)
            u(company_id, integration_id, kind, due_at, delivery_id, trigger, operator, attempt_id)
        WHERE NOT EXISTS (SELECT FROM attempt a WHERE a.company_id = u.company_id
            AND a.integration_id = u.integration_id AND a.id = u.attempt_id AND a.started_at = k.claimed_at)
    ), alive AS MATERIALIZED (
        SELECT d.* FROM delivery d
        JOIN integration i ON i.company_id = d.company_id AND i.id = d.integration_id AND i.deleted_at IS NULL
        WHERE $1::bigint IS NULL OR d.company_id = $1
    ), places AS MATERIALIZED (
        SELECT d.company_id, d.id, d.state,
            (SELECT count(*) FROM due q WHERE q.company_id = d.company_id AND q.delivery_id = d.id) AS queued,
            (SELECT count(*) FROM working w WHERE w.company_id = d.company_id AND w.delivery_id = d.id) AS working,
            (SELECT count(*) FROM delivery p WHERE p.company_id = d.company_id AND p.successor_id = d.id
                AND p.lead_id = d.lead_id AND p.integration_id = d.integration_id
                AND p.state IN ('pending', 'held')) AS waiting
        FROM alive d
    )
    SELECT format('pending delivery %s: %s due rows, %s claimed, waits for %s', id, queued, working, waiting)
        AS broken FROM places WHERE state = 'pending' AND queued + working + waiting <> 1
    UNION ALL
    SELECT format('%s delivery %s has %s due rows', state, id, queued)
    FROM places WHERE state <> 'pending' AND queued > 0
    UNION ALL
    SELECT format('%s delivery %s stands in undelivered as %s', d.state, d.id, coalesce(u.state, 'nothing'))
    FROM alive d LEFT JOIN undelivered u
        ON u.company_id = d.company_id AND u.integration_id = d.integration_id AND u.delivery_id = d.id
    WHERE u.state IS DISTINCT FROM CASE WHEN d.state IN ('held', 'dead') THEN d.state END
    UNION ALL
    SELECT format('%s delivery %s is final and still has a successor', state, id)
    FROM alive WHERE state IN ('delivered', 'dead', 'skipped') AND successor_id IS NOT NULL
    UNION ALL
    SELECT format('delivery %s is dead although %s of the lead was pushed later', d.id, later.id)
    FROM alive d JOIN delivery later ON later.company_id = d.company_id AND later.lead_id = d.lead_id
        AND later.integration_id = d.integration_id AND later.state = 'delivered'
        AND (later.created_at, later.id) > (d.created_at, d.id) AND later.finished_at > d.finished_at
    WHERE d.state = 'dead'
    UNION ALL
    SELECT format('the sweep never comes back to %s', u.delivery_id) FROM undelivered u
    JOIN integration_stat s ON s.company_id = u.company_id AND s.integration_id = u.integration_id
    WHERE u.state = 'dead' AND u.due_at IS NOT NULL AND s.sweep_at IS NULL
        AND ($1 IS NULL OR u.company_id = $1)
    UNION ALL
    SELECT format('%s in undelivered is no delivery', u.delivery_id) FROM undelivered u
    WHERE ($1 IS NULL OR u.company_id = $1)
        AND NOT EXISTS (SELECT FROM delivery d WHERE d.company_id = u.company_id AND d.id = u.delivery_id)
    UNION ALL
    SELECT format('integration %s counts %s dead, there are %s', s.integration_id, s.dead, d.dead)
    FROM integration_stat s JOIN integration i
        ON i.company_id = s.company_id AND i.id = s.integration_id AND i.deleted_at IS NULL
    CROSS JOIN LATERAL (SELECT count(*) AS dead FROM delivery d WHERE d.company_id = s.company_id
        AND d.integration_id = s.integration_id AND d.state = 'dead') d
    WHERE s.dead <> d.dead AND ($1 IS NULL OR s.company_id = $1)
    UNION ALL
    SELECT format('integration %s counts %s failures, there were %s', s.integration_id, s.failure_count, a.failed)
    FROM integration_stat s CROSS JOIN LATERAL (SELECT count(*) AS failed FROM attempt a
        WHERE a.company_id = s.company_id AND a.integration_id = s.integration_id
            AND NOT a.delivered AND a.trigger <> 'test') a
    WHERE s.failure_count > a.failed AND ($1 IS NULL OR s.company_id = $1)
    UNION ALL
    SELECT format('%s delivery %s finished at %s', state, id, finished_at) FROM alive
    WHERE (state IN ('delivered', 'dead', 'skipped')) <> (finished_at IS NOT NULL)
    UNION ALL
    SELECT format('delivery %s counts %s attempts, there are %s up to number %s', d.id, d.attempts,
        a.count, a.last)
    FROM alive d CROSS JOIN LATERAL (SELECT count(*), coalesce(max(number), 0) AS last FROM attempt a
        WHERE a.company_id = d.company_id AND a.delivery_id = d.id) a
    WHERE d.attempts <> a.count OR d.attempts <> a.last";

/// The rules of the queue that are broken now, in words; of one company, or of all.
pub async fn broken_invariants(pool: &PgPool, company: Option<i64>) -> Vec<String> {
    sqlx::query_scalar(BROKEN).bind(company).fetch_all(pool).await.unwrap()
}

/// Panics, naming them, if rules of the queue are broken.
pub async fn check_invariants(pool: &PgPool) {
    let broken = broken_invariants(pool, None).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
