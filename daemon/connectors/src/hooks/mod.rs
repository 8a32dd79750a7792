//! `zapier`, `make` and `n8n`: the webhook with the conventions of each product. Its URL is the credential.
//!
//! The body is the event with two members of ours: `event_id`, the same on every repeat, so that a scenario can drop
//! what it had before, and `test`, so that it can tell a sample from a lead.

mod config;
mod error;
mod push;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use crate::{config::Settings, prelude::*, webhook};
use config::{CatchHook, Config, CustomWebhook, HookConfig, NodeConfig, WebhookNode};

const HOOK_URL: &str = "hook_url";

/// A product that catches hooks, by its settings and credentials.
#[derive(Debug)]
pub(super) struct Hook<C, K>(PhantomData<fn() -> (C, K)>);

/// The connector `zapier`.
pub(super) static ZAPIER: Hook<Config, CatchHook> = Hook(PhantomData);
/// The connector `make`.
pub(super) static MAKE: Hook<Config, CustomWebhook> = Hook(PhantomData);
/// The connector `n8n`.
pub(super) static N8N: Hook<NodeConfig, WebhookNode> = Hook(PhantomData);

/// What there is to know of a product.
#[derive(Clone, Copy, Debug)]
struct Product {
    name: &'static str,
    /// What a push does there.
    summary: &'static str,
    /// Stands in where there is no URL yet, to check the rest.
    example: &'static str,
    is_ours: fn(&Url) -> Result<(), Problem>,
    /// What it takes of one hook.
    pace: Option<Pace>,
    /// How long it wants to be left alone where it does not say; from hearsay, so an answer's own wish goes first.
    wait: Duration,
    /// What is meant by an answer that says that there is no such hook.
    gone: &'static str,
    /// There is no such hook for some seconds while it is saved, and its URLs may look like those of a test.
    saves_slowly: bool,
}

/// Credentials with a URL that is one of a product's.
trait HookCredentials: Settings {
    const PRODUCT: Product;
    /// The URL, and the key that goes with it.
    fn parts(&self) -> [Option<&SecretString>; 2];
}

impl HookCredentials for CatchHook {
    const PRODUCT: Product = Product {
        name: "zapier",
        summary: "Starts a Zap: each event goes, signed, to its Catch Hook",
        example: "https://hooks.zapier.com/hooks/catch/1/a/",
        is_ours: config::is_zapier,
        pace: Some(Pace { calls: 30, per: Duration::from_secs(1) }),
        wait: Duration::from_secs(60),
        gone: "there is no such hook: copy the URL of the Zap's Catch Hook again",
        saves_slowly: false,
    };

    fn parts(&self) -> [Option<&SecretString>; 2] {
        [self.hook_url.0.as_ref(), None]
    }
}

impl HookCredentials for CustomWebhook {
    const PRODUCT: Product = Product {
        name: "make",
        summary: "Starts a scenario: each event goes, signed, to its custom webhook",
        example: "https://hook.eu1.make.com/a",
        is_ours: config::is_make,
        pace: Some(Pace { calls: 300, per: Duration::from_secs(10) }),
        wait: Duration::from_secs(10),
        gone: "the webhook is gone or its scenario is off: switch the scenario on, or copy the URL again",
        saves_slowly: false,
    };

    fn parts(&self) -> [Option<&SecretString>; 2] {
        [self.hook_url.0.as_ref(), self.api_key.as_ref()]
    }
}

impl HookCredentials for WebhookNode {
    const PRODUCT: Product = Product {
        name: "n8n",
        summary: "Starts a workflow: each event goes, signed, to its Webhook node",
        example: "https://n8n.example.com/webhook/a",
        is_ours: config::is_n8n,
        pace: None,
        wait: Duration::from_secs(10),
        gone: "the webhook is not registered: activate the workflow, and see that its method is the same",
        saves_slowly: true,
    };

    fn parts(&self) -> [Option<&SecretString>; 2] {
        [self.hook_url.0.as_ref(), None]
    }
}

impl<C: HookConfig, K: HookCredentials> TypedConnector for Hook<C, K> {
    type Config = C;
    type Credentials = K;
    const MANIFEST: &'static Manifest = &Manifest {
        signs: true,
        takes_notices: true,
        ..Manifest::new::<Self>(K::PRODUCT.name, K::PRODUCT.summary)
    };

    fn mapping(&self, operators: &Value) -> Result<Mapping, Vec<Problem>> {
        webhook::mapping(operators)
    }

    fn problems(&self, config: &C, given: &Given<'_>) -> Vec<Problem> {
        webhook::problems(&config.webhook(K::PRODUCT.example), given)
    }

    fn credential_problems(&self, credentials: &K, egress: &EgressPolicy) -> Vec<Problem> {
        let [url, _] = credentials.parts();
        let problems = hook_url::check(HOOK_URL, url, egress, K::PRODUCT.is_ours);
        if !K::PRODUCT.saves_slowly || !problems.is_empty() {
            return problems;
        }
        // A test URL is one wherever it is.
        let url = url.and_then(|url| hook_url::read(HOOK_URL, url).ok());
        let problem = url.and_then(|url| config::is_n8n(&url).err());
        problem.map(|problem| Problem::within(HOOK_URL, HOOK_URL, problem)).into_iter().collect()
    }

    fn compile(&self, setup: Setup<'_, Self>) -> Result<Box<dyn Prepared>> {
        let [url, key] = setup.credentials.parts().map(|part| part.cloned());
        let url = url.map(|url| hook_url::read(HOOK_URL, &url)).transpose().map_err(crm::unrenderable)?;
        let config = setup.config.webhook(url.as_ref().map_or(K::PRODUCT.example, Url::as_str));
        Ok(Box::new(Compiled { product: K::PRODUCT, webhook: webhook::compile(&config, setup)?, url, key }))
    }
}

/// A hook that is ready to push.
struct Compiled {
    product: Product,
    webhook: webhook::Compiled,
    url: Option<Url>,
    key: Option<SecretString>,
}

#[async_trait]
impl Prepared for Compiled {
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    async fn push(&self, push: &Push<'_>, ctx: &mut Conversation<'_>) -> Result<()> {
        let url = needed(&self.url, HOOK_URL)?;
        let body = push::marked(push)?;
        let mut request = self.webhook.request(&Push { body: &body, ..*push })?;
        request.shown_url = hook_url::shown(&request.url);
        if let Some(key) = &self.key {
            request = request.secret_header(HeaderName::from_static("x-make-apikey"), key.expose_secret());
        }
        let answer = ctx.send(request).await?;
        reading::note_unread(&answer, ctx);
        if answer.is_good() { Ok(()) } else { Err(self.product.failure(&answer, url, ctx.now)) }
    }

    fn pace(&self) -> Option<Pace> {
        self.product.pace
    }
}
