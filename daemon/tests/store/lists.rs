//! Lists of deliveries: each restriction alone and with each other, in pages, in both orders.

use leadlined::{
    domain::{
        cause::CauseId,
        delivery::State,
        fanout::Fate,
        ids::{CompanyId, DeliveryId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        outcome::FailureClass,
    },
    store::delivery::read::{DeliveryFilter, Order},
};
use uuid::Uuid;

use super::{
    bench::Bench,
    crowd::{Crowd, Known, crowd, known},
    matrix::{Arm, arm, check_arms},
};

type DeliveryArm = Arm<DeliveryFilter, Known>;

fn time(micros: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(micros).unwrap()
}

/// The value in the middle of those that rows have.
fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

fn states() -> Vec<DeliveryArm> {
    let sets: [&'static [State]; 9] = [
        &[State::Pending],
        &[State::Held],
        &[State::Dead],
        &[State::Delivered],
        &[State::Skipped],
        &[State::Held, State::Dead],
        &State::UNDELIVERED,
        &[State::Pending, State::Delivered],
        &[State::Dead, State::Skipped],
    ];
    let of = |set: &'static [State]| {
        arm(
            "states",
            set,
            move |filter: &mut DeliveryFilter| filter.states = set.to_vec(),
            move |row: &Known| set.iter().any(|state| state.as_str() == row.state),
        )
    };
    sets.map(of).into()
}

fn of_whom(crowd: &Crowd, rows: &[Known]) -> Vec<DeliveryArm> {
    let mut arms = Vec::new();
    for company in [crowd.bench.company, crowd.other_company] {
        arms.push(arm(
            "company",
            company,
            move |filter: &mut DeliveryFilter| filter.company = Some(company),
            move |row: &Known| CompanyId(row.company_id) == company,
        ));
    }
    for integration in [crowd.bench.crm, crowd.disabled] {
        arms.push(arm(
            "integration",
            integration,
            move |filter: &mut DeliveryFilter| filter.integration = Some(integration),
            move |row: &Known| IntegrationId::from(row.integration_id) == integration,
        ));
    }
    // One of whose pushes one is held, one whose update waits, and one that is erased.
    for lead in [crowd.leads[4], crowd.leads[6], crowd.leads[18]] {
        arms.push(arm(
            "lead",
            lead,
            move |filter: &mut DeliveryFilter| filter.lead = Some(lead),
            move |row: &Known| LeadId::from(row.lead_id) == lead,
        ));
    }
    let some: Vec<Uuid> = rows.iter().step_by(3).map(|row| row.id).collect();
    let named: Vec<DeliveryId> = some.iter().copied().chain([Uuid::nil()]).map(DeliveryId::from).collect();
    arms.push(arm(
        "ids",
        "every third",
        move |filter: &mut DeliveryFilter| filter.ids = Some(named.clone()),
        move |row: &Known| some.contains(&row.id),
    ));
    arms
}

fn of_what(crowd: &Crowd, rows: &[Known]) -> Vec<DeliveryArm> {
    let mut arms = Vec::new();
    for class in [FailureClass::Transient, FailureClass::Rejected] {
        arms.push(arm(
            "class",
            class,
            move |filter: &mut DeliveryFilter| filter.class = Some(class),
            move |row: &Known| row.class.as_deref() == Some(class.as_str()),
        ));
    }
    // Neither is a pattern, and case does not matter.
    for (asked, kept) in [("OUT OF", "out of"), ("such field", "Such Field"), ("100% _", "100% _")] {
        arms.push(arm(
            "error",
            asked,
            move |filter: &mut DeliveryFilter| filter.error = Some(asked.to_owned()),
            move |row: &Known| row.error.as_ref().is_some_and(|error| error.contains(kept)),
        ));
    }
    let cause = rows.iter().find_map(|row| row.cause_id).unwrap();
    arms.push(arm(
        "cause",
        cause,
        move |filter: &mut DeliveryFilter| filter.cause = Some(CauseId(cause)),
        move |row: &Known| row.cause_id == Some(cause),
    ));
    let job = crowd.job;
    let is_of_job = move |row: &Known| row.job_id.map(JobId::from) == Some(job);
    arms.push(arm("job", job, move |filter: &mut DeliveryFilter| filter.job = Some(job), is_of_job));
    let untouched = move |filter: &mut DeliveryFilter| filter.untouched_by = Some(job);
    arms.push(arm("untouched_by", job, untouched, move |row: &Known| !is_of_job(row)));
    arms.push(arm(
        "enabled_only",
        (),
        |filter: &mut DeliveryFilter| filter.enabled_only = true,
        |row: &Known| row.is_enabled,
    ));
    arms.push(arm(
        "known_only",
        (),
        |filter: &mut DeliveryFilter| filter.known_only = true,
        |row: &Known| !row.is_erased,
    ));
    arms
}

