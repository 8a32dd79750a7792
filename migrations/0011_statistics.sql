-- The planner's statistics quote no one: columns that came later, and those that hold what was sent or refused.

ALTER TABLE attempt ALTER note SET STATISTICS 0, ALTER calls SET STATISTICS 0;
ALTER TABLE delivery ALTER reason_detail SET STATISTICS 0;
ALTER TABLE refusal ALTER detail SET STATISTICS 0, ALTER errors SET STATISTICS 0;
ALTER TABLE notice ALTER error SET STATISTICS 0;
ALTER TABLE job ALTER filter SET STATISTICS 0;
ALTER TABLE audit ALTER before SET STATISTICS 0, ALTER after SET STATISTICS 0;
ALTER TABLE request ALTER answer SET STATISTICS 0;
