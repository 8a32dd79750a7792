//! Cells of spreadsheets as what a field holds, wherever they can mean one thing only.

use jiff::civil::Date;

use super::super::{
    fields::{self, Leaf, Shape},
    json::Json,
};

/// Words for truth values.
const YES: [&str; 5] = ["true", "yes", "y", "1", "on"];
const NO: [&str; 5] = ["false", "no", "n", "0", "off"];
/// What spreadsheets show where a formula has failed.
const ERRORS: [&str; 7] = ["#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// The shortest names of months in use: `may`, `sep`.
const MONTH_MIN: usize = 3;

/// Which of two numbers of a date is the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    DayFirst,
    MonthFirst,
}

impl DateOrder {
    /// The order of a word; none for the empty one.
    #[must_use]
    pub fn parse(word: &str) -> Option<Option<Self>> {
        match word {
            "" => Some(None),
            "day_first" => Some(Some(Self::DayFirst)),
            "month_first" => Some(Some(Self::MonthFirst)),
            _ => None,
        }
    }
}

/// Why a cell cannot be what its field holds; read after the name of its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CellError {
    #[error("is {0}, an error of the spreadsheet: mend it there, or leave the cell blank")]
    Formula(String),
    #[error("must be a whole number for {0}")]
    WholeNumber(String),
    #[error("must be yes or no for {0}")]
    YesOrNo(String),
    #[error("was shortened to {0} by a spreadsheet: format the column as text, then save it again")]
    Shortened(String),
    #[error(
        "{text} may be {} or {}: write it as {day_first} or {month_first}, or say which comes first",
        .day_first.strftime("%-d %B"),
        .month_first.strftime("%-d %B")
    )]
    AmbiguousDate { text: String, day_first: Date, month_first: Date },
}

/// A cell without what spreadsheets wrap around text so that it stays text; none if it is blank.
pub(super) fn cell(text: &str) -> Result<Option<&str>, CellError> {
    let text = text.trim();
    if ERRORS.contains(&text) {
        return Err(CellError::Formula(text.to_owned()));
    }
    let wrapped = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    let marked = text.strip_prefix('\'').filter(|rest| rest.starts_with(['=', '+', '-', '@']));
    let text = wrapped.or(marked).unwrap_or(text).trim();
    Ok((!text.is_empty()).then_some(text))
}

/// A text as what the field holds.
pub(super) fn typed(field: &str, value: Json, order: Option<DateOrder>) -> Result<Json, CellError> {
    let Some(text) = value.as_str().map(|text| text.trim().to_owned()) else { return Ok(value) };
    match fields::find(field).map(|field| field.shape) {
        Some(Shape::Leaf(Leaf::Integer)) => integer(&text)
            .map(|number| Json::integer(number.into()))
            .ok_or_else(|| CellError::WholeNumber(field.to_owned())),
        Some(Shape::Leaf(Leaf::Truth)) => {
            truth(&text).map(Json::Bool).ok_or_else(|| CellError::YesOrNo(field.to_owned()))
        }
        Some(Shape::Leaf(Leaf::Date)) => date(&text, order).map(|date| Json::string(&date)),
        _ if field == "lead.event_type" => Ok(Json::string(&text.to_lowercase().replace([' ', '-'], "_"))),
        _ if field == "lead.phone" && is_shortened(&text) => Err(CellError::Shortened(text)),
        _ => Ok(value),
    }
}

fn truth(text: &str) -> Option<bool> {
    let word = text.to_lowercase();
    if YES.contains(&&*word) {
        return Some(true);
    }
    NO.contains(&&*word).then_some(false)
}

/// A whole number: `80`, `80.0`, `1,200`, `1 200`.
fn integer(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let groups: Vec<&str> = whole.split([',', ' ', '\u{a0}', '\u{202f}', '\'', '’']).collect();
    let is_grouped = groups.iter().skip(1).all(|group| group.len() == 3);
    let head = groups.first().map_or("", |head| head.trim_start_matches(['-', '+']));
    if groups.len() > 1 && (!is_grouped || !(1..=3).contains(&head.len())) {
        return None;
    }
    groups.concat().parse().ok()
}

/// `4.47912E+11`: the digits that are missing are lost.
fn is_shortened(text: &str) -> bool {
    let Some((digits, power)) = text.split_once("E+") else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(&digits.replacen(['.', ','], "", 1)) && is_number(power)
}

/// A date as `2026-09-12`. What is no date is left for the check of the event to refuse.
fn date(text: &str, order: Option<DateOrder>) -> Result<String, CellError> {
    let day = text.split_once(['T', ' ']).filter(|(_, time)| is_midnight(time)).map_or(text, |(day, _)| day);
    let parts: Vec<&str> =
        day.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let numbers: Option<Vec<i16>> = parts.iter().map(|part| part.parse().ok()).collect();
    let found = match (&parts[..], numbers.as_deref()) {
        ([year, ..], Some(&[y, m, d])) if year.len() == 4 => civil(y, m, d),
        ([_, _, year], Some(&[first, second, y])) if year.len() == 4 => {
            let (day_first, month_first) = (civil(y, second, first), civil(y, first, second));
            match (day_first, month_first) {
                (Some(a), Some(b)) if a != b => match order {
                    // Nobody writes months first with dots.
                    _ if day.contains('.') => Some(a),
                    Some(DateOrder::DayFirst) => Some(a),
                    Some(DateOrder::MonthFirst) => Some(b),
                    None => {
                        return Err(CellError::AmbiguousDate {
                            text: text.to_owned(),
                            day_first: a,
                            month_first: b,
                        });
                    }
                },
                (day_first, month_first) => day_first.or(month_first),
            }
        }
        _ => named_month(&parts),
    };
    Ok(found.map_or_else(|| text.to_owned(), |date| date.to_string()))
}

