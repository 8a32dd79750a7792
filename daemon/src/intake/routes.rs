//! Which call does what.

use std::{any::Any, net::IpAddr, sync::Arc};

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
    App,
    accept::{self, Endpoint, Receipt},
    admin::Readiness,
    batch, body,
    client::Peer,
    intake_store::IntakeStore,
    problem::Problem,
    security::{Attempted, Patience},
    status::Shown,
    views::{Credential, KeyMatch},
};
use crate::{compute::Share, domain::ids::LeadId};

/// Where leads are posted.
const PATHS: [&str; 3] = ["/v1/leads", "/v1/leads/batch", "/v1/save_lead"];

const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn router<S: IntakeStore>(app: Arc<App<S>>) -> Router {
    Router::new()
        .route("/v1/leads", post(post_lead::<S>))
        .route("/v1/leads/batch", post(batch::post_batch::<S>))
        .route("/v1/save_lead", post(post_save_lead::<S>))
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
pub(super) struct Client {
    pub(super) address: IpAddr,
    _place: Arc<Share>,
    _peer: Option<Peer>,
}

/// What every request has around it: a place of its client's, and headers that keep its answer where it belongs.
async fn around<S: IntakeStore>(
    State(app): State<Arc<App<S>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = app.settings.proxies.client(request.extensions(), request.headers());
    let mut response = match app.places.client(address) {
        Ok(place) => {
            let peer = request.extensions().get::<Peer>().cloned();
            request.extensions_mut().insert(Client { address, _place: Arc::new(place), _peer: peer });
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn post_lead<S: IntakeStore>(
    State(app): State<Arc<App<S>>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(receive(&app, Endpoint::Leads, &client, &headers, body).await)
}

async fn post_save_lead<S: IntakeStore>(
    State(app): State<Arc<App<S>>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(receive(&app, Endpoint::SaveLead, &client, &headers, body).await)
}

fn answer(received: Result<Receipt, Problem>) -> Response {
    match received {
        Ok(receipt) => {
            metrics::counter!("leadline_intake_leads_total", "status" => receipt.status).increment(1);
            (StatusCode::ACCEPTED, Json(receipt)).into_response()
        }
        Err(problem) => {
            let status = problem.status().as_str().to_owned();
            metrics::counter!("leadline_intake_refusals_total", "status" => status).increment(1);
            problem.into_response()
        }
    }
}

async fn receive<S: IntakeStore>(
    app: &App<S>,
    endpoint: Endpoint,
    client: &Client,
    headers: &HeaderMap,
    body: Body,
) -> Result<Receipt, Problem> {
    let admitted = admit(app, client, headers).await;
    let admitted = admitted.and_then(|(credential, matched)| {
        let place = app.places.request(matched.key_id(), matched.view.id)?;
        Ok((credential, matched, place))
    });
    let (credential, matched, _place) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => {
            body::discard(headers, body).await;
            return Err(problem);
        }
    };
    let mut room = app.places.room(matched.view.id);
    let mut kept = None;
    let received = async {
        if let Err(problem) = check(app, &matched, headers) {
            body::discard(headers, body).await;
            return Err(problem);
        }
        let body = body::read(body, &mut room).await?;
        kept = Some(body.clone());
        accept::accept(app, endpoint, &credential, matched.clone(), headers, &body).await
    };
    match received.await {
        // A commit would have noticed that the key is revoked by now, but there is none: the sender is a stranger.
        Err(problem) if problem.status().is_client_error() => {
            if problem.status() == StatusCode::UNAUTHORIZED {
                app.security.note(Attempted::WrongSignature, client.address);
            }
            match app.views.open_current(&credential).await {
                Ok(None) => Err(Problem::unauthorized()),
                _ => {
                    app.refusals.keep(&matched, endpoint.path(), &problem, kept.as_deref());
                    Err(problem)
                }
            }
        }
        received => received,
    }
}

/// What can be refused before the body is read.
fn check<S: IntakeStore>(app: &App<S>, matched: &KeyMatch, headers: &HeaderMap) -> Result<(), Problem> {
    let rate = matched.rate();
    if let Err(wait) = app.rates.admit(matched.key_id(), rate) {
        return Err(Problem::too_fast(rate.unwrap_or_default(), wait));
    }
    body::check_headers(headers)
}

/// The key first, so that a stranger's body is not even kept. Who tries many keys waits for each answer, and at last is
/// not even looked for; a key that is known is never kept waiting for what its neighbours tried.
pub(super) async fn admit<S: IntakeStore>(
    app: &App<S>,
    client: &Client,
    headers: &HeaderMap,
) -> Result<(Credential, KeyMatch), Problem> {
    if let Some(credential) = Credential::read(headers) {
        if let Some(matched) = app.views.kept_match(&credential) {
            return Ok((credential, matched));
        }
        if app.security.patience(client.address) != Patience::None
            && let Some(matched) = app.views.open(&credential).await?
        {
            return Ok((credential, matched));
        }
    }
    Err(wrong_key(app, client).await)
}

async fn wrong_key<S: IntakeStore>(app: &App<S>, client: &Client) -> Problem {
    match app.security.wrong_key(client.address) {
        Patience::Full => Problem::unauthorized(),
        Patience::Short(wait) => {
            sleep(wait).await;
            Problem::unauthorized()
        }
        Patience::None => Problem::too_many_wrong_keys(),
    }
}

async fn get_lead<S: IntakeStore>(
    State(app): State<Arc<App<S>>>,
    Extension(client): Extension<Client>,
    uuid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Shown>, Problem> {
    let (credential, _) = admit(&app, &client, &headers).await?;
    // Nothing is committed here that would notice a revoked key, so the view must be true now.
    let matched = app.views.open_current(&credential).await?.ok_or_else(Problem::unauthorized)?;
    let lead: LeadId = uuid.ok().and_then(|Path(uuid)| uuid.parse().ok()).ok_or_else(Problem::no_lead)?;
    let status = app.store.lead_status(matched.view.id, lead).await?.ok_or_else(Problem::no_lead)?;
    Ok(Json(Shown::new(status)?))
}

/// Without saying why: that is for operators to know.
async fn ready<S: IntakeStore>(State(app): State<Arc<App<S>>>) -> Result<&'static str, Problem> {
    match Readiness::of(&app).await.status() {
        StatusCode::OK => Ok("ready\n"),
        status => Err(Problem::new(status, "leads cannot be taken in now: ask again in a moment")),
    }
}

async fn no_such_path(uri: Uri) -> Problem {
    let detail = match uri.path().strip_suffix('/') {
        Some(path) if PATHS.contains(&path) => {
            format!("there is nothing at {path}/: leave out the slash at its end")
        }
        _ => "there is nothing at this path: /openapi.json lists what there is".to_owned(),
    };
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path does not take {method}: use a method that the Allow header names"),
    )
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the request failed inside the daemon: please report it with what the daemon's log says",
    )
    .into_response()
}
