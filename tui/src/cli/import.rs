//! `leadline lead import`: reads a file here and hands its lines to the daemon, which takes them in.

mod csv;
mod lines;
mod source;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use encoding_rs::Encoding;
use futures::{StreamExt as _, stream};
use leadline_proto::v1;

use super::{CliError, Context, input, output_types::Imported, progress::Progress};
use lines::LineError;
use source::{FileFormat, Seen, Source};

/// The largest line that the daemon takes.
const LINE_MAX: usize = 256 * 1024;
/// How many lines with problems are printed; all are counted.
const PROBLEMS_MAX: usize = 100;
const BAR: usize = 30;

/// A line to be sent, or why it is not.
type NumberedLine = (u64, Result<Vec<u8>, LineError>);

/// What to import.
#[derive(Debug, Args)]
#[command(after_help = "\
NDJSON: a lead event a line, as for /v1/leads. CSV: a heading, then a lead a row, as Excel, Google Sheets, LibreOffice
and Numbers write it; separator and encoding are found out. A column goes to the field of its name (email, first_name,
lead.event_date, …), whatever its case and spaces; any other becomes a field of your own: `Wedding budget` goes in as
lead.wedding_budget, and a note says so. Texts become whole numbers, dates, and yes or no where the field is one.

A line with a mistake is refused with its number; all others go in. Correct it and import the file again: what is in
stays as it is. A line that brings no uuid is known by its content, or with --key by one column: then a changed row
changes its lead, and another column adds to it, instead of making a second lead.

Examples:
  leadline lead import leads.ndjson --company 7 --dry-run
  leadline lead import leads.csv --company 7 --key 'Order no'
  leadline lead import leads.csv --company 7 --map '{\"Wedding day\": \"lead.event_date\", \"Remarks\": null}' \\
      --set '{\"lead.event_type\": \"wedding\", \"lead.gdpr_consent\": true}'
  export-leads | leadline lead import - --company 7")]
pub(crate) struct Import {
    /// A .csv or .ndjson file, or - for stdin
    file: PathBuf,
    /// The company whose leads they are
    #[arg(long, value_name = "ID")]
    company: String,
    /// The column, or dotted path, that tells leads apart: a line with a known value updates its lead
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// JSON, or @FILE: column or dotted path -> field, null leaves it out
    #[arg(long, value_name = "JSON")]
    map: Option<String>,
    /// JSON, or @FILE: field -> value, for lines that have none
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    /// Refuse the file if a column is called like no field and is not in the map
    #[arg(long)]
    strict: bool,
    /// What 04/05/2026 means; without it a date that may be either is refused
    #[arg(long, value_enum, value_name = "ORDER")]
    dates: Option<Dates>,
    /// How the file is written [default: by its name; stdin by its first character]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<FileFormat>,
    /// The encoding of the file, such as windows-1250 [default: found out]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<&'static Encoding>,
    /// Check every line and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which of two numbers is the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dates {
    DayFirst,
    MonthFirst,
}

/// No encoding is called so.
#[derive(Debug, thiserror::Error)]
#[error("give a name such as utf-8, utf-16le, windows-1252 or macintosh")]
struct UnknownEncoding;

fn encoding(name: &str) -> Result<&'static Encoding, UnknownEncoding> {
    Encoding::for_label(name.as_bytes()).ok_or(UnknownEncoding)
}

