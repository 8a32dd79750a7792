//! The columns of the list of leads: of those that are called so, and of those that say a text somewhere.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::json;

use crate::columns::lead;
use crate::console::data::Lead;
use crate::console::theme::Role;
use crate::console::widgets::columns::{TableColumn, plain, shows, styled};
use crate::console::widgets::filter::RowTexts;
use crate::console::widgets::table::TableRow;
use crate::console::widgets::time;

impl TableRow for Lead {
    fn id(&self) -> &str {
        &self.uuid
    }

    fn fields(&self) -> RowTexts<'_> {
        vec![("lead", Cow::Borrowed(self.person())), ("company", Cow::Borrowed(&self.company))]
    }

    fn at(&self) -> Option<Timestamp> {
        self.received_at
    }

    fn is_bad(&self) -> bool {
        self.undelivered > 0
    }
}

const NAME: TableColumn<Lead> =
    shows(lead::NAME, |it: &Lead, _| plain(it.person())).by(|a, b| a.person().cmp(b.person()));
const COMPANY: TableColumn<Lead> =
    shows(lead::COMPANY, |it: &Lead, _| plain(&*it.company)).company().by(|a, b| a.company.cmp(&b.company));
const UNDELIVERED: TableColumn<Lead> = shows(lead::UNDELIVERED, |it: &Lead, _| {
    styled(if it.undelivered > 0 { Role::Bad } else { Role::Plain }, it.undelivered.to_string())
})
.value(|it: &Lead| json!(it.undelivered))
.by(|a, b| b.undelivered.cmp(&a.undelivered));
const RECEIVED: TableColumn<Lead> = shows(lead::RECEIVED, |it: &Lead, look| {
    plain(it.received_at.map(|at| time::stamp(at, look.zone)).unwrap_or_default())
})
.value(|it: &Lead| json!(it.received_at))
.by(|a, b| b.received_at.cmp(&a.received_at));

/// The columns of what was found.
pub(super) const COLUMNS: [TableColumn<Lead>; 7] = [
    NAME,
    shows(lead::EMAIL, |it: &Lead, _| plain(&*it.email)).by(|a, b| a.email.cmp(&b.email)),
    COMPANY,
    shows(lead::STATE, |it: &Lead, _| {
        styled(if it.state == "complete" { Role::Good } else { Role::Warn }, &*it.state)
    })
    .by(|a, b| a.state.cmp(&b.state)),
    UNDELIVERED,
    RECEIVED,
    shows(lead::PHONE, |it: &Lead, _| plain(&*it.phone)),
];

/// Those of leads that say a text: where, and what.
pub(super) const SAID: [TableColumn<Lead>; 6] = [
    NAME,
    shows(lead::VALUE, |it: &Lead, look| {
        plain(look.theme.spell(it.said.as_ref().map_or("", |said| &*said.value)))
    })
    .value(|it: &Lead| json!(it.said.as_ref().map(|said| &said.value))),
    shows(lead::POINTER, |it: &Lead, _| plain(pointer(it).unwrap_or_default()))
        .by(|a, b| pointer(a).cmp(&pointer(b))),
    COMPANY,
    UNDELIVERED,
    RECEIVED,
];

fn pointer(it: &Lead) -> Option<&str> {
    it.said.as_ref().map(|said| &*said.pointer)
}
