//! What a page of a list may cost. Where no index has what a list asks for, its page looks through so many rows at most and
//! for so long at most; it answers what it found by then and how far it looked, and the next page goes on there.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::{PgPool, PgTransaction};
use uuid::Uuid;

use super::{Error, delivery::read::Order};
use crate::domain::ids::least_id_at;

/// How many rows a page looks through: fewer than fit between two stretches may come on top.
pub const ROWS_MAX: usize = 5000;
/// How many of them at once.
pub(super) const STRETCH: usize = 1000;
/// So many of something are counted; of more it is said about how many there are.
pub(super) const EXACT_MAX: i64 = 10_000;
/// No stretch is begun later than that, and how long the database may take for each, in milliseconds.
const TIME_MAX: Duration = Duration::from_secs(1);
const STATEMENT_MAX: &str = "1000";
/// The SQLSTATE of a statement that took too long.
const CANCELLED: &str = "57014";

/// A page of a list.
#[derive(Clone, Debug)]
pub struct ListPage<T, P> {
    pub rows: Vec<T>,
    /// Where it stopped before it was full: what lies behind that place was not looked at. None where it is full, or where
    /// nothing lies behind.
    pub stopped: Option<P>,
}

impl<T, P> ListPage<T, P> {
    /// A page that found all there is, or as many as were wanted.
    pub(super) const fn whole(rows: Vec<T>) -> Self {
        Self { rows, stopped: None }
    }
}

/// Some rows that were looked at, in the order of the list.
pub(super) struct Stretch<T, P> {
    pub(super) found: Vec<T>,
    pub(super) looked: usize,
    /// How far that went; none where nothing lies behind.
    pub(super) upto: Option<P>,
}

/// Rows that are looked at in the order of a list, stretch by stretch.
#[async_trait]
pub(super) trait PageScan: Send {
    type Row: Send;
    type Place: Copy + Send;

    /// Looks at some rows from a place on.
    async fn scan(&mut self, from: Self::Place) -> Result<Stretch<Self::Row, Self::Place>, Error>;
}

/// Begins the statements of a page: the database stops each that takes too long, and goes through indexes in their order,
/// where it could stop after a few rows, whatever it believes to be cheaper.
pub(super) async fn begin(pool: &PgPool) -> Result<PgTransaction<'static>, Error> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, true), set_config('enable_seqscan', 'off', true),
                set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)",
    )
    .bind(STATEMENT_MAX)
    .execute(&mut *tx)
    .await?;
    Ok(tx)
}

/// Whether the database stopped a statement.
pub(super) fn is_cut_off(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Database(error)) = error else { return false };
    error.code().is_some_and(|code| code == CANCELLED)
}

/// Looks at one stretch after the other until there is enough, or nothing left, or it has cost what a page may cost.
pub(super) async fn look_through<L: PageScan>(
    source: &mut L,
    wanted: usize,
    from: L::Place,
) -> Result<ListPage<L::Row, L::Place>, Error> {
    let begun = Instant::now();
    let (mut rows, mut looked, mut at) = (Vec::new(), 0, from);
    let mut is_begun = false;
    let stopped = loop {
        let stretch = match source.scan(at).await {
            // The first one must come, or the next page would stand where this one does.
            Err(error) if is_begun && is_cut_off(&error) => break Some(at),
            stretch => stretch?,
        };
        is_begun = true;
        rows.extend(stretch.found);
        looked += stretch.looked;
        let Some(upto) = stretch.upto else { break None };
        at = upto;
        if rows.len() >= wanted {
            break None;
        }
        if looked >= ROWS_MAX || begun.elapsed() >= TIME_MAX {
            break Some(at);
        }
    };
    rows.truncate(wanted);
    Ok(ListPage { rows, stopped })
}

/// The ids from one on and below another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdRange {
    low: u128,
    high: u128,
}

/// Ids of a millisecond: the first bits of an id are its time.
const MILLISECOND: u128 = 1 << 80;
/// How much is tried where the whole is too much; by that factor it becomes more or less.
const FIRST: u128 = 3_600_000 * MILLISECOND;
const FACTOR: u128 = 8;

impl IdRange {
    pub(super) const ALL: Self = Self { low: 0, high: u128::MAX };

    /// Those that are made between two times.
    pub(super) fn made(from: jiff::Timestamp, until: jiff::Timestamp) -> Self {
        Self { low: least_id_at(from).as_u128(), high: least_id_at(until).as_u128() }
    }

    /// What a list of this order has behind an id.
    pub(super) fn behind(self, order: Order, after: Option<Uuid>) -> Self {
        match (order, after.map(|id| id.as_u128())) {
            (_, None) => self,
            (Order::NewestFirst, Some(id)) => Self { high: self.high.min(id), ..self },
            (Order::OldestFirst, Some(id)) => Self { low: self.low.max(id.saturating_add(1)), ..self },
        }
    }

