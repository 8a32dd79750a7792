//! Traces over OTLP: a span for each lead that is taken in, one for each attempt below it, and one for each call of an
//! attempt, whose `traceparent` the target gets. Off unless an endpoint is given.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan, SpanData},
};

use crate::domain::trace::TraceContext;

/// How long the last spans may take when the daemon stops.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// A collector, `http://HOST:PORT`.
    pub endpoint: String,
    /// Which share of the leads is traced whose sender does not say whether they are: 0 to 1.
    pub share: f64,
}

/// Says what keeps spans from their collector, where the library that exports them is silent.
#[derive(Debug)]
struct ToldExporter(SpanExporter);

impl opentelemetry_sdk::trace::SpanExporter for ToldExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.0.export(batch).await;
        if let Err(error) = &exported {
            tracing::warn!(
                event = "spans_lost",
                spans,
                error = super::causes(error),
                "the collector did not take spans, which are lost: `leadlined doctor` looks whether it is there"
            );
            metrics::counter!("leadline_spans_lost_total").increment(spans as u64);
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Makes spans. Those of a daemon without a collector cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Exporting>>);

struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl fmt::Debug for Exporting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporting")
    }
}

impl Traces {
    /// Starts what exports. The collector need not be there: what it does not take is lost.
    pub fn start(settings: Option<&TraceSettings>) -> Result<Self, ExporterBuildError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&settings.endpoint).build()?;
        let share = Sampler::TraceIdRatioBased(settings.share);
        let resource = Resource::builder()
            .with_service_name("leadlined")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(ToldExporter(exporter))
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("leadlined");
        Ok(Self(Some(Arc::new(Exporting { provider, tracer }))))
    }

    /// A lead that is taken in at `route`, below what its sender says in `traceparent`.
    #[must_use]
    pub fn intake(&self, route: &'static str, traceparent: Option<&str>) -> TraceSpan {
        self.span(traceparent.and_then(TraceContext::parse), || {
            let attributes = vec![KeyValue::new("http.route", route)];
            SpanBuilder::from_name(format!("POST {route}"))
                .with_kind(SpanKind::Server)
                .with_attributes(attributes)
        })
    }

    /// An attempt, below the event that it pushes.
    #[must_use]
    pub fn attempt(
        &self,
        event: Option<TraceContext>,
        attributes: impl FnOnce() -> [(&'static str, String); 4],
    ) -> TraceSpan {
        // What was taken in while nobody traced begins no trace later.
        if event.is_none() {
            return TraceSpan::default();
        }
        self.span(event, || {
            let attributes = attributes().map(|(name, value)| KeyValue::new(name, value));
            SpanBuilder::from_name("push").with_kind(SpanKind::Consumer).with_attributes(attributes)
        })
    }

    /// A call of an attempt.
    #[must_use]
    pub fn call(&self, attempt: TraceContext, method: &str, host: &str) -> TraceSpan {
        self.span(Some(attempt), || {
            let attributes = [
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("server.address", host.to_owned()),
            ];
            SpanBuilder::from_name(method.to_owned()).with_kind(SpanKind::Client).with_attributes(attributes)
        })
    }

    fn span(&self, parent: Option<TraceContext>, build: impl FnOnce() -> SpanBuilder) -> TraceSpan {
        let Some(exporting) = &self.0 else { return TraceSpan::default() };
        let above = parent.map_or_else(Context::new, |parent| {
            let flags = TraceFlags::new(parent.flags) & TraceFlags::SAMPLED;
            let (trace, span) = (TraceId::from_bytes(parent.trace_id), SpanId::from_bytes(parent.span_id));
            Context::new().with_remote_span_context(SpanContext::new(
                trace,
                span,
                flags,
                true,
                TraceState::NONE,
            ))
        });
        let span = build().start_with_context(&exporting.tracer, &above);
        TraceSpan(Some(Box::new(span)))
    }

    /// Exports what is left, and waits for it, though not for long. It blocks.
    pub fn stop(&self) {
        if let Some(exporting) = &self.0
            && let Err(error) = exporting.provider.shutdown_with_timeout(FLUSH_PATIENCE)
        {
            tracing::warn!(
                event = "traces_lost",
                error = super::causes(&error),
                "the last traces did not reach their collector"
            );
        }
    }
}

/// What is traced, until it is dropped; nothing where nobody traces. Boxed, because the futures that hold it are copied.
#[derive(Default)]
pub struct TraceSpan(Option<Box<SdkSpan>>);

impl fmt::Debug for TraceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSpan")
    }
}

impl TraceSpan {
    /// What stands below it goes by this.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.as_ref()?.span_context();
        Some(TraceContext {
            trace_id: context.trace_id().to_bytes(),
            span_id: context.span_id().to_bytes(),
            flags: context.trace_flags().to_u8(),
        })
    }

    /// Says something more of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// It failed, in a word that holds nothing of a person.
    pub fn fail(&mut self, how: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", how));
            span.set_status(Status::error(how));
        }
    }
}