fn of_when(rows: &[Known]) -> Vec<DeliveryArm> {
    let at = middle(rows.iter().map(|row| row.at));
    let died = middle(rows.iter().filter_map(|row| row.died_at));
    vec![
        arm(
            "since",
            at,
            move |filter: &mut DeliveryFilter| filter.since = Some(time(at)),
            move |row: &Known| row.at >= at,
        ),
        arm(
            "until",
            at,
            move |filter: &mut DeliveryFilter| filter.until = Some(time(at)),
            move |row: &Known| row.at < at,
        ),
        arm(
            "died_since",
            died,
            move |filter: &mut DeliveryFilter| filter.died_since = Some(time(died)),
            move |row: &Known| row.died_at.is_some_and(|at| at >= died),
        ),
        arm(
            "died_until",
            died,
            move |filter: &mut DeliveryFilter| filter.died_until = Some(time(died)),
            move |row: &Known| row.died_at.is_some_and(|at| at < died),
        ),
    ]
}

fn arms(crowd: &Crowd, rows: &[Known]) -> Vec<DeliveryArm> {
    let mut arms = states();
    arms.extend(of_whom(crowd, rows));
    arms.extend(of_what(crowd, rows));
    arms.extend(of_when(rows));
    arms
}

#[tokio::test]
async fn each_restriction_restricts_alone_and_with_each_other() {
    let crowd = crowd().await;
    let rows = known(&crowd.bench.pool).await;
    let list = async |filter: DeliveryFilter| {
        let targets = crowd.bench.store.targets(&filter).await.unwrap();
        targets.into_iter().map(|target| target.id).collect::<Vec<_>>()
    };
    check_arms(&arms(&crowd, &rows), &rows, |row| row.id, list).await;
    // A page of a list finds the same by looking through what it must.
    let page = async |filter: DeliveryFilter| {
        let page = crowd.bench.store.delivery_page(&filter, Order::OldestFirst, None, 500).await.unwrap();
        assert_eq!(page.stopped, None);
        page.rows.into_iter().map(|view| view.id.uuid()).collect::<Vec<_>>()
    };
    check_arms(&arms(&crowd, &rows), &rows, |row| row.id, page).await;
}

#[tokio::test]
async fn pages_of_any_size_in_either_order_come_to_the_whole_list() {
    let crowd = crowd().await;
    let rows = known(&crowd.bench.pool).await;
    let mut filters = vec![DeliveryFilter::default()];
    for states in [vec![State::Pending], vec![State::Held, State::Dead], State::UNDELIVERED.to_vec()] {
        filters.push(DeliveryFilter { states: states.clone(), ..DeliveryFilter::default() });
        let class = Some(FailureClass::Transient);
        filters.push(DeliveryFilter { states, class, ..DeliveryFilter::default() });
    }
    let cause = rows.iter().find_map(|row| row.cause_id).map(CauseId);
    filters.push(DeliveryFilter { cause, ..DeliveryFilter::default() });
    for filter in filters {
        let all = crowd.bench.store.targets(&filter).await.unwrap();
        let mut all: Vec<Uuid> = all.into_iter().map(|target| target.id).collect();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            for size in [1, 2, 5] {
                assert_eq!(crowd.paged(&filter, order, size).await, all, "{filter:?} {order:?} {size}");
            }
            all.reverse();
        }
    }
}

