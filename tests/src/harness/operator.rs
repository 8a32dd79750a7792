//! An operator at the control API, for what most tests need of it.

use leadline_proto::v1::{
    self, attempt_service_client::AttemptServiceClient, company_service_client::CompanyServiceClient,
    delivery_service_client::DeliveryServiceClient, flow_service_client::FlowServiceClient,
    intake_key_service_client::IntakeKeyServiceClient, integration_service_client::IntegrationServiceClient,
    lead_service_client::LeadServiceClient, token_service_client::TokenServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

/// An operator on one daemon.
#[derive(Clone, Debug)]
pub struct Operator {
    channel: Channel,
}

/// A new request id.
#[must_use]
pub fn request_id() -> String {
    ulid::Ulid::generate().to_string()
}

impl Operator {
    /// An operator on this channel.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Calls about companies.
    #[must_use]
    pub fn companies(&self) -> CompanyServiceClient<Channel> {
        CompanyServiceClient::new(self.channel.clone())
    }

    /// Calls about intake keys.
    #[must_use]
    pub fn keys(&self) -> IntakeKeyServiceClient<Channel> {
        IntakeKeyServiceClient::new(self.channel.clone())
    }

    /// Calls about integrations.
    #[must_use]
    pub fn integrations(&self) -> IntegrationServiceClient<Channel> {
        IntegrationServiceClient::new(self.channel.clone())
    }

    /// Calls about tokens.
    #[must_use]
    pub fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    /// Calls about leads.
    #[must_use]
    pub fn leads(&self) -> LeadServiceClient<Channel> {
        LeadServiceClient::new(self.channel.clone())
    }

    /// Calls about deliveries.
    #[must_use]
    pub fn deliveries(&self) -> DeliveryServiceClient<Channel> {
        DeliveryServiceClient::new(self.channel.clone())
    }

    /// Calls about attempts.
    #[must_use]
    pub fn attempts(&self) -> AttemptServiceClient<Channel> {
        AttemptServiceClient::new(self.channel.clone())
    }

    /// Calls about flows.
    #[must_use]
    pub fn flows(&self) -> FlowServiceClient<Channel> {
        FlowServiceClient::new(self.channel.clone())
    }

    /// A company on the largest plan, with a key of its own. The answer is the key.
    pub async fn company(&self, id: i64) -> String {
        self.company_called(id, "The Old Barn", v1::Plan::Pro).await
    }

    /// The same of this name, on this plan.
    pub async fn company_called(&self, id: i64, name: &str, plan: v1::Plan) -> String {
        let request = v1::CreateCompanyRequest {
            request_id: request_id(),
            name: name.to_owned(),
            plan: plan.into(),
            id: Some(id),
            brand: String::new(),
        };
        self.companies().create_company(request).await.unwrap();
        let request = v1::CreateIntakeKeyRequest {
            request_id: request_id(),
            company: id.to_string(),
            may_read: true,
            ..Default::default()
        };
        self.keys().create_intake_key(request).await.unwrap().into_inner().key
    }

    /// A webhook integration with this configuration beside its URL.
    pub async fn webhook(
        &self,
        company: i64,
        name: &str,
        url: &str,
        more: Value,
    ) -> v1::CreateIntegrationResponse {
        let mut config = json!({ "url": url });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: company.to_string(),
            connector: "webhook".into(),
            name: name.into(),
            config: config.to_string(),
            ..Default::default()
        };
        self.integrations().create_integration(request).await.unwrap().into_inner()
    }

    /// An integration of any connector, called as that. Its answer has the id.
    pub async fn connect(
        &self,
        company: i64,
        connector: &str,
        config: Value,
        credentials: Value,
    ) -> v1::Integration {
        self.connect_as(company, connector, connector, config, credentials).await
    }

    /// The same under a name of its own.
    pub async fn connect_as(
        &self,
        company: i64,
        connector: &str,
        name: &str,
        config: Value,
        credentials: Value,
    ) -> v1::Integration {
        let request = v1::CreateIntegrationRequest {
            request_id: request_id(),
            company: company.to_string(),
            connector: connector.to_owned(),
            name: name.to_owned(),
            config: config.to_string(),
            credentials: if credentials.is_null() { String::new() } else { credentials.to_string() },
            ..Default::default()
        };
        let answer = self.integrations().create_integration(request).await.unwrap().into_inner();
        answer.integration.unwrap()
    }

    /// What a probe came to: the attempt, once it has finished.
    pub async fn attempt(&self, attempt: String) -> v1::Attempt {
        let request = v1::AwaitAttemptRequest { attempt, ..Default::default() };
        self.attempts().await_attempt(request).await.unwrap().into_inner().attempt.unwrap()
    }

    /// Tries new credentials and waits for what came of it.
    pub async fn set_credentials(&self, integration: &str, credentials: Value) -> v1::Attempt {
        let request = v1::SetCredentialsRequest {
            request_id: request_id(),
            integration: integration.to_owned(),
            credentials: credentials.to_string(),
        };
        let answer = self.integrations().set_credentials(request).await.unwrap().into_inner();
        self.attempt(answer.attempt_id).await
    }

    /// Tests an integration and waits for what came of it.
    pub async fn test(&self, integration: &str) -> v1::Attempt {
        let request =
            v1::TestIntegrationRequest { request_id: request_id(), integration: integration.to_owned() };
        let answer = self.integrations().test_integration(request).await.unwrap().into_inner();
        self.attempt(answer.attempt_id).await
    }

    /// An integration with its health now.
    pub async fn integration(&self, id: &str) -> v1::Integration {
        let request = v1::GetIntegrationRequest { integration: id.into() };
        self.integrations().get_integration(request).await.unwrap().into_inner().integration.unwrap()
    }

    /// An integration's badge now.
    pub async fn badge(&self, id: &str) -> &'static str {
        self.integration(id).await.health.unwrap_or_default().badge().word()
    }

    /// The finished attempts of an integration, oldest first.
    pub async fn finished(&self, integration: &str) -> Vec<v1::Attempt> {
        let request = v1::ListAttemptsRequest { integration: integration.into(), ..Default::default() };
        let mut attempts = self.attempts().list_attempts(request).await.unwrap().into_inner().attempts;
        attempts.retain(|attempt| attempt.state().word() != "running");
        attempts.reverse();
        attempts
    }

    /// The deliveries of an integration, oldest first.
    pub async fn deliveries_of(&self, integration: &str) -> Vec<v1::Delivery> {
        let filter = v1::DeliveryFilter { integration: integration.into(), ..Default::default() };
        let request = v1::ListDeliveriesRequest { filter: Some(filter), ..Default::default() };
        let mut deliveries =
            self.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries;
        deliveries.reverse();
        deliveries
    }
}

/// Posts a lead with a key. The answer is the status and the JSON body.
pub async fn post_lead(url: &str, key: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let response = super::client::http()
        .post(url)
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}
