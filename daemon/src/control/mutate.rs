//! What every mutation shares: the operator, the request id with its stored answer, one transaction, one commit.

use leadline_proto::v1;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Response, Status};

use super::{
    Control, Reply,
    access::{Caller, refusal, without_people},
    check, status,
};
use crate::{
    store::operator::command::{Begun, Command, Mutation, Refusal},
    telemetry,
};

/// A request that changes something.
pub(super) trait Mutating: prost::Message {
    /// The method's name, for the audit and the fingerprint.
    const METHOD: &'static str;

    fn request_id(&self) -> &str;
}

macro_rules! mutating {
    ($($request:ident $method:literal;)*) => {$(
        impl Mutating for v1::$request {
            const METHOD: &'static str = $method;

            fn request_id(&self) -> &str {
                &self.request_id
            }
        }
    )*};
}

mutating! {
    CreateCompanyRequest "CreateCompany";
    UpdateCompanyRequest "UpdateCompany";
    SetPlanRequest "SetPlan";
    CreateIntakeKeyRequest "CreateIntakeKey";
    RevokeIntakeKeyRequest "RevokeIntakeKey";
    CreateIntegrationRequest "CreateIntegration";
    UpdateIntegrationRequest "UpdateIntegration";
    EnableIntegrationRequest "EnableIntegration";
    DisableIntegrationRequest "DisableIntegration";
    DeleteIntegrationRequest "DeleteIntegration";
    ResetIntegrationRequest "ResetIntegration";
    TestIntegrationRequest "TestIntegration";
    CheckIntegrationRequest "CheckIntegration";
    SetCredentialsRequest "SetCredentials";
    RotateSecretRequest "RotateSecret";
    RevokeSecretRequest "RevokeSecret";
    CutOverRequest "CutOver";
    RetryDeliveriesRequest "RetryDeliveries";
    CreateFormRequest "CreateForm";
    UpdateFormRequest "UpdateForm";
    DeleteFormRequest "DeleteForm";
    CreateFlowRequest "CreateFlow";
    UpdateFlowRequest "UpdateFlow";
    DeleteFlowRequest "DeleteFlow";
    AskFlowsAgainRequest "AskFlowsAgain";
    HoldDeliveriesRequest "HoldDeliveries";
    ReleaseDeliveriesRequest "ReleaseDeliveries";
    SkipDeliveriesRequest "SkipDeliveries";
    UnskipDeliveriesRequest "UnskipDeliveries";
    EraseLeadRequest "EraseLead";
    ImportStart "ImportLeads";
    CancelJobRequest "CancelJob";
    ResumeJobRequest "ResumeJob";
    PushLeadsRequest "PushLeads";
    CreateTokenRequest "CreateToken";
    RevokeTokenRequest "RevokeToken";
}

/// The answer to a mutation, which a repeat gets again.
pub(super) trait Repeatable: prost::Message + Default + Clone {
    /// The message's name, by which it is known what of it may name a person.
    const NAME: &'static str;

    /// What a repeat gets: no secrets, and a word that they were shown.
    fn repeated(&self) -> Self {
        self.clone()
    }
}

macro_rules! repeatable {
    ($($answer:ident)*) => {
        $(impl Repeatable for v1::$answer {
            const NAME: &'static str = stringify!($answer);
        })*
    };
}

repeatable! {
    AskFlowsAgainResponse
    CancelJobResponse
    CheckIntegrationResponse
    CreateCompanyResponse
    CreateFlowResponse
    CreateFormResponse
    CutOverResponse
    DeleteFlowResponse
    DeleteFormResponse
    DeleteIntegrationResponse
    DisableIntegrationResponse
    EnableIntegrationResponse
    EraseLeadResponse
    ErasePersonResponse
    HoldDeliveriesResponse
    PushLeadsResponse
    ReleaseDeliveriesResponse
    ResetIntegrationResponse
    ResumeJobResponse
    RetryDeliveriesResponse
    RevokeIntakeKeyResponse
    RevokeSecretResponse
    RevokeTokenResponse
    SetCredentialsResponse
    SetPlanResponse
    SkipDeliveriesResponse
    SnoozeFailureResponse
    TestIntegrationResponse
    UnskipDeliveriesResponse
    UpdateCompanyResponse
    UpdateFlowResponse
    UpdateFormResponse
    UpdateIntegrationResponse
    ImportSummary
}

impl Repeatable for v1::CreateTokenResponse {
    const NAME: &'static str = "CreateTokenResponse";

    fn repeated(&self) -> Self {
        Self { token: String::new(), secret_already_shown: true, ..self.clone() }
    }
}

impl Repeatable for v1::CreateIntakeKeyResponse {
    const NAME: &'static str = "CreateIntakeKeyResponse";

    fn repeated(&self) -> Self {
        Self { id: self.id.clone(), secret_already_shown: true, ..Self::default() }
    }
}

impl Repeatable for v1::CreateIntegrationResponse {
    const NAME: &'static str = "CreateIntegrationResponse";

    fn repeated(&self) -> Self {
        Self {
            integration: self.integration.clone(),
            signing_secret: String::new(),
            secret_already_shown: !self.signing_secret.is_empty(),
        }
    }
}

impl Repeatable for v1::RotateSecretResponse {
    const NAME: &'static str = "RotateSecretResponse";

    fn repeated(&self) -> Self {
        Self {
            integration: self.integration.clone(),
            signing_secret: String::new(),
            secret_already_shown: !self.signing_secret.is_empty(),
        }
    }
}

/// Who sent a request.
pub(super) fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    let caller = request.extensions().get::<Caller>();
    caller.ok_or_else(refusal::nobody)
}

