//! What every list can do whatever its rows are: be sorted, remembered and written to a file.

use jiff::Timestamp;
use ratatui::layout::Position;
use serde_json::{Map, Value};

use super::columns::{CellContext, TableColumn};
use super::input::Input;
use super::table::{Table, TableRow};
use crate::console::data::Remembered;

/// A list, whatever its rows are.
pub trait List {
    /// The columns that one can sort by: key and head.
    fn sorts(&self) -> Vec<(&'static str, String)>;

    /// The order that is in force: the key of a column, and whether it is turned round.
    fn sort(&mut self) -> &mut Option<(&'static str, bool)>;

    /// What is shown, with every column; of marked rows there are only those.
    fn sheet(&self, look: &CellContext<'_>) -> Sheet;

    /// How it is looked at.
    fn remember(&self) -> Remembered;

    /// Looks at it so again.
    fn recall(&mut self, remembered: Remembered);

    /// Selects the row that is drawn there, if one is.
    fn click(&mut self, now: Timestamp, place: Position);
}

/// A table with its columns.
pub struct Listing<'t, R: 'static>(pub &'t mut Table<R>, pub &'static [TableColumn<R>]);

impl<R: TableRow> List for Listing<'_, R> {
    fn sorts(&self) -> Vec<(&'static str, String)> {
        let sortable = self.1.iter().filter(|column| column.order.is_some());
        sortable.map(|column| (column.spec.key, column.spec.shown(true).to_lowercase())).collect()
    }

    fn sort(&mut self) -> &mut Option<(&'static str, bool)> {
        &mut self.0.sort
    }

    fn sheet(&self, look: &CellContext<'_>) -> Sheet {
        let Self(table, columns) = self;
        let is_chosen = |row: &&R| table.marks.is_empty() || table.marks.contains(row.id());
        let is_wanted = |row: &&R| !table.is_stale() && is_chosen(row);
        let visible = table.visible(columns, look.now).into_iter().filter(is_wanted);
        let cells = |row: &R| columns.iter().map(|column| column.exported(row, look)).collect();
        Sheet {
            keys: columns.iter().map(|column| column.spec.key).collect(),
            rows: visible.map(cells).collect(),
        }
    }

    fn remember(&self) -> Remembered {
        Remembered {
            filter: self.0.filter.input.text().to_owned(),
            sort: self.0.sort.map(|(key, turned)| (key.to_owned(), turned)),
            bad_only: self.0.bad_only,
            cards: None,
        }
    }

    fn click(&mut self, now: Timestamp, place: Position) {
        self.0.click(self.1, now, place);
    }

    fn recall(&mut self, remembered: Remembered) {
        let Remembered { filter, sort, bad_only, .. } = remembered;
        self.0.filter.input = Input::with(filter);
        self.0.bad_only = bad_only;
        // A column may be gone with a newer version.
        self.0.sort = sort.and_then(|(wanted, turned)| {
            self.sorts().into_iter().find(|(key, _)| *key == wanted).map(|(key, _)| (key, turned))
        });
    }
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    Csv,
    Json,
    Markdown,
}

impl ExportFormat {
    /// The ending of the file's name.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Markdown => "md",
        }
    }
}

/// Rows of values under their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    pub keys: Vec<&'static str>,
    pub rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// The text of a file; none if a row could not be written, which no row of ours brings about.
    pub fn text(&self, form: ExportFormat) -> Option<String> {
        match form {
            ExportFormat::Csv => self.csv(),
            ExportFormat::Json => {
                let object = |row: &Vec<Value>| {
                    let pairs = self.keys.iter().zip(row);
                    Value::Object(
                        pairs.map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Map<_, _>>(),
                    )
                };
                Some(format!("{:#}\n", Value::Array(self.rows.iter().map(object).collect())))
            }
            ExportFormat::Markdown => Some(self.markdown()),
        }
    }

    fn csv(&self) -> Option<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.keys).ok()?;
        for row in &self.rows {
            writer.write_record(row.iter().map(no_formula)).ok()?;
        }
        String::from_utf8(writer.into_inner().ok()?).ok()
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.keys.iter().map(|key| (*key).to_owned()).collect());
        text.push_str(&line(self.keys.iter().map(|_| "---".to_owned()).collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(|value| in_markdown(&plain(value))).collect()));
        }
        text
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text that a spreadsheet would carry out as a formula gets a quote in front, which is what spreadsheets take for
/// text. Numbers are left as they are.
fn no_formula(value: &Value) -> String {
    let text = plain(value);
    let is_formula = value.is_string() && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if is_formula { format!("'{text}") } else { text }
}

/// A cell of a table: what would end it, or mean something, is escaped.
fn in_markdown(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => cell.push(' '),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => cell.extend(['\\', c]),
            c => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sheet() -> Sheet {
        Sheet {
            keys: vec!["name", "dead", "error"],
            rows: vec![
                vec![json!("=HYPERLINK(\"http://x\",\"y\")"), json!(-3), json!("a|b\n<b>\"c\"")],
                vec![json!("O'Neil, Ann"), json!(0), json!(null)],
                vec![json!("+44 20"), json!(1), json!("@x -y")],
            ],
        }
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        let csv = "name,dead,error\n\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",-3,\"a|b\n<b>\"\"c\"\"\"\n\
                   \"O'Neil, Ann\",0,\n'+44 20,1,'@x -y\n";
        assert_eq!(sheet().text(ExportFormat::Csv).unwrap(), csv);
    }

    #[test]
    fn markdown_cells_stay_cells() {
        let markdown = "| name | dead | error |\n| --- | --- | --- |\n\
                        | =HYPERLINK(\"http://x\",\"y\") | -3 | a\\|b \\<b\\>\"c\" |\n| O'Neil, Ann | 0 |  |\n\
                        | +44 20 | 1 | @x -y |\n";
        assert_eq!(sheet().text(ExportFormat::Markdown).unwrap(), markdown);
    }

    #[test]
    fn json_keeps_what_it_is() {
        let read: Value = serde_json::from_str(&sheet().text(ExportFormat::Json).unwrap()).unwrap();
        assert_eq!(read[1], json!({"name": "O'Neil, Ann", "dead": 0, "error": null}));
    }
}
