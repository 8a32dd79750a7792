//! How leads in Dataverse are found, made and changed, and how a note is put on one.

use super::{Compiled, NAME, VENDOR, config::NAMES, error};
use crate::leads::{LeadPlan, Leads, There, first_open};
use crate::prelude::*;

/// What is read of a lead that may be there.
const READ: &str = "leadid,statecode,statuscode";
/// States of a lead.
const QUALIFIED: i64 = 1;
const DISQUALIFIED: i64 = 2;
/// So many of somebody's newest leads, and of a lead's newest notes, are looked through.
const FEW: &str = "20";

#[async_trait]
impl Leads for Compiled {
    async fn by_id(&self, id: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        self.by_key(&guid(id), ctx).await
    }

    async fn by_email(&self, email: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let filter = format!("emailaddress1 eq '{}' and statecode ne {QUALIFIED}", quoted(email));
        let query = [("$select", READ), ("$filter", &filter), ("$orderby", "modifiedon desc"), ("$top", FEW)];
        let found = VENDOR.listed(ctx, self.query("leads", &query), "value").await?;
        Ok(first_open(found.iter().filter_map(there)))
    }

    async fn otherwise(&self, uuid: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let Some(key) = self.key_of(uuid) else { return Ok(None) };
        self.by_key(&key, ctx).await
    }

    /// By the alternate key, where there is one: then the same enquiry never makes a second lead, nor writes over the
    /// first what only a new one is to get.
    async fn create(&self, plan: &LeadPlan, ctx: &mut Conversation<'_>) -> Result<String> {
        let request = |key: Option<String>, fields: &Json| {
            let request = match key {
                Some(key) => self
                    .write(Method::PATCH, &format!("leads({key})"), "leadid", fields)
                    .header(header::IF_NONE_MATCH, HeaderValue::from_static("*")),
                None => self.write(Method::POST, "leads", "leadid", fields),
            };
            if self.respects_duplicates() {
                let name = HeaderName::from_static("mscrm.suppressduplicatedetection");
                return request.header(name, HeaderValue::from_static("false"));
            }
            request
        };
        let key = self.key_of(&plan.lead);
        let keyed = |fields: &Json| request(key.clone(), fields);
        let mut answer = without_refused(&plan.create, NAMES.fields(), error::flaws, keyed, ctx).await?;
        if key.is_some() && error::is_taken(&answer) {
            // The lead of this key was qualified: the customer keeps it.
            let bare = |fields: &Json| request(None, fields);
            answer = without_refused(&plan.create, NAMES.fields(), error::flaws, bare, ctx).await?;
        }
        VENDOR.made(answer, "leadid", ctx.now)
    }

    async fn update(&self, id: &str, fields: &Json, ctx: &mut Conversation<'_>) -> Result<bool> {
        let request = |fields: &Json| {
            // Without this header a lead that is gone would be made again, under its old id.
            let request = self.write(Method::PATCH, &format!("leads({})", guid(id)), "leadid", fields);
            request.header(header::IF_MATCH, HeaderValue::from_static("*"))
        };
        let answer = without_refused(fields, NAMES.fields(), error::flaws, request, ctx).await?;
        if error::is_gone(&answer) {
            return Ok(false);
        }
        VENDOR.checked(answer, ctx.now).map(|_| true)
    }

    fn reopening(&self) -> Vec<(&str, Json)> {
        if self.settings.reopen == crate::config::Flag::No {
            return Vec::new();
        }
        // Open, and new.
        vec![("statecode", Json::integer(0)), ("statuscode", Json::integer(1))]
    }

    async fn find_note(&self, lead: &str, push: &Push<'_>, ctx: &mut Conversation<'_>) -> FoundId {
        let filter = format!("_objectid_value eq {}", guid(lead));
        let query = [
            ("$select", "annotationid,notetext"),
            ("$filter", &filter),
            ("$orderby", "createdon desc"),
            ("$top", FEW),
        ];
        let answer = ctx.send(self.query("annotations", &query)).await?;
        VENDOR.told_of(push, &answer, ["value", "notetext", "annotationid"])
    }

    async fn note(&self, lead: &str, note: [&str; 2], ctx: &mut Conversation<'_>) -> FoundId {
        let [title, text] = note;
        let note = Json::object([
            ("subject", Json::string(title)),
            ("notetext", Json::string(text)),
            ("objectid_lead@odata.bind", Json::string(&format!("/leads({})", guid(lead)))),
        ]);
        let answer = ctx.send(self.write(Method::POST, "annotations", "annotationid", &note)).await?;
        if error::is_gone(&answer) {
            return Ok(None);
        }
        VENDOR.made(answer, "annotationid", ctx.now).map(Some)
    }
}

impl Compiled {
    /// The alternate key of the lead of this uuid, if it has one.
    fn key_of(&self, uuid: &str) -> Option<String> {
        Some(format!("{}='{}'", self.settings.alternate_key.as_ref()?.0, guid(uuid)))
    }

    async fn by_key(&self, key: &str, ctx: &mut Conversation<'_>) -> Result<Option<There>> {
        let answer = ctx.send(self.query(&format!("leads({key})"), &[("$select", READ)])).await?;
        if error::is_gone(&answer) {
            return Ok(None);
        }
        let lead = VENDOR.read(&answer, ctx.now)?;
        if lead["statecode"].is_null() {
            // It would be taken for one that is gone.
            return Err(unread(NAME, &answer, "statecode"));
        }
        Ok(there(&lead))
    }
}

/// A lead that is ours to change; one that was qualified is a customer by now.
fn there(lead: &Value) -> Option<There> {
    let state = lead["statecode"].as_i64()?;
    let closed = (state == DISQUALIFIED).then(|| format!("disqualified (status {})", lead["statuscode"]));
    Some(There { id: id_of(&lead["leadid"])?, closed }).filter(|_| state != QUALIFIED)
}

/// An id as it may stand in a path: whatever else it holds is left out.
fn guid(id: &str) -> String {
    id.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}

/// Text that is safe within the quotes of a filter.
fn quoted(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect::<String>().replace('\'', "''")
}
