//! Which call does what.

use std::{any::Any, net::IpAddr, sync::Arc, time::Instant};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::sleep;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    IntakeApp,
    accept::{Endpoint, Post, Receipt},
    admin::ReadinessReport,
    batch, body,
    client::HttpPeer,
    forms,
    intake_store::IntakeStore,
    problem::ProblemDetails,
    signed,
    status::LeadAnswer,
    views::{Credential, KeyMatch},
};
use crate::{
    domain::ids::LeadId,
    doors::security::{Attempted, AttemptedBy, Patience},
    shares::Share,
};

/// How many leads a second are read with a key that has no rate of its own.
const READS_PER_SECOND: f64 = 100.0;
/// Where leads are posted.
const PATHS: [&str; 3] = ["/v1/leads", "/v1/leads/batch", "/v1/save_lead"];

const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn router<S: IntakeStore>(app: Arc<IntakeApp<S>>) -> Router {
    Router::new()
        .route("/v1/leads", post(post_lead::<S>))
        .route("/v1/leads/batch", post(batch::post_batch::<S>))
        .route("/v1/save_lead", post(post_save_lead::<S>))
        .route("/v1/forms/{form}", post(forms::post_form::<S>))
        .route("/v1/leads/{uuid}", get(get_lead::<S>))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<S>))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&app), around::<S>))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// The client of a request, and the place that it takes.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) address: IpAddr,
    _place: Arc<Share>,
    _peer: Option<HttpPeer>,
}

/// What every request has around it: a place of its client's, and headers that keep its answer where it belongs.
async fn around<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    mut request: Request,
    next: Next,
) -> Response {
    // A page's script may read the answer: there is nothing in it that the page had not shown a key for.
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|_| request.uri().path().starts_with("/v1/"));
    let address = app.settings.proxies.client(request.extensions(), request.headers());
    let mut response = match app.places.client(address) {
        Ok(_) if origin.is_some() && is_preflight(&request) => preflight(),
        Ok(place) => {
            let peer = request.extensions().get::<HttpPeer>().cloned();
            request.extensions_mut().insert(Sender { address, _place: Arc::new(place), _peer: peer });
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// Whether a browser asks what a page may send. It shows no key yet, so the answer is the same for all.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let allowed = "authorization, content-type, prefer, webhook-id, webhook-timestamp, webhook-signature, x-leadline-signature";
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn post_lead<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    Extension(client): Extension<Sender>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(timed(receive(&app, Endpoint::Leads, client, &headers, body)).await)
}

async fn post_save_lead<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    Extension(client): Extension<Sender>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(timed(receive(&app, Endpoint::SaveLead, client, &headers, body)).await)
}

/// Measures how long a sender waits.
async fn timed<T>(received: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let received = received.await;
    metrics::histogram!("leadline_intake_seconds").record(started.elapsed());
    received
}

fn answer(received: Result<Receipt, ProblemDetails>) -> Response {
    match received {
        Ok(receipt) => {
            count(&receipt);
            (StatusCode::ACCEPTED, Json(receipt)).into_response()
        }
        Err(problem) => {
            count_refusal(&problem);
            problem.into_response()
        }
    }
}

pub(super) fn count(receipt: &Receipt) {
    metrics::counter!("leadline_intake_leads_total", "status" => receipt.status).increment(1);
}

pub(super) fn count_refusal(problem: &ProblemDetails) {
    let status = problem.status().as_str().to_owned();
    metrics::counter!("leadline_intake_refusals_total", "status" => status).increment(1);
}

async fn receive<S: IntakeStore>(
    app: &IntakeApp<S>,
    endpoint: Endpoint,
    client: Sender,
    headers: &HeaderMap,
    body: Body,
) -> Result<Receipt, ProblemDetails> {
    let admitted = admit(app, &client, headers).await;
    let admitted = admitted.and_then(|(credential, matched)| {
        let place = app.places.request(matched.key_id(), matched.view.id)?;
        Ok((credential, matched, place))
    });
    let (credential, matched, place) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            body::discard(headers, body, client).await;
            return Err(problem);
        }
    };
    let room = app.places.room(matched.view.id);
    let (mut kept, address) = (None, client.address);
    let held = (client, place);
    let received = async {
        let allowed = check_origin(app, &held.0, &credential, &matched, headers).await;
        let checked = allowed.and_then(|()| check(app, &matched, headers));
        if let Err(problem) = checked {
            body::discard(headers, body, held).await;
            return Err(problem);
        }
        let (body, _room, _held) = body::read(body, room, held).await?;
        kept = Some(body.clone());
        let post = Post { endpoint, credential: &credential, headers, body: &body };
        signed::accept_once(app, post, matched.clone()).await
    };
    match received.await {
        // A commit would have noticed that the key is revoked by now, but there is none: the sender is a stranger.
        Err(problem) if problem.status().is_client_error() => {
            if problem.status() == StatusCode::UNAUTHORIZED {
                app.security.note(Attempted::WrongSignature, address, matched.holder());
            }
            match app.views.open_current(&credential).await {
                Ok(None) => Err(credential.unknown()),
                _ => {
                    app.refusals.keep(&matched, endpoint.path(), &problem, kept.as_deref());
                    Err(problem)
                }
            }
        }
        received => received,
    }
}

