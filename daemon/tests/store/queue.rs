//! The queue as a state machine: whatever order leads, claims, finishes, crashes and operators come in, its rules hold.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use leadlined::{
    dispatch,
    domain::{
        delivery::{LaneKind, Reason, State, Transition},
        fanout::{Arrival, Fate, NewDelivery},
        ids::{CompanyId, DeliveryId, EventId, IntegrationId, JobId, LeadId},
        integration::EventKind,
        lane::LaneId,
        moment::Moment,
        outcome::{Failure, FailureClass, Outcome},
        plan::Plan,
    },
    store::{
        Error, Store, SweepPolicy,
        delivery::read::{DeliveryFilter, Order},
        job::JobWork,
        lead::{
            Reaccepted,
            intake::{Flushed, NewEvent},
        },
        operator::command::{Command, Refusal},
        queue::{
            claim::{Ask, Claimed, Claimer},
            finish::{AttemptResult, Finished},
            push::NewPush,
            retry::RetryOptions,
            stranded::Position,
        },
    },
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::{
    bench::{self, add_integration, call},
    invariants::broken_invariants,
};

mod endings;
mod operators;
mod races;
mod repairs;
mod steps;

use steps::{Held, Lapse, Move, PushEnd, Step, finished, step};

const STEPS: std::ops::Range<usize> = 8..32;
const LEASE_SECONDS: f64 = 600.0;

/// How many cases are tried, if somebody says so; `make queue-cases` tries ten thousand.
fn asked_cases() -> Option<u32> {
    std::env::var("LEADLINE_QUEUE_CASES").ok().and_then(|cases| cases.parse().ok())
}

/// How long so many cases may take: a quarter of an hour for ten thousand.
fn longest(cases: u32) -> Duration {
    Duration::from_millis(90) * cases.max(1000)
}

/// One company with one integration, and the daemon that works on it.
struct Scene {
    store: Store,
    pool: PgPool,
    company: CompanyId,
    integration: IntegrationId,
    /// Integrations that were deleted.
    deleted: Vec<IntegrationId>,
    daemon: i64,
    claimer: Claimer,
    leads: Vec<LeadId>,
    contents: u8,
    working: Vec<Claimed>,
    /// How many items of each claim have not ended.
    open: HashMap<i64, usize>,
    /// Jobs, with how much they had brought to an end when that was looked at last.
    jobs: Vec<(JobId, i64)>,
}

impl Scene {
    async fn new(store: &Store, pool: &PgPool) -> Self {
        let mut command = store.batch(&call()).await.unwrap();
        let company = command.create_company(None, "The Old Barn", Plan::Pro, None).await.unwrap().id;
        let integration = add_integration(&mut command, company, "crm").await;
        command.commit().await.unwrap();
        Self {
            store: store.clone(),
            pool: pool.clone(),
            company,
            integration,
            deleted: Vec::new(),
            daemon: store.enroll(LEASE_SECONDS).await.unwrap(),
            claimer: Claimer::new(store.clone()),
            leads: Vec::new(),
            contents: 0,
            working: Vec::new(),
            open: HashMap::new(),
            jobs: Vec::new(),
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Lead => {
                let lead = LeadId::generate();
                let event = self.event(lead, EventKind::Created).await;
                assert_eq!(self.store.accept(&[event]).await.unwrap(), [Flushed::Created]);
                self.leads.push(lead);
            }
            Step::Update(n) if !self.leads.is_empty() => {
                let event = self.event(self.leads[n % self.leads.len()], EventKind::Updated).await;
                assert!(matches!(self.store.accept_again(&event).await.unwrap(), Reaccepted::Updated(_)));
            }
            Step::Claim(room) => self.claim(room).await,
            Step::Finish(n, end, again) if !self.working.is_empty() => {
                let item = self.working.swap_remove(n % self.working.len());
                if again {
                    let finished: Vec<Finished> = finished(&item, end, 0).into_iter().collect();
                    self.store.finish(self.daemon, &finished, &[]).await.unwrap();
                }
                assert_eq!(self.end(&item, end, 0).await, usize::from(item.pending.is_some()));
            }
            Step::GiveBack(n) if !self.working.is_empty() => self.give_back(n).await,
            Step::Retry(n, re_render) => self.retry(n, re_render).await,
            Step::Push(n) if !self.leads.is_empty() => {
                let new = NewPush {
                    company: self.company,
                    integration: self.integration,
                    by_flows: false,
                    job: None,
                };
                let lead = self.leads[n % self.leads.len()].uuid();
                let mut command = self.command().await;
                command.push_leads(&new, &[lead]).await.unwrap();
                command.commit().await.unwrap();
            }
            Step::Sweep => self.sweep().await,
            Step::Job(cancel) => self.job(cancel).await,
            Step::Move(n, how) => self.move_one(n, how).await,
            Step::Disable => self.switch(false, None).await,
            Step::Enable(held) => self.switch(true, Some(held)).await,
            Step::Die => self.die().await,
            Step::Lapse(lapse) => self.lapse(lapse).await,
            Step::Age => self.age().await,
            Step::Delete => self.delete().await,
            Step::Stop => self.stop().await,
            Step::Mend => assert_eq!(self.mend().await, 0, "something stands where it should not"),
            Step::Strand(n) => self.strand(n).await,
            Step::Strange(n) => self.make_strange(n).await,
            Step::Lift => self.lift().await,
            Step::Update(_) | Step::Finish(..) | Step::GiveBack(_) | Step::Push(_) => {}
        }
    }

