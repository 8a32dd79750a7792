//! Who new leads are, on the way to the index by which people are found: one narrow row each, moved many together.

use crate::store::{Error, Store};

/// How many rows move in one statement.
const MOVED_MAX: i64 = 5000;
/// So many rows are moved together. Few rows write nearly as many parts of the index as many do; in so few that are not
/// moved yet a search finds its text in some milliseconds.
const RECENT_MAX: i64 = 20_000;
/// A table of so many pages is read whole in a few milliseconds.
const PAGES_FEW: i64 = 1000;
/// So many pages in front of the first row are read again: one that was being written may have got its row since, and a
/// table grows by some pages before they are used.
const MARGIN: i64 = 512;
/// Every so many scans read the whole table, however large: somebody may have cleaned up in front.
const WHOLE_EVERY: u32 = 16;

/// From which page of `lead_recent` on there are rows. While somebody holds a snapshot, those that were moved stay in
/// front for as long, and each scan would read all of them.
#[derive(Debug, Default)]
pub(in crate::store) struct FirstPage {
    page: i64,
    /// How many there were at the last scan.
    pages: i64,
    scans: u32,
    was_empty: bool,
}

impl FirstPage {
    /// Where this scan begins, in a table of so many pages.
    const fn scan_start(&mut self, pages: i64) -> i64 {
        self.scans = self.scans.wrapping_add(1);
        // A table that became shorter was cleaned up. Nothing is left where two scans say so, one of them a whole one.
        let is_whole = pages <= PAGES_FEW
            || pages < self.pages
            || self.was_empty && self.page > 0
            || self.scans.is_multiple_of(WHOLE_EVERY);
        if is_whole { 0 } else { self.page }
    }

    /// What a scan came to: the page of the first row, if it found any.
    fn scanned(&mut self, start: i64, first: Option<i64>, pages: i64) {
        let page = first.unwrap_or_else(|| self.pages.min(pages));
        self.page = page.saturating_sub(MARGIN).max(0);
        self.was_empty = first.is_none() && start > 0;
        self.pages = pages;
    }
}

impl Store {
    /// Moves the rows of new leads to where they are indexed: all of them once there are many, or at a quiet time.
    /// Answers whether any are left.
    pub(in crate::store) async fn move_people(
        &self,
        is_quiet: bool,
        first: &mut FirstPage,
    ) -> Result<bool, Error> {
        let pages = sqlx::query_scalar!(
            r#"SELECT pg_relation_size('lead_recent') / current_setting('block_size')::bigint AS "pages!""#
        )
        .fetch_one(&self.pool)
        .await?;
        let start = first.scan_start(pages);
        let begin = format!("({start},0)");
        let scan = sqlx::query!(
            r#"SELECT count(*) AS "count!", (min(place)::text::point)[0]::bigint AS first
               FROM (SELECT ctid AS place FROM lead_recent WHERE ctid >= $2::text::tid LIMIT $1) recent"#,
            RECENT_MAX,
            begin,
        )
        .fetch_one(&self.pool)
        .await?;
        first.scanned(start, scan.first, pages);
        // What a scan from the middle did not find may stand in front of it.
        let is_partial = start > 0;
        if scan.count == 0 || scan.count < RECENT_MAX && !is_quiet {
            return Ok(scan.count > 0 || is_partial);
        }
        while self.move_some_people(&begin).await? > 0 {}
        // What they add to the index is merged at once, and no search has to read it beside the index.
        sqlx::query!(
            r#"SELECT gin_clean_pending_list(indexrelid::regclass) AS "pages!" FROM pg_index
               WHERE indexrelid = to_regclass('lead_person_folded') AND indisvalid"#,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(is_partial)
    }

    async fn move_some_people(&self, begin: &str) -> Result<u64, Error> {
        let moved = sqlx::query!(
            "WITH taken AS (
                 DELETE FROM lead_recent WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM lead_recent WHERE ctid >= $2::text::tid LIMIT $1 FOR UPDATE SKIP LOCKED))
                 RETURNING company_id, lead_id, name, email, phone, folded
             )
             INSERT INTO lead_person (company_id, lead_id, name, email, phone, folded)
             SELECT company_id, lead_id, name, email, phone, folded FROM taken ON CONFLICT DO NOTHING",
            MOVED_MAX,
            begin,
        )
        .execute(&self.pool)
        .await?;
        Ok(moved.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_begin_near_the_first_row_while_the_table_is_large() {
        let mut first = FirstPage::default();
        assert_eq!(first.scan_start(5000), 0);
        first.scanned(0, Some(4990), 5000);
        assert_eq!(first.scan_start(5100), 4990 - MARGIN);
        first.scanned(4990 - MARGIN, None, 5100);
        assert_eq!(first.scan_start(5200), 0, "it found none, so the next one is whole");
        first.scanned(0, None, 5200);
        assert_eq!(first.scan_start(5300), 5100 - MARGIN, "behind what was there a scan ago");
        assert_eq!(first.scan_start(5199), 0, "it was cleaned up");
        first.scanned(0, Some(900), 1000);
        assert_eq!(first.scan_start(1000), 0, "it is small");
        first.scanned(0, Some(900), 5000);
        let starts: Vec<_> = (0..WHOLE_EVERY).map(|_| first.scan_start(5000)).collect();
        assert_eq!(starts.iter().filter(|page| **page == 0).count(), 1, "{starts:?}");
    }
}
