-- A company is silent since its last lead, whenever its hours were set.
COMMENT ON COLUMN company.quiet_since IS 'When those hours were set: without any lead, silence counts from here';
