//! What lists show of their rows. Each column is described once: its key in JSON, its heads, how wide it is on a screen and
//! what it gives way to. Tables, plain lines, screens and the files that are written of them all go by it.

/// How wide a column is on a screen.
#[derive(Clone, Copy, Debug)]
pub enum Width {
    Fixed(u16),
    /// At least and at most so much of what is left.
    Share(u16, u16),
}

/// A column of a list: the value of a key, under a head.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The key in the row's JSON.
    pub key: &'a str,
    pub head: &'a str,
    /// The head on a screen, where that is another.
    pub short: Option<&'a str>,
    /// The key that is shown where the first one has nothing.
    pub or: Option<&'a str>,
    /// Where it stands in a table; equal ones stand as they are declared, which is how plain lines have them.
    pub place: u8,
    /// How easily a narrow table does without it, the highest first; 0: never.
    pub rank: u8,
    /// Tables show it on request only.
    pub is_wide: bool,
    /// A long text may be cut to this many columns of a table.
    pub cut: Option<usize>,
    pub width: Width,
    /// The same as `rank`, for a narrow screen: it has other neighbours there.
    pub priority: u8,
    /// So much of a screen it is to have before columns of a high priority have any, where that is enough for it.
    pub wanted: u16,
    /// Numbers stand at the right end on screens.
    pub is_right: bool,
}

/// A column that every table shows.
pub const fn column(key: &str) -> Column<'_> {
    Column {
        key,
        head: key,
        short: None,
        or: None,
        place: 100,
        rank: 0,
        is_wide: false,
        cut: None,
        width: Width::Fixed(8),
        priority: 0,
        wanted: 0,
        is_right: false,
    }
}

/// An id, which people ask for.
pub const fn id(key: &str) -> Column<'_> {
    Column { is_wide: true, place: 0, ..column(key) }
}

impl<'a> Column<'a> {
    /// Under another head than its key.
    pub const fn head(self, head: &'a str) -> Self {
        Self { head, ..self }
    }

    /// Under another head on screens.
    pub const fn short(self, short: &'a str) -> Self {
        Self { short: Some(short), ..self }
    }

    /// Further to the left in tables than those of higher places.
    pub const fn place(self, place: u8) -> Self {
        Self { place, ..self }
    }

    /// Left out of narrow tables, the highest rank first.
    pub const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// May be cut in tables where the terminal is narrow.
    pub const fn cut(self, columns: usize) -> Self {
        Self { cut: Some(columns), ..self }
    }

    /// So wide on a screen; where that is narrow, the highest priority gives way first.
    pub const fn fixed(self, width: u16, priority: u8) -> Self {
        Self { width: Width::Fixed(width), priority, ..self }
    }

    /// How much it takes of what is left on a screen, at least and at most.
    pub const fn share(self, least: u16, most: u16, priority: u8) -> Self {
        Self { width: Width::Share(least, most), priority, ..self }
    }

    /// On a screen, columns of a high priority give way until this one has so much.
    pub const fn wants(self, width: u16) -> Self {
        Self { wanted: width, ..self }
    }

    /// At the right end of its place on screens.
    pub const fn right(self) -> Self {
        Self { is_right: true, ..self }
    }

    /// Its head as screens and tables show it.
    pub fn shown(&self, is_screen: bool) -> String {
        let head = self.short.filter(|_| is_screen).unwrap_or(self.head);
        head.to_uppercase().replace('_', " ")
    }
}

/// A count that is not exact, as tables and screens have it: what was counted up to a bound is at least so much, and where
/// each delivery counts as a lead there are about so many.
pub fn inexact(key: &str, count: &str) -> String {
    if key == cause::LEADS.key { format!("~{count}") } else { format!("{count}+") }
}

/// Columns of integrations.
pub mod integration {
    use super::{Column, column};