impl Import {
    /// Imports, and tells what came of it.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let json = |option, given: &Option<String>| {
            given.as_deref().map_or(Ok(String::new()), |given| input::json(option, given))
        };
        let (map, set) = (json("--map", &self.map)?, json("--set", &self.set)?);
        let (source, columns) = Source::open(&self.file, self.format, self.encoding)?;
        let date_order = match self.dates {
            None => v1::DateOrder::Unspecified,
            Some(Dates::DayFirst) => v1::DateOrder::DayFirst,
            Some(Dates::MonthFirst) => v1::DateOrder::MonthFirst,
        };
        let start = v1::ImportStart {
            request_id: String::new(),
            company: self.company,
            map,
            columns,
            set,
            dry_run: self.dry_run,
            key: self.key.unwrap_or_default(),
            strict: self.strict,
            date_order: date_order.into(),
        };
        let seen = source.seen();
        let client = context.client().await?;
        let answers = client.import_leads(start, stream::iter(source)).await?;
        let mut reported = Imported::new(self.dry_run);
        let heard = hear(context, answers, &seen, &mut reported).await;
        let read_as = seen.read_as();
        let said = format!("Read as {read_as}.");
        if read_as.starts_with("UTF-8") {
            context.out.note(&said)
        } else {
            context.out.remark(&said)
        }
        // What came in before something failed is in, and is told.
        let printed = context.out.object_or(&reported, &reported.for_people());
        if reported.hidden_problems() > 0 {
            context.out.remark(&format!("{} more lines have problems.", reported.hidden_problems()));
        }
        heard?;
        if let Some(failure) = seen.take_failure() {
            return Err(failure);
        }
        match (reported.refused(), self.dry_run) {
            (0, _) => printed,
            (refused, dry_run) => Err(CliError::Failed(format!(
                "{refused} of {} lines {} refused: correct them and import the file again, what is in stays as it is",
                reported.lines(),
                if dry_run { "would be" } else { "are" },
            ))),
        }
    }
}

/// Hears what becomes of the lines, to the end.
async fn hear(
    context: &Context,
    mut answers: leadline_client::Watch<v1::ImportLeadsResponse>,
    seen: &Arc<Seen>,
    reported: &mut Imported,
) -> Result<(), CliError> {
    let bar = Progress::new();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        for own in answer.own_columns {
            bar.show("");
            context.out.remark(&own_column(&own));
        }
        for line in answer.lines {
            reported.count(line, PROBLEMS_MAX);
        }
        for (line, detail) in seen.take_bad() {
            reported.refuse(line, detail.to_string(), PROBLEMS_MAX);
        }
        bar.show(&drawn(seen.share(), reported.lines(), reported.refused()));
        if answer.summary.is_some() {
            break;
        }
    }
    Ok(())
}

fn own_column(own: &v1::OwnColumn) -> String {
    let reported = format!("Column {:?} is called like no field and goes in as {}", own.column, own.field);
    if own.meant.is_empty() {
        format!("{reported}.")
    } else {
        format!("{reported}; did you mean {}?", own.meant)
    }
}

/// How far it is, for people who wait.
fn drawn(share: Option<f64>, lines: u64, refused: u64) -> String {
    let counts = format!("{lines} lines, {refused} refused");
    let Some(share) = share else { return counts };
    let full = (share * BAR as f64) as usize;
    let bar = "#".repeat(full) + &"-".repeat(BAR.saturating_sub(full));
    format!("[{bar}] {:3.0} %  {counts}", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(drawn(Some(0.5), 10, 1), "[###############---------------]  50 %  10 lines, 1 refused");
        assert_eq!(drawn(Some(1.0), 20, 0), "[##############################] 100 %  20 lines, 0 refused");
        assert_eq!(drawn(None, 20, 0), "20 lines, 0 refused");
    }

    #[test]
    fn a_column_of_ones_own_is_named() {
        let own = v1::OwnColumn { column: "Emial".into(), field: "lead.emial".into(), meant: String::new() };
        assert_eq!(own_column(&own), "Column \"Emial\" is called like no field and goes in as lead.emial.");
        let near = v1::OwnColumn { meant: "lead.email".into(), ..own };
        assert!(own_column(&near).ends_with("goes in as lead.emial; did you mean lead.email?"));
        assert_eq!(
            encoding("latin-7").unwrap_err().to_string(),
            "give a name such as utf-8, utf-16le, windows-1252 or macintosh"
        );
        assert_eq!(encoding("UTF8").unwrap().name(), "UTF-8");
    }
}
