//! The custom CRM: one call of the operator's making, with a login, a rule for success and the id that comes back.
//!
//! Nothing is known of the CRM, so each push carries an idempotency key, and a look-up can be configured for repeats.
//! With neither, a lead whose answer was lost may arrive twice.

mod auth;
mod config;
mod error;
mod probe;
mod push;
mod settings;
#[cfg(test)]
mod tests;

use crate::{connector::unusable, oauth::TokenLogin, prelude::*};
use auth::Key;
use config::{Config, Credentials};
use leadline_domain::brand::Brand;
use settings::Settings;

const NAME: &str = "rest";

/// The connector `rest`.
#[derive(Debug)]
pub(super) struct Rest;

impl TypedConnector for Rest {
    type Config = Config;
    type Credentials = Credentials;
    const MANIFEST: &'static Manifest =
        &Manifest::new::<Self>(NAME, "Calls the REST API of a CRM of your own for each lead");

    fn problems(&self, config: &Config, given: &Given<'_>) -> Vec<Problem> {
        let mapping = crm::read_mapping(&(Self::MANIFEST.own_mapping)(), given.mapping).unwrap_or_default();
        let read = Brand::parse(given.brand)
            .map_err(|problem| vec![Problem::at("brand", problem.to_string())])
            .and_then(|brand| Settings::read(config, given.common, mapping, &brand));
        match read {
            Ok(settings) => settings.try_out(given.egress),
            Err(problems) => problems,
        }
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let brand = Brand::parse(setup.brand).map_err(|problem| crm::unrenderable(problem.to_string()))?;
        let settings = Settings::read(&setup.config, &setup.common, setup.mapping, &brand)
            .map_err(|problems| unusable(&problems))?;
        let key = settings.auth.key(setup.credentials);
        let app = key.as_ref().ok().and_then(Key::app);
        Ok(Box::new(Compiled { settings, login: TokenLogin::of(None, app, [NAME, ""]), key }))
    }
}

/// A custom CRM that is ready to get leads.
#[derive(Debug)]
struct Compiled {
    settings: Settings,
    login: Option<TokenLogin>,
    /// Or which credential is missing.
    key: Result<Key>,
}

#[async_trait]
impl Prepared for Compiled {
    fn render(&self, push: &Push<'_>) -> Result<Option<Bytes>> {
        self.settings.body(push).map(Some)
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            keeps_ids: self.settings.id.is_some() || self.settings.find.is_some(),
            ..Abilities::RECORDS
        }
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        self.bring(push, ctx).await
    }

    fn login(&self) -> Option<&dyn Login> {
        self.login.as_ref()?.login()
    }

    async fn probe(&self, kind: ProbeKind, ctx: &mut Conversation<'_>) -> Result<()> {
        probe::look(self, kind, ctx).await
    }
}

impl Compiled {
    fn key(&self) -> Result<&Key> {
        self.key.as_ref().map_err(Clone::clone)
    }
}
