//! What is known of a spreadsheet at Google as of an account at any vendor.

use serde_json::{Value, json};

use super::{GoogleSheets, Sheet};
use crate::{
    account::{Account, Connection, Deed, Record, Rule, Trap},
    vendor::Quota,
};

const ALIKE: [(&str, &str); 4] =
    [("Name", "name"), ("Phone", "phone"), ("Guests", "guests"), ("Event date", "event date")];

impl GoogleSheets {
    /// A project whose quota Google raised, so that a thousand leads need no hour.
    #[must_use]
    pub fn raised() -> Self {
        let mut google = Self::default();
        (google.reads.calls, google.writes.calls) = (300, 300);
        google
    }
}

impl Sheet {
    fn record(&self, row: usize) -> Record {
        let lead = self.cell(row, "Lead ID");
        let header = self.rows.first().into_iter().flatten().filter_map(|cell| cell.as_str());
        let names: Vec<String> = header.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let cells = names.iter().map(|name| (name, self.cell(row, name)));
        Record::new("row", lead.as_str().unwrap_or_default(), lead.as_str().unwrap_or_default())
            .with_all(cells, &ALIKE)
    }
}

impl Account for GoogleSheets {
    fn connector(&self) -> &'static str {
        "google_sheets"
    }

    fn connection(&self, url: &str) -> Connection {
        Connection {
            config: json!({"base_url": url, "spreadsheet_id": self.spreadsheet, "sheet": "Leads",
                "calls_per_minute": self.reads.calls.min(300)}),
            credentials: self.key_file(),
        }
    }

    fn work(&self) -> [&'static str; 3] {
        ["Company", "Position", "Website"]
    }

    fn records(&self) -> Vec<Record> {
        let Some(sheet) = self.sheets.first() else { return Vec::new() };
        (1..sheet.rows.len()).map(|row| sheet.record(row)).filter(|row| !row.id.is_empty()).collect()
    }

    fn refused(&self) -> usize {
        self.reads.refused + self.writes.refused
    }

    fn lift_quotas(&mut self) {
        (self.reads, self.writes) = (Quota::unlimited(), Quota::unlimited());
    }

    fn end_logins(&mut self) -> bool {
        self.tokens.clear();
        true
    }

    fn phone_of_new(&self) -> Option<&'static str> {
        Some("Phone")
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        let sheet = self.sheet();
        match deed {
            Deed::Correct | Deed::Rename => {
                let (name, text) =
                    if deed == Deed::Correct { ("Phone", Deed::PHONE) } else { ("Name", Deed::NAME) };
                let header = sheet.rows.first().cloned().unwrap_or_default();
                let Some(at) = header.iter().position(|cell| cell == name) else { return false };
                for row in sheet.rows.iter_mut().skip(1).filter(|row| !row.is_empty()) {
                    row.resize(row.len().max(at + 1), json!(null));
                    row[at] = json!(text);
                }
            }
            Deed::Delete => sheet.rows.truncate(1),
            _ => return false,
        }
        true
    }

    fn proposed(&mut self) -> Value {
        let header = ["Lead ID", "Name", "UTM term"].map(Value::from).to_vec();
        self.sheet().rows = vec![header];
        json!({"lead.utm.term": "UTM term"})
    }

    fn set(&mut self, rule: Rule) -> Option<Trap> {
        match rule {
            Rule::Short => {
                self.sheet().rows.iter_mut().take(1).for_each(|header| header.push(json!("Wishes")));
                Trap::long("Wishes")
            }
            Rule::ReadOnly => {
                self.sheet().is_protected = true;
                Trap::bare()
            }
            _ => None,
        }
    }
}
