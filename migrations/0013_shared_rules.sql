-- More rules of the queue that several statements ask for: each stands here once.

CREATE FUNCTION kind_after(attempts integer) RETURNS smallint IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    least(attempts, 1)::smallint;
COMMENT ON FUNCTION kind_after IS 'The kind of the due row of a delivery that has had so many attempts, if nobody names another: 0 first, 1 retry';

CREATE FUNCTION trigger_after(attempts integer) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql RETURN
    CASE WHEN attempts > 0 THEN 'retry' ELSE 'first' END;
COMMENT ON FUNCTION trigger_after IS 'What brings the next attempt of a delivery that has had so many, if nobody asked for it';

CREATE FUNCTION may_be_unskipped(d delivery) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    d.state = 'skipped' AND d.reason_code = 'skipped_by_operator' AND d.finished_at > now() - interval '24 hours';
COMMENT ON FUNCTION may_be_unskipped IS 'Whether an operator skipped a delivery, so lately that it can be undone';

CREATE FUNCTION has_open_update_behind(d delivery) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql RETURN
    EXISTS (SELECT FROM delivery l WHERE l.company_id = d.company_id AND l.lead_id = d.lead_id
        AND l.integration_id = d.integration_id AND l.state IN ('pending', 'held') AND l.event = 'lead.updated'
        AND (l.created_at, l.id) > (d.created_at, d.id));
COMMENT ON FUNCTION has_open_update_behind IS 'Whether a later update of the lead is on its way to the same integration: what is older must not follow what is newer';

-- The planner takes this function for the query that it stands for.
CREATE FUNCTION leads_wanted(of_company bigint, integrations uuid[], choice text, of_job uuid)
    RETURNS TABLE (lead_id uuid, integration_id uuid) STABLE PARALLEL SAFE LANGUAGE sql BEGIN ATOMIC
    SELECT l.id, i.id FROM lead l
    JOIN integration i ON i.company_id = l.company_id AND i.id = ANY(integrations)
    WHERE l.company_id = of_company AND l.erased_at IS NULL
        -- What the job itself delivered elsewhere does not make a lead synced.
        AND (choice <> 'unsynced' OR NOT EXISTS (SELECT FROM delivery d WHERE d.lead_id = l.id
            AND d.company_id = l.company_id AND d.state = 'delivered'
            AND (of_job IS NULL OR d.job_id IS DISTINCT FROM of_job)))
        AND NOT EXISTS (SELECT FROM delivery d WHERE d.lead_id = l.id AND d.integration_id = i.id
            AND d.company_id = l.company_id AND (d.state IN ('pending', 'held') OR choice <> 'unsynced'))
        AND (NOT EXISTS (SELECT FROM delivery d WHERE d.lead_id = l.id AND d.integration_id = i.id
                AND d.company_id = l.company_id) AND (i.routing = 'all' OR choice <> 'unsynced')
            OR EXISTS (SELECT FROM delivery d WHERE d.lead_id = l.id AND d.integration_id = i.id
                AND d.company_id = l.company_id AND d.state = 'dead'));
END;
COMMENT ON FUNCTION leads_wanted IS 'The leads of a company that a push brings to integrations: unsynced, of which nothing was delivered but by this job, where nothing stands or only what is dead; or missing, where nothing stands';