    async fn event(&mut self, lead: LeadId, kind: EventKind) -> NewEvent {
        self.contents = self.contents.wrapping_add(1);
        let view = self.store.company_view(self.company).await.unwrap().unwrap();
        let fate = match view.integrations[0].enabled {
            true => Fate::Pending,
            false => Fate::Held(Reason::IntegrationDisabled),
        };
        let id = DeliveryId::generate();
        NewEvent {
            company: self.company,
            version: view.version,
            lead,
            uuid: lead.to_string(),
            digest: [self.contents; 32],
            event: EventId::generate(),
            kind,
            body: "{}".into(),
            person: Default::default(),
            deliveries: vec![NewDelivery { id, integration: self.integration, fate, arrival: Arrival::AsIs }],
            trace: None,
        }
    }

    fn lane(&self) -> LaneId {
        LaneId::new(self.company, self.integration)
    }

    async fn claim(&mut self, room: i32) {
        let ask = |kind| Ask { lane: self.lane(), kind, room, watermark: Moment::EPOCH };
        let (_, items) = self.claimer.claim(self.daemon, &LaneKind::ALL.map(ask)).await.unwrap();
        self.hold(items);
    }

    fn hold(&mut self, items: Vec<Claimed>) {
        for item in items {
            *self.open.entry(item.claim).or_default() += 1;
            self.working.push(item);
        }
    }

    /// Ends an item as the finisher does. Answers how many attempts were recorded.
    async fn end(&mut self, item: &Claimed, end: PushEnd, died: i16) -> usize {
        let finished: Vec<Finished> = finished(item, end, died).into_iter().collect();
        let left = self.open.get_mut(&item.claim).unwrap();
        *left -= 1;
        let complete = if *left == 0 { vec![item.claim] } else { Vec::new() };
        self.store.finish(self.daemon, &finished, &complete).await.unwrap().recorded
    }

    async fn give_back(&mut self, n: usize) {
        let item = self.working.swap_remove(n % self.working.len());
        let (claims, attempts) = ([item.claim], [item.attempt.uuid()]);
        self.store.give_back(self.daemon, &claims, &attempts, Duration::ZERO).await.unwrap();
        let left = self.open.get_mut(&item.claim).unwrap();
        *left -= 1;
        if *left == 0 {
            self.store.finish::<Finished>(self.daemon, &[], &[item.claim]).await.unwrap();
        }
    }

    /// Releases whatever is held and not being pushed. True if something was.
    async fn release_all(&mut self) -> bool {
        let states = vec![State::Held];
        let filter = DeliveryFilter { company: Some(self.company), states, ..DeliveryFilter::default() };
        let held: Vec<_> =
            self.store.targets(&filter).await.unwrap().iter().map(|target| target.id).collect();
        let mut command = self.command().await;
        let moved = command.release(self.company, &held).await.unwrap();
        command.commit().await.unwrap();
        moved.changed > 0
    }

    async fn command(&self) -> Command {
        self.store.batch(&call()).await.unwrap()
    }

    async fn switch(&mut self, enabled: bool, held: Option<Held>) {
        let mut command = self.command().await;
        let mut integration = command.integration(&self.integration.to_string()).await.unwrap();
        match held {
            Some(Held::Release) => {
                let reason = Reason::IntegrationDisabled;
                command.release_held_for(self.company, self.integration, &reason).await.unwrap();
            }
            Some(Held::Skip) => {
                let reason = Reason::IntegrationDisabled;
                command.skip_held_for(self.company, self.integration, &reason, None).await.unwrap();
            }
            Some(Held::Keep) | None => {}
        }
        integration.enabled = enabled;
        command.write_integration(&integration).await.unwrap();
        command.commit().await.unwrap();
    }

    async fn die(&mut self) {
        let (dead, late) = (self.daemon, std::mem::take(&mut self.working));
        self.store.leave(dead).await.unwrap();
        self.daemon = self.store.enroll(LEASE_SECONDS).await.unwrap();
        self.take_over(dead, late).await;
    }

    /// Takes over what a daemon left that is gone. What it was pushing ends too late.
    async fn take_over(&mut self, dead: i64, late: Vec<Claimed>) {
        self.open.clear();
        let orphans = self.store.orphans().await.unwrap();
        let orphans = self.store.adopt(self.daemon, &orphans).await.unwrap();
        let (own, others): (Vec<_>, Vec<_>) =
            orphans.into_iter().partition(|item| item.lane.company == self.company);
        assert!(others.is_empty(), "an earlier case left claims behind");
        for item in late {
            let finished: Vec<Finished> = finished(&item, PushEnd::Delivered, 0).into_iter().collect();
            let flushed = self.store.finish(dead, &finished, &[item.claim]).await.unwrap();
            assert_eq!(flushed.recorded, 0, "a late finisher changes nothing");
        }
        self.hold(own);
        for item in std::mem::take(&mut self.working) {
            self.end(&item, PushEnd::Retry, 1).await;
        }
    }

