//! Mailchimp, as far as members go: who left stays away, merge fields have types, tags need a member, the key names a
//! data centre, and too many calls at once are shut out without a word.

mod account;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use crate::{
    http::Request,
    receiver::Reply,
    vendor::{Route, Vendor},
};

/// So many calls of one account may be on their way at once.
const CONNECTIONS_MAX: usize = 10;
/// The longest note, in characters.
const NOTE_MAX: usize = 1_000;
/// What every field of words takes.
const CHOICES: [&str; 3] = ["Trade Show", "Wedding Fair", "Other"];
/// The longest text of a merge field, in bytes.
const TEXT_MAX: usize = 255;

/// Somebody in the audience.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub email: String,
    pub status: String,
    pub fields: Map<String, Value>,
    pub tags: BTreeSet<String>,
    /// Ids of the groups that they are in, and of the permissions that they gave.
    pub choices: BTreeMap<String, bool>,
    /// The notes on it, oldest first.
    pub notes: Vec<String>,
    /// How often it was put.
    pub puts: usize,
}

/// An account with one audience.
#[derive(Debug)]
pub struct Mailchimp {
    pub api_key: String,
    pub list: String,
    /// Tag and type of each merge field.
    pub merge_fields: Vec<(String, String)>,
    /// The groups of the one category: id and name.
    pub groups: Vec<(&'static str, &'static str)>,
    /// What the audience asks permission for: id and text.
    pub permissions: Vec<(&'static str, &'static str)>,
    /// Phones are taken in the format of the US alone, as every field that was made so does.
    pub us_phones: bool,
    /// Tags of the merge fields that forms require.
    pub required: BTreeSet<String>,
    /// By the key that calls name them with.
    pub members: BTreeMap<String, Member>,
    /// Addresses that were erased for good.
    pub forgotten: BTreeSet<String>,
    /// Addresses that complained or left in a way that only they can take back.
    pub in_compliance: BTreeSet<String>,
    /// Whoever called with a member's `status`, which subscribes people again.
    pub status_was_said: bool,
    /// How long each call takes.
    pub takes: Duration,
    /// How many calls came while too many were on their way.
    pub crowded: usize,
    /// When the calls that are on their way will end.
    ends: Vec<Instant>,
}

impl Mailchimp {
    /// An audience as every new account has it.
    #[must_use]
    pub fn new() -> Self {
        let fields = [
            ("FNAME", "text"),
            ("LNAME", "text"),
            ("ADDRESS", "address"),
            ("PHONE", "phone"),
            ("BIRTHDAY", "birthday"),
        ];
        Self {
            api_key: "0123456789abcdef-us21".into(),
            list: "a1b2c3d4e5".into(),
            merge_fields: fields.map(|(tag, kind)| (tag.to_owned(), kind.to_owned())).to_vec(),
            groups: vec![("9143cf3bd1", "The Old Barn"), ("3a2a927344", "The Mill")],
            permissions: vec![("c9a1d2e3f4", "Email"), ("d8b2c3e4f5", "Post")],
            us_phones: false,
            required: BTreeSet::new(),
            members: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            in_compliance: BTreeSet::new(),
            status_was_said: false,
            takes: Duration::ZERO,
            crowded: 0,
            ends: Vec::new(),
        }
    }

    /// The member with this address.
    #[must_use]
    pub fn member(&self, email: &str) -> Option<&Member> {
        self.members.values().find(|member| member.email.eq_ignore_ascii_case(email))
    }

