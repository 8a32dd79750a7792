-- When the sweep comes, and to what: rules that several statements had each for itself.

CREATE FUNCTION sweep_comes(i integration, c company, sweep_at timestamptz) RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql RETURN
    CASE WHEN lane_is_open(i, c) AND sweep_at IS NOT NULL THEN greatest(sweep_at, throttle_ahead(i)) END;
COMMENT ON FUNCTION sweep_comes IS 'When the sweep comes to a lane that is due for it then: once its target lets us; null while somebody''s command keeps the lane';

CREATE FUNCTION swept_at(comes timestamptz, created_at timestamptz, age double precision) RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql RETURN
    CASE WHEN comes < created_at + age * interval '1 second' THEN comes END;
COMMENT ON FUNCTION swept_at IS 'When a sweep that comes then comes back to a dead delivery that came to be then; null if that is older than so many seconds by then';
