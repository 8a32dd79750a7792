//! What commands print: tables for people, tab-separated lines for pipes, JSON for programs, all from one value.

mod cell;

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use clap::ValueEnum;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::{
    CliError,
    columns::{CALLS, CARDS, Column, HISTORY, ListRow, REFUSED, STEPS, column, id},
    output_types,
    table::{Cells, TextTable, aligned, tabbed},
    told,
};
use crate::text::{display_block, display_text, fit, json_text};
use cell::is_rows;

/// A column of a table takes at most this much; `show` has the whole text.
const CELL_COLUMNS_MAX: usize = 60;
/// A longer value stands below the others, on lines of its own, or one that is too long for the terminal.
const BESIDE_MAX: usize = 120;
/// What the names of values take at most beside them.
const NAMES: usize = 24;
/// Said below tables that leave ids out.
const IDS: &str = "--wide shows ids, which other commands take";

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, local times (the default on a terminal)
    Table,
    /// JSON, UTC times
    Json,
    /// Tab-separated without a heading, UTC times (the default in a pipe)
    Plain,
}

/// Where a command's answer goes.
#[derive(Clone, Debug)]
pub struct Out {
    format: Format,
    zone: TimeZone,
    /// How wide the terminal is, if this goes to one.
    room: Option<usize>,
    /// Tables show ids and all columns, however wide that is.
    is_wide: bool,
}