    fn route(&mut self, route: &Route) -> Reply {
        let (method, path) = route.parts();
        if path.get(1) == Some(&"lists") && path.get(2).is_some_and(|list| *list != self.list) {
            return problem(404, "Resource Not Found", "The requested resource could not be found.");
        }
        match (method, &path[..]) {
            ("GET", ["3.0", ""]) => answer(200, &json!({"account_name": "Innkept Ltd", "login_id": "ada"})),
            ("GET", ["3.0", "lists", id]) => {
                let stats = json!({"member_count": self.members.len()});
                answer(200, &json!({"id": id, "name": "Leads", "stats": stats}))
            }
            ("GET", ["3.0", "lists", _, "merge-fields"]) => {
                let format = if self.us_phones { "US" } else { "none" };
                let field = |(tag, kind): &(String, String)| {
                    let choices: &[&str] = if kind == "dropdown" { &CHOICES } else { &[] };
                    json!({"tag": tag, "type": kind, "options": {"phone_format": format, "choices": choices}})
                };
                let (from, count) = (route.asked("offset"), route.asked("count"));
                let fields = self.merge_fields.iter().skip(from.parse().unwrap_or(0));
                let page: Vec<Value> = fields.take(count.parse().unwrap_or(10)).map(field).collect();
                answer(200, &json!({"merge_fields": page, "total_items": self.merge_fields.len()}))
            }
            ("GET", ["3.0", "lists", _, "members", key]) => match self.members.get(*key) {
                Some(member) => reported(key, member),
                None => problem(404, "Resource Not Found", "The requested resource could not be found."),
            },
            ("GET", ["3.0", "lists", _, "members"]) => {
                let shown = |member: &Member| json!({"marketing_permissions": self.permissions_of(member)});
                let page: Vec<Value> = self.members.values().take(1).map(shown).collect();
                answer(200, &json!({"members": page}))
            }
            ("GET", ["3.0", "lists", _, "interest-categories"]) => {
                answer(200, &json!({"categories": [{"id": "cat1", "title": "Venue"}]}))
            }
            ("GET", ["3.0", "lists", _, "interest-categories", "cat1", "interests"]) => {
                let group = |(id, name): &(&str, &str)| json!({"id": id, "name": name});
                answer(200, &json!({"interests": self.groups.iter().map(group).collect::<Vec<_>>()}))
            }
            ("PUT", ["3.0", "lists", _, "members", key]) => self.put(key, route),
            ("POST", ["3.0", "lists", _, "members", key, "tags"]) => self.tag(key, &route.body),
            (_, ["3.0", "lists", _, "members", key, "notes"]) => match self.members.get_mut(*key) {
                Some(member) => notes(key, member, method, &route.body),
                None => problem(404, "Resource Not Found", "The requested resource could not be found."),
            },
            _ => problem(404, "Resource Not Found", "The requested resource could not be found."),
        }
    }

    fn put(&mut self, key: &str, route: &Route) -> Reply {
        let body = &route.body;
        self.status_was_said |= body.get("status").is_some();
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
        let (email, status) = (text("email_address"), text("status_if_new"));
        let is_status = matches!(status, "pending" | "subscribed" | "unsubscribed" | "transactional");
        // Another key would be somebody else's, or a change of address.
        if !email.contains('@') || !is_status || key != hex::encode(Md5::digest(email.to_lowercase())) {
            return problem(400, "Invalid Resource", "The resource submitted could not be validated.");
        }
        let small = email.to_lowercase();
        if self.forgotten.contains(&small) {
            return problem(
                400,
                "Forgotten Email Not Subscribed",
                "The email was permanently deleted and cannot be re-imported.",
            );
        }
        if self.in_compliance.contains(&small) {
            return problem(
                400,
                "Member In Compliance State",
                &format!(
                    "{small} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
                ),
            );
        }
        let fields = body.get("merge_fields").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut wrong: Vec<Value> =
            fields.iter().filter_map(|(tag, value)| self.wrong_field(tag, value)).collect();
        if route.asked("skip_merge_validation") != "true" {
            let missing = self.required.iter().filter(|tag| !fields.contains_key(*tag));
            wrong.extend(missing.map(|tag| json!({"field": tag, "message": "This field is required"})));
        }
        if !wrong.is_empty() {
            return problem_with(400, "Invalid Resource", "Your merge fields were invalid.", &json!(wrong));
        }
        let choices = choices(body);
        let is_known = |id: &String| self.groups.iter().chain(&self.permissions).any(|(own, _)| own == id);
        if let Some(id) = choices.keys().find(|id| !is_known(id)) {
            return problem(400, "Invalid Resource", &format!("Invalid interest ID: '{id}'"));
        }
        let new = || Member { status: status.to_owned(), ..Member::default() };
        let member = self.members.entry(key.to_owned()).or_insert_with(new);
        member.email = email.to_owned();
        member.puts += 1;
        member.fields.extend(fields);
        member.choices.extend(choices);
        reported(key, member)
    }

    fn permissions_of(&self, member: &Member) -> Vec<Value> {
        let gave = |id: &str| member.choices.get(id).copied().unwrap_or(false);
        let told = |(id, text): &(&str, &str)| json!({"marketing_permission_id": id, "text": text, "enabled": gave(id)});
        self.permissions.iter().map(told).collect()
    }

