//! Tables as a later version may have widened them, for `make upgrade-check`.

/// With this in the environment, tests meet the tables so.
pub(super) const ASKED: &str = "LEADLINE_LATER_SCHEMA";

/// Adds a column to every table.
pub(super) const WIDEN: &str = "DO $$ DECLARE wide regclass; BEGIN
    FOR wide IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname NOT LIKE '\\_sqlx%'
    LOOP EXECUTE format('ALTER TABLE %s ADD COLUMN next integer NOT NULL DEFAULT 0', wide); END LOOP;
END $$";
