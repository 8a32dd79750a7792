//! A push to Pipedrive: person, deal and note, each looked for before it is made where it may be there already.

use super::{Compiled, NAME, NEWEST, VENDOR, error, plan::Plan, requests::number};
use crate::prelude::*;

impl Compiled {
    /// Person, deal and note, each once for each delivery, in this order.
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<()> {
        let done = format!("person.{}", push.id);
        let person = match ctx.id(&done) {
            Some(person) => person,
            None => self.person(push, plan, ctx).await?,
        };
        ctx.keep_site().await;
        ctx.keep(&[("person", &person), (&done, &person)]).await;
        let mut deal = None;
        if let Some(wanted) = &plan.deal {
            let done = format!("deal.{}", push.id);
            let id = match ctx.id(&done) {
                Some(deal) => deal,
                None => self.deal(push, plan, wanted, &person, ctx).await?,
            };
            ctx.keep(&[("deal", &id), (&done, &id)]).await;
            deal = Some(id);
        }
        written::keep(&plan.written(), ctx).await;
        let Some(note) = &plan.note else { return Ok(()) };
        let (of, id) = deal.as_deref().map_or(("person_id", &*person), |deal| ("deal_id", deal));
        let look = (self.notes(of, id), ["data", "content", "id"]);
        VENDOR.note_once(push, look, (self.write_note(note, of, id), "data/id"), ctx).await
    }

