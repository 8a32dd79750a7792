//! A push to ActiveCampaign: the contact, its place in the list, its tags, the note.

use super::{Compiled, NAME, VENDOR, config};
use crate::{prelude::*, vendor::gone};

/// The longest text of a field, in UTF-16 units: ours, as ActiveCampaign names none.
const TEXT_MAX: usize = 1_000;
/// The longest note, in bytes: it is read back when a push is repeated.
const NOTE_MAX: usize = 30_000;
/// What stands before the lead in a note, unless its headline is longer.
const FRAME: usize = 500;
/// So many things stand on a page of a list, and so many pages are read.
pub(super) const PAGE: &str = "100";
const PAGES: [&str; 5] = ["0", "100", "200", "300", "400"];

/// What all calls are made from: the contact, its custom fields by tag or number, what of both only a new contact gets,
/// and the note.
pub(super) fn plan(mapping: &Mapping, push: &Push<'_>) -> Result<Json> {
    let event = crm::consented(NAME, push)?;
    let email = crm::email(NAME, &event)?;
    let written = |target: &str, value: &Json| (target != "email").then(|| Json::string(&crm::text(value)));
    let (fields, extras) = crm::person(mapping, &event, push, (TEXT_MAX, crm::cut), written)?;
    let mut plan = Json::object([
        ("contact", Json::object([("email", Json::string(&email))])),
        ("fields", Json::Object(Vec::new())),
    ]);
    if let Json::Object(members) = fields {
        members.into_iter().for_each(|(target, value)| plan.set_at(&place(&target.decode()), value));
    }
    crm::put_extras(&mut plan, extras);
    // The delivery's id is what a note whose answer was lost is found by.
    let told = crm::plain(&event, push, |note| note.len() <= NOTE_MAX - FRAME);
    let note = format!("{}\nDelivery: {}\n{told}", summary::headline(&event, push), push.id);
    plan.set_at("note", Json::string(&crm::cut_bytes(&note, NOTE_MAX)));
    Ok(plan)
}

/// Where a target of the mapping stands in a plan.
fn place(target: &str) -> String {
    let part = if config::OWN.contains(&target) { "contact" } else { "fields" };
    format!("{part}.{}", target.trim_matches('%'))
}

/// What of a plan is written to a contact.
fn written_of(plan: &Json) -> Json {
    let part = |name: &str| plan.get(name).cloned().unwrap_or(Json::Null);
    Json::object([("contact", part("contact")), ("fields", part("fields"))])
}

/// An id as the number that it is: it comes as text, and is taken as a number.
fn number(id: &str) -> Json {
    if id.bytes().all(|byte| byte.is_ascii_digit()) { Json::Number(id.into()) } else { Json::string(id) }
}

