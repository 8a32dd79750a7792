//! Calls of an attempt that is traced: each has a span, and tells its target which.

use http::{HeaderName, HeaderValue};

use crate::{
    connectors::{Call, RequestHeader},
    domain::trace::TraceContext,
    telemetry::{TraceSpan, Traces},
};

/// By which a target joins the trace of a lead.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The span of a call, and the call with the header by which its target joins the trace. A header of that name which the
/// operator has set stays.
pub(super) fn traced(attempt: Option<&(Traces, TraceContext)>, call: &Call) -> (TraceSpan, Call) {
    let mut call = call.clone();
    let Some((traces, attempt)) = attempt else { return (TraceSpan::default(), call) };
    let span = match &call {
        Call::Http(request) => {
            traces.call(*attempt, request.method.as_str(), request.url.host_str().unwrap_or_default())
        }
        Call::Mail(mail) => traces.call(*attempt, "SMTP", &mail.host),
    };
    if let (Some(context), Call::Http(request)) = (span.context(), &mut call)
        && request.headers.iter().all(|header| header.name != TRACEPARENT)
        && let Ok(value) = HeaderValue::try_from(context.to_string())
    {
        request.headers.push(RequestHeader { name: TRACEPARENT, value, secret: false });
    }
    (span, call)
}
