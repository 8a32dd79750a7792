//! How the people of a company are told things: by whose clock, how days and amounts are written, and where they open a
//! lead.

use jiff::{
    Zoned,
    civil::Date,
    fmt::temporal::Pieces,
    tz::{TimeZone, TimeZoneDatabase},
};
use url::Url;

use super::{money, nearest::nearest};

/// What stands for the lead's uuid in the address of its page.
const UUID: &str = "{uuid}";

/// How people are told things.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// By whose clock; by the sender's where it is not said.
    pub zone: Option<TimeZone>,
    /// How days and amounts are written, where somebody chose.
    pub locale: Option<Locale>,
    /// Where a lead is opened, with `{uuid}` in it.
    pub lead_url: Option<String>,
}

/// How a country writes days, times and amounts. Words stay English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locale {
    /// `en-GB`
    pub tag: &'static str,
    /// Days and times, as `strftime` has them.
    pub day: &'static str,
    pub time: &'static str,
    /// What stands between groups of three digits, and before the decimals.
    group: &'static str,
    point: &'static str,
    sign: SignPlace,
}

/// Where the sign of a currency stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignPlace {
    Before,
    BeforeWithSpace,
    Behind,
}

const LONG: &str = "%-d %B %Y";
const BY_24: &str = "%H:%M";
const NARROW: &str = "\u{202f}";
const WIDE: &str = "\u{a0}";

const fn locale(
    tag: &'static str,
    day: &'static str,
    group: &'static str,
    point: &'static str,
    sign: SignPlace,
) -> Locale {
    Locale { tag, day, time: BY_24, group, point, sign }
}

/// Every one there is; the first is used where nobody chose.
pub const LOCALES: [Locale; 9] = [
    locale("en-GB", LONG, ",", ".", SignPlace::Before),
    Locale { time: "%-I:%M %p", ..locale("en-US", "%B %-d, %Y", ",", ".", SignPlace::Before) },
    locale("de-DE", "%d.%m.%Y", ".", ",", SignPlace::Behind),
    locale("es-ES", "%d/%m/%Y", ".", ",", SignPlace::Behind),
    locale("fr-FR", "%d/%m/%Y", NARROW, ",", SignPlace::Behind),
    locale("it-IT", "%d/%m/%Y", ".", ",", SignPlace::Behind),
    locale("nl-NL", "%d-%m-%Y", ".", ",", SignPlace::BeforeWithSpace),
    locale("pl-PL", "%d.%m.%Y", WIDE, ",", SignPlace::Behind),
    locale("sv-SE", "%Y-%m-%d", WIDE, ",", SignPlace::Behind),
];

/// Why a company cannot be told things so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTelling {
    #[error("unknown time zone {0:?}{1}: give a name of the IANA database, as Europe/London")]
    Zone(String, String),
    #[error("unknown locale {0:?}: give one of {1}")]
    Locale(String, String),
    #[error(
        "the address of a lead's page must be a web address with {{uuid}} in it, of 500 characters at most, as https://example.com/leads/{{uuid}}"
    )]
    LeadUrl,
}

impl Telling {
    /// How people are told things, by what is kept of a company; what a later version wrote counts as not said.
    #[must_use]
    pub fn of(zone: Option<&str>, locale: Option<&str>, lead_url: Option<String>) -> Self {
        Self {
            zone: zone.and_then(|name| TimeZoneDatabase::bundled().get(name).ok()),
            locale: locale.and_then(Locale::find),
            lead_url,
        }
    }

    /// The locale that somebody chose, or the first.
    #[must_use]
    pub fn locale(&self) -> Locale {
        self.locale.unwrap_or(LOCALES[0])
    }

    /// `4 September 2026, 14:00 to 15:00 (+01:00)`, by the clock that the time came with; by the company's, with its zone,
    /// where it has one. What is no time stays as it is.
    #[must_use]
    pub fn time(&self, text: &str, ends: Option<&str>) -> String {
        let Some(start) = self.moment(text) else {
            return ends.map_or_else(|| text.to_owned(), |end| format!("{text} to {end}"));
        };
        let (locale, zone) = (self.locale(), start.time_zone());
        let whole = format!("{}, {}", locale.day, locale.time);
        let end = ends.and_then(|end| self.moment(end)).map(|end| {
            let end = end.with_time_zone(zone.clone());
            let wanted = if end.date() == start.date() { locale.time } else { &whole };
            format!(" to {}", end.strftime(wanted))
        });
        let place = zone.iana_name().map_or_else(|| start.strftime("%:z").to_string(), str::to_owned);
        format!("{}{} ({place})", start.strftime(&whole), end.unwrap_or_default())
    }