impl Compiled {
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Json, ctx: &mut Conversation<'_>) -> Result<()> {
        let email = plan.at("contact.email").map(crm::text).unwrap_or_default();
        // Two calls at once for a new address would both make it.
        ctx.lock_person(&email).await;
        let done = format!("contact.{}", push.id);
        let mut contact = match ctx.id(&done) {
            Some(contact) => contact,
            None => self.sync_news(push, plan, ctx).await?,
        };
        let mut may_join = !self.tags.is_empty() && ctx.may_join(push, "contact", Some(&contact)).await;
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        written::keep(&written_of(plan), ctx).await;
        if !self.list(&contact, ctx).await? {
            // An earlier attempt made the contact, and it is gone since.
            contact = self.sync_news(push, plan, ctx).await?;
            may_join = !self.tags.is_empty() && ctx.may_join(push, "contact", Some(&contact)).await;
            ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
            self.list(&contact, ctx).await?;
        }
        let tagged = format!("tags.{}", push.id);
        if may_join && ctx.id(&tagged).is_none() {
            for tag in &self.tags {
                let tag = number(&self.tag(tag, ctx).await?);
                let of = Json::object([("contact", number(&contact)), ("tag", tag)]);
                let tagged = ctx.send(self.post(&["contactTags"], "contactTag", of)).await?;
                if !tagged.is_good() {
                    self.tag_numbers().clear();
                }
                if tagged.status == 404 {
                    return Err(gone(NAME, "contact or the tag"));
                }
                VENDOR.checked(tagged, ctx.now)?;
            }
            ctx.keep(&[(&tagged, &contact)]).await;
        }
        ctx.joined().await;
        let look = self.get(&["contacts", &contact, "notes"], &[("limit", PAGE)]);
        let note = Json::object([
            ("note", plan.get("note").cloned().unwrap_or(Json::Null)),
            ("reltype", Json::string("Subscriber")),
            ("relid", number(&contact)),
        ]);
        let make = (self.post(&["notes"], "note", note), "note/id");
        VENDOR.note_once(push, (look, ["notes", "note", "id"]), make, ctx).await
    }

    /// The contact, told what the lead says anew; one that took the place of the known one is told all.
    async fn sync_news(&self, push: &Push<'_>, plan: &Json, ctx: &mut Conversation<'_>) -> Result<String> {
        let mut plan = plan.clone();
        let is_made = self.add_extras(&mut plan, ctx).await?;
        let written = Written::of(push, ctx).unless(is_made);
        let mut news = written.news(&written_of(&plan));
        news.set_at("contact.email", plan.at("contact.email").cloned().unwrap_or(Json::Null));
        let contact = self.sync(&news, ctx).await?;
        if written.is_empty() || ctx.id("contact").as_ref() == Some(&contact) {
            return Ok(contact);
        }
        self.sync(&plan, ctx).await
    }

    /// Adds what not every contact gets, where there is such a thing; whether nobody has this address.
    async fn add_extras(&self, plan: &mut Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        if !crm::has_extras(plan) {
            return Ok(false);
        }
        let email = plan.at("contact.email").map(crm::text).unwrap_or_default();
        let there = self.get(&["contacts"], &[("email", &email), ("limit", "1")]);
        let there = VENDOR.listed(ctx, there, "contacts").await?;
        for (target, value) in crm::take_extras(plan, there.first(), |target| config::OWN.contains(&target)) {
            plan.set_at(&place(&target), value);
        }
        Ok(there.is_empty())
    }

    /// The contact of this address, made or brought up to date; what it is not given stays as it is.
    async fn sync(&self, plan: &Json, ctx: &mut Conversation<'_>) -> Result<String> {
        let mut contact = plan.get("contact").cloned().unwrap_or(Json::Null);
        let values = self.field_values(plan, ctx).await?;
        if !values.is_empty() {
            contact.insert(usize::MAX, "fieldValues", Json::Array(values));
        }
        let answer = VENDOR.good(ctx, self.post(&["contact", "sync"], "contact", contact)).await?;
        let id = answer.json().and_then(|body| id_of(&body["contact"]["id"]));
        // Asking again changes the same contact, so nothing is made twice.
        id.ok_or_else(|| unread(NAME, &answer, "contact id"))
    }

    /// The custom fields by their numbers. A tag that the account lacks keeps nobody out: it is left out, and noted.
    async fn field_values(&self, plan: &Json, ctx: &mut Conversation<'_>) -> Result<Vec<Json>> {
        let Some(Json::Object(custom)) = plan.get("fields") else { return Ok(Vec::new()) };
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let custom: Vec<(String, &Json)> =
            custom.iter().map(|(name, value)| (name.decode().into_owned(), value)).collect();
        let is_known = custom.iter().all(|(name, _)| is_number(name));
        let known = if is_known { Vec::new() } else { self.fields(ctx).await? };
        let mut values = Vec::new();
        for (name, value) in custom {
            let has_tag =
                |field: &&Value| word(field, "perstag").is_some_and(|tag| tag.eq_ignore_ascii_case(&name));
            let tagged = || known.iter().find(has_tag).and_then(|field| id_of(&field["id"]));
            match is_number(&name).then(|| name.clone()).or_else(tagged) {
                Some(id) => {
                    values.push(Json::object([("field", Json::string(&id)), ("value", value.clone())]));
                }
                None => ctx.note(format!("custom field {name} was left out: the account has none")),
            }
        }
        Ok(values)
    }

    /// Every custom field of the account.
    pub(super) async fn fields(&self, ctx: &mut Conversation<'_>) -> Result<Vec<Value>> {
        let mut fields = Vec::new();
        for offset in PAGES {
            let page = self.get(&["fields"], &[("limit", PAGE), ("offset", offset)]).long();
            let answer = ctx.send(page).await?;
            let mut page = VENDOR.entries(&answer, "fields", ctx.now)?;
            let is_last = page.len() < 100;
            let told = answer.json().unwrap_or_default();
            for field in &mut page {
                let own = each(&told["fieldOptions"]).filter(|option| option["field"] == field["id"]);
                field["options"] = own.cloned().collect();
            }
            fields.extend(page);
            if is_last {
                break;
            }
        }
        Ok(fields)
    }

    /// Puts somebody into the list who was never in it; false if there is no such contact.
    async fn list(&self, contact: &str, ctx: &mut Conversation<'_>) -> Result<bool> {
        let places = self.get(&["contacts", contact, "contactLists"], &[("limit", PAGE)]);
        let asked = ctx.send(places.long()).await?;
        if asked.status == 404 {
            return Ok(false);
        }
        let places = VENDOR.entries(&asked, "contactLists", ctx.now)?;
        let place = places.iter().find(|place| id_of(&place["list"]).as_ref() == Some(&self.list));
        match place.map(|place| id_of(&place["status"]).unwrap_or_default()).as_deref() {
            Some("1") => {}
            Some("2") => ctx.note("not put into the list again, as they unsubscribed"),
            Some("3") => ctx.note("not put into the list again, as mail to them bounced"),
            Some("0") => ctx.note("in the list already, and yet to confirm"),
            Some(other) => ctx.note(format!("not put into the list again, as their status is {other}")),
            None => {
                let place = Json::object([
                    ("list", Json::string(&self.list)),
                    ("contact", Json::string(contact)),
                    ("status", Json::string("1")),
                ]);
                VENDOR.good(ctx, self.post(&["contactLists"], "contactList", place)).await?;
            }
        }
        Ok(true)
    }

    /// The number of a tag, which is looked up once, and made if there is none.
    async fn tag(&self, name: &str, ctx: &mut Conversation<'_>) -> Result<String> {
        let known = self.tag_numbers().get(name).cloned();
        if let Some(id) = known {
            return Ok(id);
        }
        let id = match self.find_tag(name, ctx).await? {
            Some(id) => id,
            None => self.make_tag(name, ctx).await?,
        };
        self.tag_numbers().insert(name.to_owned(), id.clone());
        Ok(id)
    }

    async fn make_tag(&self, name: &str, ctx: &mut Conversation<'_>) -> Result<String> {
        let tag = Json::object([
            ("tag", Json::string(name)),
            ("tagType", Json::string("contact")),
            ("description", Json::string("")),
        ]);
        let made = ctx.send(self.post(&["tags"], "tag", tag)).await?;
        if let Some(id) = made.json().filter(|_| made.is_good()).and_then(|body| id_of(&body["tag"]["id"])) {
            return Ok(id);
        }
        // Another push may have made it meanwhile.
        let found = self.find_tag(name, ctx).await?;
        found.ok_or_else(|| super::error::failure(&made, ctx.now))
    }

    async fn find_tag(&self, name: &str, ctx: &mut Conversation<'_>) -> FoundId {
        let wanted = self.get(&["tags"], &[("search", name), ("limit", PAGE)]).long();
        let found = VENDOR.listed(ctx, wanted, "tags").await?;
        let is_it = |tag: &&Value| {
            tag["tagType"] != "template"
                && tag["tag"].as_str().is_some_and(|own| own.trim().eq_ignore_ascii_case(name))
        };
        Ok(found.iter().find(is_it).and_then(|tag| id_of(&tag["id"])))
    }
}