    /// The same from an id on, which is the first that there is.
    fn begun_at(self, order: Order, first: Uuid) -> Self {
        match order {
            Order::NewestFirst => Self { high: self.high.min(first.as_u128().saturating_add(1)), ..self },
            Order::OldestFirst => Self { low: self.low.max(first.as_u128()), ..self },
        }
    }

    pub(super) const fn low(self) -> Uuid {
        Uuid::from_u128(self.low)
    }

    pub(super) const fn high(self) -> Uuid {
        Uuid::from_u128(self.high)
    }

    /// When the first and the last of them were made, to the millisecond.
    pub(super) fn times(self) -> (jiff::Timestamp, jiff::Timestamp) {
        (made_at(self.low()), made_at(self.high()))
    }

    const fn width(self) -> u128 {
        self.high.saturating_sub(self.low)
    }

    /// So much of it as comes first, and the rest.
    fn split(self, order: Order, width: u128) -> (Self, Self) {
        match order {
            Order::NewestFirst => {
                let edge = self.high.saturating_sub(width).max(self.low);
                (Self { low: edge, ..self }, Self { high: edge, ..self })
            }
            Order::OldestFirst => {
                let edge = self.low.saturating_add(width).min(self.high);
                (Self { high: edge, ..self }, Self { low: edge, ..self })
            }
        }
    }

    /// The id behind which a list of this order has these and no others.
    const fn place(self, order: Order) -> Uuid {
        match order {
            Order::NewestFirst => self.high(),
            Order::OldestFirst => Uuid::from_u128(self.low.saturating_sub(1)),
        }
    }
}

/// When an id was made.
fn made_at(id: Uuid) -> jiff::Timestamp {
    let millis = i64::try_from(id.as_u128() / MILLISECOND).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// Rows of several indexes, each in the order of ids, that are looked at by their keys first.
#[async_trait]
pub(super) trait KeySource: Send {
    type Key: Send;

    fn id(key: &Self::Key) -> Uuid;

    /// The first id of a range; none where that is not worth a look.
    async fn first(&mut self, range: IdRange, order: Order) -> Result<Option<Uuid>, Error>;

    /// Keys of a range, in any order, so many at most.
    async fn keys(&mut self, range: IdRange, order: Order, most: i64) -> Result<Vec<Self::Key>, Error>;

    /// Those of them that the list asks for.
    async fn asked_for(&mut self, keys: Vec<Self::Key>) -> Result<Vec<Self::Key>, Error>;
}

/// Looks at keys by spans of time that are narrow enough to hold few: no index has them all in order.
struct BySpans<'a, S> {
    source: &'a mut S,
    order: Order,
    /// Of the span that is tried next.
    width: u128,
}

#[async_trait]
impl<S: KeySource> PageScan for BySpans<'_, S> {
    type Row = S::Key;
    type Place = IdRange;

    async fn scan(&mut self, rest: IdRange) -> Result<Stretch<S::Key, IdRange>, Error> {
        let (keys, behind) = loop {
            let (span, behind) = rest.split(self.order, self.width);
            // What is made in one millisecond is taken as it is.
            let is_least = span.width() <= MILLISECOND;
            let most = if is_least { i64::MAX } else { STRETCH as i64 + 1 };
            let keys = self.source.keys(span, self.order, most).await?;
            if is_least || keys.len() <= STRETCH {
                break (keys, behind);
            }
            self.width = (span.width() / FACTOR).clamp(MILLISECOND, FIRST);
        };
        let looked = keys.len();
        self.width = self.width.saturating_mul(match looked {
            few if few < STRETCH / 16 => FACTOR,
            some if some < STRETCH / 3 => 2,
            _ => 1,
        });
        let mut found = self.source.asked_for(keys).await?;
        found.sort_unstable_by_key(|key| S::id(key));
        if self.order == Order::NewestFirst {
            found.reverse();
        }
        let upto = (behind.width() > 0).then_some(behind);
        Ok(Stretch { found, looked, upto })
    }
}

