//! ActiveCampaign, as far as contacts, lists, tags and notes go: addresses are unique, a list takes back who left it when
//! it is told to, nothing stops a second note, and an account takes five calls a second.

mod account;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Quota, Route, Vendor},
};

/// Somebody in the account.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    pub email: String,
    /// `firstName`, `lastName`, `phone`.
    pub own: BTreeMap<String, String>,
    /// By the number of the custom field.
    pub fields: BTreeMap<String, String>,
    /// Status by list: 0 unconfirmed, 1 active, 2 unsubscribed, 3 bounced.
    pub lists: BTreeMap<String, String>,
    pub tags: BTreeSet<u64>,
}

/// A text on somebody.
#[derive(Clone, Debug)]
pub struct Note {
    pub contact: u64,
    pub text: String,
}

/// A custom field.
#[derive(Clone, Debug)]
pub struct Field {
    pub id: &'static str,
    pub tag: &'static str,
    pub kind: &'static str,
    /// What a dropdown offers.
    pub options: &'static [&'static str],
}

/// An account.
#[derive(Debug)]
pub struct ActiveCampaign {
    pub api_token: String,
    pub list: String,
    pub fields: Vec<Field>,
    /// So many custom fields with long titles stand before these.
    pub more_fields: usize,
    pub contacts: BTreeMap<u64, Contact>,
    pub notes: BTreeMap<u64, Note>,
    pub tags: BTreeMap<u64, String>,
    pub quota: Quota,
    next: u64,
}

impl Default for ActiveCampaign {
    fn default() -> Self {
        let fields = [("5", "GUESTS", "text"), ("6", "EVENT_DATE", "date")];
        Self {
            api_token: "0123456789abcdef-activecampaign".to_owned(),
            list: "3".to_owned(),
            fields: fields.map(|(id, tag, kind)| Field { id, tag, kind, options: &[] }).to_vec(),
            more_fields: 0,
            contacts: BTreeMap::new(),
            notes: BTreeMap::new(),
            tags: BTreeMap::new(),
            quota: Quota::new(5, Duration::from_secs(1)),
            next: 9,
        }
    }
}

impl ActiveCampaign {
    /// The contact with this address.
    #[must_use]
    pub fn contact(&self, email: &str) -> Option<&Contact> {
        self.contacts.values().find(|contact| contact.email.eq_ignore_ascii_case(email))
    }

