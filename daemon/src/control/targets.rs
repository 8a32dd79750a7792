//! What a request means that is about many deliveries: in batches, and in the audit.

use std::collections::{BTreeMap, HashSet};

use leadline_proto::v1;
use serde_json::{Map, Value, json};

use super::{Control, check};
use crate::{
    domain::{
        ids::{CompanyId, DeliveryId, JobId},
        lane::LaneId,
    },
    store::{
        delivery::read::{DeliveryFilter, Order, Target},
        job::JobLane,
        operator::{
            command::{Command, Mutation, Refusal},
            refusal::{Known, RefusalReason},
        },
        queue::release::BATCH,
    },
};

/// How many deliveries one request may name.
const MAX_IDS: usize = 10_000;
/// How many of them the answer shows.
pub(super) const SAMPLE: usize = 10;

/// The deliveries that a request means.
pub(super) enum Selection {
    /// By their ids.
    Named(Vec<Target>),
    /// By a filter: any number of them.
    Found { filter: Box<DeliveryFilter>, lanes: Vec<JobLane> },
}

/// How many a request means, how many seconds their lanes take to push them, and which come first.
pub(super) struct Forecast {
    pub(super) count: u64,
    pub(super) seconds: f64,
    pub(super) sample: Vec<v1::Delivery>,
}

impl Control {
    /// What a filter finds, counted.
    pub(super) async fn found(&self, filter: DeliveryFilter) -> Result<Selection, Refusal> {
        let lanes = self.store.job_lanes(&filter).await?;
        Ok(Selection::Found { filter: Box::new(filter), lanes })
    }

    /// What a command over these comes to.
    pub(super) async fn forecast(
        &self,
        meant: &Selection,
        per_second: Option<f64>,
    ) -> Result<Forecast, Refusal> {
        let mut lanes: BTreeMap<LaneId, usize> = BTreeMap::new();
        let filter = match meant {
            Selection::Named(targets) => {
                for target in targets {
                    let lane = LaneId::new(CompanyId(target.company_id), target.integration_id);
                    *lanes.entry(lane).or_default() += 1;
                }
                let first = targets.iter().take(SAMPLE).map(|target| DeliveryId::from(target.id)).collect();
                &DeliveryFilter { ids: Some(first), ..DeliveryFilter::default() }
            }
            Selection::Found { filter, lanes: found } => {
                for lane in found {
                    let total = usize::try_from(lane.total).unwrap_or(usize::MAX);
                    lanes.insert(lane.id, total);
                }
                filter
            }
        };
        let mut seconds: f64 = 0.0;
        for (lane, count) in &lanes {
            let pace = self.store.pace(*lane).await?;
            seconds = seconds.max(pace.map_or(0.0, |pace| pace.seconds(*count)));
            if let Some(rate) = per_second {
                seconds = seconds.max(*count as f64 / rate);
            }
        }
        let sample = self.store.delivery_views(filter, Order::OldestFirst, None, Some(SAMPLE as i64)).await?;
        let count = lanes.values().sum::<usize>() as u64;
        Ok(Forecast { count, seconds, sample: sample.into_iter().map(v1::Delivery::from).collect() })
    }

    /// The next of those that are meant, oldest first; none behind the last of those that were counted.
    pub(super) async fn next_page(
        &self,
        meant: &mut Selection,
        after: Option<DeliveryId>,
    ) -> Result<Vec<Target>, Refusal> {
        match meant {
            Selection::Named(targets) => Ok(std::mem::take(targets)),
            Selection::Found { filter, lanes } => {
                let last = lanes.iter().map(|lane| lane.last).max();
                let order = Order::OldestFirst;
                let mut page = self.store.targets_page(filter, order, after, BATCH as i64).await?;
                page.retain(|target| Some(target.id) <= last);
                Ok(page)
            }
        }
    }

    /// The deliveries of these ids, oldest first; refused if one is not there.
    pub(super) async fn named(&self, ids: &[String]) -> Result<Vec<Target>, Refusal> {
        if ids.len() > MAX_IDS {
            return check::invalid(format!(
                "{} ids are too many, at most {MAX_IDS}: send a filter instead",
                ids.len()
            ));
        }
        let mut ids: Vec<DeliveryId> =
            ids.iter().map(|id| check::id("delivery", id)).collect::<Result<_, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        let filter = DeliveryFilter { ids: Some(ids.clone()), ..DeliveryFilter::default() };
        let targets = self.store.targets(&filter).await?;
        let found: HashSet<_> = targets.iter().map(|target| target.id).collect();
        match ids.iter().find(|id| !found.contains(&id.uuid())) {
            Some(missing) => Err(Refusal::unknown("delivery", missing)),
            None => Ok(targets),
        }
    }
}