    async fn stop(&mut self) {
        self.store.release(self.daemon).await.unwrap();
        self.store.leave(self.daemon).await.unwrap();
        self.working.clear();
        self.open.clear();
        self.daemon = self.store.enroll(LEASE_SECONDS).await.unwrap();
    }

    /// Whatever stands open can be brought to its end: nothing is stuck.
    async fn drain(&mut self) {
        self.switch(true, Some(Held::Release)).await;
        self.make_known().await;
        self.lift().await;
        loop {
            for item in std::mem::take(&mut self.working) {
                self.end(&item, PushEnd::Delivered, 0).await;
            }
            let released = self.release_all().await;
            self.claim(16).await;
            if self.working.is_empty() && !released {
                break;
            }
        }
        let filter = DeliveryFilter { company: Some(self.company), ..DeliveryFilter::default() };
        let views = self.store.delivery_views(&filter, Order::OldestFirst, None, None).await.unwrap();
        for view in views {
            assert!(
                matches!(view.state.known(), Some(State::Delivered | State::Dead | State::Skipped)),
                "{view:?}"
            );
        }
        self.stop().await;
        self.store.leave(self.daemon).await.unwrap();
        self.check_deleted().await;
    }

    async fn check(&mut self, step: Option<Step>) -> Result<(), TestCaseError> {
        let broken = broken_invariants(&self.pool, Some(self.company.0)).await;
        prop_assert!(broken.is_empty(), "after {step:?}: {broken:#?}");
        self.check_jobs(step).await
    }
}

fn set_up() -> (tokio::runtime::Runtime, Store, PgPool) {
    // Every step waits for the one before it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (store, pool) = runtime.block_on(open());
    (runtime, store, pool)
}

async fn open() -> (Store, PgPool) {
    // Planning takes longer than anything else here, and no table grows.
    let (store, pool, _) = bench::open(&[("plan_cache_mode", "force_generic_plan")]).await;
    // A newer daemon's schema allows lines that this one does not know.
    sqlx::query("ALTER TABLE due DROP CONSTRAINT due_kind_check").execute(&pool).await.unwrap();
    (store, pool)
}

/// So many cases share a database: a fuller one makes each look at it slower.
const CASES_PER_DATABASE: u32 = 25;
/// So many run side by side.
const WORKERS: u32 = 4;

#[test]
fn any_order_of_events_keeps_the_rules_of_the_queue() {
    let (all, begun) = (asked_cases().unwrap_or(64), AtomicU32::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let first = begun.fetch_add(CASES_PER_DATABASE, Ordering::Relaxed);
                    let Some(left) = all.checked_sub(first).filter(|left| *left > 0) else { return };
                    try_cases(left.min(CASES_PER_DATABASE));
                    eprintln!(
                        "{} of {all} cases begun, {} s",
                        first + CASES_PER_DATABASE,
                        started.elapsed().as_secs()
                    );
                }
            });
        }
    });
    let took = started.elapsed();
    eprintln!("{all} cases in {} s", took.as_secs());
    // Whoever asks for a number measures; the default run is held by no clock.
    assert!(asked_cases().is_none() || took < longest(all), "{all} cases took {} s", took.as_secs());
}

fn try_cases(cases: u32) {
    let (runtime, store, pool) = set_up();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let steps = prop::collection::vec(step(), STEPS);
    let kept = Mutex::new(None);
    TestRunner::new(config)
        .run(&steps, |steps| runtime.block_on(play(&store, &pool, &kept, &steps)))
        .unwrap();
    // Its connection needs the runtime to close.
    drop(kept);
    runtime.block_on(pool.close());
}

/// Takes steps one after another, and looks at what must hold after each. The claimer is kept for the next case: its
/// connection and its plans take longer than a claim.
async fn play(
    store: &Store,
    pool: &PgPool,
    kept: &Mutex<Option<Claimer>>,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(store, pool).await;
    let claimer = kept.lock().unwrap().take();
    scene.claimer = claimer.unwrap_or(scene.claimer);
    for step in std::iter::once(&Step::Lead).chain(steps) {
        scene.take(*step).await;
        scene.check(Some(*step)).await?;
    }
    scene.drain().await;
    let checked = scene.check(None).await;
    *kept.lock().unwrap() = Some(scene.claimer);
    checked
}

#[test]
fn an_update_pushes_nobody_out_of_a_line_that_was_rendered_anew() {
    let (runtime, store, pool) = set_up();
    let anew = |n| Step::Retry(n, true);
    // The second waits behind the first, whose replacement is younger than both.
    let steps = [
        Step::Claim(1),
        Step::Finish(0, PushEnd::Delivered, false),
        anew(0),
        anew(0),
        anew(1),
        Step::Update(0),
    ];
    runtime.block_on(play(&store, &pool, &Mutex::new(None), &steps)).unwrap();
}