    fn moment(&self, text: &str) -> Option<Zoned> {
        let pieces = Pieces::parse(text.trim()).ok()?;
        let time = pieces.date().to_datetime(pieces.time()?);
        let time = pieces.to_numeric_offset()?.to_time_zone().to_zoned(time).ok()?;
        Some(self.zone.clone().map_or_else(|| time.clone(), |zone| time.with_time_zone(zone)))
    }

    /// Where people open a lead.
    #[must_use]
    pub fn page_of(&self, uuid: &str) -> Option<String> {
        let is_plain = uuid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        self.lead_url.as_ref().filter(|_| is_plain).map(|url| url.replace(UUID, uuid))
    }
}

impl Locale {
    fn find(tag: &str) -> Option<Self> {
        LOCALES.into_iter().find(|locale| locale.tag.eq_ignore_ascii_case(tag))
    }

    /// A day as people write it; what is no date stays as it is.
    #[must_use]
    pub fn day(&self, text: &str) -> String {
        text.trim()
            .parse::<Date>()
            .map_or_else(|_| text.to_owned(), |date| date.strftime(self.day).to_string())
    }

    /// Minor units as people write an amount: `£12,696.00`. A currency without a sign of its own goes behind.
    #[must_use]
    pub fn amount(&self, minor: i128, currency: &str) -> String {
        let currency = currency.trim().to_uppercase();
        let decimal = money::decimal(minor, &currency);
        let (minus, digits) =
            decimal.strip_prefix('-').map_or(("", decimal.as_str()), |digits| ("-", digits));
        let (whole, part) = digits.split_once('.').map_or((digits, ""), |(whole, part)| (whole, part));
        let mut amount = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at) % 3 == 0 {
                amount.push_str(self.group);
            }
            amount.push(digit);
        }
        if !part.is_empty() {
            amount = format!("{amount}{}{part}", self.point);
        }
        let sign = match currency.as_str() {
            "GBP" => "£",
            "EUR" => "€",
            "" => return format!("{minus}{amount}"),
            other => return format!("{minus}{amount} {other}"),
        };
        match self.sign {
            SignPlace::Before => format!("{minus}{sign}{amount}"),
            SignPlace::BeforeWithSpace => format!("{minus}{sign}{WIDE}{amount}"),
            SignPlace::Behind => format!("{minus}{amount}{WIDE}{sign}"),
        }
    }
}

/// A time zone by its name in the IANA database; the empty text is none.
pub fn zone(text: &str) -> Result<Option<String>, BadTelling> {
    let name = text.trim();
    let zones = TimeZoneDatabase::bundled();
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(found) = zones.get(name).ok().and_then(|zone| zone.iana_name().map(str::to_owned)) {
        return Ok(Some(found));
    }
    let known: Vec<String> = zones.available().map(|zone| zone.to_string()).collect();
    let meant = nearest(name, known.iter().map(String::as_str));
    let meant = meant.map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
    Err(BadTelling::Zone(name.to_owned(), meant))
}

/// The tag of a locale that there is; the empty text is none.
pub fn tag(text: &str) -> Result<Option<String>, BadTelling> {
    let text = text.trim();
    match Locale::find(text) {
        _ if text.is_empty() => Ok(None),
        Some(locale) => Ok(Some(locale.tag.to_owned())),
        None => {
            let known: Vec<&str> = LOCALES.iter().map(|locale| locale.tag).collect();
            Err(BadTelling::Locale(text.to_owned(), known.join(", ")))
        }
    }
}

/// It ends every note, beside what the lead says.
const LEAD_URL_MAX: usize = 500;