    async fn person(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<String> {
        if let Some(id) = ctx.id("person")
            && self.refreshed(&plan.with_news(&Written::of(push, ctx)), &id, ctx).await?
        {
            return Ok(id);
        }
        if let Some(id) = self.find_person(plan, ctx).await?
            && self.refreshed(plan, &id, ctx).await?
        {
            return Ok(id);
        }
        // The search lags behind what an earlier attempt made, and behind what was deleted.
        if let Some(id) = self.find_new_person(push, plan, ctx).await?
            && self.refreshed(plan, &id, ctx).await?
        {
            return Ok(id);
        }
        let made = self.write(&plan.new_person(), |person| self.create("persons", person), ctx).await?;
        VENDOR.made(made, "data/id", ctx.now)
    }

    /// Writes the lead to a person that is there, adding to its addresses and numbers; false if it is gone.
    async fn refreshed(&self, plan: &Plan, id: &str, ctx: &mut Conversation<'_>) -> Result<bool> {
        let there = ctx.send(self.get(&["api", "v2", "persons", id], &[])).await?;
        if there.is_one_of(&[404, 410]) {
            return Ok(false);
        }
        let body = VENDOR.read(&there, ctx.now)?;
        let person = &body["data"];
        if !person.is_object() {
            // Its addresses and numbers would be written over, as if there were none.
            return Err(unread(NAME, &there, "person"));
        }
        if person["is_deleted"] == true {
            return Ok(false);
        }
        if let Some(changes) = plan.person_changes(person) {
            let answer = self.write(&changes, |changes| self.patch("persons", id, changes), ctx).await?;
            if answer.is_one_of(&[404, 410]) {
                return Ok(false);
            }
            VENDOR.checked(answer, ctx.now)?;
        }
        Ok(true)
    }

    /// The person with the lead's address; of several, the oldest.
    async fn find_person(&self, plan: &Plan, ctx: &mut Conversation<'_>) -> FoundId {
        let query = [("term", plan.email.as_str()), ("fields", "email"), ("exact_match", "true")];
        let search = self.get(&["api", "v2", "persons", "search"], &query);
        let found = VENDOR.listed(ctx, search, "data/items").await?;
        Ok(error::oldest(found.iter().map(|item| &item["item"]), &plan.email))
    }

    /// The person with the lead's address among the newest, where an earlier attempt or another push may have made one.
    async fn find_new_person(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> FoundId {
        if !(push.is_repeat || ctx.recently_pushed) {
            return Ok(None);
        }
        let answer = fitting(ctx, |limit| self.newest("persons", None, limit)).await?;
        Ok(error::oldest(VENDOR.entries(&answer, "data", ctx.now)?.iter(), &plan.email))
    }

    async fn deal(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        wanted: &Json,
        person: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<String> {
        if let Some(id) = ctx.id("deal")
            && self.changed(push, plan, &id, ctx).await?
        {
            return Ok(id);
        }
        // Where the deal was deleted too: an earlier attempt may have made it anew.
        if push.is_repeat {
            let answer = fitting(ctx, |limit| self.newest("deals", Some(person), limit)).await?;
            let deals = VENDOR.entries(&answer, "data", ctx.now)?;
            if let Some(id) = error::same_deal(&deals, plan, wanted, self.lead_field()) {
                return Ok(id);
            }
        }
        let mut deal = wanted.clone();
        deal.set_at("person_id", number(person));
        if let Some(organization) = &plan.organization {
            deal.set_at("org_id", number(organization));
        }
        self.place(ctx).await?.put(&mut deal);
        VENDOR.made(self.write(&deal, |deal| self.create("deals", deal), ctx).await?, "data/id", ctx.now)
    }

    /// Writes what the lead says anew to its deal; false if that is gone or archived. One that was won or lost keeps what it
    /// was closed with.
    async fn changed(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        id: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        let is_deleted =
            |answer: &Response| answer.json().is_some_and(|body| body["data"]["is_deleted"] == true);
        let is_gone = |answer: &Response| answer.is_one_of(&[404, 410]) || is_deleted(answer);
        let there = ctx.send(self.get(&["api", "v2", "deals", id], &[])).await?;
        if is_gone(&there) || self.is_archived(id, &there, ctx) {
            return Ok(false);
        }
        let body = VENDOR.read(&there, ctx.now)?;
        let deal = &body["data"];
        if !deal.is_object() {
            // One that was won would be written over.
            return Err(unread(NAME, &there, "deal"));
        }
        let changes = plan.deal_changes(&Written::of(push, ctx));
        if !written::has_members(&changes) {
            return Ok(true);
        }
        if let Some(status) = word(deal, "status").filter(|status| named("won lost", status)) {
            ctx.note(format!("deal {id} is {status}: its value and fields stay as they are"));
            ctx.refused.push("deal".to_owned());
            return Ok(true);
        }
        let answer = self.write(&changes, |changes| self.patch("deals", id, changes), ctx).await?;
        if answer.is_good() || is_gone(&answer) {
            return Ok(!is_gone(&answer));
        }
        // No code is documented for a deal that was archived meanwhile, so the deal itself is asked.
        let there = ctx.send(self.get(&["api", "v2", "deals", id], &[])).await?;
        if self.is_archived(id, &there, ctx) { Ok(false) } else { Err(error::failure(&answer, ctx.now)) }
    }

    /// Whether a deal takes no changes because it is archived: then the lead gets a new one.
    fn is_archived(&self, id: &str, there: &Response, ctx: &mut Conversation<'_>) -> bool {
        let deal = there.json().unwrap_or_default();
        let is_archived = there.is_good() && deal["data"]["is_archived"] == true;
        if is_archived {
            ctx.note(format!("deal {id} is archived and takes no changes: a new one was made"));
        }
        is_archived
    }

    /// The answer to a write, but for the fields that Pipedrive does not take so.
    async fn write(
        &self,
        record: &Json,
        request: impl Fn(&Json) -> Request + Sync,
        ctx: &mut Conversation<'_>,
    ) -> Result<Response> {
        // Without the lead's uuid a repeat would not find what was made.
        let key = self.lead_field().map(|field| format!("custom_fields.{field}")).unwrap_or_default();
        without_refused(record, ("field ", [&key, ""]), error::flaws, request, ctx).await
    }

    /// The id of what a call makes.
    pub(super) async fn made(&self, request: Request, ctx: &mut Conversation<'_>) -> Result<String> {
        VENDOR.made(ctx.send(request).await?, "data/id", ctx.now)
    }
}

/// The answer to a list of the newest records: of so many as fit into what is read of an answer.
pub(super) async fn fitting(
    ctx: &mut Conversation<'_>,
    list: impl Fn(&'static str) -> Request,
) -> Result<Response> {
    for limit in NEWEST {
        let answer = ctx.send(list(limit)).await?;
        if !answer.truncated {
            return Ok(answer);
        }
    }
    ctx.send(list("1")).await
}