    pub const PROFILE: Column<'_> = column("profile").fixed(10, 0);
    pub const COMPANY: Column<'_> = column("company").place(1).cut(8).share(13, 24, 1);
    pub const NAME: Column<'_> = column("name").place(2).cut(8).share(12, 28, 0);
    pub const CONNECTOR: Column<'_> = column("connector").rank(4).fixed(10, 8);
    pub const BADGE: Column<'_> = column("badge").short("state").place(3).fixed(13, 0);
    pub const PUSHED: Column<'_> = column("last_pushed_at").short("pushed").rank(3).fixed(7, 3);
    pub const FAILURES: Column<'_> =
        column("failure_count").head("failures").short("fail").rank(2).fixed(5, 9).right();
    pub const DEAD: Column<'_> = column("dead").rank(1).fixed(5, 1).right();
    pub const HELD: Column<'_> = column("held").rank(5).fixed(6, 5).right();
    pub const PENDING: Column<'_> = column("pending").short("wait").rank(5).fixed(6, 6).right();
    pub const SKIPPED: Column<'_> = column("skipped").short("skip").rank(5).fixed(5, 6).right();
    pub const TREND: Column<'_> = column("trend").fixed(6, 6);
    pub const NEXT_RETRY: Column<'_> = column("next_retry_at").short("next retry").rank(5).share(12, 26, 7);
    pub const LAST_ERROR: Column<'_> = column("last_error").cut(12).share(18, 200, 1);
    pub const WAITS: Column<'_> = column("waits").head("waits for").place(4).cut(25);
}

/// Columns of attempts.
pub mod attempt {
    use super::{Column, column};

    pub const NUMBER: Column<'_> = column("number").short("try").rank(5).fixed(3, 2).right();
    pub const TRIGGER: Column<'_> = column("trigger").short("by").rank(6).fixed(6, 3);
    pub const STATE: Column<'_> = column("state").fixed(11, 0);
    pub const STATUS: Column<'_> = column("status_code").head("status").short("code").rank(3).fixed(4, 0);
    pub const CLASS: Column<'_> = column("failure_class").head("class").rank(2).fixed(11, 4);
    pub const DURATION: Column<'_> = column("duration_ms").short("took").rank(7).fixed(5, 4).right();
    pub const STARTED: Column<'_> = column("started_at").short("time").rank(1).fixed(8, 0);
    pub const ERROR: Column<'_> = column("error").cut(12).share(12, 200, 1).wants(30);
    pub const LEAD: Column<'_> = column("lead_name").head("lead").place(1).rank(4).cut(10).share(10, 24, 1);
    pub const COMPANY: Column<'_> = column("company").place(2).cut(8);
    pub const INTEGRATION: Column<'_> = column("integration").place(3).cut(8);
}

/// Deliveries.
pub mod delivery {
    use super::{Column, column};

    pub const EVENT: Column<'_> = column("event").rank(6).fixed(8, 6);
    pub const STATE: Column<'_> = column("state").place(4).fixed(11, 0);
    pub const REASON: Column<'_> = column("reason").rank(1).cut(12);
    pub const ATTEMPTS: Column<'_> = column("attempts").short("tries").rank(3).fixed(5, 5).right();
    pub const DUE: Column<'_> = column("due_at").short("next").rank(2).fixed(8, 5);
    pub const LEAD: Column<'_> = column("lead_name").head("lead").place(1).cut(10).share(10, 24, 0);
    // Whose it is matters more on a narrow screen than where it goes: integrations are called alike at many companies.
    pub const COMPANY: Column<'_> = column("company").place(2).cut(8).share(9, 18, 2);
    pub const INTEGRATION: Column<'_> = column("integration").place(3).cut(8).share(10, 20, 3);
    pub const ERROR: Column<'_> = column("error").place(5).cut(12);
    pub const SINCE: Column<'_> = column("since").fixed(7, 4);
    pub const WHY: Column<'_> = column("why").share(20, 200, 1);
}

/// Columns of leads.
pub mod lead {
    use super::{Column, column};

