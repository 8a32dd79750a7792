//! Campaigns and their members: a Lead is one of a campaign's once.

use serde_json::{Value, json};

use super::{Salesforce, error, members, records};
use crate::receiver::Reply;

/// The campaign that there is.
pub const CAMPAIGN: &str = "701000000000001AAA";
/// What its members may be.
const STATUSES: [&str; 2] = ["Sent", "Responded"];

impl Salesforce {
    pub(super) fn statuses_of(campaign: &str) -> Reply {
        let statuses = STATUSES.iter().filter(|_| campaign == CAMPAIGN);
        records(&statuses.map(|label| json!({ "Label": label })).collect::<Vec<_>>())
    }

    pub(super) fn join(&mut self, body: &Value) -> Reply {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let (campaign, lead, status) = (text("CampaignId"), text("LeadId"), text("Status"));
        let known = ["CampaignId", "LeadId", "Status"];
        if let Some(name) = members(body).keys().find(|name| !known.contains(&name.as_str())) {
            let message = format!("No such column '{name}' on sobject of type CampaignMember");
            return error(400, "INVALID_FIELD", &message, &[]);
        }
        if campaign != CAMPAIGN || !self.leads.contains_key(lead) {
            return error(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &[]);
        }
        if !status.is_empty() && !STATUSES.contains(&status) {
            let message = "bad value for restricted picklist field: Status";
            return error(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &["Status"]);
        }
        if self.members.contains_key(lead) {
            return error(400, "DUPLICATE_VALUE", "Already a campaign member.", &[]);
        }
        let status = if status.is_empty() { STATUSES[0] } else { status };
        self.members.insert(lead.to_owned(), status.to_owned());
        let id = format!("00v{:012}", self.members.len());
        Reply::json(201, &json!({ "id": id, "success": true, "errors": [] }))
    }
}
