//! The daemon as seen from here: the only place that knows tonic. One line per call of the control API.

mod address;
mod error;
mod reach;
mod reading;

use std::time::Duration;

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use leadline_proto::v1;
use tokio::time::timeout;
use tonic::{
    Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use ulid::Ulid;

pub use address::{Address, candidates};
pub use error::{ClientError, Why};
pub use reach::Reach;
pub use reading::{millis, outcome, seconds, span};

use reach::Bearer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a quiet connection is looked after, and how long that may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// The same where somebody looks at a screen: the daemon's heartbeats say sooner that it hangs, and each wakes less.
const KEEP_ALIVE_SEEN: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(5));
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Waiting for a push, or for a change of many deliveries, is bounded too: a lane may be throttled for hours.
const AWAIT_DEADLINE: Duration = Duration::from_secs(300);
/// The first message of a watch has every integration there is, a page may have a thousand with their settings, and the
/// evidence of a lead every attempt; tonic's own limit is 4 MiB.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// The most that the daemon puts into one page of a list.
pub const PAGE_MAX: u32 = 1000;

/// What a watch yields; it ends when the connection does.
pub type Watch<T> = BoxStream<'static, Result<T, ClientError>>;

/// A connection to one daemon. Clones share it, and it comes back by itself when the daemon does.
#[derive(Clone, Debug)]
pub struct Client {
    channel: InterceptedService<Channel, Bearer>,
    address: Address,
}

impl Client {
    /// Connects to the first daemon that answers where the command line or the environment says.
    pub async fn find(reach: &Reach) -> Result<Self, ClientError> {
        Self::find_with(reach, KEEP_ALIVE).await
    }

    /// The same for a screen, which must tell soon that a daemon hangs.
    pub async fn find_for_screen(reach: &Reach) -> Result<Self, ClientError> {
        Self::find_with(reach, KEEP_ALIVE_SEEN).await
    }

    async fn find_with(reach: &Reach, keep_alive: (Duration, Duration)) -> Result<Self, ClientError> {
        let mut failures = Vec::new();
        for address in candidates(reach.server.as_deref())? {
            match Self::connect_with(address, reach, keep_alive).await {
                Ok(client) => return Ok(client),
                Err(failure) => failures.push(failure),
            }
        }
        Err(merge(failures))
    }

    /// Connects to the daemon at this address.
    pub async fn connect(address: Address) -> Result<Self, ClientError> {
        Self::connect_with(address, &Reach::default(), KEEP_ALIVE).await
    }

