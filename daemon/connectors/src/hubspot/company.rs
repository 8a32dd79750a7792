//! The company that a lead's employer is: found by its domain, else by its name, or made. HubSpot forbids no second one and
//! its search lags behind, so that pushes for one employer wait for each other, and each tells the next one which it was.
//! What a company says stays as it is.

use super::{Compiled, NAME, VENDOR, push::Thing};
use crate::prelude::*;

/// Under which the id of the company is kept.
pub(super) const COMPANY: &str = "company";
/// So many companies of a name are looked through.
const FOUND: usize = 20;
/// What names no employer: domains on which people of many have their addresses and pages, and what people type who have none.
const NOBODYS: Terms = "n/a none private self-employed gmail.com googlemail.com google.com outlook.com hotmail.com live.com yahoo.com icloud.com aol.com gmx.net gmx.de web.de proton.me facebook.com instagram.com linkedin.com x.com twitter.com tiktok.com youtube.com pinterest.com linktr.ee";

/// What the lead says of its employer, as properties: its name, and its domain where the website is neither somebody's page
/// on another's nor an address.
pub(super) fn of_lead(event: &Json) -> Value {
    let told = |path: &str| event.at(path).map(crm::text).unwrap_or_default().trim().to_owned();
    let website = told("lead.profile.website").to_lowercase();
    let url = Url::parse(&website).or_else(|_| Url::parse(&format!("https://{website}")));
    let own = |url: Url| Some(url.domain()?.trim_start_matches("www.").to_owned());
    let is_whole = |url: &Url| url.path() == "/" && url.query().is_none() && url.username().is_empty();
    let domain = url.ok().filter(is_whole).and_then(own);
    let domain = domain.filter(|domain| domain.contains('.')).unwrap_or_default();
    let said = [("domain", domain), ("name", told("lead.profile.company"))];
    let says = |text: &str| {
        let is_word = text.chars().filter(|own| own.is_alphanumeric()).nth(1).is_some();
        is_word && !named(NOBODYS, &text.to_lowercase())
    };
    said.into_iter().filter(|(_, text)| says(text)).collect()
}

impl Compiled {
    /// Puts a contact into its employer's company, unless it is in one already: sales know better. False if it is gone.
    pub(super) async fn employ(
        &self,
        company: &Value,
        contact: &str,
        ctx: &mut Conversation<'_>,
    ) -> Result<bool> {
        // By the name first: who leaves the website out waits for colleagues who give it.
        let Some(key) = word(company, "name").or_else(|| word(company, "domain")) else { return Ok(true) };
        let path = ["contacts", contact, "associations", "companies"];
        let there = ctx.send(self.objects(Method::GET, &path)).await?;
        if there.status == 404 {
            return Ok(false);
        }
        if !VENDOR.entries(&there, "results", ctx.now)?.is_empty() {
            return Ok(true);
        }
        ctx.lock_person(&format!("company {}", key.to_lowercase())).await;
        let mut found = VENDOR.listed(ctx, self.search(company), "results").await?;
        found.extend(ctx.last_made().cloned());
        let theirs = same(&found, company);
        let is_there = if let Some(id) = theirs.and_then(|theirs| id_of(&theirs["id"])) {
            let path = ["contacts", contact, "associations", "default", "companies", &id];
            let put = ctx.send(self.objects(Method::PUT, &path)).await?;
            // The next one is not to be refused as well.
            drop(ctx.last_made().filter(|_| (400..429).contains(&put.status)).map(std::mem::take));
            if put.status == 404 {
                return Err(vendor::gone(NAME, "company"));
            }
            VENDOR.checked(put, ctx.now)?;
            ctx.keep(&[(COMPANY, &id)]).await;
            true
        } else {
            vendor::wait_once(NAME, "company", ctx).await?;
            match self.make(&Thing::company(company), contact, ctx).await {
                // What somebody has typed as their employer keeps no lead out.
                Err(refused) if refused.class == FailureClass::Rejected => {
                    ctx.note(format!("no company was made: {}", refused.error));
                    true
                }
                made => made?,
            }
        };
        if let (Some(id), Some(made)) = (ctx.id(COMPANY), ctx.last_made()) {
            // Whoever names no domain does not take the company's away.
            *made = json!({ "id": id, "properties": theirs.map_or(company, |own| &own["properties"]) });
        }
        Ok(is_there)
    }

    /// The companies with this domain or this name, the oldest first.
    fn search(&self, company: &Value) -> Request {
        let is = |(name, text): (&String, &Value)| json!({ "filters": [{ "propertyName": name, "operator": "EQ", "value": text }] });
        let groups: Vec<Value> = company.as_object().into_iter().flatten().map(is).collect();
        let body = json!({ "filterGroups": groups, "properties": ["domain", "name"], "sorts": ["createdate"],
            "limit": FOUND, "after": "0" });
        self.objects(Method::POST, &["companies", "search"]).json(body.to_string())
    }
}

/// The one of these with the domain; else one of the name, unless it has another domain than the employer.
fn same<'a>(found: &'a [Value], company: &Value) -> Option<&'a Value> {
    let is = |one: &Value, name: &str| {
        let own = word(&one["properties"], name);
        own.zip(word(company, name)).map(|(own, told)| own.trim().eq_ignore_ascii_case(told))
    };
    let has_domain = |one: &&Value| is(one, "domain") == Some(true);
    let has_name = |one: &&Value| is(one, "name") == Some(true) && is(one, "domain") != Some(false);
    found.iter().find(has_domain).or_else(|| found.iter().find(has_name))
}