fn civil(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

fn is_midnight(time: &str) -> bool {
    let digits = time.trim_end_matches('Z');
    digits.contains(':') && digits.bytes().all(|byte| matches!(byte, b'0' | b':' | b'.'))
}

/// `12 Sep 2026`, `Saturday, September 12, 2026`, `12th September 2026`.
fn named_month(parts: &[&str]) -> Option<Date> {
    let (mut day, mut month, mut year) = (None, None, None);
    for part in parts {
        let word = part.to_lowercase();
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match digits.len() {
            0 if word.ends_with("day") => {}
            0 => {
                let named = MONTHS.iter().position(|name| word.len() >= MONTH_MIN && name.starts_with(&word));
                let named = named.or_else(|| (word == "sept").then_some(8))?;
                month.replace(i16::try_from(named).ok()? + 1).is_none().then_some(())?;
            }
            1 | 2 => day.replace(digits.parse().ok()?).is_none().then_some(())?,
            4 if digits == word => year.replace(digits.parse().ok()?).is_none().then_some(())?,
            _ => return None,
        }
    }
    civil(year?, month?, day?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(field: &str, text: &str) -> String {
        typed(field, Json::string(text), None)
            .map_or_else(|error| error.to_string(), |value| value.to_string())
    }

    #[test]
    fn whole_numbers_are_read_as_spreadsheets_show_them() {
        for (text, number) in [
            ("80", "80"),
            (" 80.00 ", "80"),
            ("1,200", "1200"),
            ("1,200.0", "1200"),
            ("1 200", "1200"),
            ("1\u{202f}200", "1200"),
            ("-5", "-5"),
        ] {
            assert_eq!(reported("lead.guest_count", text), number, "{text}");
        }
        for text in ["80.5", "1.200", "12,00", "1,2,3", "80,0", "many", "", "1200,000", ",200", "8e1"] {
            assert_eq!(
                reported("lead.guest_count", text),
                "must be a whole number for lead.guest_count",
                "{text}"
            );
        }
    }

    #[test]
    fn dates_that_mean_one_day_are_read() {
        for text in [
            "2026-09-22",
            "2026-09-22 00:00:00",
            "2026-09-22T00:00:00.000Z",
            "2026/09/22",
            "22/09/2026",
            "22-9-2026",
            "9/22/2026",
            "22.09.2026",
            "22 Sep 2026",
            "22-Sept-2026",
            "22nd September 2026",
            "Tuesday, September 22, 2026",
        ] {
            assert_eq!(reported("lead.event_date", text), "\"2026-09-22\"", "{text}");
        }
        assert_eq!(reported("lead.event_date", "04.05.2026"), "\"2026-05-04\"");
        assert_eq!(reported("lead.event_date", "5/5/2026"), "\"2026-05-05\"");
        assert_eq!(
            reported("lead.event_date", "04/05/2026"),
            "04/05/2026 may be 4 May or 5 April: write it as 2026-05-04 or 2026-04-05, or say which comes first"
        );
        for (order, date) in [(DateOrder::DayFirst, "2026-05-04"), (DateOrder::MonthFirst, "2026-04-05")] {
            let value = typed("lead.event_date", Json::string("04/05/2026"), Some(order)).unwrap();
            assert_eq!(value, Json::string(date));
        }
        for text in ["soon", "22/09/26", "2026-09-22 14:00", "32/13/2026", "22 Sep Sep 2026", "46287", ""] {
            assert_eq!(reported("lead.event_date", text), format!("{text:?}"));
        }
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        assert_eq!(reported("lead.gdpr_consent", "TRUE"), "true");
        assert_eq!(reported("lead.gdpr_consent", " no "), "false");
        assert_eq!(reported("lead.gdpr_consent", "perhaps"), "must be yes or no for lead.gdpr_consent");
        assert_eq!(reported("lead.event_type", "Private Dining"), "\"private_dining\"");
        assert_eq!(reported("lead.notes", "1,200"), "\"1,200\"");
    }

    #[test]
    fn what_spreadsheets_do_to_text_is_undone_or_said() {
        for (text, inner) in [
            ("=\"00441\"", Some("00441")),
            ("'+44 20", Some("+44 20")),
            ("'tis", Some("'tis")),
            ("  ", None),
            ("=\"\"", None),
        ] {
            assert_eq!(cell(text).unwrap(), inner);
        }
        assert_eq!(
            cell("#REF!").unwrap_err().to_string(),
            "is #REF!, an error of the spreadsheet: mend it there, or leave the cell blank"
        );
        assert_eq!(
            reported("lead.phone", "4.47912E+11"),
            "was shortened to 4.47912E+11 by a spreadsheet: format the column as text, then save it again"
        );
        assert_eq!(reported("lead.phone", "+44 20"), "\"+44 20\"");
        assert_eq!(DateOrder::parse("ydm"), None);
    }
}
