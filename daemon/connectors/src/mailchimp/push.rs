//! A push to Mailchimp: the member, then its tags, then a note.

use super::{Compiled, Login, NAME, VENDOR, WEB_ID, error};
use crate::prelude::*;

/// Where a plan has the merge fields.
const FIELDS: &str = "member.merge_fields";
/// Which of a member's notes are looked through.
const NEWEST_NOTES: &str = "count=20&sort_field=created_at&sort_dir=DESC&fields=notes.id,notes.note";

impl Compiled {
    /// The member with its tags, then the note that keeps what came.
    pub(super) async fn bring(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let login = needed(&self.login, "api_key")?;
        crm::consented(NAME, push)?;
        let mut plan = crm::rendered(push, ctx)?;
        self.enrol(push, &mut plan, ctx).await?;
        let Some(note) = plan.get("note").cloned() else { return Ok(()) };
        let path = ["lists", &self.list, "members", &hash_of(&plan), "notes"];
        let look = login.request(Method::GET, &path, NEWEST_NOTES);
        let make = login.request(Method::POST, &path, "").json(Json::object([("note", note)]).to_bytes());
        VENDOR.note_once(push, (look, ["notes", "note", "id"]), (make, "id"), ctx).await
    }

    /// The member, once for each delivery; then its tags.
    async fn enrol(&self, push: &Push<'_>, plan: &mut Json, ctx: &mut Conversation<'_>) -> Result<()> {
        let login = needed(&self.login, "api_key")?;
        let kept = format!("member.{}", push.id);
        let choices = ["tags", "member.interests", "member.marketing_permissions"];
        let has_choices = choices.iter().any(|choice| plan.at(choice).is_some());
        if has_choices && !ctx.may_join(push, "member", Some(&hash_of(plan))).await {
            // What they chose otherwise meanwhile stays so.
            choices.iter().for_each(|choice| drop(plan.take_at(choice)));
        }
        let has_tags = plan.get("tags").is_some();
        if has_tags && ctx.id(&kept).is_some() {
            let tagged = ctx.send(self.tag(login, plan)).await?;
            // An earlier attempt made the member, and it may be gone since.
            if tagged.status != 404 {
                return done(&tagged, ctx.now);
            }
        }
        let is_made = self.add_extras(login, plan, ctx).await?;
        self.join_news(login, plan, Written::of(push, ctx).unless(is_made), ctx).await?;
        if !has_tags {
            return Ok(());
        }
        // The member is there: an attempt that breaks off at the tags goes on with them.
        ctx.keep(&[(&kept, &hash_of(plan))]).await;
        done(&ctx.send(self.tag(login, plan)).await?, ctx.now)
    }

    /// Adds what not every member gets, where there is such a thing; whether nobody has this address.
    async fn add_extras(&self, login: &Login, plan: &mut Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        if !crm::has_extras(plan) {
            return Ok(false);
        }
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        let there = login.request(Method::GET, &segments, "fields=id,status,merge_fields");
        let there = ctx.send(there).await?;
        let is_new = there.status == 404;
        let there = if is_new { None } else { Some(VENDOR.read(&there, ctx.now)?) };
        for (tag, value) in crm::take_extras(plan, there.as_ref().map(|own| &own["merge_fields"]), |_| true) {
            plan.set_at(&format!("{FIELDS}.{tag}"), value);
        }
        Ok(is_new)
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
        let answer = without_refused(&fields, ("merge field ", ["", ""]), error::flaws, put, ctx).await?;
        done(&answer, ctx.now)?;
        let member = answer.json().unwrap_or_default();
        let away = word(&member, "status").filter(|status| named("unsubscribed cleaned archived", status));
        away.into_iter().for_each(|status| ctx.note(format!("not subscribed, as Mailchimp says {status}")));
        let web_id = id_of(&member["web_id"]);
        let web_id = web_id.as_deref().map(|id| (WEB_ID, id));
        let hash = hash_of(plan);
        ctx.keep(&[("member", hash.as_str())].into_iter().chain(web_id).collect::<Vec<_>>()).await;
        Ok(())
    }

    fn put(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan)];
        // A merge field that is required in forms must not keep a lead out.
        let request = login.request(Method::PUT, &segments, "skip_merge_validation=true").long();
        request.json(plan.get("member").map(Json::to_bytes).unwrap_or_default())
    }

    fn tag(&self, login: &Login, plan: &Json) -> Request {
        let segments = ["lists", &self.list, "members", &hash_of(plan), "tags"];
        let tags = plan.get("tags").cloned().unwrap_or(Json::Null);
        login.request(Method::POST, &segments, "").json(Json::object([("tags", tags)]).to_bytes())
    }
}

fn done(answer: &Response, now: Moment) -> Result<()> {
    if error::is_done(answer) { Ok(()) } else { Err(error::failure(answer, now)) }
}

fn hash_of(plan: &Json) -> String {
    plan.get("hash").map(crm::text).unwrap_or_default()
}