impl Out {
    /// Prints in this form, or in the one that suits what stdout is.
    #[must_use]
    pub fn new(format: Option<Format>, is_wide: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let fitting = if is_terminal { Format::Table } else { Format::Plain };
        let size = if is_terminal { crossterm::terminal::size().ok() } else { None };
        let room = size.map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0);
        Self { format: format.unwrap_or(fitting), zone: TimeZone::system(), room, is_wide }
    }

    /// Whether a program reads this.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// How wide the terminal is, where people read tables on one.
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        self.room.filter(|_| self.format == Format::Table)
    }

    /// Prints one thing with all its fields.
    pub fn object(&self, item: &impl Serialize) -> Result<(), CliError> {
        if self.is_json() {
            return print(&pretty(item)?);
        }
        self.thing(&to_value(item)?)
    }

    /// Prints one thing that people read in another shape.
    pub fn object_or(&self, item: &impl Serialize, for_people: &impl Serialize) -> Result<(), CliError> {
        if self.is_json() { self.object(item) } else { self.object(for_people) }
    }

    /// Prints JSON for another command to take, whatever the format.
    pub(crate) fn json(&self, item: &impl Serialize) -> Result<(), CliError> {
        print(&pretty(item)?)
    }

    /// [`Out::object`], where the JSON under `key` came from outside: if reading it changes a number in it, people
    /// too see the text as it came.
    pub fn object_with_json(&self, item: &impl Serialize, key: &str, json: &[u8]) -> Result<(), CliError> {
        if self.is_json() {
            return self.object(item);
        }
        let mut value = to_value(item)?;
        let text = String::from_utf8_lossy(json);
        if value[key].to_string() != text {
            value[key] = Value::from(text);
        }
        self.thing(&value)
    }

    /// Prints the fields of one thing.
    fn thing(&self, item: &Value) -> Result<(), CliError> {
        print(&self.fields(item))?;
        let hides = |(key, value): (&String, &Value)| match value {
            Value::Array(rows) => is_rows(value) && self.hides_ids(&people_see(key, rows)),
            _ => false,
        };
        if item.as_object().into_iter().flatten().any(hides) {
            self.note(IDS);
        }
        Ok(())
    }

    /// Whether somebody reads a table of these columns without the ids that other commands take.
    fn hides_ids(&self, columns: &[Column<'_>]) -> bool {
        self.room().is_some() && !self.is_wide && columns.iter().any(|column| column.is_wide)
    }

    /// Prints many things that are short or all there is to know; nothing is cut.
    pub(crate) fn whole_list<T: Serialize>(
        &self,
        items: &[T],
        columns: &[Column<'_>],
    ) -> Result<(), CliError> {
        self.rows(items, columns, usize::MAX)
    }

    /// Prints many things; people see their columns, programs every field.
    pub(crate) fn list<T: ListRow>(&self, items: &[T]) -> Result<(), CliError> {
        self.rows(items, T::COLUMNS, CELL_COLUMNS_MAX)
    }

    fn rows<T: Serialize>(
        &self,
        items: &[T],
        columns: &[Column<'_>],
        cell_columns_max: usize,
    ) -> Result<(), CliError> {
        if self.is_json() {
            return print(&pretty(&items)?);
        }
        let rows = items.iter().map(to_value).collect::<Result<Vec<_>, _>>()?;
        if self.format != Format::Table {
            return print(&self.plain(&rows, columns));
        }
        let table = self.table(&rows, &self.shown(columns), cell_columns_max);
        print(&table.text)?;
        if !table.left_out.is_empty() {
            self.note(&table.note());
        }
        if !items.is_empty() && self.hides_ids(columns) {
            self.note(IDS);
        }
        Ok(())
    }

    /// The columns of a table, names first.
    fn shown<'a>(&self, columns: &[Column<'a>]) -> Vec<Column<'a>> {
        let mut shown: Vec<Column<'a>> =
            columns.iter().filter(|column| self.is_wide || !column.is_wide).copied().collect();
        shown.sort_by_key(|column| column.place);
        shown
    }

    /// Prints a document of several lines as it is; on a terminal, what could command it is shown instead.
    pub fn document(&self, text: &str) -> Result<(), CliError> {
        if self.format == Format::Table { print(&display_block(text)) } else { print(text) }
    }

    /// Prints JSON that the daemon wrote, whatever the form, without what could command a terminal.
    pub(crate) fn json_text(&self, text: &str) -> Result<(), CliError> {
        print(&json_text(text))
    }

    /// Prints one JSON object as one line, whatever the form.
    pub fn json_line(&self, item: &impl Serialize) -> Result<(), CliError> {
        let line = serde_json::to_string(item).map_err(unprintable)?;
        let mut line = json_text(&line).into_owned();
        line.push('\n');
        print(&line)
    }

    /// Prints one thing that happened as one line: the time and what it was, or the JSON.
    pub(crate) fn line(&self, item: &super::output_types::Activity) -> Result<(), CliError> {
        if self.is_json() {
            return self.json_line(item);
        }
        let at = item.at().map(|at| self.time(&at.to_string())).unwrap_or_default();
        let line = format!("{at}  {}", display_text(&item.sentence()));
        let room = if self.is_wide { None } else { self.room() };
        let line = room.map_or(Cow::Borrowed(&*line), |room| fit(&line, room));
        print(&format!("{line}\n"))
    }

    /// Tells people something about the answer. Programs hear nothing.
    pub fn note(&self, text: &str) {
        if self.format == Format::Table {
            report(&display_text(text));
        }
    }

    /// Tells whoever asked, people or programs, something about what was done, on stderr.
    pub fn remark(&self, text: &str) {
        if self.is_json() {
            report(&json_text(&serde_json::json!({ "note": text }).to_string()));
        } else {
            report(&display_text(text));
        }
    }

    fn fields(&self, item: &Value) -> String {
        let fields: Vec<_> = item.as_object().into_iter().flatten().collect();
        let (below, beside): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(key, value)| {
            is_rows(value) && !(self.format == Format::Table && told::is_money(value))
                || self.is_block(key, value)
        });
        let pairs: Vec<_> =
            beside.into_iter().map(|(key, value)| vec![key.clone(), self.cell(key, value)]).collect();
        let mut text = match self.format {
            Format::Table => aligned(&pairs),
            _ => tabbed(&pairs),
        };
        for (key, value) in below {
            let block = match value {
                Value::Object(_) if self.format == Format::Table && told::is_fields(key, value) => {
                    self.fields(value)
                }
                Value::Array(rows) if self.format == Format::Table => {
                    self.table(rows, &self.shown(&people_see(key, rows)), usize::MAX).with_note()
                }
                Value::Array(rows) => self.plain(rows, &all(rows)),
                Value::String(long) => display_block(&self.said(key, long)),
                other => display_block(&format!("{other:#}")),
            };
            push(&mut text, format_args!("\n{key}:\n{block}"));
        }
        text
    }

    /// Whether people read this better on lines of its own.
    fn is_block(&self, key: &str, value: &Value) -> bool {
        let max = self.room.map_or(BESIDE_MAX, |room| room.saturating_sub(NAMES).min(BESIDE_MAX));
        self.format == Format::Table
            && match value {
                Value::String(text) => text.len() > max || text.contains('\n'),
                Value::Object(_) => self.cell(key, value).width() > max,
                _ => false,
            }
    }

    fn plain(&self, rows: &[Value], columns: &[Column<'_>]) -> String {
        let row = |row: &Value| columns.iter().map(|column| self.column_cell(column, row)).collect();
        tabbed(&rows.iter().map(row).collect::<Vec<_>>())
    }

    fn table<'a>(&self, rows: &[Value], columns: &[Column<'a>], cell_columns_max: usize) -> TextTable<'a> {
        let cells = |column: &Column<'a>| {
            let values =
                rows.iter().map(|row| fit(&self.column_cell(column, row), cell_columns_max).into_owned());
            Cells::new(*column, values)
        };
        // What was asked for in full is cut by nobody.
        let room = if self.is_wide { None } else { self.room };
        TextTable::new(columns.iter().map(cells).collect(), room)
    }
}