/// The call that a request is: who asked for what, under which id.
pub(super) async fn call<Q: Mutating>(request: Request<Q>) -> Result<(Mutation, Q), Status> {
    let operator = caller(&request)?.operator.clone();
    let request = request.into_inner();
    let request_id = request.request_id();
    if request_id.is_empty() || request_id.len() > 100 || request_id.contains(char::is_control) {
        check::invalid(
            "request_id: send one of your own making with every mutation, a ULID or a UUID, at most 100 characters",
        )?;
    }
    let mut hash = Sha256::new();
    hash.update(Q::METHOD);
    hash.update([0]);
    hash.update(request.encode_to_vec());
    let call = Mutation {
        operator,
        method: Q::METHOD,
        request_id: request_id.to_owned(),
        fingerprint: hash.finalize().into(),
    };
    Ok((call, request))
}

impl Control {
    /// Carries out a mutation in one transaction, or answers a repeat as the first time.
    pub(super) async fn mutate<Q, A, W, F>(&self, request: Request<Q>, work: W) -> Reply<A>
    where
        Q: Mutating,
        A: Repeatable,
        W: FnOnce(Box<Command>, Q) -> F,
        F: Future<Output = Result<(Box<Command>, A), Refusal>>,
    {
        let (call, request) = call(request).await?;
        self.carry_out(&call, |command| work(command, request)).await
    }

    /// The same for a call whose request was looked at already.
    pub(super) async fn carry_out<A, W, F>(&self, call: &Mutation, work: W) -> Reply<A>
    where
        A: Repeatable,
        W: FnOnce(Box<Command>) -> F,
        F: Future<Output = Result<(Box<Command>, A), Refusal>>,
    {
        let command = match self.store.begin(call).await? {
            Begun::Fresh(command) => command,
            Begun::Repeat(answer) => return repeat(&answer),
        };
        let (command, answer) = work(command).await?;
        let kept = without_people(A::NAME, &answer.repeated().encode_to_vec())?;
        command.answer(call, &kept).await?;
        // A count of what is skipped may have become another.
        self.skipped.forget();
        tracing::info!(
            event = "operator_command",
            operator = call.operator,
            method = call.method,
            "an operator's command is committed"
        );
        Ok(Response::new(answer))
    }

    /// The stored answer, if this call is a repeat: for those that begin with work of their own.
    pub(super) async fn answered<A: Repeatable>(
        &self,
        call: &Mutation,
    ) -> Result<Option<Response<A>>, Status> {
        match self.store.answered(call).await? {
            Some(answer) => repeat(&answer).map(Some),
            None => Ok(None),
        }
    }
}

fn repeat<A: Repeatable>(stored: &[u8]) -> Reply<A> {
    match A::decode(stored) {
        Ok(answer) => Ok(Response::new(answer)),
        Err(error) => {
            tracing::error!(
                event = "stored_answer_unreadable",
                error = telemetry::causes(&error),
                "a stored answer cannot be read"
            );
            let message = "the stored answer of this request cannot be read: look at what it changed";
            Err(status::refused(Code::DataLoss, "UNREADABLE", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::access::Identity;

    fn asked(request: v1::CreateCompanyRequest) -> Request<v1::CreateCompanyRequest> {
        let mut request = Request::new(request);
        request.extensions_mut().insert(Caller {
            operator: "mara".into(),
            role: v1::Role::Admin,
            company: None,
            masked: false,
            identity: Identity::User(0),
            expires_at: None,
        });
        request
    }

    #[tokio::test]
    async fn a_call_is_told_from_another_by_its_fingerprint() {
        let request = v1::CreateCompanyRequest { request_id: "r".into(), ..Default::default() };
        let (first, _) = call(asked(request.clone())).await.unwrap();
        let (repeat, _) = call(asked(request.clone())).await.unwrap();
        let (other, _) =
            call(asked(v1::CreateCompanyRequest { name: "n".into(), ..request.clone() })).await.unwrap();
        assert_eq!(first.fingerprint, repeat.fingerprint);
        assert_ne!(first.fingerprint, other.fingerprint);
        assert_eq!((&*first.operator, first.method), ("mara", "CreateCompany"));
        for bad in ["", "a\nb", &"x".repeat(101)] {
            let request = v1::CreateCompanyRequest { request_id: bad.to_owned(), ..request.clone() };
            assert_eq!(call(asked(request)).await.unwrap_err().code(), tonic::Code::InvalidArgument);
        }
    }

    #[tokio::test]
    async fn nobody_and_a_damaged_answer_are_refused() {
        let nobody = call(Request::new(v1::CreateCompanyRequest::default())).await.unwrap_err();
        assert_eq!(nobody.message(), "nobody is at the other end");
        let damaged = repeat::<v1::CreateCompanyResponse>(b"\xff").unwrap_err();
        assert_eq!(
            damaged.message(),
            "the stored answer of this request cannot be read: look at what it changed"
        );
    }

    #[test]
    fn a_repeat_carries_no_secret() {
        let answer = v1::RotateSecretResponse {
            signing_secret: "whsec_x".into(),
            ..v1::RotateSecretResponse::default()
        };
        assert!(answer.repeated().signing_secret.is_empty() && answer.repeated().secret_already_shown);
        let brought = v1::CreateIntegrationResponse::default();
        assert!(!brought.repeated().secret_already_shown);
        let key = v1::CreateIntakeKeyResponse { id: "1".into(), key: "llk".into(), ..Default::default() };
        assert_eq!((&*key.repeated().key, key.repeated().secret_already_shown), ("", true));
        let token = v1::CreateTokenResponse { token: "llt".into(), ..Default::default() };
        assert_eq!((&*token.repeated().token, token.repeated().secret_already_shown), ("", true));
    }
}
