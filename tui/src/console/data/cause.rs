//! Failures grouped by what they failed of.

use jiff::Timestamp;

use super::system::AuditEntry;
use crate::columns::{cause, inexact};

/// An action that fits a cause, as the daemon advises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    ReplaceCredentials,
    EditMapping,
    EditConfig,
    Test,
    Retry,
    RetryReRendered,
    Wait,
    Skip,
}

/// Where a cause shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub integration: String,
    pub name: String,
    pub company: String,
    pub deliveries: u64,
}

/// One kind of failure of one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub id: String,
    pub connector: String,
    pub class: String,
    /// The error without what differs from lead to lead.
    pub text: String,
    /// The newest error as it came.
    pub sample: String,
    pub deliveries: u64,
    pub dead: u64,
    pub retrying: u64,
    /// False where more wait for a retry than the daemon looked at.
    pub deliveries_exact: bool,
    pub leads: u64,
    /// False where each delivery counts as a lead, and its money each time.
    pub leads_exact: bool,
    /// Currency, and the amount with as many places as it has there.
    pub money: Vec<(String, String)>,
    pub places: Vec<Place>,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// Deaths in each quarter of an hour of the last day that had any.
    pub trend: Vec<(Timestamp, u64)>,
    /// What operators changed at these integrations in the hour before it began.
    pub changed_before: Vec<AuditEntry>,
    pub advice: String,
    pub remedies: Vec<Remedy>,
    pub snoozed_until: Option<Timestamp>,
}

impl Cause {
    /// The money that its leads were quoted: `GBP 12,500.00`.
    pub fn money(&self) -> String {
        let amounts: Vec<String> =
            self.money.iter().map(|(currency, amount)| format!("{currency} {}", thousands(amount))).collect();
        let about = if self.leads_exact || amounts.is_empty() { "" } else { "~" };
        format!("{about}{}", amounts.join(" + "))
    }

    /// How many wait for a retry, as exactly as that is known.
    pub fn retrying(&self) -> String {
        counted(cause::RETRYING.key, self.retrying, self.deliveries_exact)
    }

    /// How many leads it has, as exactly as that is known.
    pub fn leads(&self) -> String {
        counted(cause::LEADS.key, self.leads, self.leads_exact)
    }

    /// Where it shows, in few words.
    pub fn places(&self) -> String {
        match self.places.as_slice() {
            [] => String::new(),
            [one] => format!("{} / {}", one.company, one.name),
            [first, rest @ ..] => format!("{} / {} +{}", first.company, first.name, rest.len()),
        }
    }
}

fn counted(key: &str, count: u64, is_exact: bool) -> String {
    let count = count.to_string();
    if is_exact { count } else { inexact(key, &count) }
}

/// A decimal whose whole part is grouped by thousands; the daemon knows how many places a currency has.
fn thousands(amount: &str) -> String {
    let (sign, amount) = amount.strip_prefix('-').map_or(("", amount), |rest| ("-", rest));
    let (whole, part) = amount.split_at(amount.find('.').unwrap_or(amount.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_in_thousands() {
        for (amount, shown) in [
            ("0.00", "0.00"),
            ("0.99", "0.99"),
            ("12500.00", "12,500.00"),
            ("-1234567.89", "-1,234,567.89"),
            ("1269600", "1,269,600"),
            ("12345.678", "12,345.678"),
        ] {
            assert_eq!(thousands(amount), shown);
        }
    }

    #[test]
    fn a_count_says_when_it_is_not_exact() {
        let exact = crate::console::fixtures::answers::cause("c1", "transient", "502 Bad Gateway", 10);
        assert_eq!([exact.retrying(), exact.leads(), exact.money()], ["2", "12", "GBP 150,000.00"]);
        let bounded = Cause { deliveries_exact: false, leads_exact: false, ..exact };
        assert_eq!([bounded.retrying(), bounded.leads(), bounded.money()], ["2+", "~12", "~GBP 150,000.00"]);
    }
}
