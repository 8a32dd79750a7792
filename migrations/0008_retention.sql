-- What is kept for a time only, and what is kept for good: said where it stands.

COMMENT ON TABLE attempt IS 'One numbered try of a delivery, written once when it finished; a partition for each day, dropped when that is older than attempts are kept';
COMMENT ON TABLE attempt_rest IS 'Attempts of no day''s partition: the last 50 of idle integrations and those of open deliveries, when their day was dropped';
COMMENT ON TABLE audit IS 'What operators changed; kept for good';
COMMENT ON TABLE job IS 'Bulk retries and pushes that operators asked for: a row for each lane that one goes through; kept as long as attempts once all have ended';
COMMENT ON TABLE notice IS 'What an integration that is marked for notices is told: pushed like an event, kept as long as attempts';
COMMENT ON TABLE notice_told IS 'What notices told last, so that a change is told once, whichever daemon sees it and whatever restarts; a row for each integration and aspect, without anybody''s data';
COMMENT ON COLUMN delivery.body IS 'The rendered body, kept with the first attempt so that repeats are the same bytes; null if it is the event''s. Delivered ones are retried too, so it is kept until the lead is erased';