    pub const NAME: Column<'_> = column("name").place(1).cut(10).share(12, 30, 0);
    pub const EMAIL: Column<'_> = column("email").short("e-mail").place(2).cut(10).share(18, 36, 1);
    pub const PHONE: Column<'_> = column("phone").place(3).rank(2).share(14, 20, 4);
    pub const COMPANY: Column<'_> = column("company").place(4).cut(8).share(9, 24, 1);
    pub const STATE: Column<'_> = column("state").fixed(9, 1);
    pub const UNDELIVERED: Column<'_> = column("undelivered").short("open").rank(1).fixed(4, 2).right();
    pub const RECEIVED: Column<'_> = column("received_at").short("received").rank(3).fixed(14, 0);
    pub const POINTER: Column<'_> = column("pointer").head("where").place(5).cut(10).share(14, 28, 1);
    pub const VALUE: Column<'_> = column("value").head("says").place(6).cut(16).share(22, 120, 0);
}

/// Causes of failures.
pub mod cause {
    use super::{Column, column};

    pub const DELIVERIES: Column<'_> = column("deliveries").place(101);
    pub const LEADS: Column<'_> = column("leads").place(101).rank(1).fixed(6, 3).right();
    pub const CLASS: Column<'_> = column("failure_class").head("class").place(102);
    pub const TEXT: Column<'_> = column("text").short("cause").place(1).cut(30).share(20, 70, 0).wants(32);
    pub const PLACES: Column<'_> =
        column("integrations").short("where").place(104).rank(4).cut(12).share(14, 40, 1);
    pub const FIRST: Column<'_> = column("first_at").short("first").place(105).rank(3).fixed(7, 5);
    pub const LAST: Column<'_> = column("last_at").short("last").place(105).rank(2).fixed(7, 2);
    pub const DEAD: Column<'_> = column("dead").fixed(6, 0);
    pub const RETRYING: Column<'_> = column("retrying").fixed(8, 4).right();
    pub const MONEY: Column<'_> = column("money").short("quoted").share(15, 24, 6);
    pub const TREND: Column<'_> = column("trend").short("trend 24h").fixed(12, 3);
}

/// Columns of jobs.
pub mod job {
    use super::{Column, column};

    pub const STATE: Column<'_> = column("state").fixed(9, 0);
    pub const OPERATOR: Column<'_> = column("operator").short("by").rank(3).cut(8).share(6, 30, 3);
    pub const TOTAL: Column<'_> = column("total").short("progress").fixed(17, 0);
    pub const RELEASED: Column<'_> = column("released").rank(2);
    pub const PENDING: Column<'_> = column("pending").rank(1).fixed(7, 2).right();
    pub const DELIVERED: Column<'_> = column("delivered").fixed(9, 1).right();
    pub const DEAD: Column<'_> = column("dead").fixed(5, 1).right();
    pub const CREATED: Column<'_> = column("created_at").short("began").rank(2).fixed(14, 0);
    pub const ABOUT: Column<'_> = column("about").short("what").place(1).cut(12).share(14, 160, 0);
    pub const LEFT_ALONE: Column<'_> = column("left_alone").fixed(10, 4).right();
}

/// Companies.
pub mod company {
    use super::{Column, column};

    pub const ID: Column<'_> = column("id").fixed(5, 1).right();
    pub const NAME: Column<'_> = column("name").short("company").place(1).cut(12).share(14, 34, 0);
    pub const PLAN: Column<'_> = column("plan").share(7, 12, 2);
    pub const LAST_LEAD: Column<'_> = column("last_lead_at").short("last lead").rank(1).fixed(10, 0);
    pub const PAUSED: Column<'_> = column("paused_at").rank(2);
    pub const CREATED: Column<'_> = column("created_at").rank(3);
    pub const QUIET: Column<'_> = column("quiet_hours").short("usual").fixed(6, 3);
    pub const FAILING: Column<'_> = column("failing").fixed(7, 0).right();
}
