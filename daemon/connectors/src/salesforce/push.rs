//! A push to Salesforce: the Lead, and the Task that keeps an enquiry on one that was there before.

use http::{HeaderValue, Method};
use serde_json::Value;

use super::{AUTO_ASSIGN, CUTS_MAX, DESCRIBED, NAME, NEWEST, Ready, VENDOR, error, plan::Plan, quoted};
use crate::{
    Conversation, Push, Request, Response, Result, crm, leads,
    vendor::{id_of, unreadable},
    written::{self, Written},
};
use leadline_domain::{
    integration::EventKind,
    json::Json,
    outcome::{Failure, FailureClass},
};

impl Ready {
    /// The Lead, once for each delivery; then, where it was there before, the Task that keeps this enquiry.
    pub(super) async fn bring(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<()> {
        let done = format!("lead.{}", push.id);
        let lead = match ctx.id(&done) {
            Some(lead) => lead,
            None => self.lead(push, plan, ctx).await?,
        };
        ctx.keep_site().await;
        ctx.keep(&[("lead", &lead), (&done, &lead)]).await;
        written::keep(&plan.update, ctx).await;
        if let Some(task) = plan.task.as_ref().filter(|_| ctx.id(&task_key(push)).is_none()) {
            self.task(push, plan, task, &lead, ctx).await?;
        }
        self.join_campaign(push, &lead, ctx).await
    }

    /// Makes the Lead a member of the campaign. Who is one already is told so, and stays what they are there.
    async fn join_campaign(&self, push: &Push<'_>, lead: &str, ctx: &mut Conversation<'_>) -> Result<()> {
        let campaign = self.config.campaign_id.as_ref().filter(|_| push.event != EventKind::Updated);
        let Some(campaign) = campaign else { return Ok(()) };
        let mut member =
            Json::object([("CampaignId", Json::string(&campaign.0)), ("LeadId", Json::string(lead))]);
        if let Some(status) = &self.config.campaign_status {
            member.insert(usize::MAX, "Status", Json::string(status));
        }
        let request = self.object(Method::POST, &["CampaignMember"]).json(member.to_bytes());
        let answer = ctx.send(request).await?;
        if answer.is_good() || error::is_there(&answer) {
            return Ok(());
        }
        Err(error::failure(&answer, ctx.now))
    }

    async fn lead(&self, push: &Push<'_>, plan: &Plan, ctx: &mut Conversation<'_>) -> Result<String> {
        if let Some(id) = ctx.id("lead")
            && let Some(there) = self.find(&format!("Id = '{}'", quoted(&id)), ctx).await?
            && self.updated(push, Written::of(push, ctx).news(&plan.update), &there, ctx).await?
        {
            return Ok(there.id);
        }
        // Whatever an earlier attempt made is found here too: queries see what was written at once.
        if let Some(there) = self.find(&format!("Email = '{}'", quoted(&plan.email)), ctx).await?
            && self.updated(push, plan.update.clone(), &there, ctx).await?
        {
            return Ok(there.id);
        }
        // An upsert would write over a Lead that has the external id what only a new one is to get.
        if let Some(field) = self.external()
            && let Some(there) = self.find(&format!("{field} = '{}'", quoted(&plan.lead)), ctx).await?
            && self.updated(push, plan.update.clone(), &there, ctx).await?
        {
            return Ok(there.id);
        }
        let mut made = self.written(ctx, &plan.create, || self.create(plan, self.external())).await?;
        if error::is_converted(&made) {
            // The customer that it became keeps the external id.
            made = self.written(ctx, &plan.create, || self.create(plan, None)).await?;
        }
        if !made.is_good() {
            return Err(error::failure(&made, ctx.now));
        }
        let id = match made.json().as_ref().and_then(|body| id_of(&body["id"])) {
            Some(id) => id,
            // Where it was there already, by its external id, older versions say nothing more.
            None if made.status == 204 => self.by_external_id(plan, &made, ctx).await?,
            None => return Err(unreadable(NAME, &made, "id")),
        };
        // A new Lead's Description tells the enquiry.
        ctx.keep(&[(&task_key(push), DESCRIBED)]).await;
        Ok(id)
    }

    async fn by_external_id(
        &self,
        plan: &Plan,
        made: &Response,
        ctx: &mut Conversation<'_>,
    ) -> Result<String> {
        let field = self.external().unwrap_or("Id");
        let there = self.find(&format!("{field} = '{}'", quoted(&plan.lead)), ctx).await?;
        there.map(|there| there.id).ok_or_else(|| unreadable(NAME, made, "id"))
    }

    /// The newest Lead of these that is not converted: a converted one is a customer by now and takes no changes.
    async fn find(&self, which: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let soql = format!(
            "SELECT Id, Status FROM Lead WHERE {which} AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 1"
        );
        let found = self.query_records(ctx, &soql).await?;
        let first = &found["records"][0];
        let status = first["Status"].as_str().unwrap_or_default().to_owned();
        Ok(first["Id"].as_str().map(|id| There { id: id.to_owned(), status }))
    }

    /// Writes the lead to a Lead that is there; false if it is gone.
    async fn updated(
        &self,
        push: &Push<'_>,
        mut fields: Json,
        there: &There,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        let is_closed =
            self.config.closed_statuses.0.iter().any(|closed| closed.eq_ignore_ascii_case(&there.status));
        match &self.config.reopen_status {
            Some(status) if is_closed => fields.insert(usize::MAX, "Status", Json::string(status)),
            None if is_closed => ctx.keep(&[(&closed_key(push), &there.status)]).await,
            _ => {}
        }
        if !written::has_members(&fields) {
            // It was just found.
            return Ok(true);
        }
        let object = || {
            let request = self.object(Method::PATCH, &["Lead", &there.id]);
            request.header(AUTO_ASSIGN, HeaderValue::from_static("FALSE"))
        };
        let answer = self.written(ctx, &fields, object).await?;
        if answer.is_good() {
            return Ok(true);
        }
        if answer.status == 404 || error::is_deleted(&answer) {
            return Ok(false);
        }
        Err(error::failure(&answer, ctx.now))
    }

    /// Keeps the enquiry on a Lead that was there before: what sales wrote to it stays as it is.
    async fn task(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        task: &Json,
        lead: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<()> {
        let key = task_key(push);
        if push.is_repeat
            && let Some(found) = self.find_told(push, plan, lead, ctx).await?
        {
            ctx.keep(&[(&key, &found)]).await;
            return Ok(());
        }
        let mut task = task.clone();
        task.insert(0, "WhoId", Json::string(lead));
        if let (Some(status), Some(told)) = (ctx.id(&closed_key(push)), task.get("Description")) {
            let told = format!("The Lead was closed before this enquiry: {status}\n{}", crm::text(told));
            task.insert(usize::MAX, "Description", Json::string(&crm::cut(&told, 32_000)));
        }
        let request = self.object(Method::POST, &["Task"]).json(task.to_bytes());
        let made = VENDOR.good(ctx, request).await?;
        let id = made.json().as_ref().and_then(|body| id_of(&body["id"]));
        let id = id.ok_or_else(|| unreadable(NAME, &made, "id"))?;
        ctx.keep(&[(&key, &id)]).await;
        Ok(())
    }

    /// What an earlier attempt kept this enquiry in: the Description of a Lead that it made, or a Task.
    async fn find_told(
        &self,
        push: &Push<'_>,
        plan: &Plan,
        lead: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<Option<String>> {
        if push.event != EventKind::Updated {
            let soql = format!("SELECT Id, Description FROM Lead WHERE Id = '{}'", quoted(lead));
            let found = VENDOR.good(ctx, self.query(&soql)).await?;
            if String::from_utf8_lossy(&found.body).contains(&plan.lead) {
                return Ok(Some(DESCRIBED.to_owned()));
            }
        }
        self.find_task(push, lead, ctx).await
    }

    /// The Task in which an earlier attempt kept this enquiry.
    async fn find_task(
        &self,
        push: &Push<'_>,
        lead: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<Option<String>> {
        for limit in NEWEST {
            let soql = format!(
                "SELECT Id, Description FROM Task WHERE WhoId = '{}' ORDER BY CreatedDate DESC LIMIT {limit}",
                quoted(lead)
            );
            let found = VENDOR.good(ctx, self.query(&soql)).await?;
            let tasks = found.json().unwrap_or_default();
            let is_ours =
                |task: &&Value| task["Description"].as_str().is_some_and(|told| push.is_told_by(told));
            let ours = tasks["records"].as_array().into_iter().flatten().find(is_ours);
            if let Some(id) = ours.and_then(|task| id_of(&task["Id"])) {
                return Ok(Some(id));
            }
            if !found.truncated {
                return Ok(None);
            }
            // Even one is longer than what is read of an answer: ours says at its beginning whose it is.
            if push.is_told_by(&String::from_utf8_lossy(&found.body)) {
                return Ok(Some(DESCRIBED.to_owned()));
            }
        }
        Ok(None)
    }

    async fn query_records(&self, ctx: &mut Conversation<'_>, soql: &str) -> Result<Value> {
        let answer = VENDOR.good(ctx, self.query(soql)).await?;
        answer.json().filter(|body| body["records"].is_array()).ok_or_else(|| {
            let failure = unreadable(NAME, &answer, "records");
            Failure { class: FailureClass::Transient, ..failure }
        })
    }

    /// The answer to a write. Texts that are too long for the organization's own fields are cut to what it takes.
    async fn written(
        &self,
        ctx: &mut Conversation<'_>,
        fields: &Json,
        request: impl Fn() -> Request,
    ) -> Result<Response> {
        let mut fields = fields.clone();
        for _ in 0..CUTS_MAX {
            let answer = ctx.send(self.write(request(), &fields)).await?;
            if !leads::cut(&mut fields, "Email", &error::too_long(&answer)) {
                return Ok(answer);
            }
        }
        ctx.send(self.write(request(), &fields)).await
    }
}

/// A Lead that is there.
#[derive(Debug)]
struct There {
    id: String,
    status: String,
}

/// Under which the Task is kept that tells this enquiry, or that something else does.
fn task_key(push: &Push<'_>) -> String {
    format!("task.{}", push.id)
}

/// Under which the Status is kept of a Lead that was closed when this enquiry came.
fn closed_key(push: &Push<'_>) -> String {
    format!("closed.{}", push.id)
}