    /// Somebody who was there before any lead, and how they stand in the list.
    pub fn add(&mut self, email: &str, status: &str) -> u64 {
        let lists = BTreeMap::from([(self.list.clone(), status.to_owned())]);
        let id = self.id();
        self.contacts.insert(id, Contact { email: email.to_owned(), lists, ..Contact::default() });
        id
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn route(&mut self, route: &Route) -> Reply {
        let (method, path) = route.parts();
        match (method, &path[..]) {
            ("GET", ["api", "3", "users", "me"]) => {
                Reply::json(200, &json!({"user": {"id": "1", "username": "ada", "email": "ada@example.com"}}))
            }
            ("GET", ["api", "3", "lists", id]) if *id == self.list => {
                Reply::json(200, &json!({"list": {"id": id, "name": "Newsletter"}}))
            }
            ("GET", ["api", "3", "lists", id]) => {
                missing(&format!("No Result found for SubscriberList with id {id}"))
            }
            ("GET", ["api", "3", "fields"]) => self.describe(route),
            ("GET", ["api", "3", "tags"]) => {
                let wanted = route.asked("search").to_lowercase();
                let found = self.tags.iter().filter(|(_, name)| name.to_lowercase().contains(&wanted));
                let tag = |(id, name): (&u64, &String)| json!({"id": id.to_string(), "tag": name, "tagType": "contact"});
                Reply::json(200, &self.page(route, "tags", found.map(tag)))
            }
            ("POST", ["api", "3", "tags"]) => self.make_tag(&route.body["tag"]),
            ("POST", ["api", "3", "contact", "sync"]) => self.sync(&route.body["contact"]),
            ("POST", ["api", "3", "contactLists"]) => self.place(&route.body["contactList"]),
            ("POST", ["api", "3", "contactTags"]) => self.tag(&route.body["contactTag"]),
            ("POST", ["api", "3", "notes"]) => self.note(&route.body["note"]),
            ("GET", ["api", "3", "contacts"]) => {
                let email = route.asked("email");
                let found = self.contacts.iter().filter(|(_, one)| one.email.eq_ignore_ascii_case(email));
                let own = |one: &Contact, key: &str| one.own.get(key).cloned().unwrap_or_default();
                let contact = |(id, one): (&u64, &Contact)| {
                    json!({"id": id.to_string(), "email": one.email,
                    "firstName": own(one, "firstName"), "lastName": own(one, "lastName"), "phone": own(one, "phone")})
                };
                Reply::json(200, &json!({"contacts": found.map(contact).collect::<Vec<_>>()}))
            }
            ("GET", ["api", "3", "contacts", id, what]) => self.of_contact(route, id, what),
            _ => missing("No Result found"),
        }
    }

    /// A page of the custom fields, beside which stand the options of all of them.
    fn describe(&self, route: &Route) -> Reply {
        let long = "What we were told on the phone ".repeat(40);
        let more = (0..self.more_fields).map(
            |n| json!({"id": format!("9{n}"), "title": long, "perstag": format!("MORE_{n}"), "type": "text"}),
        );
        let field = |field: &Field| json!({"id": field.id, "title": field.tag, "perstag": field.tag, "type": field.kind});
        let mut told = self.page(route, "fields", more.chain(self.fields.iter().map(field)));
        let options =
            self.fields.iter().flat_map(|field| field.options.iter().map(move |word| (field, word)));
        let option =
            |(field, word): (&Field, &&str)| json!({"field": field.id, "value": word, "label": word});
        told["fieldOptions"] = options.map(option).collect();
        Reply::json(200, &told)
    }

    fn of_contact(&self, route: &Route, id: &str, what: &str) -> Reply {
        let number: u64 = id.parse().unwrap_or(0);
        let Some(contact) = self.contacts.get(&number) else {
            return missing(&format!("No Result found for Subscriber with id {id}"));
        };
        match what {
            "contactLists" => {
                let place = |(list, status): (&String, &String)| json!({"contact": id, "list": list, "status": status});
                Reply::json(200, &self.page(route, what, contact.lists.iter().map(place)))
            }
            "notes" => {
                let notes = self.notes.iter().filter(|(_, note)| note.contact == number);
                let note = |(id, note): (&u64, &Note)| json!({"id": id.to_string(), "note": note.text});
                Reply::json(200, &self.page(route, what, notes.map(note)))
            }
            _ => missing("No Result found"),
        }
    }

    fn page(&self, route: &Route, name: &str, all: impl Iterator<Item = Value>) -> Value {
        let number = |key: &str, or: usize| route.asked(key).parse().unwrap_or(or);
        let page: Vec<Value> = all.skip(number("offset", 0)).take(number("limit", 20).min(100)).collect();
        json!({name: page, "meta": {"total": page.len().to_string()}})
    }

    fn sync(&mut self, given: &Value) -> Reply {
        let email = given["email"].as_str().unwrap_or_default();
        if !email.contains('@') {
            return refused("Email address is not valid", "email_invalid", "email");
        }
        let values = given["fieldValues"].as_array().cloned().unwrap_or_default();
        for value in &values {
            let field = self.fields.iter().find(|field| value["field"] == field.id);
            let text = value["value"].as_str();
            let is_date = text.is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok());
            match field {
                None => return refused("The related field does not exist", "related_missing", "field"),
                Some(field) if text.is_none() || field.kind == "date" && !is_date => {
                    return refused("The value does not fit its field", "invalid", field.tag);
                }
                Some(_) => {}
            }
        }
        let known = self.contacts.iter().find(|(_, contact)| contact.email.eq_ignore_ascii_case(email));
        let (id, status) = match known.map(|(id, _)| *id) {
            Some(id) => (id, 200),
            None => (self.id(), 201),
        };
        let contact = self.contacts.entry(id).or_default();
        contact.email = email.to_owned();
        for key in ["firstName", "lastName", "phone"] {
            if let Some(text) = given[key].as_str() {
                contact.own.insert(key.to_owned(), text.to_owned());
            }
        }
        for value in values {
            let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
            contact.fields.insert(text("field"), text("value"));
        }
        Reply::json(status, &json!({"contact": {"id": id.to_string(), "email": email}, "fieldValues": []}))
    }

