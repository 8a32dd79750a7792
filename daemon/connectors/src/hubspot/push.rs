//! A push to HubSpot: the contact, then its note and maybe a deal, each once for each delivery.

use http::Method;
use serde_json::{Map, Value, json};

use super::{Ready, VENDOR, error, plan::Plan};
use crate::{
    Conversation, Push, Request, Response, Result, crm,
    written::{self, Written},
};
use leadline_domain::{
    integration::EventKind,
    json::Json,
    outcome::{Failure, FailureClass},
};

/// Under which the address is kept that is the contact's, but maybe not its first.
const SECOND_EMAIL: &str = "_second_email";
/// So many of a contact's newest notes or deals are searched for one that may be there already.
const READ: usize = 20;
const READ_SINGLY: usize = 5;

/// What hangs on a contact and tells of a push.
pub(super) struct Thing<'a> {
    /// Under which its id is kept: a thing is made once for each.
    key: String,
    /// What all of them are called in a path.
    kind: &'static str,
    /// The property that tells whose it is.
    told: &'static str,
    /// How it belongs to a contact, among the associations that HubSpot itself defines.
    to_contact: u32,
    properties: &'a Value,
}

impl<'a> Thing<'a> {
    /// One for each delivery on a contact: one that took the place of a contact which was deleted gets it again.
    fn note(push: &Push<'_>, contact: &str, properties: &'a Value) -> Self {
        let key = format!("note.{contact}.{}", push.id);
        Self { key, kind: "notes", told: "hs_note_body", to_contact: 202, properties }
    }

    /// One for each lead.
    pub(super) fn deal(properties: &'a Value) -> Self {
        Self { key: "deal".to_owned(), kind: "deals", told: "description", to_contact: 3, properties }
    }
}

impl Ready {
    /// The contact, its note and its deal, each once for each delivery; then its place on the lists.
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<()> {
        self.owe_deal(push, plan, ctx).await;
        let done = format!("contact.{}", push.id);
        let contact = match ctx.id(&done) {
            Some(contact) => contact,
            None => self.contact(push, ctx, plan).await?,
        };
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        written::keep(&Json::from(&Value::Object(plan.properties.clone())), ctx).await;
        if self.leave(push, plan, &contact, ctx).await? {
            return Ok(());
        }
        // The contact was deleted since it was written: the lead's person is looked for once more.
        let contact = self.by_email(ctx, plan).await?;
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        if self.leave(push, plan, &contact, ctx).await? {
            return Ok(());
        }
        let error = "hubspot OBJECT_NOT_FOUND the contact is gone again";
        Err(Failure::new(FailureClass::Transient, error))
    }

    /// Puts the contact on the lists, which take no notice of who is on them already.
    async fn enlist(&self, push: &Push<'_>, contact: &str, ctx: &mut Conversation<'_>) -> Result<()> {
        // Whom sales took off a list is not put back by an update.
        let lists = self.lists.iter().filter(|_| push.event != EventKind::Updated);
        for list in lists {
            let request = self.list(Method::PUT, *list, &["memberships", "add"]);
            VENDOR.good(ctx, request.json(json!([contact]).to_string())).await?;
        }
        Ok(())
    }

    async fn contact(&self, push: &Push<'_>, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String> {
        if let Some(id) = ctx.id("contact") {
            let properties = if ctx.id(SECOND_EMAIL).as_ref() == Some(&plan.email) {
                plan.without_email()
            } else {
                plan.properties.clone()
            };
            let news = Written::of(push, ctx).news(&Json::from(&Value::Object(properties)));
            if !written::has_members(&news) {
                // Whether the contact is still there shows its note.
                return Ok(id);
            }
            let answer = ctx.send(self.patch(&id, false, &crm::strings_of(&news))).await?;
            if let Some(contact) = self.settled(ctx, plan, answer).await? {
                return Ok(contact);
            }
        }
        self.by_email(ctx, plan).await
    }

