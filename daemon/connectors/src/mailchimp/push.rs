//! A push to Mailchimp: the member, then its tags.

use http::Method;

use super::{Login, NAME, Ready, WEB_ID, error};
use crate::{
    Conversation, Push, Request, Response, Result, crm,
    vendor::{id_of, without_refused},
    written::{self, Written},
};
use leadline_domain::json::Json;

/// Where a plan has the merge fields.
const FIELDS: &str = "member.merge_fields";

impl Ready {
    /// The member, once for each delivery; then its tags.
    pub(super) async fn bring(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let login = self.login()?;
        crm::consented(NAME, push)?;
        let mut plan = crm::rendered(push)?;
        let kept = format!("member.{}", push.id);
        let has_tags = plan.get("tags").is_some();
        if ctx.id(&kept).is_some() {
            let tagged = ctx.send(self.tag(login, &plan)).await?;
            // An earlier attempt made the member, and it may be gone since.
            if tagged.status != 404 {
                return done(&tagged, ctx.now);
            }
        }
        let is_made = self.add_new(login, &mut plan, ctx).await?;
        self.join_news(login, &plan, Written::of(push, ctx).unless(is_made), ctx).await?;
        if !has_tags {
            return Ok(());
        }
        // The member is there: an attempt that breaks off at the tags goes on with them.
        ctx.keep(&[(&kept, &hash_of(&plan))]).await;
        done(&ctx.send(self.tag(login, &plan)).await?, ctx.now)
    }

    /// Adds what only a new member gets, where there is such a thing and nobody of this address; whether it did.
    async fn add_new(&self, login: &Login, plan: &mut Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        let Some(Json::Object(new)) = plan.take_at("new") else { return Ok(false) };
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        let there = ctx.send(login.request(Method::GET, &segments, "fields=id,status")).await?;
        if there.status != 404 {
            return if there.is_good() { Ok(false) } else { Err(error::failure(&there, ctx.now)) };
        }
        for (tag, value) in new {
            plan.set_at(&format!("{FIELDS}.{}", tag.decode()), value);
        }
        Ok(true)
    }

    /// Puts the member, with what the lead says anew; one that took the place of the known one gets all.
    async fn join_news(
        &self,
        login: &Login,
        plan: &Json,
        written: Written,
        ctx: &mut Conversation<'_>,
    ) -> Result<()> {
        let known = ctx.id(WEB_ID);
        let all = plan.at(FIELDS).cloned().unwrap_or(Json::Null);
        let mut news = plan.clone();
        news.set_at(FIELDS, written.news(&all));
        self.join(login, &news, ctx).await?;
        if !written.is_empty() && ctx.id(WEB_ID) != known {
            self.join(login, plan, ctx).await?;
        }
        if ctx.id(WEB_ID).is_some() {
            written::keep(&all, ctx).await;
        }
        Ok(())
    }

    /// Puts the member. A merge field that the audience refuses keeps nobody out: it is left out, and noted.
    async fn join(&self, login: &Login, plan: &Json, ctx: &mut Conversation<'_>) -> Result<()> {
        let put = |fields: &Json| {
            let mut plan = plan.clone();
            plan.set_at(FIELDS, fields.clone());
            self.put(login, &plan)
        };
        let fields = plan.at(FIELDS).cloned().unwrap_or(Json::Null);
        let answer = without_refused(&fields, "merge field ", error::refused_fields, put, ctx).await?;
        done(&answer, ctx.now)?;
        let web_id = answer.json().as_ref().and_then(|member| id_of(&member["web_id"]));
        if let Some(web_id) = web_id {
            ctx.keep(&[("member", &hash_of(plan)), (WEB_ID, &web_id)]).await;
        }
        Ok(())
    }

    fn put(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        // A merge field that is required in forms must not keep a lead out.
        let request = login.request(Method::PUT, &segments, "skip_merge_validation=true");
        request.json(plan.get("member").map(Json::to_bytes).unwrap_or_default())
    }

    fn tag(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan), "tags"];
        let tags = plan.get("tags").cloned().unwrap_or(Json::Null);
        login.request(Method::POST, &segments, "").json(Json::object([("tags", tags)]).to_bytes())
    }
}

fn done(answer: &Response, now: i64) -> Result<()> {
    if error::is_done(answer) { Ok(()) } else { Err(error::failure(answer, now)) }
}

fn hash_of(plan: &Json) -> String {
    plan.get("hash").map(crm::text).unwrap_or_default()
}
