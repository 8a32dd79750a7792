//! What Airtable is configured with.

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::config::{Problem, Required, parsed, settings};

settings! {
    /// The table that gets the records.
    pub(crate) struct Config {
        /// The id of the base, app…: it stands in the address bar when the base is open
        base_id: BaseId,
        /// The table that gets the records: its id, tbl…, which survives renaming, or its name
        table: String,
    }
}

settings! {
    /// What we log in with.
    pub(crate) struct Credentials {
        /// A personal access token, pat…, with data.records:read, data.records:write and schema.bases:read, for the base
        token: Required<SecretString>,
    }
}

parsed! {
    /// The id of a base, which becomes part of a path.
    #[derive(Default)]
    pub(crate) struct BaseId(String) = base_id
}

fn base_id(text: &str) -> Result<String, Problem> {
    if text.contains(['/', '?', '#', ' ']) {
        return Err(Problem::new("must be the id alone, as appAbCdEfGhIjKlMn, not the address"));
    }
    Ok(text.to_owned())
}

/// The columns that the docs page has the operator make.
pub(super) fn own_mapping() -> Value {
    json!({
        "lead.uuid": "Lead ID",
        "lead.name": "Name",
        "lead.email": "Email",
        "lead.phone": "Phone",
        "lead.event_type": "Event type",
        "lead.event_date": "Event date",
        "lead.guest_count": "Guests",
        "lead.profile.notes": "Notes",
        "lead.gdpr_consent": "Consent",
        "lead.source_url": "Source URL",
        "lead.utm.source": "UTM source",
        "lead.utm.medium": "UTM medium",
        "lead.utm.campaign": "UTM campaign",
        "quote.total_pence": {"to": "Quote total", "value": "{{ quote.total_pence | money }}"},
        "quote.currency": "Currency",
        "quote.proposal_url": "Proposal",
        "viewing.starts_at": "Viewing start",
        "location.name": "Venue",
    })
}