/// Refuses a delivery that was named and is in a state that only a newer daemon knows.
pub(super) fn refuse_unknown(target: &Target) -> Refusal {
    Refusal::State(format!(
        "delivery {} is {}, which this daemon does not know: ask the newest leadlined of this database",
        DeliveryId::from(target.id),
        target.state
    ))
}

/// Refuses a filter that does not say whose deliveries it means: they would be those of every company.
pub(super) fn has_scope(filter: &v1::DeliveryFilter) -> Result<(), Refusal> {
    let names = [&filter.company, &filter.integration, &filter.lead, &filter.cause, &filter.job_id];
    if filter.all || names.into_iter().any(|name| !name.is_empty()) {
        return Ok(());
    }
    let message = "say which deliveries: name a company, an integration, a lead, a cause or a job";
    Err(Known::new(RefusalReason::NoScope, message).into())
}

/// A filter as the audit keeps it, for good: without a text of errors, which may quote a person.
pub(super) fn audited(filter: &v1::DeliveryFilter) -> Value {
    let mut kept = Map::new();
    let texts = [
        ("company", &filter.company),
        ("integration", &filter.integration),
        ("lead", &filter.lead),
        ("cause", &filter.cause),
        ("job", &filter.job_id),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        kept.insert(key.to_owned(), Value::from(text.as_str()));
    }
    if filter.failure_class() != v1::FailureClass::Unspecified {
        kept.insert("failure_class".to_owned(), Value::from(filter.failure_class().word()));
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states().map(v1::DeliveryState::word).collect();
        kept.insert("states".to_owned(), json!(states));
    }
    let flags = [
        ("undelivered", filter.undelivered),
        ("all", filter.all),
        ("waiting", filter.waiting),
        ("error", !filter.error.is_empty()),
    ];
    for (key, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
        kept.insert(key.to_owned(), Value::Bool(true));
    }
    let spans = [("", &filter.at), ("died_", &filter.died)];
    for (prefix, window) in spans {
        let Some(window) = window else { continue };
        for (end, at) in [("since", &window.since), ("until", &window.until)] {
            let at = at.as_ref().and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok());
            if let Some(at) = at {
                kept.insert(format!("{prefix}{end}"), Value::from(at.to_string()));
            }
        }
    }
    Value::Object(kept)
}

/// The targets of each company in batches, oldest first.
pub(super) fn batches(targets: &[Target]) -> Vec<(CompanyId, Vec<Target>)> {
    let mut companies: BTreeMap<i64, Vec<Target>> = BTreeMap::new();
    for target in targets {
        companies.entry(target.company_id).or_default().push(target.clone());
    }
    let chunks = companies.into_iter().flat_map(|(company, targets)| {
        targets.chunks(BATCH).map(|chunk| (CompanyId(company), chunk.to_vec())).collect::<Vec<_>>()
    });
    chunks.collect()
}

/// What the audit keeps of a command: how many of each company it means, and the first of them.
pub(super) struct AuditTally(BTreeMap<i64, (u64, Vec<String>)>);

impl AuditTally {
    pub(super) fn of(meant: &Selection) -> Self {
        match meant {
            Selection::Named(targets) => Self::named(targets),
            Selection::Found { lanes, .. } => {
                Self::counted(lanes.iter().map(|lane| (lane.id.company.0, lane.total.unsigned_abs())))
            }
        }
    }

    pub(super) fn named(targets: &[Target]) -> Self {
        Self::counted(targets.iter().map(|target| (target.company_id, 1)))
    }

    fn counted(counts: impl Iterator<Item = (i64, u64)>) -> Self {
        let mut tally = BTreeMap::<i64, (u64, Vec<String>)>::new();
        for (company, count) in counts {
            tally.entry(company).or_default().0 += count;
        }
        Self(tally)
    }

