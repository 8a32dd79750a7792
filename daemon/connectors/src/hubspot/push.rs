//! A push to HubSpot: the contact, then its note and maybe a deal, each once for each delivery.

use super::{Compiled, VENDOR, company::COMPANY, error, plan::Plan};
use crate::prelude::*;

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

    /// The employer's, of whom others may be too.
    pub(super) fn company(properties: &'a Value) -> Self {
        Self { key: COMPANY.to_owned(), kind: "companies", told: "name", to_contact: 280, properties }
    }
}

impl Compiled {
    /// The contact, its note, its deal and its company, each once for each delivery; then its place on the lists.
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<()> {
        self.owe_deal(push, plan, ctx).await;
        let joins = self.employs || !self.lists.is_empty();
        let may_join = joins && ctx.may_join(push, "contact", None).await;
        let done = format!("contact.{}", push.id);
        let mut contact = match ctx.id(&done) {
            Some(contact) => contact,
            None => self.contact(push, ctx, plan).await?,
        };
        ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
        written::keep(&plan.properties, ctx).await;
        if !self.leave(push, plan, (&contact, may_join), ctx).await? {
            // The contact was deleted since it was written: the lead's person is looked for once more.
            contact = self.by_email(ctx, plan).await?;
            ctx.keep(&[("contact", &contact), (&done, &contact)]).await;
            if !self.leave(push, plan, (&contact, may_join), ctx).await? {
                let error = "hubspot OBJECT_NOT_FOUND the contact is gone again";
                return Err(Failure::new(FailureClass::Transient, error));
            }
        }
        // Lists take no notice of who is on them already.
        for list in self.lists.iter().filter(|_| may_join) {
            let request = self.list(Method::PUT, *list, &["memberships", "add"]);
            VENDOR.good(ctx, request.json(json!([contact]).to_string())).await?;
        }
        Ok(())
    }

    async fn contact(&self, push: &Push<'_>, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String> {
        if let Some(id) = ctx.id("contact") {
            let mut properties = self.named(&id, false, ctx, plan).await?;
            if ctx.id(SECOND_EMAIL).as_ref() == Some(&plan.email) {
                properties.take_at("email");
            }
            let news = Written::of(push, ctx).news(&properties);
            if !written::has_members(&news) {
                // Whether the contact is still there shows its note.
                return Ok(id);
            }
            let answer = self.patch(&id, false, &news, ctx).await?;
            if let Some(contact) = self.settled(ctx, plan, answer).await? {
                return Ok(contact);
            }
        }
        self.by_email(ctx, plan).await
    }

    /// The properties for this contact, with half of a name where it is there and has none.
    async fn named(&self, id: &str, is_email: bool, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<Json> {
        let Json::Object(half) = &plan.half else { return Ok(plan.properties.clone()) };
        if half.is_empty() {
            return Ok(plan.properties.clone());
        }
        let names: Vec<_> = half.iter().map(|(name, _)| name.decode()).collect();
        let there = self.objects(Method::GET, &["contacts", id]).query(&[("properties", &names.join(","))]);
        let there = ctx.send(by(there, is_email)).await?;
        if there.status == 404 {
            return Ok(plan.properties.clone());
        }
        Ok(plan.with_extras(Some(&VENDOR.read(&there, ctx.now)?["properties"])))
    }

    /// Searching first would not do: HubSpot's search lags behind what was written.
    async fn by_email(&self, ctx: &mut Conversation<'_>, plan: &Plan) -> Result<String> {
        let properties = self.named(&plan.email, true, ctx, plan).await?;
        let answer = self.patch(&plan.email, true, &properties, ctx).await?;
        if let Some(contact) = self.settled(ctx, plan, answer).await? {
            return Ok(contact);
        }
        let create = |properties: &Json| {
            let body = [("properties", properties.clone()), ("associations", Json::Array(Vec::new()))];
            self.objects(Method::POST, &["contacts"]).json(Json::object(body).to_bytes())
        };
        let answer = fitting(&plan.with_extras(None), create, ctx).await?;
        let contact = self.settled(ctx, plan, answer.clone()).await?;
        contact.ok_or_else(|| error::failure(&answer, ctx.now))
    }

    /// The id of the contact that an answer is about; none if there is no such contact.
    async fn settled(&self, ctx: &mut Conversation<'_>, plan: &Plan, answer: Response) -> FoundId {
        if answer.status == 404 {
            return Ok(None);
        }
        let Some(existing) = error::existing(&answer) else {
            return VENDOR.made(answer, "id", ctx.now).map(Some);
        };
        // The address is another contact's, maybe not its first: that stays as it is, the rest is written. Updates
        // leave it alone too, until the lead has another address.
        ctx.keep(&[(SECOND_EMAIL, &plan.email)]).await;
        let mut properties = self.named(&existing, false, ctx, plan).await?;
        properties.take_at("email");
        let answer = self.patch(&existing, false, &properties, ctx).await?;
        VENDOR.checked(answer, ctx.now).map(|_| Some(existing))
    }

    /// What a push leaves on the contact, and the company that it joins; false if it is gone.
    async fn leave(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        (contact, may_join): (&str, bool),
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        let note = Thing::note(push, contact, &plan.note);
        Ok((self.is_made(push, &note, contact, ctx).await? || self.make(&note, contact, ctx).await?)
            && self.deal(push, plan, contact, ctx).await?
            && (!may_join || self.employ(&plan.company, contact, ctx).await?))
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
    ) -> FoundId {
        let listed = self.objects(Method::GET, &["contacts", contact, "associations", thing.kind]);
        let listed = ctx.send(listed.query(&[("limit", "500")]).long()).await?;
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

    async fn patch(
        &self,
        id: &str,
        is_email: bool,
        properties: &Json,
        ctx: &mut Conversation<'_>,
    ) -> Result<Response> {
        let request = |properties: &Json| {
            let request = by(self.objects(Method::PATCH, &["contacts", id]), is_email);
            request.json(Json::object([("properties", properties.clone())]).to_bytes())
        };
        fitting(properties, request, ctx).await
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

/// A call about a contact, by its address or its id.
fn by(request: Request, is_email: bool) -> Request {
    if is_email { request.query(&[("idProperty", "email")]) } else { request }
}

/// The answer to a write of a contact, but for the properties that HubSpot refuses.
async fn fitting(
    properties: &Json,
    request: impl Fn(&Json) -> Request + Sync,
    ctx: &mut Conversation<'_>,
) -> Result<Response> {
    without_refused(properties, ("property ", ["email", "lastname"]), error::flaws, request, ctx).await
}
