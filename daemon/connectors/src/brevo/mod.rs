//! Brevo: a contact for each lead that consented, on the lists that are configured.
//!
//! Nobody comes back who left: whether somebody is blocked is never said, and a list that a contact unsubscribed from is
//! not joined again. Brevo's notes would keep each enquiry, but take a hundred calls an hour, so none are written.

mod config;
mod error;
mod probe;
mod push;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    Connector, Conversation, Found, Ids, Manifest, Pace, Prepared, Push, Record, crm, named_as,
    vendor::Vendor,
};
use config::Ready;
use leadline_domain::{
    address::EgressPolicy,
    integration::{Integration, ProbeKind},
    outcome::Failure,
};

const NAME: &str = "brevo";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// What every account may call in a second about contacts.
const CALLS: u32 = 10;

/// The connector `brevo`.
#[derive(Debug)]
pub(super) struct Brevo;

static MANIFEST: Manifest = Manifest {
    checks_mapping: true,
    needs_consent: true,
    ..Manifest::new(
        NAME,
        "Adds each lead that consented to lists at Brevo, or brings its details up to date there",
        config::FIELDS,
        config::CREDENTIALS,
    )
};

impl Connector for Brevo {
    fn manifest(&self) -> &Manifest {
        &MANIFEST
    }

    fn problems(&self, config: &Value, mapping: &Value, _egress: &EgressPolicy, _brand: &str) -> Vec<String> {
        config::problems(config, mapping)
    }

    fn prepare(&self, integration: &Integration, _brand: &str) -> Result<Box<dyn Prepared>, Failure> {
        Ready::of(integration).map(|ready| Box::new(ready) as Box<dyn Prepared>).map_err(crm::unrenderable)
    }
}

#[async_trait]
impl Prepared for Ready {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>, Failure> {
        push::render(self, push).map(Some)
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<(), Failure> {
        self.key()?;
        push::bring(self, push, ctx).await
    }

    fn keeps_ids(&self) -> bool {
        true
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        named_as(&["contact"], things, |_, id| Some(format!("https://app.brevo.com/contact/index/{id}")))
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: self.calls, per: Duration::from_secs(1) })
    }

    fn probes(&self, _kind: ProbeKind) -> bool {
        true
    }

    async fn probe(
        &self,
        kind: ProbeKind,
        ctx: &mut Conversation<'_>,
        found: &mut Found,
    ) -> Result<(), Failure> {
        self.key()?;
        probe::look(self, kind, ctx, found).await
    }
}

#[cfg(test)]
mod tests;
