//! Causes as a list: what a filter looks at, and the columns.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::json;

use crate::columns::cause;
use crate::console::data::Cause;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::draw::short_error;
use crate::console::widgets::filter::RowTexts;
use crate::console::widgets::table::TableRow;
use crate::console::widgets::{time, trend};

impl TableRow for Cause {
    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> RowTexts<'_> {
        let places = self
            .places
            .iter()
            .flat_map(|p| [("company", Cow::Borrowed(&*p.company)), ("name", Cow::Borrowed(&*p.name))]);
        let own = [
            ("class", Cow::Borrowed(&*self.class)),
            ("err", Cow::Borrowed(&*self.text)),
            ("connector", Cow::Borrowed(&*self.connector)),
        ];
        own.into_iter().chain(places).collect()
    }

    fn at(&self) -> Option<Timestamp> {
        self.last_at
    }

    fn is_bad(&self) -> bool {
        self.dead > 0
    }
}

/// The columns of causes.
pub(super) const COLUMNS: [TableColumn<Cause>; 9] = [
    shows(cause::DEAD, |it: &Cause, look| {
        let sign = look.theme.pick("✗", "x");
        styled(Role::Bad, format!("{sign} {}", it.dead))
    })
    .value(|it: &Cause| json!(it.dead))
    .by(|a, b| b.dead.cmp(&a.dead)),
    shows(cause::TEXT, |it: &Cause, _| match it.snoozed_until {
        Some(_) => styled(Role::Quiet, format!("(snoozed) {}", it.text)),
        None => plain(short_error(&it.text)),
    })
    .value(|it: &Cause| json!(it.text))
    .by(|a, b| a.text.cmp(&b.text)),
    shows(cause::RETRYING, |it: &Cause, _| plain(it.retrying()))
        .value(|it: &Cause| json!(it.retrying))
        .by(|a, b| b.retrying.cmp(&a.retrying)),
    shows(cause::LEADS, |it: &Cause, _| plain(it.leads()))
        .value(|it: &Cause| json!(it.leads))
        .by(|a, b| b.leads.cmp(&a.leads)),
    shows(cause::PLACES, |it: &Cause, _| plain(it.places())).value(|it: &Cause| {
        let names = it.places.iter().map(|place| format!("{} / {}", place.company, place.name));
        json!(names.collect::<Vec<_>>().join(", "))
    }),
    shows(cause::MONEY, |it: &Cause, _| plain(it.money())),
    shows(cause::FIRST, |it: &Cause, look| plain(time::age(look.now, it.first_at)))
        .value(|it: &Cause| json!(it.first_at))
        .by(|a, b| a.first_at.cmp(&b.first_at)),
    shows(cause::LAST, |it: &Cause, look| plain(time::age(look.now, it.last_at)))
        .value(|it: &Cause| json!(it.last_at))
        .by(|a, b| b.last_at.cmp(&a.last_at)),
    shows(cause::TREND, |it: &Cause, look| plain(trend::bars(&it.trend, 12, look.now, look.theme)))
        .value(|it: &Cause| json!(it.trend.iter().map(|(_, count)| count).sum::<u64>())),
];
