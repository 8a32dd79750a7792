//! Who is in the demo: one company, and receivers of every temper that it pushes its leads to.

use std::time::Duration;

use leadline_client::Client;
use leadline_fakes::{Behaviour, Receiver};
use leadline_proto::v1;
use serde_json::json;

use super::vendors::Vendors;
use crate::cli::CliError;

/// The company's key, and its integrations with the receivers behind them.
#[derive(Debug)]
pub(super) struct Scene {
    /// Opens the intake.
    pub(super) key: String,
    /// The integrations, the receiver of each that has one kept alive beside it.
    pub(super) integrations: Vec<(v1::Integration, Option<Receiver>)>,
    /// The vendors behind the others.
    pub(super) vendors: Option<Vendors>,
}

impl Scene {
    /// Starts the receivers and sets the company up through the control API.
    pub(super) async fn set(client: &Client, with_vendors: bool) -> Result<Self, CliError> {
        let company = v1::CreateCompanyRequest {
            name: "The Old Barn".to_owned(),
            plan: v1::Plan::Pro.into(),
            ..Default::default()
        };
        let company = client.create_company(company).await?.id.to_string();
        let key = v1::CreateIntakeKeyRequest { company: company.clone(), ..Default::default() };
        let key = client.create_intake_key(key).await?.key;
        let mut integrations = Vec::new();
        for (name, behaviour) in cast() {
            let receiver =
                Receiver::start(behaviour).await.map_err(CliError::io("cannot start a sample receiver"))?;
            let request = v1::CreateIntegrationRequest {
                company: company.clone(),
                connector: "webhook".to_owned(),
                name: name.to_owned(),
                config: json!({ "url": receiver.url("/leads") }).to_string(),
                ..Default::default()
            };
            let integration = client.create_integration(request).await?.integration.unwrap_or_default();
            integrations.push((integration, Some(receiver)));
        }
        let mut scene = Self { key, integrations, vendors: None };
        if with_vendors {
            scene.connect_vendors(client, &company).await?;
        }
        Ok(scene)
    }

    async fn connect_vendors(&mut self, client: &Client, company: &str) -> Result<(), CliError> {
        let vendors = Vendors::start().await.map_err(CliError::io("cannot start a sample vendor"))?;
        for (connector, made) in vendors.integrations() {
            let request = v1::CreateIntegrationRequest {
                company: company.to_owned(),
                connector: connector.to_owned(),
                name: connector.to_owned(),
                config: made.config.to_string(),
                credentials: made.credentials.to_string(),
                ..Default::default()
            };
            let integration = client.create_integration(request).await?.integration.unwrap_or_default();
            self.integrations.push((integration, None));
        }
        self.vendors = Some(vendors);
        Ok(())
    }
}

fn cast() -> [(&'static str, Behaviour); 4] {
    let refusal = json!({ "error": "this form is closed" }).to_string();
    [
        ("good", Behaviour::Good),
        ("slow", Behaviour::Slow(Duration::from_millis(800))),
        ("flaky", Behaviour::Flaky(3)),
        ("refuses", Behaviour::RefuseAll(422, refusal)),
    ]
}
