//! Lists of contacts: static ones take whom callers name, active ones fill themselves.

use serde_json::{Value, json};

use super::{Hubspot, refusals::error};
use crate::receiver::Reply;

#[derive(Clone, Debug)]
pub struct List {
    pub name: &'static str,
    pub is_active: bool,
    /// Of what it is: `0-1` of contacts.
    pub object: &'static str,
    pub members: Vec<u64>,
}

impl List {
    /// A static list of contacts that nobody is on.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self { name, is_active: false, object: "0-1", members: Vec::new() }
    }
}

impl Hubspot {
    pub(super) fn show_list(&self, id: &str) -> Reply {
        let Some(list) = id.parse().ok().and_then(|id: u64| self.lists.get(&id)) else { return missing(id) };
        let kind = if list.is_active { "DYNAMIC" } else { "MANUAL" };
        Reply::json(
            200,
            &json!({ "list": { "listId": id, "listVersion": 1, "name": list.name, "objectTypeId": list.object,
                               "processingStatus": "COMPLETE", "processingType": kind } }),
        )
    }

    /// Who is not there and who is on it already are left out.
    pub(super) fn add_to_list(&mut self, id: &str, body: &Value) -> Reply {
        let asked = body.as_array().into_iter().flatten().filter_map(|id| id.as_str()?.parse().ok());
        let asked: Vec<u64> = asked.map(|id| self.kept(id)).collect();
        let (there, gone): (Vec<u64>, Vec<u64>) =
            asked.into_iter().partition(|id| self.contacts.contains_key(id));
        let Some(list) = id.parse().ok().and_then(|id: u64| self.lists.get_mut(&id)) else {
            return missing(id);
        };
        if list.is_active {
            return error(
                400,
                "VALIDATION_ERROR",
                "Memberships of a DYNAMIC list cannot be changed by hand.",
            );
        }
        let new: Vec<u64> = there.into_iter().filter(|id| !list.members.contains(id)).collect();
        list.members.extend(&new);
        let told = |ids: Vec<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>();
        Reply::json(
            200,
            &json!({ "recordsIdsAdded": told(new), "recordIdsRemoved": [], "recordIdsMissing": told(gone) }),
        )
    }
}

fn missing(id: &str) -> Reply {
    error(404, "OBJECT_NOT_FOUND", &format!("List does not exist with ID {id}."))
}