    async fn connect_with(
        address: Address,
        reach: &Reach,
        keep_alive: (Duration, Duration),
    ) -> Result<Self, ClientError> {
        let failed = |error: tonic::transport::Error| ClientError::from_connect(&address, &error);
        let mut endpoint = Endpoint::from_shared(address.to_string())
            .map_err(failed)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(keep_alive.0)
            .keep_alive_timeout(keep_alive.1)
            .keep_alive_while_idle(true);
        // On a socket the system says who we are.
        let mut bearer = Bearer::default();
        if let Address::Remote(_) = address {
            bearer = reach.bearer()?;
            endpoint = endpoint.tls_config(reach.tls()?).map_err(failed)?;
        }
        // The endpoint's own limit does not cover unix sockets.
        match timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Self { channel: InterceptedService::new(channel, bearer), address }),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(ClientError::Silent { address: address.to_string(), after: CONNECT_TIMEOUT }),
        }
    }

    /// Where the daemon is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The error of a stream that ended although nobody closed it here.
    #[must_use]
    pub fn gone(&self) -> ClientError {
        ClientError::Unreachable { tried: self.address.to_string(), cause: "it has stopped".to_owned() }
    }

    /// Every delivery that a filter finds, page by page.
    pub async fn all_deliveries(
        &self,
        filter: &v1::DeliveryFilter,
    ) -> Result<Vec<v1::Delivery>, ClientError> {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListDeliveriesRequest {
                filter: Some(filter.clone()),
                page_size: PAGE_MAX,
                page_token: page_token.clone(),
            };
            let answer = self.list_deliveries(request).await?;
            found.extend(answer.deliveries);
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// What the daemon can speak to, all of it.
    pub async fn all_connectors(&self) -> Result<Vec<v1::Connector>, ClientError> {
        let request = v1::ListConnectorsRequest { page_size: PAGE_MAX, ..Default::default() };
        Ok(self.list_connectors(request).await?.connectors)
    }

    /// Integrations with their health: a snapshot, then changes, and heartbeats if they are wanted. Empty texts: all
    /// companies, from the start.
    pub async fn watch(
        &self,
        request: v1::WatchIntegrationsRequest,
    ) -> Result<Watch<v1::WatchIntegrationsResponse>, ClientError> {
        let service = v1::integration_service_client::IntegrationServiceClient::new(self.channel.clone());
        self.open(service.max_decoding_message_size(ANSWER_MAX).watch_integrations(request)).await
    }

    /// The last 50 attempts of an integration, then each as it starts and finishes.
    pub async fn watch_attempts(
        &self,
        integration: &str,
    ) -> Result<Watch<v1::WatchAttemptsResponse>, ClientError> {
        let request = v1::WatchAttemptsRequest { integration: integration.to_owned() };
        let mut service = v1::attempt_service_client::AttemptServiceClient::new(self.channel.clone());
        self.open(service.watch_attempts(request)).await
    }

    /// Attempts and operators' acts: the last 50, then each as it happens.
    pub async fn watch_activity(
        &self,
        company: &str,
    ) -> Result<Watch<v1::WatchActivityResponse>, ClientError> {
        let request = v1::WatchActivityRequest { company: company.to_owned() };
        let mut service = v1::activity_service_client::ActivityServiceClient::new(self.channel.clone());
        self.open(service.watch_activity(request)).await
    }

    /// Everything that is kept of a person, a JSON document in pieces.
    pub async fn export_person(
        &self,
        request: v1::ExportPersonRequest,
    ) -> Result<Watch<v1::ExportPersonResponse>, ClientError> {
        let service = v1::lead_service_client::LeadServiceClient::new(self.channel.clone());
        self.open(service.max_decoding_message_size(ANSWER_MAX).export_person(request)).await
    }

    /// How far a job is, each time that changes, until it ends.
    pub async fn watch_job(&self, id: &str) -> Result<Watch<v1::Job>, ClientError> {
        let request = v1::WatchJobRequest { id: id.to_owned() };
        let mut service = v1::job_service_client::JobServiceClient::new(self.channel.clone());
        let (changes, address) = (self.open(service.watch_job(request)).await?, self.address.clone());
        let job = move |told: v1::WatchJobResponse| told.job.ok_or_else(|| incomplete(&address, "job"));
        Ok(changes.map(move |item| item.and_then(&job)).boxed())
    }

    /// Hands lines of leads to the daemon; answers come while it reads on.
    pub async fn import_leads(
        &self,
        mut start: v1::ImportStart,
        lines: impl Stream<Item = v1::ImportLeadsRequest> + Send + 'static,
    ) -> Result<Watch<v1::ImportLeadsResponse>, ClientError> {
        stamp(&mut start.request_id);
        let first = v1::ImportLeadsRequest { start: Some(start), lines: Vec::new() };
        let mut service = v1::lead_service_client::LeadServiceClient::new(self.channel.clone());
        self.open(service.import_leads(stream::iter([first]).chain(lines))).await
    }

    async fn open<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Result<Watch<T>, ClientError> {
        let address = self.address.clone();
        let silent = || ClientError::Silent { address: address.to_string(), after: CALL_DEADLINE };
        let answer = timeout(CALL_DEADLINE, call).await.map_err(|_| silent())?;
        let stream = answer.map_err(|status| self.error(CALL_DEADLINE, &status))?.into_inner();
        let ended = move |status: Status| ClientError::from_status(&address, CALL_DEADLINE, &status);
        Ok(stream.map(move |item| item.map_err(&ended)).boxed())
    }

    fn error(&self, deadline: Duration, status: &Status) -> ClientError {
        ClientError::from_status(&self.address, deadline, status)
    }
}

/// The error of an answer without what it is about.
fn incomplete(address: &Address, part: &str) -> ClientError {
    let message = format!("the daemon's answer has no {part}");
    ClientError::from_status(address, CALL_DEADLINE, &Status::unimplemented(message))
}

