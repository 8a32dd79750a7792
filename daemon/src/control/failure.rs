//! Failures, grouped by cause.

use jiff::{Timestamp, ToSpan as _};
use leadline_proto::v1::{self, failure_service_server::FailureService};
use serde_json::json;
use tonic::{Request, Response};

use super::{Control, Reply, check, convert, words};
use crate::{
    domain::{
        cause::{self, Action, CauseId},
        money,
    },
    store::{
        failure::list::{FailingIntegration, FailureFilter, FailureView},
        operator::command::Refusal,
    },
};

#[tonic::async_trait]
impl FailureService for Control {
    async fn list_failures(
        &self,
        request: Request<v1::ListFailuresRequest>,
    ) -> Reply<v1::ListFailuresResponse> {
        let request = request.into_inner();
        let (limit, token) = check::page(request.page_size, &request.page_token)?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let skip = match token {
            "" => 0,
            token => token.parse().map_err(|_| check::not_a_page(token))?,
        };
        let mut filter = FailureFilter {
            company: self.store.find_optional_company(check::optional(&request.company)).await?,
            since: convert::read_time("since", request.since.as_ref())?,
            classes: words::read_failure_classes(&request.failure_classes)?,
            include_snoozed: request.include_snoozed,
            ..FailureFilter::default()
        };
        if let Some(integration) = check::optional(&request.integration) {
            let company = check::optional(&request.company);
            let lane = self.store.find_integration(company, integration).await?;
            (filter.company, filter.integration) = (Some(lane.company), Some(lane.integration));
        }
        let found = self.store.for_lists().await.failures(&filter, skip, limit).await?;
        let next = skip.saturating_add(limit);
        Ok(Response::new(v1::ListFailuresResponse {
            failures: found.page.into_iter().map(v1::Failure::from).collect(),
            next_page_token: if found.has_more { next.to_string() } else { String::new() },
            deliveries: convert::count(found.deliveries),
            deliveries_exact: found.deliveries_exact,
            leads: convert::count(found.leads),
            leads_exact: found.leads_exact,
            snoozed: convert::count(found.snoozed),
        }))
    }

    async fn get_failure(&self, request: Request<v1::GetFailureRequest>) -> Reply<v1::GetFailureResponse> {
        let request = request.into_inner();
        let company = self.store.find_optional_company(check::optional(&request.company)).await?;
        let failure = self.store.for_lists().await.failure(company, cause_id(&request.cause)?).await?;
        Ok(Response::new(v1::GetFailureResponse { failure: Some(failure.into()) }))
    }

    async fn snooze_failure(
        &self,
        request: Request<v1::SnoozeFailureRequest>,
    ) -> Reply<v1::SnoozeFailureResponse> {
        self.mutate(request, |mut command, request| async move {
            let cause = cause_id(&request.cause)?;
            let until = snoozed_until(&request)?;
            let snoozed = command.snooze_cause(cause, until).await?;
            for company in snoozed.companies {
                let state = |at: Option<Timestamp>| at.map(|at| json!({ "snoozed_until": at.to_string() }));
                command
                    .audit(company, &format!("cause {cause}"), state(snoozed.before), state(until))
                    .await?;
            }
            let answer = v1::SnoozeFailureResponse {
                cause: cause.to_string(),
                snoozed_until: until.map(convert::time),
            };
            Ok((command, answer))
        })
        .await
    }
}

/// Until when a request wants a cause snoozed; none ends it.
fn snoozed_until(request: &v1::SnoozeFailureRequest) -> Result<Option<Timestamp>, Refusal> {
    let until = convert::read_time("until", request.until.as_ref())?;
    let span = words::read_duration("span", request.span.as_ref())?;
    match (until, span) {
        (Some(_), Some(_)) => check::invalid("send either until or span, not both"),
        (Some(until), None) => Ok(Some(until)),
        (None, Some(span)) => {
            let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
            Ok(Timestamp::now().checked_add(seconds.seconds()).ok())
        }
        (None, None) => Ok(None),
    }
}

impl From<FailureView> for v1::Failure {
    fn from(view: FailureView) -> Self {
        let (sample_delivery_id, sample_error) = match view.sample {
            Some((id, error)) => (id.to_string(), error),
            None => Default::default(),
        };
        let money = view.money.into_iter().map(|(currency, minor)| {
            let amount = money::decimal(minor.into(), &currency);
            v1::Money { currency, minor, amount }
        });
        let trend = view.trend.into_iter().map(convert::trend_point);
        let class = view.class.known();
        Self {
            cause: view.cause.to_string(),
            connector: view.connector,
            failure_class: v1::FailureClass::from_word(view.class.as_str()).unwrap_or_default().into(),
            text: view.text,
            sample_error,
            sample_delivery_id,
            deliveries: convert::count(view.dead + view.retrying),
            dead: convert::count(view.dead),
            retrying: convert::count(view.retrying),
            deliveries_exact: view.deliveries_exact,
            leads: convert::count(view.leads),
            leads_exact: view.leads_exact,
            money: money.collect(),
            integrations: view.places.into_iter().map(v1::FailureIntegration::from).collect(),
            first_at: Some(convert::time(view.first_at)),
            last_at: Some(convert::time(view.last_at)),
            trend: trend.collect(),
            changed_before: view.changed_before.into_iter().map(v1::AuditLine::from).collect(),
            advice: class.map(cause::advice).unwrap_or_default().to_owned(),
            actions: class
                .map(cause::actions)
                .unwrap_or_default()
                .iter()
                .map(|action| action_of(*action).into())
                .collect(),
            snoozed_until: view.snoozed_until.map(convert::time),
        }
    }
}

impl From<FailingIntegration> for v1::FailureIntegration {
    fn from(place: FailingIntegration) -> Self {
        Self {
            id: place.integration.to_string(),
            name: place.name,
            company_id: place.company.0,
            company_name: place.company_name,
            deliveries: convert::count(place.deliveries),
        }
    }
}

const fn action_of(action: Action) -> v1::FailureAction {
    match action {
        Action::ReplaceCredentials => v1::FailureAction::ReplaceCredentials,
        Action::EditMapping => v1::FailureAction::EditMapping,
        Action::EditConfig => v1::FailureAction::EditConfig,
        Action::Test => v1::FailureAction::Test,
        Action::Retry => v1::FailureAction::Retry,
        Action::RetryReRendered => v1::FailureAction::RetryReRendered,
        Action::Wait => v1::FailureAction::Wait,
        Action::Skip => v1::FailureAction::Skip,
    }
}

impl super::mutate::Mutating for v1::SnoozeFailureRequest {
    const METHOD: &'static str = "SnoozeFailure";

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

/// The id of a cause.
pub(super) fn cause_id(text: &str) -> Result<CauseId, Refusal> {
    text.parse().map_err(|error| Refusal::Invalid(format!("cause {text:?} is {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snooze_ends_at_a_time_or_behind_a_span() {
        let until = Some(prost_types::Timestamp { seconds: 60, nanos: 0 });
        let span = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let asked = |until, span| v1::SnoozeFailureRequest { until, span, ..Default::default() };
        assert_eq!(snoozed_until(&asked(None, None)).unwrap(), None);
        assert_eq!(snoozed_until(&asked(until, None)).unwrap(), Timestamp::from_second(60).ok());
        assert!(snoozed_until(&asked(None, span)).unwrap().unwrap() > Timestamp::now());
        let both = snoozed_until(&asked(until, span)).unwrap_err();
        assert_eq!(both.to_string(), "send either until or span, not both");
    }
}
