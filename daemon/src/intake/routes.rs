//! Which call does what.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    App, accept,
    accept::{Door, Receipt},
    batch, body,
    ledger::Ledger,
    problem::Problem,
    status::Shown,
    views::{Credential, Opened},
};
use crate::domain::ids::LeadId;

/// How long the database may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn router<L: Ledger>(app: Arc<App<L>>) -> Router {
    Router::new()
        .route("/v1/leads", post(post_lead::<L>))
        .route("/v1/leads/batch", post(batch::post_batch::<L>))
        .route("/v1/save_lead", post(post_save_lead::<L>))
        .route("/v1/leads/{uuid}", get(get_lead::<L>))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<L>))
        .route("/metrics", get(metrics::<L>))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

async fn post_lead<L: Ledger>(State(app): State<Arc<App<L>>>, headers: HeaderMap, body: Body) -> Response {
    answer(receive(&app, Door::Leads, &headers, body).await)
}

async fn post_save_lead<L: Ledger>(
    State(app): State<Arc<App<L>>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(receive(&app, Door::SaveLead, &headers, body).await)
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

async fn receive<L: Ledger>(
    app: &App<L>,
    door: Door,
    headers: &HeaderMap,
    body: Body,
) -> Result<Receipt, Problem> {
    let (credential, opened) = match admit(app, headers).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            body::discard(headers, body).await;
            return Err(problem);
        }
    };
    let mut kept = None;
    let received = async {
        if let Err(problem) = check(app, &opened, headers) {
            body::discard(headers, body).await;
            return Err(problem);
        }
        let body = body::read(body).await?;
        kept = Some(body.clone());
        accept::accept(app, door, &credential, opened.clone(), headers, &body).await
    };
    match received.await {
        // A commit would have noticed that the key is revoked by now, but there is none: the sender is a stranger.
        Err(problem) if problem.status().is_client_error() => {
            match app.views.open_current(&credential).await {
                Ok(None) => Err(Problem::unauthorized()),
                _ => {
                    app.refusals.keep(&opened, door.path(), &problem, kept.as_deref());
                    Err(problem)
                }
            }
        }
        received => received,
    }
}

/// What can be refused before the body is read.
fn check<L: Ledger>(app: &App<L>, opened: &Opened, headers: &HeaderMap) -> Result<(), Problem> {
    let rate = opened.rate();
    if let Err(wait) = app.rates.admit(opened.key_id(), rate) {
        return Err(Problem::too_fast(rate.unwrap_or_default(), wait));
    }
    body::check_headers(headers)
}

/// The key first, so that a stranger's body is not even kept.
pub(super) async fn admit<L: Ledger>(
    app: &App<L>,
    headers: &HeaderMap,
) -> Result<(Credential, Opened), Problem> {
    let credential = Credential::read(headers).ok_or_else(Problem::unauthorized)?;
    let opened = app.views.open(&credential).await?.ok_or_else(Problem::unauthorized)?;
    Ok((credential, opened))
}

async fn get_lead<L: Ledger>(
    State(app): State<Arc<App<L>>>,
    uuid: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<Shown>, Problem> {
    let credential = Credential::read(&headers).ok_or_else(Problem::unauthorized)?;
    // Nothing is committed here that would notice a revoked key, so the view must be true now.
    let opened = app.views.open_current(&credential).await?.ok_or_else(Problem::unauthorized)?;
    let lead: LeadId = uuid.ok().and_then(|Path(uuid)| uuid.parse().ok()).ok_or_else(Problem::no_lead)?;
    let status = app.ledger.lead_status(opened.view.id, lead).await?.ok_or_else(Problem::no_lead)?;
    Ok(Json(Shown::new(status)?))
}

async fn ready<L: Ledger>(State(app): State<Arc<App<L>>>) -> Result<&'static str, Problem> {
    let not_ready = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    if !(app.ready)() {
        return Err(not_ready("the daemon is starting or stopping: ask again in a moment"));
    }
    match tokio::time::timeout(READY_TIMEOUT, app.ledger.is_ready()).await {
        Ok(true) => Ok("ready\n"),
        _ => Err(not_ready("the database does not answer: the daemon goes on as soon as it does")),
    }
}

async fn metrics<L: Ledger>(State(app): State<Arc<App<L>>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"))], app.metrics.render())
}

async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path: /openapi.json lists what there is")
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