/// The address of a lead's page; the empty text is none.
pub fn lead_url(text: &str) -> Result<Option<String>, BadTelling> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let is_web = Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_web && is_plain && text.contains(UUID) && text.len() <= LEAD_URL_MAX {
        Ok(Some(text.to_owned()))
    } else {
        Err(BadTelling::LeadUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_amounts_are_written_as_a_country_writes_them() {
        for (tag, day, amount) in [
            ("en-GB", "12 September 2026", "-£1,234.56"),
            ("en-US", "September 12, 2026", "-£1,234.56"),
            ("de-DE", "12.09.2026", "-1.234,56\u{a0}£"),
            ("fr-FR", "12/09/2026", "-1\u{202f}234,56\u{a0}£"),
            ("nl-NL", "12-09-2026", "-£\u{a0}1.234,56"),
            ("sv-SE", "2026-09-12", "-1\u{a0}234,56\u{a0}£"),
        ] {
            let locale = Telling::of(None, Some(tag), None).locale();
            assert_eq!(
                (locale.day("2026-09-12").as_str(), locale.amount(-123_456, "GBP").as_str()),
                (day, amount)
            );
        }
        let own = Telling::default().locale();
        for (minor, currency, expected) in [
            (1_269_600, "GBP", "£12,696.00"),
            (-123_456, "eur", "-€1,234.56"),
            (1_269_600, "JPY", "1,269,600 JPY"),
            (12_345, "KWD", "12.345 KWD"),
            (5, "", "0.05"),
        ] {
            assert_eq!(own.amount(minor, currency), expected);
        }
        assert_eq!(own.day("soon"), "soon");
    }

    #[test]
    fn times_are_written_as_a_person_writes_them() {
        for (start, end, expected) in [
            (
                "2026-09-04T14:00:00+01:00",
                Some("2026-09-04T15:30:00+01:00"),
                "4 September 2026, 14:00 to 15:30 (+01:00)",
            ),
            (
                "2026-09-04T23:00:00+01:00",
                Some("2026-09-04T23:30:00Z"),
                "4 September 2026, 23:00 to 5 September 2026, 00:30 (+01:00)",
            ),
            ("2026-09-04T14:00:00Z", None, "4 September 2026, 14:00 (UTC)"),
            ("tomorrow", Some("later"), "tomorrow to later"),
            ("soon", None, "soon"),
        ] {
            assert_eq!(Telling::default().time(start, end), expected);
        }
        for (zone, locale, expected) in [
            ("Europe/London", "en-GB", "4 September 2026, 14:00 to 15:30 (Europe/London)"),
            ("America/New_York", "en-US", "September 4, 2026, 9:00 AM to 10:30 AM (America/New_York)"),
            ("Europe/Berlin", "de-DE", "04.09.2026, 15:00 to 16:30 (Europe/Berlin)"),
            ("Pacific/Auckland", "sv-SE", "2026-09-05, 01:00 to 02:30 (Pacific/Auckland)"),
        ] {
            let telling = Telling::of(Some(zone), Some(locale), None);
            assert_eq!(telling.time("2026-09-04T13:00:00Z", Some("2026-09-04T14:30:00Z")), expected);
        }
        let berlin = Telling::of(Some("Europe/Berlin"), None, None);
        assert_eq!(berlin.time("2026-11-21T12:00:00Z", None), "21 November 2026, 13:00 (Europe/Berlin)");
    }

    #[test]
    fn what_a_company_says_is_checked_and_named_right() {
        assert_eq!(zone(" europe/london "), Ok(Some("Europe/London".to_owned())));
        assert_eq!(tag("DE-de"), Ok(Some("de-DE".to_owned())));
        assert_eq!((zone(""), tag(""), lead_url("")), (Ok(None), Ok(None), Ok(None)));
        for (refused, expected) in [
            (
                zone("Europe/Lodon").unwrap_err(),
                "unknown time zone \"Europe/Lodon\", did you mean Europe/London?: give a name of the IANA database, as Europe/London",
            ),
            (
                zone("BT").unwrap_err(),
                "unknown time zone \"BT\": give a name of the IANA database, as Europe/London",
            ),
            (
                tag("xx").unwrap_err(),
                "unknown locale \"xx\": give one of en-GB, en-US, de-DE, es-ES, fr-FR, it-IT, nl-NL, pl-PL, sv-SE",
            ),
            (
                lead_url("https://example.com/leads").unwrap_err(),
                "the address of a lead's page must be a web address with {uuid} in it, of 500 characters at most, as https://example.com/leads/{uuid}",
            ),
        ] {
            assert_eq!(refused.to_string(), expected);
        }
        for bad in ["ftp://a/{uuid}", "https://example.com/ {uuid}", "{uuid}"] {
            assert_eq!(lead_url(bad), Err(BadTelling::LeadUrl), "{bad}");
        }
        let telling = Telling::of(None, None, Some("https://example.com/leads/{uuid}?tab=1".to_owned()));
        assert_eq!(telling.page_of("01J8").as_deref(), Some("https://example.com/leads/01J8?tab=1"));
        assert_eq!(telling.page_of("a/b"), None);
    }
}
