//! The vendors of `leadline demo --crm`: servers on loopback that keep state and enforce their contracts as the real ones do.

use std::io;

use leadline_fakes::{Connection, OpenAccount, VENDORS};

/// One of each that keeps records.
#[derive(Debug)]
pub(super) struct Vendors(Vec<Box<dyn OpenAccount>>);

impl Vendors {
    /// Starts them all.
    pub(super) async fn start() -> io::Result<Self> {
        let mut vendors = Vec::new();
        for (_, open) in VENDORS {
            let vendor = open().await?;
            if !vendor.with(|account| account.is_told()) {
                vendors.push(vendor);
            }
        }
        Ok(Self(vendors))
    }

    /// What to create an integration of each with, by its connector.
    pub(super) fn integrations(&self) -> impl Iterator<Item = (&'static str, Connection)> {
        self.0.iter().map(|vendor| (vendor.connector(), vendor.connection()))
    }

    /// What they hold now, a line each.
    pub(super) fn tally(&self) -> Vec<String> {
        self.0.iter().map(|vendor| format!("{:<14}  {}", vendor.connector(), held(vendor.as_ref()))).collect()
    }
}

/// `3 contacts, 3 notes`
fn held(vendor: &dyn OpenAccount) -> String {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for record in vendor.records() {
        match kinds.iter_mut().find(|(kind, _)| *kind == record.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((record.kind, 1)),
        }
    }
    let told: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}s")).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}
