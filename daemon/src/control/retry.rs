//! Manual retries: one, many by filter, or only how many and how long.

use std::collections::BTreeMap;

use leadline_proto::v1;
use serde_json::json;
use tonic::{Request, Response};

use super::{
    Control, Reply, check, job, mutate,
    targets::{AuditTally, Forecast, Selection, audited, batches, has_scope, refuse_unknown},
    words,
};
use crate::{
    domain::{
        delivery::Reason,
        delivery::State,
        ids::{CompanyId, DeliveryId},
    },
    store::{
        delivery::read::{Order, Target},
        job::{JobLane, JobWork},
        operator::{
            command::{Mutation, Refusal},
            refusal::{Known, RefusalReason},
        },
        queue::retry::RetryOptions,
    },
};

/// So many may go with the new leads; more take their turn behind them.
const NAMED_MAX: usize = 50;

impl Control {
    pub(super) async fn retry(
        &self,
        request: Request<v1::RetryDeliveriesRequest>,
    ) -> Reply<v1::RetryDeliveriesResponse> {
        if request.get_ref().dry_run {
            let meant = self.to_retry(request.get_ref()).await?;
            let pace = job::per_second(request.get_ref().per_second)?;
            return Ok(Response::new(self.forecast(&meant, pace).await?.into()));
        }
        let (call, request) = mutate::call(request).await?;
        if let Some(answer) = self.answered(&call).await? {
            return Ok(answer);
        }
        let meant = self.to_retry(&request).await?;
        let pace = job::per_second(request.per_second)?;
        let forecast = self.forecast(&meant, pace).await?.into();
        match meant {
            Selection::Named(_) if pace.is_some() => {
                check::invalid("per_second: it is a job that keeps a pace, send a filter").map_err(Into::into)
            }
            Selection::Named(targets) => self.retry_named(&call, request.re_render, &targets, forecast).await,
            Selection::Found { filter, lanes } => {
                let kept = request.filter.as_ref().map(audited).unwrap_or_default();
                let work = (JobWork::Retry { filter: &filter, re_render: request.re_render }, pace);
                self.start_job(&call, work, &lanes, (kept, forecast)).await
            }
        }
    }

    async fn retry_named(
        &self,
        call: &Mutation,
        re_render: bool,
        targets: &[Target],
        forecast: v1::RetryDeliveriesResponse,
    ) -> Reply<v1::RetryDeliveriesResponse> {
        let mut batches = batches(targets);
        let (mut pushed, mut tally) = (Vec::new(), AuditTally::named(targets));
        tally.show(targets);
        let options =
            RetryOptions { is_bulk: targets.len() > NAMED_MAX, re_render, ..RetryOptions::default() };
        // A few are retried as a whole or, where one of them is refused, not at all. Of more none is refused, and each
        // batch is safe to repeat: what is pending already is left alone.
        let early = if options.is_bulk { batches.len().saturating_sub(1) } else { 0 };
        let together = batches.split_off(early);
        for (company, batch) in batches {
            let mut command = self.store.batch(call).await?;
            pushed.extend(command.retry(company, &batch, options).await?);
            tally.audit(&mut command, call, None, None).await?;
            command.commit().await?;
        }
        self.carry_out(call, |mut command| async {
            for (company, batch) in together {
                pushed.extend(command.retry(company, &batch, options).await?);
            }
            tally.audit(&mut command, call, None, None).await?;
            let (count, ids) = (pushed.len() as u64, pushed.iter().map(ToString::to_string).collect());
            Ok((command, v1::RetryDeliveriesResponse { count, pushed: ids, ..forecast }))
        })
        .await
    }