    fn wrong_field(&self, tag: &str, value: &Value) -> Option<Value> {
        let field = self.merge_fields.iter().find(|(known, _)| known == tag);
        let text = value.as_str();
        let message = match field.map(|(_, kind)| kind.as_str()) {
            None => "This merge field does not exist",
            Some(_) if text.is_some_and(|text| text.len() > TEXT_MAX) => "Value is too long",
            Some("number") if !value.is_number() && text.is_none_or(|text| text.parse::<f64>().is_err()) => {
                "Please enter a number"
            }
            Some("phone") if self.us_phones && text.is_none_or(|text| !is_us_phone(text)) => {
                "Please enter a valid phone number"
            }
            Some("dropdown") if text.is_none_or(|text| !CHOICES.contains(&text)) => {
                "Value must be one of: Trade Show, Wedding Fair, Other"
            }
            Some("address") if !value.is_object() => "Please enter a complete address",
            Some("date") if text.is_none_or(|text| text.parse::<jiff::civil::Date>().is_err()) => {
                "Please enter a date"
            }
            Some("birthday") if text.is_none_or(|text| text.len() != 5) => "Please enter a valid birthday",
            Some(_) => return None,
        };
        Some(json!({"field": tag, "message": message}))
    }

    fn tag(&mut self, key: &str, body: &Value) -> Reply {
        let Some(member) = self.members.get_mut(key) else {
            return problem(404, "Resource Not Found", "The requested resource could not be found.");
        };
        for tag in body.get("tags").and_then(Value::as_array).into_iter().flatten() {
            let name = tag.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            if tag.get("status") == Some(&json!("active")) {
                member.tags.insert(name);
            } else {
                member.tags.remove(&name);
            }
        }
        Reply::status(204)
    }
}

impl Default for Mailchimp {
    fn default() -> Self {
        Self::new()
    }
}

impl Vendor for Mailchimp {
    fn handle(&mut self, request: &Request) -> Reply {
        let login = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
        let login = login.and_then(|login| STANDARD.decode(login).ok()).unwrap_or_default();
        if login.splitn(2, |byte| *byte == b':').nth(1) != Some(self.api_key.as_bytes()) {
            return problem(
                401,
                "API Key Invalid",
                "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
            );
        }
        self.ends.retain(|end| *end > request.at);
        if self.ends.len() >= CONNECTIONS_MAX {
            self.crowded += 1;
            return Reply::status(403);
        }
        self.ends.push(request.at + self.takes);
        self.route(&Route::of(request)).after(self.takes)
    }
}

/// The id of a member's nth note, which no other member's has.
fn note_id(key: &str, n: usize) -> usize {
    usize::from_str_radix(key.get(..6).unwrap_or_default(), 16).unwrap_or_default() * 1000 + n
}

/// The notes on a member, newest first, or one more.
fn notes(key: &str, member: &mut Member, method: &str, body: &Value) -> Reply {
    let shown = |(n, note): (usize, &String)| json!({"id": note_id(key, n), "note": note});
    if method == "GET" {
        let notes: Vec<Value> = member.notes.iter().enumerate().rev().map(shown).collect();
        return answer(200, &json!({"notes": notes, "total_items": notes.len()}));
    }
    let note = body["note"].as_str().unwrap_or_default();
    if note.is_empty() || note.chars().count() > NOTE_MAX {
        return problem(400, "Invalid Resource", "The resource submitted could not be validated.");
    }
    member.notes.push(note.to_owned());
    answer(200, &shown((member.notes.len() - 1, &note.to_owned())))
}

/// The groups and permissions that a body names, and whether they are chosen.
fn choices(body: &Value) -> BTreeMap<String, bool> {
    let groups = body["interests"].as_object().into_iter().flatten();
    let groups = groups.map(|(id, is_in)| (id.clone(), *is_in == true));
    let permissions = body["marketing_permissions"].as_array().into_iter().flatten().filter_map(|one| {
        Some((one["marketing_permission_id"].as_str()?.to_owned(), one["enabled"] == true))
    });
    groups.chain(permissions).collect()
}

/// `(212) 555-0100`, however it is written.
fn is_us_phone(text: &str) -> bool {
    !text.starts_with('+') && text.chars().filter(char::is_ascii_digit).count() == 10
}

fn reported(key: &str, member: &Member) -> Reply {
    let tags: Vec<Value> = member.tags.iter().map(|tag| json!({"name": tag})).collect();
    answer(
        200,
        &json!({"id": key, "web_id": 4242, "email_address": member.email, "status": member.status,
            "merge_fields": member.fields, "tags": tags, "tags_count": tags.len()}),
    )
}

fn problem(status: u16, title: &str, detail: &str) -> Reply {
    problem_with(status, title, detail, &json!([]))
}

fn problem_with(status: u16, title: &str, detail: &str, errors: &Value) -> Reply {
    let body = json!({"type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title,
        "status": status, "detail": detail, "instance": "fake", "errors": errors});
    Reply::status(status)
        .header("Content-Type", "application/problem+json; charset=utf-8")
        .body(body.to_string())
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("Content-Type", "application/json; charset=utf-8").body(body.to_string())
}
