//! Everybody's way to the control API: who calls, whether they may, and of what they may see only a part. It stands before
//! every method, health and reflection included, and goes by the rules in the `.proto` files.

use std::{
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
mod good_tokens;
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
    good_tokens::GoodTokens,
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
    good_tokens: Arc<GoodTokens>,
}

impl Gate {
    pub(super) fn new(users: Users, store: Store) -> Result<Self, Damaged> {
        Ok(Self {
            rules: Rules::shared()?,
            users: Arc::new(users),
            store,
            security: Arc::default(),
            good_tokens: Arc::default(),
        })
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

    /// Where what somebody tries is noted.
    pub(super) fn security(&self) -> Arc<Security> {
        Arc::clone(&self.security)
    }

    /// Notes that a known caller tried what it may not.
    fn note(&self, what: Attempted, peer: Option<Peer>, caller: &Caller) {
        let (token, uid) = match caller.identity {
            Identity::Token(token) => (Some(token.to_string()), None),
            Identity::User(uid) => (None, Some(uid)),
        };
        let company = caller.company.as_ref().map(|(company, _)| company.0);
        self.security.note(
            what,
            peer.and_then(Peer::address),
            AttemptedBy { company, token, uid, ..AttemptedBy::default() },
        );
    }

    /// Who calls.
    async fn caller(&self, peer: Option<Peer>, shown: Option<&HeaderValue>) -> Result<Caller, Status> {
        match (peer, shown) {
            (Some(peer @ Peer::Local(user)), None) => self.users.caller(user).await.inspect_err(|_| {
                let by = AttemptedBy { uid: peer.uid(), ..AttemptedBy::default() };
                self.security.note(Attempted::ForeignUser, None, by);
            }),
            (Some(peer), Some(shown)) => self.by_token(shown, peer).await,
            (Some(peer @ Peer::Remote(_)), None) => {
                self.security.note(Attempted::NoToken, peer.address(), AttemptedBy::default());
                Err(refusal::no_token())
            }
            (None, _) => Err(refusal::nobody()),
        }
    }

    async fn by_token(&self, shown: &HeaderValue, peer: Peer) -> Result<Caller, Status> {
        let client = peer.address();
        let patience =
            client.map_or(Patience::Full, |client| self.security.patience(Attempted::WrongToken, client));
        let text = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
        let hash = text.map(|text| Sha256::digest(text.trim()).into());
        // One that was let in before is never kept out for what its neighbours show.
        if patience == Patience::None && !hash.is_some_and(|hash| self.good_tokens.has(&hash)) {
            self.security.note(Attempted::WrongToken, client, AttemptedBy::default());
            return Err(refusal::too_many());
        }
        let token = match &hash {
            Some(hash) => self.store.live_token(hash).await?,
            None => None,
        };
        if let Some(hash) = hash {
            self.good_tokens.keep(hash, token.is_some());
        }
        if let Some(caller) = token.map(Caller::of_token) {
            return Ok(caller);
        }
        let token = match &hash {
            Some(hash) => self.store.token_of_hash(hash).await?,
            None => None,
        };
        let token = token.map(|id| id.to_string());
        let by = AttemptedBy { token, uid: peer.uid(), ..AttemptedBy::default() };
        let Some(client) = client else {
            self.security.note(Attempted::WrongToken, None, by);
            return Err(refusal::bad_token());
        };
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
            self.note(Attempted::BeyondRole, peer, &caller);
            return Err(refusal::needs_role(&method.name, method.role, &caller));
        }
        if let Some((_, company)) = caller.company.as_ref().filter(|_| method.spans_companies) {
            self.note(Attempted::ForeignCompany, peer, &caller);
            return Err(refusal::spans_companies(&method.name, company, &caller));
        }
        if method.tells_of_people && caller.masked {
            self.note(Attempted::MaskedPeople, peer, &caller);
            return Err(refusal::tells_of_people(&method.name, &caller));
        }
        if Requests::are_read(&caller, method.has_finer_needs) {
            let requests = Requests {
                gate: self.clone(),
                caller: caller.clone(),
                peer,
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
        // A role that only a newer daemon knows is none: nothing can be called with it here.
        let role = token.role.known().map_or(Role::Unspecified, words::role);
        Self {
            operator: format!("token {}", token.name),
            role,
            company: token.company,
            masked: token.masked || role <= Role::Viewer,
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
