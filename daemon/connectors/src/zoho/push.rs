//! How Zoho's Leads are found, made and changed, and how a note is put on one.

use super::{Compiled, NAME, VENDOR, config::NAMES, error};
use crate::leads::{LeadPlan, Leads, There, first_open};
use crate::prelude::*;

/// What is read of a Lead that may be there.
const READ: (&str, &str) = ("fields", "Email,Secondary_Email,Lead_Status");
/// So many of a Lead's newest notes are looked through.
const NOTES: &str = "20";
/// So many tags are in a call, as the specification has it.
const TAGS_TAKEN: usize = 3;

#[async_trait]
impl Leads for Compiled {
    async fn by_id(&self, id: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let answer = ctx.send(self.get(&["Leads", id], &[READ])).await?;
        if error::is_gone(&answer) {
            return Ok(None);
        }
        Ok(self.there(&found(&answer, ctx.now)?, |_| true))
    }

    async fn by_email(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        // The search looks into every field that holds an address, and may find longer ones.
        let has_it = |lead: &Value| {
            let is_it =
                |key: &&str| word(lead, key).is_some_and(|own| own.trim().eq_ignore_ascii_case(email));
            ["Email", "Secondary_Email"].iter().any(is_it)
        };
        Ok(self.there(&self.search(email, ctx).await?, has_it))
    }

    async fn otherwise(&self, _uuid: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let made = ctx.last_made().and_then(|made| id_of(made));
        // Who made it themselves, and did not find it by its id, need not look again.
        let Some(id) = made.filter(|id| ctx.id("lead").as_ref() != Some(id)) else { return Ok(None) };
        self.by_id(&id, ctx).await
    }

    /// The search may not know yet of a Lead that was just made, so a new one is made by an upsert, which does.
    async fn create(&self, plan: &LeadPlan, ctx: &mut Conversation<'_>) -> Result<String> {
        if plan.has_made_name || plan.has_new {
            // It would find the Lead and write over it what only a new one is to get, a name that is made up for example.
            vendor::wait_once(NAME, "person", ctx).await?;
        }
        let mut more = vec![("duplicate_check_fields", Json::Array(vec![Json::string(NAMES.email)]))];
        if let Some(rule) = &self.settings.assignment_rule {
            more.push(("lar_id", Json::string(&rule.0)));
        }
        let request = |fields: &Json| self.write(Method::POST, &["Leads", "upsert"], fields.clone(), &more);
        let answer = without_refused(&plan.create, NAMES.fields(), error::flaws, request, ctx).await?;
        if let Some(id) = error::existing(&answer)
            && self.update(&id, &plan.update, ctx).await?
        {
            return Ok(id);
        }
        id_of(&error::done(&answer, ctx.now)?["id"]).ok_or_else(|| unreadable(NAME, &answer, "id"))
    }

    async fn update(&self, id: &str, fields: &Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        let request = |fields: &Json| self.write(Method::PUT, &["Leads", id], fields.clone(), &[]);
        let answer = without_refused(fields, NAMES.fields(), error::flaws, request, ctx).await?;
        if error::is_gone(&answer) {
            return Ok(false);
        }
        error::done(&answer, ctx.now).map(|_| true)
    }

    fn reopening(&self) -> Vec<(&str, Json)> {
        self.settings.reopen_status.iter().map(|status| ("Lead_Status", Json::string(status))).collect()
    }

    async fn find_note(&self, lead: &str, push: &Push<'_>, ctx: &mut Conversation<'_>) -> FoundId {
        let query = [
            ("fields", "Note_Content"),
            ("per_page", NOTES),
            ("sort_by", "Created_Time"),
            ("sort_order", "desc"),
        ];
        let answer = ctx.send(self.get(&["Leads", lead, "Notes"], &query)).await?;
        if error::is_gone(&answer) || answer.status == 204 {
            return Ok(None);
        }
        VENDOR.told_of(push, &answer, ["data", "Note_Content", "id"])
    }

    async fn note(&self, lead: &str, note: [&str; 2], ctx: &mut Conversation<'_>) -> FoundId {
        let [title, text] = note;
        let module = Json::object([("api_name", Json::string("Leads"))]);
        let note = Json::object([
            ("Note_Title", Json::string(title)),
            ("Note_Content", Json::string(text)),
            ("Parent_Id", Json::object([("module", module), ("id", Json::string(lead))])),
        ]);
        let answer = ctx.send(self.write(Method::POST, &["Notes"], note, &[])).await?;
        if error::is_gone(&answer) {
            return Ok(None);
        }
        let details = error::done(&answer, ctx.now)?;
        id_of(&details["id"]).map(Some).ok_or_else(|| unreadable(NAME, &answer, "note id"))
    }
}

impl Compiled {
    /// The Leads that have an address. To search takes a scope beside that of Leads, which is easily forgotten.
    pub(super) async fn search(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Vec<Value>> {
        let query = [("email", email), ("converted", "false"), READ];
        let answer = ctx.send(self.get(&["Leads", "search"], &query)).await?;
        let mut found = found(&answer, ctx.now);
        if let Err(failure) = &mut found
            && failure.error.contains(error::NO_SCOPE)
        {
            failure.error.push_str(": to search takes the scope ZohoSearch.securesearch.READ");
        }
        found
    }

    /// Gives the Lead the tags beside its own.
    pub(super) async fn tag(&self, ctx: &mut Conversation<'_>) -> Result<()> {
        let Some(lead) = ctx.id("lead") else { return Ok(()) };
        for few in self.settings.tags.0.chunks(TAGS_TAKEN) {
            let few = few.iter().map(|tag| Json::object([("name", Json::string(tag))])).collect();
            let body = Json::object([("tags", Json::Array(few)), ("over_write", Json::Bool(false))]);
            let request = self.request(Method::POST, &["Leads", &lead, "actions", "add_tags"]);
            let answer = ctx.send(request.json(body.to_bytes())).await?;
            error::done(&answer, ctx.now)?;
        }
        Ok(())
    }

    /// One of these Leads that is ours to change, an open one first.
    fn there(&self, leads: &[Value], is_it: impl Fn(&Value) -> bool) -> Option<There> {
        let is_ours = |lead: &&Value| lead["$converted"] != true && is_it(lead);
        let there = |lead| There::of(lead, ["id", "Lead_Status"], &self.settings.closed_statuses);
        first_open(leads.iter().filter(is_ours).filter_map(there))
    }
}

/// The records of an answer; none of them is 204.
fn found(answer: &Response, now: Moment) -> Result<Vec<Value>> {
    if answer.status == 204 { Ok(Vec::new()) } else { VENDOR.entries(answer, "data", now) }
}
