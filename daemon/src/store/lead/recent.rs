//! Who new leads are, on the way to the index by which people are found: one narrow row each, moved many together.

use crate::store::{Error, Store};

/// How many rows move in one statement.
const MOVED_MAX: i64 = 5000;
/// So many rows are moved together. Few rows write nearly as many parts of the index as many do; in so few that are not
/// moved yet a search finds its text in some milliseconds.
const RECENT_MAX: i64 = 20_000;
/// A table of so many pages is read whole in a few milliseconds.
const PAGES_FEW: i64 = 1000;
/// Every so many looks read the whole table, however large: a page in front may have got a row.
const WHOLE_EVERY: u32 = 16;

/// From which page of `lead_recent` on there are rows. While somebody holds a snapshot, those that were moved stay in
/// front for as long, and each look would read all of them.
#[derive(Debug, Default)]
pub(in crate::store) struct FirstPage {
    page: i64,
    /// How many there were at the last look.
    pages: i64,
    looks: u32,
}

impl FirstPage {
    /// Where this look begins, in a table of so many pages.
    const fn begin(&mut self, pages: i64) -> i64 {
        self.looks = self.looks.wrapping_add(1);
        // A table that became shorter was cleaned up.
        let is_whole = pages <= PAGES_FEW || pages < self.pages || self.looks.is_multiple_of(WHOLE_EVERY);
        if is_whole { 0 } else { self.page }
    }

    /// What a look came to: the page of the first row. Where there is none, rows come behind what was there before it.
    fn found(&mut self, first: Option<i64>, pages: i64) {
        self.page = first.unwrap_or_else(|| (pages - 1).max(0));
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
        let begin = format!("({},0)", first.begin(pages));
        let look = sqlx::query!(
            r#"SELECT count(*) AS "count!", (min(place)::text::point)[0]::bigint AS first
               FROM (SELECT ctid AS place FROM lead_recent WHERE ctid >= $2::text::tid LIMIT $1) recent"#,
            RECENT_MAX,
            begin,
        )
        .fetch_one(&self.pool)
        .await?;
        first.found(look.first, pages);
        if look.count == 0 || look.count < RECENT_MAX && !is_quiet {
            return Ok(look.count > 0);
        }
        while self.move_some_people(&begin).await? > 0 {}
        // What they add to the index is merged at once, and no search has to read it beside the index.
        sqlx::query!(
            r#"SELECT gin_clean_pending_list(indexrelid::regclass) AS "pages!" FROM pg_index
               WHERE indexrelid = to_regclass('lead_person_folded') AND indisvalid"#,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(false)
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
    fn looks_begin_behind_what_was_moved_while_the_table_is_large() {
        let mut first = FirstPage::default();
        assert_eq!(first.begin(5000), 0);
        first.found(Some(4990), 5000);
        assert_eq!(first.begin(5100), 4990);
        first.found(None, 5100);
        assert_eq!(first.begin(5100), 5099, "the last page may have room");
        first.found(None, 5100);
        assert_eq!(first.begin(5099), 0, "it was cleaned up");
        first.found(Some(700), 1000);
        assert_eq!(first.begin(1000), 0, "it is small");
        first.found(Some(700), 5000);
        let begun: Vec<_> = (0..WHOLE_EVERY).map(|_| first.begin(5000)).collect();
        assert_eq!(begun.iter().filter(|page| **page == 0).count(), 1, "{begun:?}");
    }
}