/// The places that were tried in one error; a socket that is closed to us is the likelier cause.
fn merge(failures: Vec<ClientError>) -> ClientError {
    let mut sockets = Vec::new();
    let mut causes = Vec::new();
    for failure in failures {
        match failure {
            ClientError::Unreachable { tried, cause } => {
                sockets.push(tried);
                if !causes.contains(&cause) {
                    causes.push(cause);
                }
            }
            other => return other,
        }
    }
    ClientError::Unreachable { tried: sockets.join(" or "), cause: causes.join(", ") }
}

/// Every mutation has an id of its own, so that it is carried out once however often it is asked for.
/// A caller that repeats a request keeps its id.
fn stamp(request_id: &mut String) {
    if request_id.is_empty() {
        *request_id = Ulid::generate().to_string();
    }
}

macro_rules! calls {
    ($module:ident::$service:ident: $(
        $(#[$doc:meta])* $kind:ident $name:ident($request:ident) -> $answer:ident $(.$part:ident: $thing:ident)?;
    )*) => {
        impl Client {$(
            $(#[$doc])*
            pub async fn $name(&self, request: v1::$request) -> Result<calls!(@answer $answer $($thing)?), ClientError> {
                calls!(@$kind request deadline);
                let mut call = Request::new(request);
                call.set_timeout(deadline);
                let service = v1::$module::$service::new(self.channel.clone());
                let mut service = service.max_decoding_message_size(ANSWER_MAX);
                let answer = service.$name(call).await.map_err(|status| self.error(deadline, &status))?;
                calls!(@take self answer $($part)?)
            }
        )*}
    };
    (@answer $answer:ident) => { v1::$answer };
    // What the answer is about, alone.
    (@answer $answer:ident $thing:ident) => { v1::$thing };
    (@take $client:ident $answer:ident) => { Ok($answer.into_inner()) };
    (@take $client:ident $answer:ident $part:ident) => {
        $answer.into_inner().$part.ok_or_else(|| incomplete(&$client.address, stringify!($part)))
    };
    (@read $request:ident $deadline:ident) => {
        let $deadline = CALL_DEADLINE;
    };
    (@wait $request:ident $deadline:ident) => {
        let $deadline = AWAIT_DEADLINE;
    };
    (@change $request:ident $deadline:ident) => {
        let mut $request = $request;
        stamp(&mut $request.request_id);
        let $deadline = CALL_DEADLINE;
    };
    // A change that goes through any number of deliveries before it is answered.
    (@work $request:ident $deadline:ident) => {
        let mut $request = $request;
        stamp(&mut $request.request_id);
        let $deadline = AWAIT_DEADLINE;
    };
}

calls! { company_service_client::CompanyServiceClient:
    /// Makes a company.
    change create_company(CreateCompanyRequest) -> CreateCompanyResponse.company: Company;
    /// Companies, newest first.
    read list_companies(ListCompaniesRequest) -> ListCompaniesResponse;
    /// One company.
    read get_company(GetCompanyRequest) -> GetCompanyResponse.company: Company;
    /// Everything of a company on one page.
    read get_company_page(GetCompanyPageRequest) -> GetCompanyPageResponse;
    /// Changes the name or the brand.
    change update_company(UpdateCompanyRequest) -> UpdateCompanyResponse.company: Company;
    /// Changes the plan, and disables what no longer fits.
    change set_plan(SetPlanRequest) -> SetPlanResponse.company: Company;
}

calls! { intake_key_service_client::IntakeKeyServiceClient:
    /// Makes a key; the answer shows it once.
    change create_intake_key(CreateIntakeKeyRequest) -> CreateIntakeKeyResponse;
    /// Keys, newest first, without the keys themselves.
    read list_intake_keys(ListIntakeKeysRequest) -> ListIntakeKeysResponse;
    /// Closes the intake for a key.
    change revoke_intake_key(RevokeIntakeKeyRequest) -> RevokeIntakeKeyResponse.key: IntakeKey;
    /// What the intake refused of a key, newest first.
    read list_refusals(ListRefusalsRequest) -> ListRefusalsResponse;
}

calls! { token_service_client::TokenServiceClient:
    /// Makes a token; the answer shows it once.
    change create_token(CreateTokenRequest) -> CreateTokenResponse;
    /// Tokens, newest first, without the tokens themselves.
    read list_tokens(ListTokensRequest) -> ListTokensResponse;
    /// Closes the control API for a token.
    change revoke_token(RevokeTokenRequest) -> RevokeTokenResponse.token: Token;
    /// Who we are, and what that allows.
    read who_am_i(WhoAmIRequest) -> WhoAmIResponse;
}

calls! { integration_service_client::IntegrationServiceClient:
    /// Makes an integration; the answer shows its signing secret once.
    change create_integration(CreateIntegrationRequest) -> CreateIntegrationResponse;
    /// Integrations, newest first.
    read list_integrations(ListIntegrationsRequest) -> ListIntegrationsResponse;
    /// One integration with its health.
    read get_integration(GetIntegrationRequest) -> GetIntegrationResponse.integration: Integration;
    /// Changes what the request names.
    change update_integration(UpdateIntegrationRequest) -> UpdateIntegrationResponse.integration: Integration;
    /// Lets pushes go again.
    work enable_integration(EnableIntegrationRequest) -> EnableIntegrationResponse;
    /// Holds new pushes.
    change disable_integration(DisableIntegrationRequest) -> DisableIntegrationResponse.integration: Integration;
    /// Removes an integration with its deliveries, or counts them.
    work delete_integration(DeleteIntegrationRequest) -> DeleteIntegrationResponse;
    /// Sets the failure count to zero.
    work reset_integration(ResetIntegrationRequest) -> ResetIntegrationResponse;
    /// Starts a test push; `await_attempt` waits for it.
    change test_integration(TestIntegrationRequest) -> TestIntegrationResponse;
    change check_integration(CheckIntegrationRequest) -> CheckIntegrationResponse;
    change set_credentials(SetCredentialsRequest) -> SetCredentialsResponse;
    /// Makes a new signing secret; the answer shows it once.
    change rotate_secret(RotateSecretRequest) -> RotateSecretResponse;
    /// Makes the staged signing secret the one that signs.
    work cut_over(CutOverRequest) -> CutOverResponse.integration: Integration;
    /// Ends the grace of the old signing secret, or cancels the staged one.
    work revoke_secret(RevokeSecretRequest) -> RevokeSecretResponse.integration: Integration;
    /// Renders a lead for an integration without sending it.
    read preview_integration(PreviewIntegrationRequest) -> PreviewIntegrationResponse;
}

calls! { flow_service_client::FlowServiceClient:
    /// Makes a flow.
    change create_flow(CreateFlowRequest) -> CreateFlowResponse.flow: Flow;
    /// Flows, in the order in which they are asked.
    read list_flows(ListFlowsRequest) -> ListFlowsResponse;
    /// One flow.
    read get_flow(GetFlowRequest) -> GetFlowResponse.flow: Flow;
    /// Changes what the request names.
    change update_flow(UpdateFlowRequest) -> UpdateFlowResponse.flow: Flow;
    /// Removes a flow.
    change delete_flow(DeleteFlowRequest) -> DeleteFlowResponse;
    /// Asks flows again about the deliveries that they hold.
    work ask_flows_again(AskFlowsAgainRequest) -> AskFlowsAgainResponse;
    /// Asks a condition about stored leads.
    wait test_flow(TestFlowRequest) -> TestFlowResponse;
}

calls! { form_service_client::FormServiceClient:
    /// Makes a form.
    change create_form(CreateFormRequest) -> CreateFormResponse.form: Form;
    /// Forms, newest first.
    read list_forms(ListFormsRequest) -> ListFormsResponse;
    /// One form.
    read get_form(GetFormRequest) -> GetFormResponse.form: Form;
    /// Changes what the request names.
    change update_form(UpdateFormRequest) -> UpdateFormResponse.form: Form;
    /// Removes a form.
    change delete_form(DeleteFormRequest) -> DeleteFormResponse;
    /// What a form refused.
    read list_form_refusals(ListFormRefusalsRequest) -> ListFormRefusalsResponse;
}

calls! { lead_service_client::LeadServiceClient:
    /// Leads, newest first.
    read list_leads(ListLeadsRequest) -> ListLeadsResponse;
    /// A lead with its event and deliveries.
    read get_lead(GetLeadRequest) -> GetLeadResponse;
    /// Leads by any part of name, e-mail address, phone number or uuid.
    read find_leads(FindLeadsRequest) -> FindLeadsResponse;
    /// Leads that say a text anywhere, among the newest.
    read find_leads_anywhere(FindLeadsAnywhereRequest) -> FindLeadsAnywhereResponse;
    /// Who a lead is, audited.
    read reveal(RevealRequest) -> RevealResponse;
    /// What happened to a lead, as a document for a ticket.
    read get_evidence(GetEvidenceRequest) -> GetEvidenceResponse;
    /// Removes all leads of a person, or counts them.
    work erase_person(ErasePersonRequest) -> ErasePersonResponse;
    /// Pushes leads that are known already, or counts them.
    work push_leads(PushLeadsRequest) -> PushLeadsResponse;
    /// Everything that happened to a lead.
    read trace_lead(TraceLeadRequest) -> TraceLeadResponse;
    /// Removes a person.
    change erase_lead(EraseLeadRequest) -> EraseLeadResponse;
}

calls! { delivery_service_client::DeliveryServiceClient:
    /// Deliveries by filter.
    read list_deliveries(ListDeliveriesRequest) -> ListDeliveriesResponse;
    /// A delivery with its attempts.
    read get_delivery(GetDeliveryRequest) -> GetDeliveryResponse;
    /// Pushes again, or counts what would be pushed.
    work retry_deliveries(RetryDeliveriesRequest) -> RetryDeliveriesResponse;
    /// Holds pending deliveries.
    work hold_deliveries(HoldDeliveriesRequest) -> HoldDeliveriesResponse;
    /// Makes held deliveries pending.
    work release_deliveries(ReleaseDeliveriesRequest) -> ReleaseDeliveriesResponse;
    /// Skips deliveries that are not final.
    work skip_deliveries(SkipDeliveriesRequest) -> SkipDeliveriesResponse;
    /// Undoes skips of the last 24 hours.
    work unskip_deliveries(UnskipDeliveriesRequest) -> UnskipDeliveriesResponse;
    /// Why a delivery stands where it does.
    read explain_delivery(ExplainDeliveryRequest) -> ExplainDeliveryResponse;
}

calls! { audit_service_client::AuditServiceClient:
    /// What operators changed, newest first.
    read list_audit(ListAuditRequest) -> ListAuditResponse;
}

calls! { notice_service_client::NoticeServiceClient:
    /// What integrations marked for notices were told, newest first.
    read list_notices(ListNoticesRequest) -> ListNoticesResponse;
}

calls! { job_service_client::JobServiceClient:
    /// Jobs, newest first.
    read list_jobs(ListJobsRequest) -> ListJobsResponse;
    /// How far a job is.
    read get_job(GetJobRequest) -> GetJobResponse.job: Job;
    /// Ends what a job has not brought back yet.
    change cancel_job(CancelJobRequest) -> CancelJobResponse.job: Job;
    change resume_job(ResumeJobRequest) -> ResumeJobResponse.job: Job;
}

calls! { failure_service_client::FailureServiceClient:
    /// The causes of what is not delivered, most deliveries first.
    read list_failures(ListFailuresRequest) -> ListFailuresResponse;
    /// One cause.
    read get_failure(GetFailureRequest) -> GetFailureResponse;
    /// Takes a cause off the list for a time.
    change snooze_failure(SnoozeFailureRequest) -> SnoozeFailureResponse;
}

calls! { activity_service_client::ActivityServiceClient:
    /// Attempts and operators' acts, newest first.
    read list_activity(ListActivityRequest) -> ListActivityResponse;
}

calls! { system_service_client::SystemServiceClient:
    /// How the whole stands.
    read get_system(GetSystemRequest) -> GetSystemResponse;
}

calls! { attempt_service_client::AttemptServiceClient:
    /// Attempts of an integration or a delivery, newest first.
    read list_attempts(ListAttemptsRequest) -> ListAttemptsResponse;
    /// An attempt with what was sent and what came back.
    read get_attempt(GetAttemptRequest) -> GetAttemptResponse;
    /// Waits until an attempt is finished.
    wait await_attempt(AwaitAttemptRequest) -> AwaitAttemptResponse;
}

calls! { connector_service_client::ConnectorServiceClient:
    /// What the daemon can speak to.
    read list_connectors(ListConnectorsRequest) -> ListConnectorsResponse;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_what_it_is_about_is_of_another_version() {
        let address = Address::in_data_dir(std::path::Path::new("/nowhere"));
        let error = incomplete(&address, "job");
        assert_eq!((error.code(), &*error.to_string()), ("unimplemented", "the daemon's answer has no job"));
    }
}