    async fn start_job(
        &self,
        call: &Mutation,
        (work, per_second): (JobWork<'_>, Option<f64>),
        lanes: &[JobLane],
        (kept, forecast): (serde_json::Value, v1::RetryDeliveriesResponse),
    ) -> Reply<v1::RetryDeliveriesResponse> {
        self.carry_out(call, |mut command| async {
            if lanes.is_empty() {
                return Ok((command, forecast));
            }
            let job = command.create_job(work, per_second, lanes).await?;
            let mut companies: BTreeMap<i64, i64> = BTreeMap::new();
            for lane in lanes {
                *companies.entry(lane.id.company.0).or_default() += lane.total;
            }
            for (company, count) in companies {
                let after = json!({ "count": count, "re_render": work.is_re_rendered(), "per_second": per_second, "request_id": call.request_id, "filter": kept });
                command.audit(CompanyId(company), &format!("job {job}"), None, Some(after)).await?;
            }
            Ok((command, v1::RetryDeliveriesResponse { job_id: job.to_string(), ..forecast }))
        })
        .await
    }

    /// The deliveries that a request means; refused if one of those named cannot be retried.
    async fn to_retry(&self, request: &v1::RetryDeliveriesRequest) -> Result<Selection, Refusal> {
        match (&request.ids[..], &request.filter) {
            ([], Some(asked)) => {
                has_scope(asked)?;
                let mut filter = self.delivery_filter(asked).await?;
                filter.states = retried_states(asked, &filter.states)?;
                // Named, a disabled integration is refused; among many, it is left out.
                filter.enabled_only = filter.integration.is_none();
                filter.known_only = true;
                let one = self.store.targets_page(&filter, Order::OldestFirst, None, 1).await?;
                one.iter().try_for_each(refuse_disabled)?;
                self.found(filter).await
            }
            ([], None) => check::invalid("name deliveries to retry, or send a filter"),
            (_, Some(_)) => check::invalid("send either ids or a filter, not both"),
            (ids, None) => {
                let targets = self.named(ids).await?;
                targets.iter().try_for_each(refuse_named)?;
                Ok(Selection::Named(targets))
            }
        }
    }
}

impl From<Forecast> for v1::RetryDeliveriesResponse {
    fn from(forecast: Forecast) -> Self {
        let Forecast { count, seconds, sample } = forecast;
        Self { count, estimated_duration: Some(words::seconds(seconds)), sample, ..Self::default() }
    }
}

/// The states that a filter retries: dead ones unless it names others.
fn retried_states(asked: &v1::DeliveryFilter, states: &[State]) -> Result<Vec<State>, Refusal> {
    if asked.waiting {
        if !states.is_empty() {
            return check::invalid("waiting: leave the states out, only pending ones wait");
        }
        return Ok(vec![State::Pending]);
    }
    if asked.undelivered {
        return Ok(vec![State::Pending, State::Dead]);
    }
    if states.contains(&State::Held) {
        return Err(
            Known::new(RefusalReason::DeliveryHeld, "held deliveries are released, not retried").into()
        );
    }
    if states.contains(&State::Skipped) {
        let message = "skipped deliveries are not retried: push their leads anew";
        return Err(Known::new(RefusalReason::DeliverySkipped, message).into());
    }
    Ok(if states.is_empty() { vec![State::Dead] } else { states.to_vec() })
}

fn refuse_disabled(target: &Target) -> Result<(), Refusal> {
    if target.enabled {
        return Ok(());
    }
    Err(Refusal::State(format!("integration {:?} is disabled: enable it first", target.integration_name)))
}

/// Refuses a delivery that was named and cannot be retried.
fn refuse_named(target: &Target) -> Result<(), Refusal> {
    let id = DeliveryId::from(target.id);
    let reason = target.reason.as_ref().map(Reason::text).unwrap_or_default();
    match target.state.known() {
        None => Err(refuse_unknown(target)),
        Some(State::Held) => {
            let message = format!("delivery {id} is held ({reason}): it is released, not retried");
            Err(Known::new(RefusalReason::DeliveryHeld, message).about("delivery", id).into())
        }
        Some(State::Skipped) => {
            let message =
                format!("delivery {id} is skipped ({reason}) and not pushed any more: push its lead anew");
            Err(Known::new(RefusalReason::DeliverySkipped, message).about("delivery", id).into())
        }
        _ if target.reason == Some(Reason::Erased) => Err(Refusal::State(format!(
            "delivery {id} is of a lead that was erased: there is nothing left to push"
        ))),
        _ => refuse_disabled(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::IntegrationId;

    fn target(company_id: i64, state: State, enabled: bool) -> Target {
        Target {
            company_id,
            integration_id: IntegrationId::generate().uuid(),
            id: DeliveryId::generate().uuid(),
            state: state.into(),
            reason: Some(Reason::IntegrationDisabled),
            integration_name: "crm".to_owned(),
            enabled,
        }
    }

    #[test]
    fn what_cannot_be_retried_is_refused_with_the_way_out() {
        for state in [State::Dead, State::Delivered, State::Pending] {
            assert!(refuse_named(&target(7, state, true)).is_ok());
            let erased = Target { reason: Some(Reason::Erased), ..target(7, state, true) };
            let reported = refuse_named(&erased).unwrap_err().to_string();
            let id = DeliveryId::from(erased.id);
            assert_eq!(
                reported,
                format!("delivery {id} is of a lead that was erased: there is nothing left to push")
            );
            let refusal = refuse_named(&target(7, state, false)).unwrap_err().to_string();
            assert_eq!(refusal, "integration \"crm\" is disabled: enable it first");
        }
        let held = refuse_named(&target(7, State::Held, true)).unwrap_err().to_string();
        assert!(held.ends_with("is held (integration disabled): it is released, not retried"), "{held}");
        assert!(refuse_named(&target(7, State::Skipped, true)).is_err());
    }

    #[test]
    fn a_filter_means_dead_ones_unless_it_names_states() {
        let filter = |undelivered| v1::DeliveryFilter { undelivered, ..v1::DeliveryFilter::default() };
        assert_eq!(retried_states(&filter(false), &[]).unwrap(), [State::Dead]);
        let open = retried_states(&filter(true), &State::UNDELIVERED).unwrap();
        assert_eq!(open, [State::Pending, State::Dead]);
        assert_eq!(retried_states(&filter(false), &[State::Delivered]).unwrap(), [State::Delivered]);
        let waiting = v1::DeliveryFilter { waiting: true, ..filter(false) };
        assert_eq!(retried_states(&waiting, &[]).unwrap(), [State::Pending]);
        assert_eq!(
            retried_states(&waiting, &[State::Dead]).unwrap_err().to_string(),
            "waiting: leave the states out, only pending ones wait"
        );
        for refused in [State::Held, State::Skipped] {
            assert!(retried_states(&filter(false), &[refused]).is_err());
        }
    }
}
