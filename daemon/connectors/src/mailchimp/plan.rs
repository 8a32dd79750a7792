//! The member that a lead becomes.

use md5::{Digest, Md5};

use super::{NAME, config::Status};
use crate::prelude::*;

/// The longest text of a merge field, in bytes; from memory.
const FIELD_MAX: usize = 255;
/// The longest note, in characters, and what stands before the lead in it.
const NOTE_MAX: usize = 1_000;
const FRAME: usize = 200;

/// How members are made.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) status_if_new: Status,
    pub(super) mapping: Mapping,
    pub(super) tags: Vec<String>,
    /// Ids of groups, which the API calls interests.
    pub(super) groups: Vec<String>,
    /// Ids of marketing permissions.
    pub(super) permissions: Vec<String>,
    /// Whether what came is kept as a note.
    pub(super) notes: bool,
}

impl Member {
    /// What all calls are made from: the member's key, its body, and its tags if there are any.
    pub(super) fn plan(&self, event: &Json, push: &Push<'_>) -> Result<Json> {
        crm::email(NAME, event)?;
        let email = event.at("lead.email").map(crm::text).unwrap_or_default().trim().to_owned();
        let mut member = Json::object([
            ("email_address", Json::string(&email)),
            ("status_if_new", Json::string(self.status_if_new.as_str())),
        ]);
        let written = |_: &str, value: &Json| match value {
            Json::Number(_) => Some(value.clone()),
            other => Some(Json::string(&crm::text(other))),
        };
        let (fields, extras) = crm::person(&self.mapping, event, push, (FIELD_MAX, crm::cut_bytes), written)?;
        member.insert(2, "merge_fields", fields);
        self.add_choices(&mut member);
        let mut plan = Json::object([("hash", Json::string(&key(&email))), ("member", member)]);
        crm::put_extras(&mut plan, extras);
        if !self.tags.is_empty() {
            let tag = |name: &String| {
                Json::object([("name", Json::string(name)), ("status", Json::string("active"))])
            };
            plan.insert(usize::MAX, "tags", Json::Array(self.tags.iter().map(tag).collect()));
        }
        if self.notes {
            let told = crm::plain(event, push, |text| crm::units(text) <= NOTE_MAX - FRAME);
            let note = format!("Delivery: {}\n{}\n{told}", push.id, summary::headline(event, push));
            plan.insert(usize::MAX, "note", Json::string(&crm::cut(&note, NOTE_MAX)));
        }
        Ok(plan)
    }

    /// What who asks chooses by it.
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
}

/// The key of a member: the MD5 of its address in small letters.
fn key(email: &str) -> String {
    hex::encode(Md5::digest(email.to_lowercase().as_bytes()))
}