/// Looks through the rows of a range in the order of their ids.
pub(super) async fn look_through_ids<S: KeySource>(
    source: &mut S,
    range: IdRange,
    order: Order,
    wanted: usize,
) -> Result<ListPage<S::Key, Uuid>, Error> {
    let range = match source.first(range, order).await? {
        Some(first) => range.begun_at(order, first),
        None => range,
    };
    let mut spans = BySpans { source, order, width: range.width() };
    let page = look_through(&mut spans, wanted, range).await?;
    Ok(ListPage { rows: page.rows, stopped: page.stopped.map(|rest| rest.place(order)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows by their ids, some of which are asked for; it counts those that were looked at.
    struct Rows {
        ids: Vec<u128>,
        asked_for: fn(u128) -> bool,
        looked: usize,
    }

    impl Rows {
        fn of(ids: impl Iterator<Item = u128>, asked_for: fn(u128) -> bool) -> Self {
            Self { ids: ids.collect(), asked_for, looked: 0 }
        }

        fn within(&self, range: IdRange) -> impl Iterator<Item = Uuid> {
            let is_within = move |id: &&u128| range.low <= **id && **id < range.high;
            self.ids.iter().filter(is_within).map(|id| Uuid::from_u128(*id))
        }
    }

    #[async_trait]
    impl KeySource for Rows {
        type Key = Uuid;

        fn id(key: &Uuid) -> Uuid {
            *key
        }

        async fn first(&mut self, range: IdRange, order: Order) -> Result<Option<Uuid>, Error> {
            let found = self.within(range);
            Ok(if order == Order::NewestFirst { found.max() } else { found.min() })
        }

        async fn keys(&mut self, range: IdRange, _: Order, most: i64) -> Result<Vec<Uuid>, Error> {
            Ok(self.within(range).take(usize::try_from(most).unwrap()).collect())
        }

        async fn asked_for(&mut self, keys: Vec<Uuid>) -> Result<Vec<Uuid>, Error> {
            self.looked += keys.len();
            Ok(keys.into_iter().filter(|key| (self.asked_for)(key.as_u128())).collect())
        }
    }

    /// The ids of all pages of so many, in the order in which they came, and how many pages there were.
    async fn all(rows: &mut Rows, order: Order, wanted: usize) -> (Vec<u128>, usize) {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            rows.looked = 0;
            let range = IdRange::ALL.behind(order, after);
            let page = look_through_ids(rows, range, order, wanted).await.unwrap();
            assert!(rows.looked < ROWS_MAX + STRETCH, "a page looks at {}", rows.looked);
            pages += 1;
            let is_full = page.rows.len() == wanted;
            after = page.stopped.or(page.rows.last().copied().filter(|_| is_full));
            found.extend(page.rows.into_iter().map(|id| id.as_u128()));
            if after.is_none() {
                return (found, pages);
            }
        }
    }

    /// One row each so many milliseconds, from a moment on.
    fn each(gap: u128, count: u128) -> impl Iterator<Item = u128> {
        (0..count).map(move |n| (1_700_000_000_000 + n * gap) * MILLISECOND + n)
    }

    #[tokio::test]
    async fn pages_come_to_all_that_is_asked_for_in_order_each_within_bounds() {
        let few = |id: u128| (id & 0xffff) % 7000 == 3;
        let (none, many) = (|_: u128| false, |id: u128| id.is_multiple_of(2));
        let lone = || [0, 5].into_iter().chain(each(9_000_000_000, 40));
        for (what, mut rows, pages) in [
            ("sparse", Rows::of(each(60_000, 21_000), few), 4),
            ("dense", Rows::of(each(1, 21_000), few), 4),
            ("in one moment", Rows::of(each(0, 1500).chain(each(3, 20_000).skip(1)), few), 4),
            ("nothing", Rows::of(each(50, 12_000), none), 2),
            ("few rows", Rows::of(lone(), many), 1),
            ("no rows", Rows::of(std::iter::empty(), many), 1),
        ] {
            let mut expected: Vec<u128> =
                rows.ids.iter().copied().filter(|id| (rows.asked_for)(*id)).collect();
            expected.sort_unstable();
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let (found, count) = all(&mut rows, order, 50).await;
                assert_eq!(found, expected, "{what} {order:?}");
                assert!(count >= pages, "{what} {order:?}: {count} pages");
                expected.reverse();
            }
        }
        let mut rows = Rows::of(each(40, 3000), many);
        let (found, count) = all(&mut rows, Order::NewestFirst, 100).await;
        assert_eq!((found.len(), count), (1500, 16), "full pages follow each other");
    }

    /// Finds a row in each stretch that is as long as this, down to a place at which something is wrong.
    struct Downwards(usize, i32);

    #[async_trait]
    impl PageScan for Downwards {
        type Row = i32;
        type Place = i32;

        async fn scan(&mut self, at: i32) -> Result<Stretch<i32, i32>, Error> {
            if at <= self.1 {
                return Err(Error::Database(sqlx::Error::PoolClosed));
            }
            Ok(Stretch { found: vec![at], looked: self.0, upto: Some(at - 1) })
        }
    }

    #[tokio::test]
    async fn a_page_stops_where_it_has_looked_at_enough_and_a_fault_is_told() {
        let page = look_through(&mut Downwards(ROWS_MAX / 2, 0), 50, 9).await.unwrap();
        assert_eq!((page.rows, page.stopped), (vec![9, 8], Some(7)));
        let full = look_through(&mut Downwards(ROWS_MAX, 0), 1, 9).await.unwrap();
        assert_eq!((full.rows, full.stopped), (vec![9], None));
        assert!(look_through(&mut Downwards(1, 5), 50, 9).await.is_err());
    }
}