/// Refuses pages of browsers that may not use the key; a view that may be old is not enough to refuse one.
pub(super) async fn check_origin<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: &Sender,
    credential: &Credential,
    matched: &KeyMatch,
    headers: &HeaderMap,
) -> Result<(), ProblemDetails> {
    let Err(problem) = matched.check_origin(headers) else { return Ok(()) };
    let current = app.views.open_current(credential).await?;
    if current.is_some_and(|current| current.check_origin(headers).is_ok()) {
        return Ok(());
    }
    app.security.note(Attempted::ForeignOrigin, client.address, matched.holder());
    Err(problem)
}

/// What can be refused before the body is read.
fn check<S: IntakeStore>(
    app: &IntakeApp<S>,
    matched: &KeyMatch,
    headers: &HeaderMap,
) -> Result<(), ProblemDetails> {
    let rate = matched.rate();
    if let Err(wait) = app.rates.admit(matched.key_id(), rate) {
        return Err(ProblemDetails::too_fast(rate.unwrap_or_default(), wait));
    }
    body::check_headers(headers)
}

/// The key first, so that a stranger's body is not even kept. Who tries many keys waits for each answer, and at last is
/// not even looked for; a key that is known is never kept waiting for what its neighbours tried.
pub(super) async fn admit<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: &Sender,
    headers: &HeaderMap,
) -> Result<(Credential, KeyMatch), ProblemDetails> {
    let mut by = AttemptedBy::default();
    if let Some(credential) = Credential::read(headers) {
        by = credential.claimed();
        if let Some(matched) = app.views.kept_match(&credential) {
            app.used_keys.note(&matched);
            return Ok((credential, matched));
        }
        if app.security.patience(Attempted::WrongKey, client.address) != Patience::None
            && let Some(matched) = app.views.open(&credential).await?
        {
            app.used_keys.note(&matched);
            return Ok((credential, matched));
        }
    }
    let patience = app.security.wrong(Attempted::WrongKey, client.address, by);
    let unknown = ProblemDetails::unauthorized_for(headers);
    Err(turn_away(patience, unknown, ProblemDetails::too_many_wrong_keys()).await)
}

/// What a client is told of what opens nothing: at once, after a wait, or that it has tried too many.
pub(super) async fn turn_away(
    patience: Patience,
    unknown: ProblemDetails,
    too_many: ProblemDetails,
) -> ProblemDetails {
    match patience {
        Patience::Full => unknown,
        Patience::Short(wait) => {
            sleep(wait).await;
            unknown
        }
        Patience::None => too_many,
    }
}

async fn get_lead<S: IntakeStore>(
    State(app): State<Arc<IntakeApp<S>>>,
    Extension(client): Extension<Sender>,
    uuid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<LeadAnswer>, ProblemDetails> {
    let (credential, _) = admit(&app, &client, &headers).await?;
    // Nothing is committed here that would notice a revoked key, so the view must be true now.
    let matched = app.views.open_current(&credential).await?.ok_or_else(ProblemDetails::unauthorized)?;
    may_read(&app, &client, &matched, &headers)?;
    let lead: LeadId =
        uuid.ok().and_then(|Path(uuid)| uuid.parse().ok()).ok_or_else(ProblemDetails::no_lead)?;
    let status = app.store.lead_status(matched.view.id, lead).await?.ok_or_else(ProblemDetails::no_lead)?;
    let shown = LeadAnswer::new(status)?;
    app.readings.note(&matched, lead).await?;
    Ok(Json(shown))
}

/// Reading is a right of its own, and wants the signature that the key wants.
fn may_read<S: IntakeStore>(
    app: &IntakeApp<S>,
    client: &Sender,
    matched: &KeyMatch,
    headers: &HeaderMap,
) -> Result<(), ProblemDetails> {
    matched
        .check_origin(headers)
        .inspect_err(|_| app.security.note(Attempted::ForeignOrigin, client.address, matched.holder()))?;
    if !matched.may_read() {
        app.security.note(Attempted::ReadWithoutRight, client.address, matched.holder());
        return Err(ProblemDetails::may_not_read());
    }
    if matched.admits(headers, b"", jiff::Timestamp::now().into()).is_none() {
        app.security.note(Attempted::WrongSignature, client.address, matched.holder());
        return Err(matched.unsigned());
    }
    let rate = matched.rate().unwrap_or(READS_PER_SECOND);
    app.read_rates.admit(matched.key_id(), Some(rate)).map_err(ProblemDetails::too_many_reads)
}

/// Without saying why: that is for operators to know.
async fn ready<S: IntakeStore>(State(app): State<Arc<IntakeApp<S>>>) -> Result<&'static str, ProblemDetails> {
    match ReadinessReport::of(&app).await.status() {
        StatusCode::OK => Ok("ready\n"),
        status => Err(ProblemDetails::new(status, "leads cannot be taken in now: ask again in a moment")),
    }
}

async fn no_such_path(uri: Uri) -> ProblemDetails {
    let detail = match uri.path().strip_suffix('/') {
        Some(path) if PATHS.contains(&path) => {
            format!("there is nothing at {path}/: leave out the slash at its end")
        }
        _ => "there is nothing at this path: /openapi.json lists what there is".to_owned(),
    };
    ProblemDetails::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(method: Method) -> ProblemDetails {
    ProblemDetails::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path does not take {method}: use a method that the Allow header names"),
    )
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    ProblemDetails::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request failed inside the daemon: please report it with what the daemon's log says",
    )
    .into_response()
}