/// What people see of a list within a thing.
fn people_see<'a>(key: &str, rows: &'a [Value]) -> Vec<Column<'a>> {
    let columns = match key {
        "history" => HISTORY,
        "steps" => STEPS,
        "deliveries" | "sample" => output_types::Delivery::COLUMNS,
        "keys" => output_types::IntakeKey::COLUMNS,
        "flows" => output_types::Flow::COLUMNS,
        "changed_before" => output_types::AuditLine::COLUMNS,
        "integrations" => CARDS,
        "calls" => CALLS,
        "refused" => REFUSED,
        _ => return all(rows),
    };
    let has = |row: &Value| columns.iter().all(|column| row.get(column.key).is_some());
    if rows.iter().all(has) { columns.to_vec() } else { all(rows) }
}

/// Every key of the first row as a column.
fn all(rows: &[Value]) -> Vec<Column<'_>> {
    let keys = rows.first().and_then(Value::as_object).into_iter().flat_map(|row| row.keys());
    // What is last is missed least; ids stand in JSON, where programs take them from.
    keys.enumerate()
        .map(|(at, key)| (key.as_str(), u8::try_from(at).unwrap_or(u8::MAX)))
        .map(|(key, at)| match key {
            "id" => column(key),
            key if key.ends_with("_id") => id(key).rank(at),
            "error" | "last_error" | "reason" | "problem" | "url" | "why" | "help" => column(key).cut(12),
            key => column(key).rank(at),
        })
        .collect()
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(more);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn pretty(item: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(item).map_err(unprintable)?;
    let mut text = json_text(&text).into_owned();
    text.push('\n');
    Ok(text)
}

fn to_value(item: &impl Serialize) -> Result<Value, CliError> {
    serde_json::to_value(item).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> CliError {
    CliError::Failed(format!("the daemon's answer cannot be printed: {error}"))
}

/// Writes to stdout; unlike `print!` it does not panic when the reader has gone.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::io("stdout"))
}

