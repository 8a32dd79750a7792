//! How Salesforce's Leads are found, made and changed, and how an enquiry is kept: by the Description of a Lead that is
//! made, by a Task on one that was there before.

use super::{Compiled, TASKS, VENDOR, config::NAMES, error, leaving_owner, quoted};
use crate::leads::{LeadPlan, Leads, There, first_open};
use crate::{prelude::*, vendor::TOLD};

#[async_trait]
impl Leads for Compiled {
    async fn by_id(&self, id: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        self.find("Id", id, ctx).await
    }

    /// Whatever an earlier attempt made is found here too: queries see what was written at once.
    async fn by_email(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        self.find(NAMES.email, email, ctx).await
    }

    /// An upsert would write over a Lead that has the external id what only a new one is to get.
    async fn otherwise(&self, uuid: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        match self.external() {
            Some(field) => self.find(field, uuid, ctx).await,
            None => Ok(None),
        }
    }

    async fn create(&self, plan: &LeadPlan, ctx: &mut Conversation<'_>) -> Result<String> {
        let keyed = |fields: &Json| self.write(self.create_request(plan, self.external()), fields);
        let mut made = without_refused(&plan.create, NAMES.fields(), error::flaws, keyed, ctx).await?;
        if error::is_converted(&made) {
            // The customer that it became keeps the external id.
            let bare = |fields: &Json| self.write(self.create_request(plan, None), fields);
            made = without_refused(&plan.create, NAMES.fields(), error::flaws, bare, ctx).await?;
        }
        if made.status == 204
            && let Some(there) = self.otherwise(&plan.lead, ctx).await?
        {
            // Where it was there already, by its external id, older versions say nothing more.
            return Ok(there.id);
        }
        VENDOR.made(made, "id", ctx.now)
    }

    async fn update(&self, id: &str, fields: &Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        let request =
            |fields: &Json| self.write(leaving_owner(self.object(Method::PATCH, &["Lead", id])), fields);
        let answer = without_refused(fields, NAMES.fields(), error::flaws, request, ctx).await?;
        if answer.status == 404 || error::is_gone(&answer) {
            return Ok(false);
        }
        VENDOR.checked(answer, ctx.now).map(|_| true)
    }

    fn reopening(&self) -> Vec<(&str, Json)> {
        self.config.reopen_status.iter().map(|status| ("Status", Json::string(status))).collect()
    }

    fn note_kind(&self) -> Option<&'static str> {
        (self.config.tasks == Flag::Yes).then_some("task")
    }

    fn tells_enquiry(&self) -> bool {
        true
    }

    /// What an earlier attempt kept this enquiry in: the Description of a Lead that it made, or a Task.
    async fn find_note(&self, lead: &str, push: &Push<'_>, ctx: &mut Conversation<'_>) -> FoundId {
        if push.event != EventKind::Updated {
            let uuid = crm::event(push)?.at("lead.uuid").map(crm::text).unwrap_or_default();
            let soql = format!("SELECT Id, Description FROM Lead WHERE Id = '{}'", quoted(lead));
            let found = VENDOR.good(ctx, self.query(&soql)).await?;
            if String::from_utf8_lossy(&found.body).contains(uuid.trim()) {
                return Ok(Some(TOLD.to_owned()));
            }
            if !found.truncated {
                VENDOR.entries(&found, "records", ctx.now)?;
            }
        }
        let soql = format!(
            "SELECT Id, Description FROM Task WHERE WhoId = '{}' ORDER BY CreatedDate DESC LIMIT {TASKS}",
            quoted(lead)
        );
        let found = ctx.send(self.query(&soql).long()).await?;
        VENDOR.told_of(push, &found, ["records", "Description", "Id"])
    }

    async fn note(&self, lead: &str, note: [&str; 2], ctx: &mut Conversation<'_>) -> FoundId {
        let [title, text] = note;
        let task = Json::object([
            ("WhoId", Json::string(lead)),
            ("Subject", Json::string(title)),
            ("Description", Json::string(text)),
        ]);
        let made = ctx.send(self.beside("Task", &task)).await?;
        if error::is_gone(&made) {
            return Ok(None);
        }
        VENDOR.made(made, "id", ctx.now).map(Some)
    }
}

impl Compiled {
    /// The newest Lead of these that is not converted, an open one first: a converted one is a customer by now and takes no
    /// changes.
    async fn find(&self, field: &str, value: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let soql = format!(
            "SELECT Id, Status FROM Lead WHERE {field} = '{}' AND IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 20",
            quoted(value)
        );
        let found = VENDOR.listed(ctx, self.query(&soql), "records").await?;
        let there = |lead| There::of(lead, ["Id", "Status"], &self.config.closed_statuses);
        Ok(first_open(found.iter().filter_map(there)))
    }

    /// Makes the Lead a member of the campaign. Who is one already is told so, and stays what they are there.
    pub(super) async fn join_campaign(&self, ctx: &mut Conversation<'_>) -> Result<()> {
        let Some((campaign, lead)) = self.config.campaign_id.as_ref().zip(ctx.id("lead")) else {
            return Ok(());
        };
        let mut member =
            Json::object([("CampaignId", Json::string(&campaign.0)), ("LeadId", Json::string(&lead))]);
        if let Some(status) = &self.config.campaign_status {
            member.insert(usize::MAX, "Status", Json::string(status));
        }
        let answer = ctx.send(self.beside("CampaignMember", &member)).await?;
        if error::is_there(&answer) { Ok(()) } else { VENDOR.checked(answer, ctx.now).map(drop) }
    }
}
