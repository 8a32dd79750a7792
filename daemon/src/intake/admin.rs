//! What operators' machines ask: health in detail, and metrics. On a listener of its own, because the address that takes
//! leads in is open to the world.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{IntakeApp, intake_store::IntakeStore};
use crate::telemetry::FaultCounts;

/// How long the database may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn router<S: IntakeStore>(app: Arc<IntakeApp<S>>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<S>))
        .route("/metrics", get(metrics::<S>))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics here\n") })
        .with_state(app)
}

/// What must be up, what is, and what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReadinessReport {
    ready: bool,
    /// The other parts of the daemon.
    daemon: bool,
    database: bool,
    /// Since the daemon started. They do not make it unready: what a panic held was given back.
    panics: u64,
    log_lines_lost: u64,
}

impl ReadinessReport {
    pub(super) async fn of<S: IntakeStore>(app: &IntakeApp<S>) -> Self {
        let daemon = (app.settings.ready)();
        let database = tokio::time::timeout(READY_TIMEOUT, app.store.is_ready()).await.unwrap_or(false);
        let FaultCounts { panics, log_lines_lost } = (app.settings.faults)();
        Self { ready: daemon && database, daemon, database, panics, log_lines_lost }
    }

    /// 200 or 503.
    pub(super) fn status(self) -> StatusCode {
        if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    }
}

async fn ready<S: IntakeStore>(State(app): State<Arc<IntakeApp<S>>>) -> Response {
    let readiness = ReadinessReport::of(&app).await;
    (readiness.status(), Json(readiness)).into_response()
}

async fn metrics<S: IntakeStore>(State(app): State<Arc<IntakeApp<S>>>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, kind)], app.settings.metrics.render())
}
