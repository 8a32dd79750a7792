//! What answers say, in the words and numbers that commands and screens share.

use std::time::Duration;

use leadline_proto::v1;

/// Why nothing would be pushed, in a word: delivered, or the class of what keeps it; empty where something would be.
#[must_use]
pub fn outcome(preview: &v1::PreviewIntegrationResponse) -> &'static str {
    match preview.outcome() {
        v1::PreviewOutcome::Failed => preview.failure_class().word(),
        other => other.word(),
    }
}

/// A span of the API.
#[must_use]
pub fn span(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// How many seconds a span has.
#[must_use]
pub fn seconds(span: prost_types::Duration) -> f64 {
    span.seconds as f64 + f64::from(span.nanos) / 1e9
}

/// How many whole milliseconds a span has.
#[must_use]
pub fn millis(span: prost_types::Duration) -> u32 {
    let millis = span.seconds.saturating_mul(1000).saturating_add(i64::from(span.nanos / 1_000_000));
    u32::try_from(millis.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_without_a_request_says_why() {
        let preview = |outcome: v1::PreviewOutcome| v1::PreviewIntegrationResponse {
            outcome: outcome.into(),
            failure_class: v1::FailureClass::Mapping.into(),
            ..Default::default()
        };
        assert_eq!(outcome(&preview(v1::PreviewOutcome::Failed)), "mapping");
        assert_eq!(outcome(&preview(v1::PreviewOutcome::Delivered)), "delivered");
        assert_eq!(outcome(&preview(v1::PreviewOutcome::Unspecified)), "");
    }

    #[test]
    fn a_span_keeps_its_fractions_and_its_bounds() {
        let half = span(Duration::from_millis(1500));
        assert_eq!((seconds(half), millis(half)), (1.5, 1500));
        let long = span(Duration::MAX);
        assert_eq!((long.seconds, millis(long)), (i64::MAX, u32::MAX));
        assert_eq!(millis(prost_types::Duration { seconds: -1, nanos: 0 }), 0);
    }
}