impl Crowd {
    /// The ids of a list that is read page by page until one is short.
    async fn paged(&self, filter: &DeliveryFilter, order: Order, size: i64) -> Vec<Uuid> {
        let mut read: Vec<Uuid> = Vec::new();
        loop {
            let after = read.last().copied().map(DeliveryId::from);
            let page = self.bench.store.delivery_page(filter, order, after, size).await.unwrap();
            let count = page.rows.len();
            read.extend(page.rows.into_iter().map(|view| view.id.uuid()));
            if count < usize::try_from(size).unwrap() {
                return read;
            }
        }
    }
}

#[tokio::test]
async fn a_list_shows_each_as_it_stands() {
    let crowd = crowd().await;
    let rows = known(&crowd.bench.pool).await;
    let all = DeliveryFilter::default();
    let views = crowd.bench.store.delivery_views(&all, Order::OldestFirst, None, None).await.unwrap();
    assert_eq!(
        views.iter().map(|view| view.id.uuid()).collect::<Vec<_>>(),
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    );
    let running: Vec<_> = views.iter().filter(|view| view.running).map(|view| view.id).collect();
    let mut claimed: Vec<_> = crowd.running.iter().map(|item| item.delivery).collect();
    claimed.sort();
    assert_eq!(running, claimed);
    for (view, row) in views.iter().zip(&rows) {
        assert_eq!(view.company.0, row.company_id);
        assert_eq!(view.state.as_str(), row.state);
        assert_eq!(view.job.map(JobId::uuid), row.job_id);
        assert_eq!(view.cause.map(|cause| cause.0), row.cause_id);
        assert!(!row.is_erased || view.lead_name.is_empty(), "who was erased has no name");
        let is_open = matches!(view.state.known(), Some(State::Pending | State::Held | State::Dead));
        let shown = view.class.as_ref().map(|class| class.as_str().to_owned());
        assert_eq!(shown, row.class.clone().filter(|_| is_open), "{view:?}");
        assert_eq!(
            view.finished_at.is_some(),
            !matches!(view.state.known(), Some(State::Pending | State::Held))
        );
        let company = if view.company == crowd.bench.company { "The Old Barn" } else { "The Mill" };
        assert_eq!(view.company_name, company);
    }
    // Of a daemon that is gone nothing runs.
    crowd.bench.store.leave(crowd.bench.daemon).await.unwrap();
    let views = crowd.bench.store.delivery_views(&all, Order::OldestFirst, None, None).await.unwrap();
    assert!(views.iter().all(|view| !view.running));
}

#[tokio::test]
async fn what_stands_right_in_a_crowd_is_left_alone() {
    let crowd = crowd().await;
    let mut position = leadlined::store::queue::stranded::Position::default();
    loop {
        let mended = crowd.bench.store.mend(position).await.unwrap();
        assert_eq!(mended.total(), 0);
        let Some(next) = mended.next else { break };
        position = next;
    }
}

#[tokio::test]
async fn what_waits_for_a_deleted_integration_fills_no_page() {
    let mut bench = Bench::new().await;
    let id = bench.pending().await.deliveries[0];
    let gone = bench.integration(bench.company, "gone").await;
    for _ in 0..3 {
        let lead = LeadId::generate();
        let mut event = bench.event(bench.company, lead, EventKind::Created, &Fate::Pending).await;
        event.deliveries.retain(|delivery| delivery.integration == gone);
        bench.store.accept(&[event]).await.unwrap();
    }
    bench.sql("UPDATE integration SET deleted_at = now() WHERE name = 'gone'").await;
    let pending = DeliveryFilter { states: vec![State::Pending], ..DeliveryFilter::default() };
    for size in [1, 2, 5] {
        let views = bench.store.delivery_views(&pending, Order::NewestFirst, None, Some(size)).await.unwrap();
        assert_eq!(views.into_iter().map(|view| view.id).collect::<Vec<_>>(), [id], "{size}");
    }
}
