//! Everybody's way to the control API: who calls, whether they may, and of what they may see only a part. It stands before
//! every method, health and reflection included, and goes by the rules in the `.proto` files.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{HeaderValue, header::AUTHORIZATION};
use leadline_proto::v1::Role;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};

use crate::{
    control::{status, words},
    doors::security::{Attempted, AttemptedBy, Patience, Security},
    store::{Store, token::TokenView},
};

mod caller;
mod frames;
mod narrow;
pub(super) mod refusal;
mod rules;
mod shield;

pub use caller::GroupRole;
pub(super) use caller::{Caller, Identity, Peer, Users};
pub use rules::Damaged;
pub(super) use shield::without_people;

use self::{
    frames::{Failing, rewritten},
    narrow::Requests,
    rules::{AccessRule, Rules},
    shield::ShieldedReplies,
};

/// The gate before all methods.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    rules: Arc<Rules>,
    users: Arc<Users>,
    store: Store,
    security: Arc<Security>,
}

impl Gate {
    pub(super) fn new(users: Users, store: Store) -> Result<Self, Damaged> {
        Ok(Self { rules: Rules::shared()?, users: Arc::new(users), store, security: Arc::default() })
    }

    /// The names of the methods that a caller may call.
    pub(super) fn allowed(&self, caller: &Caller) -> Vec<String> {
        let may = |method: &&rules::Method| {
            method.role != Role::Unspecified
                && caller.role >= method.role
                && !(method.spans_companies && caller.company.is_some())
                && !(method.tells_of_people && caller.masked)
        };
        let mut names: Vec<_> = self.rules.methods().filter(may).map(|method| method.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Who calls.
    async fn caller(&self, peer: Option<Peer>, shown: Option<&HeaderValue>) -> Result<Caller, Status> {
        match (peer, shown) {
            (Some(Peer::Local(user)), None) => self.users.caller(user).await,
            (Some(Peer::Local(_)), Some(shown)) => self.by_token(shown, None).await,
            (Some(Peer::Remote(address)), Some(shown)) => self.by_token(shown, Some(address)).await,
            (Some(Peer::Remote(address)), None) => {
                self.security.note(Attempted::NoToken, address.ip(), AttemptedBy::default());
                Err(refusal::no_token())
            }
            (None, _) => Err(refusal::nobody()),
        }
    }

    async fn by_token(&self, shown: &HeaderValue, address: Option<SocketAddr>) -> Result<Caller, Status> {
        let client = address.map(|address| address.ip());
        let patience = client.map_or(Patience::Full, |client| self.security.patience(client));
        if patience == Patience::None {
            return Err(refusal::too_many());
        }
        let text = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
        let hash = text.map(|text| Sha256::digest(text.trim()).into());
        let token = match &hash {
            Some(hash) => self.store.live_token(hash).await?,
            None => None,
        };
        if let Some(caller) = token.map(Caller::of_token) {
            return Ok(caller);
        }
        let Some(client) = client else { return Err(refusal::bad_token()) };
        let token = match &hash {
            Some(hash) => self.store.token_of_hash(hash).await?,
            None => None,
        };
        let by = AttemptedBy { token: token.map(|id| id.to_string()), ..AttemptedBy::default() };
        if let Patience::Short(wait) = self.security.wrong(Attempted::WrongToken, client, by) {
            tokio::time::sleep(wait).await;
        }
        Err(refusal::bad_token())
    }

    /// Lets a call in, with what is to become of its answers.
    async fn admit(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<(http::Request<Body>, Option<ShieldedReplies>), Status> {
        let peer = request.extensions().get::<Peer>().copied();
        let shown = request.headers().get(AUTHORIZATION).cloned();
        let caller = self.caller(peer, shown.as_ref()).await?;
        let path = request.uri().path().to_owned();
        let method = match self.rules.of(&path) {
            None => return Err(refusal::no_rule(&path)),
            Some(AccessRule::Standard) => return Ok((request, None)),
            Some(AccessRule::Method(method)) if method.role == Role::Unspecified => {
                return Err(refusal::no_rule(&path));
            }
            Some(AccessRule::Method(method)) => method,
        };
        if caller.role < method.role {
            return Err(refusal::needs_role(&method.name, method.role, &caller));
        }
        if let Some((_, company)) = caller.company.as_ref().filter(|_| method.spans_companies) {
            return Err(refusal::spans_companies(&method.name, company, &caller));
        }
        if method.tells_of_people && caller.masked {
            return Err(refusal::tells_of_people(&method.name, &caller));
        }
        if Requests::are_read(&caller, method.has_finer_needs) {
            let requests = Requests {
                gate: self.clone(),
                caller: caller.clone(),
                method: method.name.clone(),
                input: method.input.clone(),
            };
            request = request.map(|body| rewritten(body, requests, Failing::AsError));
        }
        let answers = ShieldedReplies::are_read(&caller)
            .then(|| ShieldedReplies::new(self.clone(), caller.clone(), method.output.clone()));
        request.extensions_mut().insert(caller);
        Ok((request, answers))
    }
}

impl Caller {
    fn of_token(token: TokenView) -> Self {
        let role = words::role(token.role);
        Self {
            operator: format!("token {}", token.name),
            role,
            company: token.company,
            masked: token.masked || role == Role::Viewer,
            identity: Identity::Token(token.id),
            expires_at: token.expires_at,
        }
    }
}

/// An answer that refuses in its head, with a reason: the server itself gives none.
fn reasoned(response: http::Response<Body>) -> http::Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(told) if told.code() != Code::Ok && told.details().is_empty() => {
            status::with_reason(told).into_http()
        }
        _ => response,
    }
}

/// Puts the gate before a service.
#[derive(Clone, Debug)]
pub(super) struct GateLayer(pub(super) Gate);

/// A service behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.0.clone(), inner }
    }
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(request).await {
                Ok((request, answers)) => {
                    let response = reasoned(inner.call(request).await?);
                    Ok(match answers {
                        Some(answers) => response.map(|body| rewritten(body, answers, Failing::AsTrailers)),
                        None => response,
                    })
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}
