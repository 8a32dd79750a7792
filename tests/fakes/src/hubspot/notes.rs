//! Notes on the timelines of contacts.

use serde_json::{Value, json};

use super::{Hubspot, TIME, association, object, refusals::error};
use crate::receiver::Reply;

/// The longest text that a note takes.
const TEXT_MAX: usize = 65_536;

/// A note on a contact's timeline.
#[derive(Clone, Debug)]
pub struct Note {
    pub contact: u64,
    pub body: String,
    pub timestamp: String,
}

impl Hubspot {
    /// A note that somebody made by hand.
    pub fn add_note(&mut self, contact: u64, body: &str) {
        self.next += 1;
        self.notes.insert(self.next, Note { contact, body: body.to_owned(), timestamp: TIME.to_owned() });
    }

    /// The notes of a contact.
    #[must_use]
    pub fn notes_of(&self, contact: u64) -> Vec<&Note> {
        self.notes.values().filter(|note| note.contact == contact).collect()
    }

    pub(super) fn create_note(&mut self, body: &Value) -> Reply {
        let (text, time) = (&body["properties"]["hs_note_body"], &body["properties"]["hs_timestamp"]);
        let (Some(text), Some(time)) = (text.as_str(), time.as_str()) else {
            return error(
                400,
                "VALIDATION_ERROR",
                "Error creating NOTE. Some required properties were not set.",
            );
        };
        if text.encode_utf16().count() > TEXT_MAX {
            return error(400, "VALIDATION_ERROR", "The note is too long");
        }
        let association = &body["associations"][0];
        if association["types"][0]
            != json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202 })
        {
            return error(400, "VALIDATION_ERROR", "One or more association types are not valid");
        }
        let contact = association["to"]["id"].as_str().and_then(|id| id.parse().ok()).map(|id| self.kept(id));
        let Some(contact) = contact.filter(|id| self.contacts.contains_key(id)) else {
            return error(404, "OBJECT_NOT_FOUND", "No contact with that ID exists");
        };
        self.next += 1;
        self.notes.insert(self.next, Note { contact, body: text.to_owned(), timestamp: time.to_owned() });
        Reply::json(201, &object(self.next, body["properties"].clone()))
    }

    pub(super) fn note_ids(&self, contact: &str) -> Vec<Value> {
        let its = self.notes.iter().filter(|(_, note)| note.contact.to_string() == contact);
        its.map(|(id, _)| association(*id, 201, "contact_to_note")).collect()
    }
}
