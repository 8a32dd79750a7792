//! Lists whose pages may stop before they are full, because no index has what is asked for: they are read on until there is
//! enough, and whoever waits is told how far that is.

use std::pin::pin;

use jiff::Timestamp;
use leadline_client::ClientError;

use super::{CliError, Context, PageOptions, note_more, progress::Progress};

/// Some rows of a list, and what lies behind them.
#[derive(Debug)]
pub(super) struct ListPart<T> {
    pub(super) rows: Vec<T>,
    /// Empty where nothing follows.
    pub(super) next: String,
    /// How far it was looked, where that was not far enough.
    pub(super) reached: Option<Timestamp>,
}

/// In which order a list goes through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListOrder {
    Back,
    Forward,
}

/// Reads pages until there are as many rows as were asked for, or no more; Ctrl-C ends it with what was found by then. Says
/// what lies behind, and answers the rows.
pub(super) async fn read_on<T>(
    context: &Context,
    page: PageOptions,
    way: ListOrder,
    ask: impl AsyncFnMut(u32, String) -> Result<ListPart<T>, ClientError>,
    print: impl FnOnce(Vec<T>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let limit = page.limit;
    let progress = Progress::new();
    let how_far =
        |found: usize, at: Timestamp| how_far(found, limit, &context.out.time(&at.to_string()), way);
    let show = |found, at| progress.show(&format!("{}; Ctrl-C ends it", how_far(found, at)));
    let stop = async { tokio::signal::ctrl_c().await };
    let listed = gather(limit, page.token(), ask, stop, show).await?;
    drop(progress);
    let found = listed.rows.len();
    print(listed.rows)?;
    match listed.reached {
        // A program has to know, too, that not all was looked through.
        Some(at) => context.out.remark(&format!("{}: --after {}", how_far(found, at), listed.next)),
        None => note_more(context, &listed.next),
    }
    Ok(())
}

/// How much of what was asked for was found, and how far it was looked.
fn how_far(found: usize, limit: u32, at: &str, way: ListOrder) -> String {
    let way = if way == ListOrder::Back { "back" } else { "up" };
    format!("looked {way} to {at}, {found} of {limit} found")
}

async fn gather<T>(
    limit: u32,
    token: String,
    mut ask: impl AsyncFnMut(u32, String) -> Result<ListPart<T>, ClientError>,
    stop: impl Future<Output = std::io::Result<()>>,
    show: impl Fn(usize, Timestamp),
) -> Result<ListPart<T>, CliError> {
    let mut stop = pin!(stop);
    let mut all = ListPart { rows: Vec::new(), next: token, reached: None };
    loop {
        let found = u32::try_from(all.rows.len()).unwrap_or(u32::MAX);
        let page = tokio::select! {
            biased;
            stopped = &mut stop, if all.reached.is_some() => {
                stopped.map_err(|error| CliError::Failed(format!("signals cannot be received: {error}")))?;
                return Ok(all);
            }
            page = ask(limit.saturating_sub(found), all.next.clone()) => page?,
        };
        all.rows.extend(page.rows);
        (all.next, all.reached) = (page.next, page.reached);
        let Some(reached) = all.reached.filter(|_| !all.next.is_empty()) else {
            all.reached = None;
            return Ok(all);
        };
        show(all.rows.len(), reached);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What it shows, of pages that find so many and, but for the last, stop at a second.
    async fn gathered(
        limit: u32,
        pages: Vec<(u32, Option<i64>)>,
        stop: impl Future<Output = std::io::Result<()>>,
    ) -> (ListPart<u32>, Vec<(u32, String)>, Vec<(usize, Timestamp)>) {
        let (asked, shown) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut pages = pages.into_iter();
        let ask = async |wanted, token: String| {
            asked.borrow_mut().push((wanted, token));
            let (found, stopped) = pages.next().unwrap();
            let rows = (0..found.min(wanted)).collect();
            let next = stopped.map(|second| second.to_string()).unwrap_or_default();
            Ok(ListPart { rows, next, reached: stopped.map(at) })
        };
        let show = |found, at| shown.borrow_mut().push((found, at));
        let all = gather(limit, "T".to_owned(), ask, stop, show).await.unwrap();
        (all, asked.into_inner(), shown.into_inner())
    }

    #[tokio::test]
    async fn a_list_is_read_on_until_there_is_enough_or_no_more() {
        let pages = vec![(3, Some(9)), (0, Some(8)), (1, None)];
        let (all, asked, shown) = gathered(50, pages, future::pending()).await;
        assert_eq!((all.rows.len(), &*all.next, all.reached), (4, "", None));
        let token = |wanted, token: &str| (wanted, token.to_owned());
        assert_eq!(asked, [token(50, "T"), token(47, "9"), token(47, "8")]);
        assert_eq!(shown, [(3, at(9)), (3, at(8))]);
        let (all, asked, _) = gathered(5, vec![(3, Some(9)), (2, None)], future::pending()).await;
        assert_eq!((all.rows.len(), asked.len()), (5, 2));
    }

    #[tokio::test]
    async fn whoever_ends_it_gets_what_was_found_and_where_it_goes_on() {
        let (all, asked, _) = gathered(50, vec![(3, Some(9))], future::ready(Ok(()))).await;
        assert_eq!((all.rows.len(), &*all.next, all.reached), (3, "9", Some(at(9))));
        assert_eq!(asked.len(), 1, "the first page comes in any case");
        assert_eq!(
            how_far(12, 50, "2026-11-03", ListOrder::Back),
            "looked back to 2026-11-03, 12 of 50 found"
        );
        assert_eq!(how_far(0, 5, "2026-11-03", ListOrder::Forward), "looked up to 2026-11-03, 0 of 5 found");
    }
}
