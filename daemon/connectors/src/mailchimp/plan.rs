//! The member that a lead becomes.

use md5::{Digest, Md5};

use super::config::Status;
use crate::{Push, Result, config::Word as _, crm, written};
use leadline_domain::{
    integration::EventKind,
    json::Json,
    mapping::Mapping,
    outcome::{Failure, FailureClass},
};

/// The longest text of a merge field, in bytes; from memory.
const FIELD_MAX: usize = 255;
/// The merge fields that every new audience has for the name.
pub(super) const NAMES: [&str; 2] = ["FNAME", "LNAME"];

/// How members are made.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) status_if_new: Status,
    /// First and last name go to the merge fields of every new audience.
    pub(super) splits_name: bool,
    pub(super) mapping: Mapping,
    pub(super) tags: Vec<String>,
    /// Ids of groups, which the API calls interests.
    pub(super) groups: Vec<String>,
    /// Ids of marketing permissions.
    pub(super) permissions: Vec<String>,
}

impl Member {
    /// What all calls are made from: the member's key, its body, and its tags if there are any.
    pub(super) fn plan(&self, event: &Json, push: &Push<'_>) -> Result<Json> {
        let email = event.at("lead.email").map(crm::text).unwrap_or_default().trim().to_owned();
        if email.is_empty() {
            return Err(Failure::new(
                FailureClass::Rejected,
                "mailchimp was not called: the lead has no email",
            ));
        }
        let mut member = Json::object([
            ("email_address", Json::string(&email)),
            ("status_if_new", Json::string(self.status_if_new.as_str())),
        ]);
        let (mut fields, mut new) = (self.merge_fields(event, push)?, Json::Object(Vec::new()));
        for (_, tag) in self.mapping.targets().filter(|(rule, _)| rule.is_for_new()) {
            if let Some(value) = fields.take_at(tag) {
                new.insert(usize::MAX, tag, value);
            }
        }
        member.insert(2, "merge_fields", fields);
        if push.event != EventKind::Updated {
            self.add_choices(&mut member);
        }
        let mut plan = Json::object([("hash", Json::string(&key(&email))), ("member", member)]);
        if written::has_members(&new) {
            plan.insert(2, "new", new);
        }
        if !self.tags.is_empty() {
            let tag = |name: &String| {
                Json::object([("name", Json::string(name)), ("status", Json::string("active"))])
            };
            plan.insert(usize::MAX, "tags", Json::Array(self.tags.iter().map(tag).collect()));
        }
        Ok(plan)
    }

    /// What who asks chooses by it; what they chose otherwise meanwhile is not taken back by an update.
    fn add_choices(&self, member: &mut Json) {
        let yes = || Json::Bool(true);
        if !self.groups.is_empty() {
            let mut groups = Json::Object(Vec::new());
            self.groups.iter().for_each(|group| groups.insert(usize::MAX, group, yes()));
            member.insert(usize::MAX, "interests", groups);
        }
        if !self.permissions.is_empty() {
            let permission = |id: &String| {
                Json::object([("marketing_permission_id", Json::string(id)), ("enabled", yes())])
            };
            let permissions = self.permissions.iter().map(permission).collect();
            member.insert(usize::MAX, "marketing_permissions", Json::Array(permissions));
        }
    }

    fn merge_fields(&self, event: &Json, push: &Push<'_>) -> Result<Json> {
        let mut fields = Json::Object(Vec::new());
        let mut mapped = crm::fields(&self.mapping, event, push)?;
        crm::drop_made_name(&mut mapped, &self.mapping, event);
        for (tag, value) in mapped {
            let value = match value {
                Json::Number(_) => value,
                other => Json::string(&crm::cut_bytes(&crm::text(&other), FIELD_MAX)),
            };
            fields.insert(usize::MAX, &tag, value);
        }
        if self.splits_name && !crm::is_made_name(event) {
            let text = |path: &str| event.at(path).map(crm::text).filter(|text| !text.trim().is_empty());
            let name = text("lead.name").unwrap_or_default();
            let (first, last) = crm::split_name(&name);
            let first = text("lead.profile.first_name").unwrap_or_else(|| first.to_owned());
            let last = text("lead.profile.last_name").unwrap_or_else(|| last.to_owned());
            for (tag, value) in NAMES.into_iter().zip([first, last]) {
                if fields.get(tag).is_none() && !value.is_empty() {
                    fields.insert(usize::MAX, tag, Json::string(&crm::cut_bytes(&value, FIELD_MAX)));
                }
            }
        }
        Ok(fields)
    }
}

/// The key of a member: the MD5 of its address in small letters.
fn key(email: &str) -> String {
    hex::encode(Md5::digest(email.to_lowercase().as_bytes()))
}
