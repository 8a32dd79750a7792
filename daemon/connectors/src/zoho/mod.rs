//! Zoho CRM: a Lead, found by address among those that are not converted yet, or made; and a note for each enquiry.

mod config;
mod error;
mod probe;
mod push;
#[cfg(test)]
mod tests;

use crate::leads::{Enquiry, LeadPlan};
use crate::oauth::{App, Grant};
use crate::prelude::*;
use config::{Config, Credentials};

const NAME: &str = "zoho";
const VENDOR: Vendor = Vendor { name: NAME, failure: error::failure };
/// The smallest edition takes five calls at once.
const CONNECTIONS: u32 = 5;

/// The connector `zoho`.
#[derive(Debug)]
pub(super) struct Zoho;

impl TypedConnector for Zoho {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest = &Manifest::of_records::<Self>(
        NAME,
        "Creates or updates a Zoho CRM Lead, found by email, and puts a note with the enquiry on it",
        config::own_mapping,
    )
    .found_by(config::NAMES.email)
    .connections(CONNECTIONS);

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let accounts = setup.common.or(setup.config.accounts_url.as_ref(), config::ACCOUNTS);
        let accounts = accounts.map_err(crm::unrenderable)?;
        let Credentials { client_id, client_secret, refresh_token } = setup.credentials;
        let (client_id, client_secret, refresh_token) = (client_id.0, client_secret.0, refresh_token.0);
        let url = Request::at(Method::POST, &accounts, &["oauth", "v2", "token"]).url;
        Ok(Box::new(Compiled {
            accounts,
            base: setup.common.base().cloned(),
            settings: setup.config,
            app: App { client_id, client_secret, refresh_token }.at(url),
            mapping: setup.mapping,
        }))
    }
}

/// An organization that is ready to be pushed to.
#[derive(Debug)]
struct Compiled {
    /// Where to log in.
    accounts: Url,
    /// Where to call, if not where the login says.
    base: Option<Url>,
    settings: Config,
    app: Option<Grant>,
    mapping: Mapping,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        let mut plan = LeadPlan::make(config::NAMES, &self.mapping, push)?;
        plan.add("Lead_Source", Json::string(&self.settings.lead_source));
        Ok(Some(plan.bytes()))
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.app, "refresh_token")?;
        let may_join = !self.settings.tags.0.is_empty() && ctx.may_join(push, "lead", None).await;
        Enquiry { crm: self, push, plan: LeadPlan::read(push, ctx)? }.bring(ctx).await?;
        if may_join { self.tag(ctx).await } else { Ok(()) }
    }

    fn login(&self) -> Option<&dyn Login> {
        self.app.as_ref().map(|_| self as &dyn Login)
    }

    fn records(&self, things: &Ids, _account: Option<&str>) -> Vec<Record> {
        let site = things.get(SITE).and_then(|site| site.strip_prefix("https://www.zohoapis."));
        named_as(&["lead", "note"], things, |kind, id| {
            let domain = site.filter(|_| kind == "lead")?.trim_end_matches('/');
            // Canada's is called otherwise than where its calls go.
            let zoho = if domain == "ca" { "zohocloud" } else { "zoho" };
            Some(format!("https://crm.{zoho}.{domain}/crm/tab/Leads/{id}"))
        })
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CONNECTIONS, per: Duration::ZERO })
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        needed(&self.app, "refresh_token")?;
        probe::look(self, kind, ctx).await
    }
}

impl Login for Compiled {
    fn request(&self, _now: Moment, refresh: Option<&SecretString>) -> Result<Request> {
        Ok(needed(&self.app, "refresh_token")?.request(refresh))
    }

    fn refresh_token(&self) -> Option<&SecretString> {
        self.app.as_ref()?.refresh_token.as_ref()
    }

    fn token(&self, answer: &Answer, now: Moment) -> Result<Token> {
        if let Some(failure) = answer.as_ref().ok().and_then(error::login_failure) {
            return Err(failure);
        }
        let token = oauth::token(NAME, answer, "api_domain", now)?;
        Ok(Token { base: self.base.clone().or(token.base), ..token })
    }

    fn scheme(&self) -> &'static str {
        "Zoho-oauthtoken"
    }

    fn refuses(&self, response: &Response) -> bool {
        error::is_token_over(response)
    }
}

impl Compiled {
    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Request {
        self.request(Method::GET, path).query(query)
    }

    /// A call that writes one record, with more beside it.
    fn write(&self, method: Method, path: &[&str], record: Json, more: &[(&str, Json)]) -> Request {
        let mut body = Json::object([("data", Json::Array(vec![record]))]);
        for (key, value) in more {
            body.insert(usize::MAX, key, value.clone());
        }
        self.request(method, path).json(body.to_bytes())
    }

    /// The host is that of the login's answer.
    fn request(&self, method: Method, path: &[&str]) -> Request {
        Request::at(method, &self.accounts, ["crm", config::VERSION].iter().chain(path))
    }
}
