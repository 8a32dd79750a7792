//! What is known of a workflow at Microsoft Teams as of an account at any vendor.

use serde_json::json;

use super::Teams;
use crate::account::{Account, Connection, Record};

impl Account for Teams {
    fn connector(&self) -> &'static str {
        "teams"
    }

    fn connection(&self, url: &str) -> Connection {
        let (path, sig) = (&self.path, &self.sig);
        let workflow = format!("https://a.environment.api.powerplatform.com{path}?sig={sig}");
        Connection { config: json!({"base_url": url}), credentials: json!({"workflow_url": workflow}) }
    }

    fn is_told(&self) -> bool {
        true
    }

    /// A card that the channel could not show counts as none.
    fn records(&self) -> Vec<Record> {
        Record::texts("card", &self.cards)
    }
}
