//! The webhook: a signed HTTP request whose URL, headers, query and body may be templates.

mod config;
mod error;
pub(super) mod headers;
mod push;
mod settings;
#[cfg(test)]
mod tests;
pub(super) mod url;

use crate::{connector::unusable, prelude::*};
pub(super) use config::{Config, Members, Method, Success, UrlSource, shown};
use leadline_domain::{
    brand::Brand,
    integration::SigningSecret,
    payload::{self, Payload},
};
use settings::{Body, Settings};

/// The connector `webhook`.
#[derive(Debug)]
pub(super) struct Webhook;

impl TypedConnector for Webhook {
    type Config = Config;
    type Credentials = ();
    const MANIFEST: &'static Manifest = &Manifest {
        signs: true,
        takes_notices: true,
        ..Manifest::new::<Self>("webhook", "Sends each event as a signed HTTP request to a URL of yours")
    };

    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        mapping(operators)
    }

    fn problems(&self, config: &Config, given: &Given<'_>) -> Vec<Problem> {
        problems(config, given)
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(compile(&setup.config.clone(), setup)?))
    }
}

/// Reads a mapping whose targets are paths in the event itself.
pub(super) fn mapping(operators: &Value) -> Result<Mapping, Vec<Problem>> {
    Mapping::parse_within_event(operators).map_err(|problems| Problem::all("mapping", problems))
}

/// What is wrong with the configuration of a webhook.
pub(super) fn problems(config: &Config, given: &Given<'_>) -> Vec<Problem> {
    let read = read_brand(given.brand)
        .and_then(|brand| Settings::read(config, given.common, Mapping::default(), &brand));
    match read {
        Ok(settings) => settings.url.try_out(given.egress),
        Err(problems) => problems,
    }
}

fn read_brand(brand: &str) -> Result<Brand, Vec<Problem>> {
    Brand::parse(brand).map_err(|problem| vec![Problem::at("brand", problem.to_string())])
}

/// Compiles a webhook, as which some connectors push.
pub(super) fn compile<T: TypedConnector>(config: &Config, setup: Setup<'_, T>) -> Result<Compiled> {
    let Setup { common, mapping, integration, brand, .. } = setup;
    let payload = payload::find(&integration.payload).ok_or_else(|| {
        let known = payload::names().join(" or ");
        crm::unrenderable(format!("payload {} is not known; use {known}", integration.payload))
    })?;
    let brand = read_brand(brand).map_err(|problems| unusable(&problems))?;
    let settings =
        Settings::read(config, &common, mapping, &brand).map_err(|problems| unusable(&problems))?;
    if payload.is_reshaped() && matches!(&settings.body, Body::Event(mapping) if !mapping.is_empty()) {
        return Err(crm::unrenderable(format!(
            "mapping: payload {} has a shape of its own; leave the mapping out, or use payload v1 or a body template",
            payload.name
        )));
    }
    Ok(Compiled { settings, brand, payload, secrets: integration.secrets.clone() })
}

/// A webhook that is ready to push.
#[derive(Debug)]
pub(super) struct Compiled {
    settings: Settings,
    brand: Brand,
    payload: &'static Payload,
    secrets: Vec<SigningSecret>,
}

#[async_trait]
impl Prepared for Compiled {
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let answer = ctx.send(self.request(push)?).await?;
        error::read(&answer, self.settings.success.as_ref(), ctx)
    }
}