    /// Names the first of them.
    pub(super) fn show(&mut self, targets: &[Target]) {
        for target in targets {
            let first = self.0.get_mut(&target.company_id).map(|(_, first)| first);
            if let Some(first) = first.filter(|first| first.len() < SAMPLE) {
                first.push(DeliveryId::from(target.id).to_string());
            }
        }
    }

    /// One audit line for each company, with the filter that found them and the job that moved them. They are told once,
    /// with the first batch that is committed: whatever cuts a command off behind it, what was asked for is known.
    pub(super) async fn audit(
        &mut self,
        command: &mut Command,
        call: &Mutation,
        filter: Option<&Value>,
        job: Option<JobId>,
    ) -> Result<(), Refusal> {
        for (company, (count, first)) in std::mem::take(&mut self.0) {
            let target = match (count, &first[..]) {
                (1, [only]) => format!("delivery {only}"),
                _ => format!("{count} deliveries"),
            };
            let mut after = json!({ "count": count, "first": first, "request_id": call.request_id });
            if let Some(filter) = filter {
                after["filter"] = filter.clone();
            }
            if let Some(job) = job {
                after["job"] = json!(job.to_string());
            }
            command.audit(CompanyId(company), &target, None, Some(after)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::{delivery::State, ids::IntegrationId},
        store::shown::Shown,
    };

    fn target(company_id: i64) -> Target {
        Target {
            company_id,
            integration_id: IntegrationId::generate().uuid(),
            id: DeliveryId::generate().uuid(),
            state: State::Dead.into(),
            reason: None,
            integration_name: "crm".to_owned(),
            enabled: true,
        }
    }

    #[test]
    fn a_filter_must_say_whose_deliveries_it_means() {
        let none = v1::DeliveryFilter { states: vec![v1::DeliveryState::Dead.into()], ..Default::default() };
        assert_eq!(
            has_scope(&none).unwrap_err().to_string(),
            "say which deliveries: name a company, an integration, a lead, a cause or a job"
        );
        for some in [
            v1::DeliveryFilter { all: true, ..none.clone() },
            v1::DeliveryFilter { company: "7".into(), ..none.clone() },
            v1::DeliveryFilter { lead: "U".into(), ..none.clone() },
        ] {
            assert!(has_scope(&some).is_ok());
        }
        let since = prost_types::Timestamp { seconds: 0, nanos: 0 };
        let at = Some(v1::Window { since: Some(since), until: None });
        let filter = v1::DeliveryFilter { integration: "crm".into(), error: "ann@".into(), at, ..none };
        assert_eq!(
            audited(&filter),
            json!({"integration": "crm", "states": ["dead"], "error": true, "since": "1970-01-01T00:00:00Z"})
        );
    }

    #[test]
    fn the_audit_tells_how_many_were_found_and_the_first_of_them() {
        let lane = |company| JobLane {
            id: LaneId::new(CompanyId(company), IntegrationId::generate()),
            total: 600,
            last: Uuid::nil(),
        };
        let lanes = vec![lane(7), lane(7), lane(3)];
        let mut tally = AuditTally::of(&Selection::Found { filter: Box::default(), lanes });
        let page: Vec<Target> = [7; SAMPLE + 1].into_iter().chain([9]).map(target).collect();
        tally.show(&page);
        let told = tally.0.iter().map(|(company, (count, first))| (*company, *count, first.len()));
        assert_eq!(told.collect::<Vec<_>>(), [(3, 600, 0), (7, 1200, SAMPLE)]);
        let named = AuditTally::named(&page);
        assert_eq!((named.0[&7].0, named.0[&9].0), (SAMPLE as u64 + 1, 1));
    }

    #[test]
    fn a_state_of_a_newer_daemon_is_left_to_it() {
        let odd = Target { id: Uuid::nil(), state: Shown::read("comet", State::parse), ..target(7) };
        assert_eq!(
            refuse_unknown(&odd).to_string(),
            "delivery 00000000000000000000000000 is comet, which this daemon does not know: ask the newest leadlined of this database"
        );
    }

    #[test]
    fn batches_keep_companies_apart() {
        let mut targets = vec![target(7); BATCH + 1];
        targets.insert(1, target(3));
        let sizes: Vec<_> =
            batches(&targets).into_iter().map(|(company, batch)| (company.0, batch.len())).collect();
        assert_eq!(sizes, [(3, 1), (7, BATCH), (7, 1)]);
    }
}
