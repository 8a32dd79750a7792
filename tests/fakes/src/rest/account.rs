//! What is known of a CRM that somebody wrote themselves as of an account at any vendor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Rest;
use crate::account::{Account, Connection, Deed, Record, members};

const BODY: &str = r#"{"ref": {{ lead.uuid }}, "email": {{ lead.email }}, "name": {{ lead.name }}, "phone": {{ lead.phone }}, "guests": {{ lead.guest_count }}}"#;

impl Rest {
    /// A CRM that keeps idempotency keys.
    #[must_use]
    pub fn with_keys() -> Self {
        Self { keys: Some(BTreeMap::new()), ..Self::new() }
    }
}

impl Account for Rest {
    fn connector(&self) -> &'static str {
        "rest"
    }

    fn connection(&self, url: &str) -> Connection {
        let (id, secret) = &self.client;
        let config = json!({"base_url": url, "path": "/leads", "auth": "client_credentials",
            "token_url": format!("{url}/token"), "body": BODY, "success": {"pointer": "/status", "equals": "ok"},
            "id_pointer": "/data/id", "update_path": "/leads/{id}"});
        Connection { config, credentials: json!({"client_id": id, "client_secret": secret}) }
    }

    fn records(&self) -> Vec<Record> {
        let leads = self.leads.iter().map(|(id, lead)| {
            let fields = lead.as_object().into_iter().flat_map(members);
            Record::new("lead", id, lead["ref"].as_str().unwrap_or_default()).with_all(fields, &[])
        });
        leads.collect()
    }

    fn end_logins(&mut self) -> bool {
        self.tokens.clear();
        true
    }

    fn suffer(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Correct => {
                self.leads.values_mut().for_each(|lead| lead["phone"] = Value::from(Deed::PHONE))
            }
            Deed::Rename => self.leads.values_mut().for_each(|lead| lead["name"] = Value::from(Deed::NAME)),
            Deed::Delete => self.leads.clear(),
            _ => return false,
        }
        true
    }
}