    /// Searching first would not do: HubSpot's search lags behind what was written.
    async fn by_email(&self, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String> {
        let answer = ctx.send(self.patch(&plan.email, true, &plan.properties)).await?;
        if let Some(contact) = self.settled(ctx, plan, answer).await? {
            return Ok(contact);
        }
        let answer = ctx.send(self.create(&plan.created())).await?;
        let contact = self.settled(ctx, plan, answer.clone()).await?;
        contact.ok_or_else(|| error::failure(&answer, ctx.now))
    }

    /// The id of the contact that an answer is about; none if there is no such contact.
    async fn settled(
        &self,
        ctx: &mut Conversation<'_>,
        plan: &Plan,
        answer: Response,
    ) -> Result<Option<String>> {
        if answer.status == 404 {
            return Ok(None);
        }
        let Some(existing) = error::existing(&answer) else {
            return VENDOR.made(answer, "id", ctx.now).map(Some);
        };
        // The address is another contact's, maybe not its first: that stays as it is, the rest is written. Updates
        // leave it alone too, until the lead has another address.
        ctx.keep(&[(SECOND_EMAIL, &plan.email)]).await;
        VENDOR.good(ctx, self.patch(&existing, false, &plan.without_email())).await?;
        Ok(Some(existing))
    }

    /// What a push leaves on the contact; false if it is gone.
    async fn leave(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        let note = Thing::note(push, contact, &plan.note);
        let is_there = (self.is_made(push, &note, contact, ctx).await?
            || self.make(&note, contact, ctx).await?)
            && self.deal(push, plan, contact, ctx).await?;
        if is_there {
            self.enlist(push, contact, ctx).await?;
        }
        Ok(is_there)
    }

    /// Whether an earlier attempt made the thing.
    pub(super) async fn is_made(
        &self,
        push: &Push<'_>,
        thing: &Thing<'_>,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        if ctx.id(&thing.key).is_some() {
            return Ok(true);
        }
        let found = if push.is_repeat { self.find(push, thing, contact, ctx).await? } else { None };
        if let Some(found) = &found {
            ctx.keep(&[(&thing.key, found)]).await;
        }
        Ok(found.is_some())
    }

    /// Makes the thing; false if its contact is gone.
    pub(super) async fn make(
        &self,
        thing: &Thing<'_>,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        let answer = ctx.send(self.write(thing, contact)).await?;
        if answer.status == 404 {
            return Ok(false);
        }
        ctx.keep(&[(&thing.key, &VENDOR.made(answer, "id", ctx.now)?)]).await;
        Ok(true)
    }

    /// HubSpot takes no key for such a thing, so that one whose answer was lost is looked for by what it says.
    async fn find(
        &self,
        push: &Push<'_>,
        thing: &Thing<'_>,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<Option<String>> {
        let listed = self.objects(Method::GET, &["contacts", contact, "associations", thing.kind]);
        let listed = ctx.send(listed.query(&[("limit", "500")])).await?;
        if listed.status == 404 {
            return Ok(None);
        }
        let newest = error::newest(&VENDOR.entries(&listed, "results", ctx.now)?, READ);
        if newest.is_empty() {
            return Ok(None);
        }
        let read = ctx.send(self.read(thing, &newest)).await?;
        if !(read.truncated && read.is_good()) {
            return VENDOR.told_of(push, &read, ["results", &format!("properties/{}", thing.told), "id"]);
        }
        // Where people write long texts: one by one. What a thing is known by stands at its beginning.
        for id in newest.iter().take(READ_SINGLY) {
            let read = VENDOR.good(ctx, self.read(thing, std::slice::from_ref(id))).await?;
            if push.is_told_by(&String::from_utf8_lossy(&read.body)) {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn patch(&self, id: &str, is_email: bool, properties: &Map<String, Value>) -> Request {
        let mut request = self.objects(Method::PATCH, &["contacts", id]);
        if is_email {
            request = request.query(&[("idProperty", "email")]);
        }
        request.json(json!({ "properties": properties }).to_string())
    }

    fn create(&self, properties: &Map<String, Value>) -> Request {
        let body = json!({ "properties": properties, "associations": [] });
        self.objects(Method::POST, &["contacts"]).json(body.to_string())
    }

    fn write(&self, thing: &Thing<'_>, contact: &str) -> Request {
        let kind = json!({ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": thing.to_contact });
        let body = json!({
            "properties": thing.properties,
            "associations": [{ "to": { "id": contact }, "types": [kind] }],
        });
        self.objects(Method::POST, &[thing.kind]).json(body.to_string())
    }

    fn read(&self, thing: &Thing<'_>, ids: &[String]) -> Request {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        let body = json!({ "properties": [thing.told], "propertiesWithHistory": [], "inputs": inputs });
        self.objects(Method::POST, &[thing.kind, "batch", "read"]).json(body.to_string())
    }
}