    fn place(&mut self, given: &Value) -> Reply {
        let text = |key: &str| given[key].as_str().unwrap_or_default().to_owned();
        let contact = text("contact").parse().ok().and_then(|id: u64| self.contacts.get_mut(&id));
        if text("list") != self.list {
            return refused("List does not exist", "related_missing", "list");
        }
        let Some(contact) = contact else {
            return refused("Contact does not exist", "related_missing", "contact");
        };
        // Whoever they were before.
        contact.lists.insert(text("list"), text("status"));
        Reply::json(200, &json!({"contactList": {"id": "2", "list": text("list"), "status": text("status")}}))
    }

    fn make_tag(&mut self, given: &Value) -> Reply {
        let name = given["tag"].as_str().unwrap_or_default();
        if name.is_empty() || self.tags.values().any(|known| known.eq_ignore_ascii_case(name)) {
            return refused("The tag exists already", "duplicate", "tag");
        }
        let id = self.id();
        self.tags.insert(id, name.to_owned());
        Reply::json(201, &json!({"tag": {"id": id.to_string(), "tag": name, "tagType": "contact"}}))
    }

    fn tag(&mut self, given: &Value) -> Reply {
        let number = |key: &str| given[key].as_u64().unwrap_or(0);
        if !self.tags.contains_key(&number("tag")) {
            return error(404, "Not Found", "Tag not found");
        }
        match self.contacts.get_mut(&number("contact")) {
            Some(contact) => {
                contact.tags.insert(number("tag"));
                Reply::json(201, &json!({"contactTag": {"id": "1", "tag": given["tag"].to_string()}}))
            }
            None => error(404, "Not Found", "Contact not found"),
        }
    }

    fn note(&mut self, given: &Value) -> Reply {
        let (contact, text) =
            (given["relid"].as_u64().unwrap_or(0), given["note"].as_str().unwrap_or_default());
        if given["reltype"] != "Subscriber" || text.is_empty() || !self.contacts.contains_key(&contact) {
            return refused("The note has nothing to stand on", "related_missing", "relid");
        }
        let id = self.id();
        self.notes.insert(id, Note { contact, text: text.to_owned() });
        Reply::json(201, &json!({"note": {"id": id.to_string(), "note": text}}))
    }
}

impl Vendor for ActiveCampaign {
    fn handle(&mut self, request: &Request) -> Reply {
        if request.header("api-token") != Some(&self.api_token) {
            return Reply::json(
                403,
                &json!({"message": "You do not have permission to access this resource."}),
            );
        }
        if !self.quota.admit(request.at) {
            return throttled(1);
        }
        self.route(&Route::of(request))
    }
}

/// What ActiveCampaign says when it is called too often.
#[must_use]
pub fn throttled(seconds: u64) -> Reply {
    Reply::json(429, &json!({"message": "Too Many Requests"})).header("Retry-After", &seconds.to_string())
}

fn missing(message: &str) -> Reply {
    Reply::json(404, &json!({"message": message}))
}

fn error(status: u16, title: &str, detail: &str) -> Reply {
    Reply::json(status, &json!({"errors": [{"status": status, "title": title, "detail": detail}]}))
}

fn refused(title: &str, code: &str, field: &str) -> Reply {
    let source = json!({"pointer": format!("/data/attributes/{field}")});
    Reply::json(422, &json!({"errors": [{"title": title, "detail": "", "code": code, "source": source}]}))
}