/// Writes a line to stderr. Unlike `eprintln!` it does not panic when nobody reads that.
pub fn report(line: &str) {
    // If even this fails there is nobody left to read it.
    drop(writeln!(io::stderr(), "{line}"));
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{super::columns::id, *};

    fn out(format: Format) -> Out {
        Out { format, zone: TimeZone::fixed(jiff::tz::offset(1)), room: None, is_wide: false }
    }

    #[test]
    fn tables_align_and_plain_lines_split_on_tabs() {
        let rows = [
            json!({"name": "日本", "state": "ok", "due_at": "2026-06-04T14:00:00Z", "n": 3}),
            json!({"name": "evil\x1b[2J\t", "state": null, "due_at": null, "n": 10}),
        ];
        let columns = ["name", "n", "due_at", "state"].map(column);
        let table = "\
NAME                N   DUE AT                   STATE
日本                3   2026-06-04 15:00:00 +01  ok
evil\\u{1b}[2J\\u{9}  10  –                        –
";
        assert_eq!(out(Format::Table).table(&rows, &columns, 60).text, table);
        let plain = "日本\t3\t2026-06-04T14:00:00Z\tok\nevil\\u{1b}[2J\\u{9}\t10\t\t\n";
        assert_eq!(out(Format::Plain).plain(&rows, &columns), plain);
        assert_eq!(out(Format::Table).table(&[], &columns, 60).text, "none\n");
        assert_eq!(out(Format::Plain).plain(&[], &columns), "");
    }

    #[test]
    fn tables_lead_with_names_and_keep_ids_for_those_who_ask() {
        let columns = [id("id"), column("state"), column("error"), column("name").place(1)];
        let rows = [json!({"id": "A", "state": "held", "error": "flow", "name": "crm"})];
        let mut out = out(Format::Table);
        assert_eq!(
            out.table(&rows, &out.shown(&columns), 60).text,
            "NAME  STATE  ERROR\ncrm   held   flow\n"
        );
        out.is_wide = true;
        assert_eq!(
            out.table(&rows, &out.shown(&columns), 60).text,
            "ID  NAME  STATE  ERROR\nA   crm   held   flow\n"
        );
        assert_eq!(out.plain(&rows, &columns), "A\theld\tflow\tcrm\n");
    }

    #[test]
    fn an_object_shows_its_lists_below() {
        let item = json!({"id": "A", "events": ["a", "b"], "config": {"url": "x"}, "deliveries": [{"id": "D"}], "none": []});
        let table = "id      A\nevents  a,b\nconfig  {\"url\":\"x\"}\nnone    –\n\ndeliveries:\nID\nD\n";
        assert_eq!(out(Format::Table).fields(&item), table);
    }

    #[test]
    fn what_is_long_stands_below_for_people_only() {
        let item = json!({"event": {"note": "x".repeat(200)}, "body": "one\ntwo\x1b", "id": "A"});
        let table = out(Format::Table).fields(&item);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!((lines[0], lines[2], lines[3]), ("id  A", "event:", "{"));
        assert!(table.ends_with("\n\nbody:\none\ntwo\\u{1b}\n"), "{table}");
        assert_eq!(out(Format::Plain).fields(&item).lines().count(), 3);
    }

    #[test]
    fn what_is_nested_is_told_in_words_within_80_columns() {
        let id = "01J8H6KQH4YG3XR8RWM6T6XFQE";
        let step = json!({"at": "2026-06-04T14:00:00Z", "what": "attempt", "event": "lead.created",
            "integration": "HubSpot", "number": 2, "state": "failed", "reason": "x".repeat(200),
            "delivery_id": id, "integration_id": id, "attempt_id": id});
        let queue = json!({"due": 3, "later": 0, "running": 2, "held": 1, "dead": 0, "lanes": 12,
            "oldest_due_at": null, "oldest_undelivered_at": "2026-06-04T14:00:00Z"});
        let item = json!({"steps": [step], "queue": queue, "breaker": {"state": "open", "why": null},
            "money": [{"currency": "GBP", "minor": 125_000, "amount": "1250.00"}], "sums": {"a": [{"name": "crm", "company": "Barn"}]}});
        let text = Out { room: Some(80), ..out(Format::Table) }.fields(&item);
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(!text.contains('{') && !text.contains(id), "{text}");
        for part in [
            "breaker  state open\n",
            "sums     a Barn/crm\n",
            "\nqueue:\ndue",
            "attempt  HubSpot",
            "GBP 1250.00",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let row = json!({"cause": "c", "money": item["money"], "integrations": [{"name": "crm", "company": "Barn"}]});
        let columns = [column("cause"), column("money"), column("integrations")];
        let table = out(Format::Table).table(&[row], &columns, 60).text;
        assert_eq!(table, "CAUSE  MONEY        INTEGRATIONS\nc      GBP 1250.00  Barn/crm\n");
    }

    #[test]
    fn what_an_integration_waits_for_fits_beside_its_error_in_80_columns() {
        let soon = Timestamp::from_second(Timestamp::now().as_second() + 3600).unwrap();
        let shown = soon.to_zoned(out(Format::Table).zone).strftime("%H:%M:%S").to_string();
        let error = "429 Too Many Requests: the quota of the day is used up, come back tomorrow";
        let row = |name: &str, waits: Value| {
            json!({"id": "I", "company_id": 7, "company": "Rosewood Barn", "name": name, "connector": "webhook",
                "badge": "credentials", "last_pushed_at": "2026-06-04T14:00:00Z", "failure_count": 12345, "dead": 12345,
                "last_error": error, "waits": waits})
        };
        let waits = json!({"for": "throttled", "until": soon.to_string(), "why": error});
        let later = json!({"for": "throttled", "until": "2036-06-04T14:00:00Z", "why": null});
        let rows = [
            row("hubspot-eu", waits.clone()),
            row("crm", json!({"for": "breaker", "until": null, "why": null})),
            row("free", Value::Null),
            row("far", later),
        ];
        let columns = output_types::Integration::COLUMNS;
        let narrow = Out { room: Some(80), ..out(Format::Table) };
        let table = narrow.table(&rows, &narrow.shown(columns), CELL_COLUMNS_MAX).text;
        assert!(table.lines().all(|line| line.width() <= 80), "{table}");
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].contains("WAITS FOR") && lines[0].contains("LAST ERROR"), "{table}");
        assert!(lines[1].contains(&format!("throttled until {shown}")), "{table}");
        assert!(lines[2].contains("  breaker ") && lines[3].contains("  –  "), "{table}");
        assert!(lines[4].contains("throttled until 06-04 15"), "{table}");
        // In a pipe and in full it is said with the whole time and the reason.
        let plain = out(Format::Plain).plain(&rows[..1], columns);
        assert!(plain.ends_with(&format!("\tthrottled until {soon}: {error}\n")), "{plain}");
        let whole = out(Format::Table).fields(&json!({ "waits": waits }));
        assert_eq!(whole, format!("waits  throttled until {shown}: {error}\n"));
    }

    #[test]
    fn people_read_the_times_of_sentences_in_their_own_zone() {
        let short = "It is dead since 2026-06-04T14:00:00Z";
        let long = format!("{short} {}", "x".repeat(200));
        for (key, text, table) in [
            ("why", short, "why  It is dead since 2026-06-04 15:00:00 +01\n".to_owned()),
            ("error", short, format!("error  {short}\n")),
            (
                "why",
                &*long,
                format!("\nwhy:\nIt is dead since 2026-06-04 15:00:00 +01 {}\n", "x".repeat(200)),
            ),
        ] {
            let item = json!({ key: text });
            assert_eq!(out(Format::Table).fields(&item), table);
            assert_eq!(out(Format::Plain).fields(&item), format!("{key}\t{text}\n"));
        }
    }

    #[test]
    fn long_texts_are_cut_in_tables_only() {
        let rows = [json!({"error": "x".repeat(500)})];
        assert!(out(Format::Table).table(&rows, &[column("error")], 60).text.contains('…'));
        assert_eq!(out(Format::Plain).plain(&rows, &[column("error")]).trim().len(), 500);
        let whole = out(Format::Table).fields(&rows[0]);
        assert!(whole.len() > 500 && !whole.contains('…'));
    }
}
