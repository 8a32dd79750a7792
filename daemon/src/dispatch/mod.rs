//! Dispatch: claims deliveries that are due, pushes them, each integration in its own lane, and writes what came of them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    compute::Compute,
    push::Client,
    store::{DueHint, Error, Store, queue::daemons::Wake},
    telemetry::Traces,
};

mod attempt;
mod beside;
mod coming_back;
mod crash_suspects;
mod engine;
mod exchange;
mod finisher;
mod handover;
mod integration_cache;
mod lanes;
mod login;
mod look_ups;
mod membership;
mod notifier;
mod person_lock;
mod probing;
mod pusher;
mod quota;
mod scheduler;
mod scrub;
mod session;
mod tasks;
mod traced;

pub use coming_back::{continue_job, continue_sweep};
use crash_suspects::CrashSuspects;
use engine::Engine;
use integration_cache::IntegrationCache;
use lanes::Lanes;
pub use login::LOGIN_GRACE;
use membership::{DaemonLease, Membership};
use notifier::Notifier;
use pusher::{PushContext, Pusher};
use scheduler::Scheduler;
use tasks::Tasks;

/// So many ended attempts may wait to be written; past it, pushes wait and keep their room.
const UNWRITTEN_MAX: usize = 1024;
/// How long a stop waits for the last attempts to be written.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// What dispatch is made of.
#[derive(Debug)]
pub struct DispatchParts {
    pub store: Store,
    pub client: Client,
    /// Where templates are rendered that may take long.
    pub compute: Compute,
    /// NAME or NAME/VERSION, for companies that have no brand of their own.
    pub brand: String,
    /// Where intake, control and finished attempts tell what is due.
    pub hints: mpsc::UnboundedReceiver<Vec<DueHint>>,
    /// How often the sweep comes back to dead deliveries.
    pub sweep_interval: Duration,
    /// The longest wait that a target may ask for.
    pub max_retry_after: Duration,
    /// Nobody else can be working on this database: what other daemons left behind is taken over at once.
    pub is_sole: bool,
    pub traces: Traces,
}

/// A running dispatch.
#[derive(Debug)]
pub struct Dispatch {
    store: Store,
    lease: Arc<DaemonLease>,
    claiming: CancellationToken,
    beating: CancellationToken,
    engine: TaskTracker,
    pushes: TaskTracker,
    abandon: CancellationToken,
    /// Logins under way, which are not abandoned.
    logins: TaskTracker,
    finisher: TaskTracker,
    membership: TaskTracker,
    scheduler: TaskTracker,
    notifier: TaskTracker,
    /// Dropped when the last push has ended, so that the finisher knows that nothing comes any more.
    completions: mpsc::Sender<finisher::Completed>,
}

/// Enrolls this daemon and starts to claim.
pub async fn start(parts: DispatchParts) -> Result<Dispatch, Error> {
    let DispatchParts { store, client, compute, brand, hints, traces, .. } = parts;
    let (sweep_interval, max_retry_after, is_sole) =
        (parts.sweep_interval, parts.max_retry_after, parts.is_sole);
    // Without a bound, for whoever tells the engine must not wait for it while it waits for them. Room, beats and flushes
    // bound how much there is to tell; while the engine claims, that is what ended meanwhile.
    let (events, heard) = mpsc::unbounded_channel();
    // What others are to hear is told in one message however much has come up.
    let (outbox, letters) = mpsc::unbounded_channel::<Wake>();
    let (completions, to_write) = mpsc::channel(UNWRITTEN_MAX);
    let hurry = Arc::new(Notify::new());
    let membership = Membership::enroll(store.beating(), events.clone(), letters, is_sole).await?;
    let lease = membership.lease();
    let integrations = Arc::new(IntegrationCache::new(store.clone(), compute.clone(), brand, lease.now()));
    let (pushes, abandon, logins) = (TaskTracker::new(), CancellationToken::new(), TaskTracker::new());
    let context =
        PushContext { client, store: store.clone(), logins: logins.clone(), abandon: abandon.clone() };
    let pusher = Arc::new(Pusher {
        store: store.clone(),
        context: Arc::new(context),
        compute,
        traces,
        lease: Arc::clone(&lease),
        integrations: Arc::clone(&integrations),
        events: events.clone(),
        completions: completions.clone(),
        max_retry_after,
    });
    let notifier = Notifier(Arc::clone(&pusher));
    let tasks = Tasks { tracker: pushes.clone(), abandon: abandon.clone() };
    let engine = Engine {
        store: store.clone(),
        lease: Arc::clone(&lease),
        integrations,
        pusher,
        tasks,
        events: events.clone(),
        outbox,
        hurry: Arc::clone(&hurry),
        lanes: Lanes::default(),
        living: Vec::new(),
        in_flight: 0,
        crash_suspects: CrashSuspects::new(Instant::now()),
    };
    let dispatch = Dispatch {
        store: store.clone(),
        lease,
        claiming: CancellationToken::new(),
        beating: CancellationToken::new(),
        engine: TaskTracker::new(),
        pushes,
        abandon,
        logins,
        finisher: TaskTracker::new(),
        membership: TaskTracker::new(),
        scheduler: TaskTracker::new(),
        notifier: TaskTracker::new(),
        completions,
    };
    dispatch.notifier.spawn(notifier.run(dispatch.claiming.clone()));
    dispatch.membership.spawn(membership.run(dispatch.beating.clone()));
    let scheduler = Scheduler { store: store.clone(), lease: Arc::clone(&dispatch.lease), sweep_interval };
    dispatch.scheduler.spawn(scheduler.run(dispatch.claiming.clone()));
    dispatch.finisher.spawn(finisher::run(store, to_write, hurry, events));
    dispatch.engine.spawn(engine.run(heard, hints, dispatch.claiming.clone()));
    let Dispatch { engine, pushes, logins, finisher, membership, scheduler, notifier, .. } = &dispatch;
    for tracker in [engine, pushes, logins, finisher, membership, scheduler, notifier] {
        tracker.close();
    }
    Ok(dispatch)
}

impl Dispatch {
    /// Resolves if a part ends that should run until [`Self::stop`].
    pub async fn failed(&self) -> &'static str {
        tokio::select! {
            () = self.engine.wait() => "the engine",
            () = self.finisher.wait() => "the finisher",
            () = self.membership.wait() => "the membership",
            () = self.scheduler.wait() => "the scheduler",
            () = self.notifier.wait() => "the notifier",
        }
    }

    /// Claims no more, waits for pushes in flight as long as the grace allows, writes what they came to, and gives the
    /// rest back without counting an attempt.
    pub async fn stop(self, grace: Duration) -> Result<(), Error> {
        let Self {
            store,
            lease,
            claiming,
            beating,
            engine,
            pushes,
            abandon,
            logins,
            finisher,
            membership,
            scheduler,
            notifier,
            completions,
        } = self;
        claiming.cancel();
        engine.wait().await;
        scheduler.wait().await;
        notifier.wait().await;
        if tokio::time::timeout(grace, pushes.wait()).await.is_err() {
            tracing::warn!(
                event = "stop_grace_over",
                pushes = pushes.len(),
                "the grace is over; pushes in flight are given back"
            );
            abandon.cancel();
            pushes.wait().await;
        }
        if tokio::time::timeout(LOGIN_GRACE, logins.wait()).await.is_err() {
            tracing::error!(
                event = "last_logins_not_kept",
                logins = logins.len(),
                "the database is away; what the last logins gave could not be kept"
            );
        }
        drop(completions);
        // What is given back is told from what has ended by what is written, so nothing may be on its way any more.
        if tokio::time::timeout(LAST_FLUSH, finisher.wait()).await.is_err() {
            tracing::warn!(
                event = "last_attempts_not_written",
                "the database is away; the last attempts could not be written"
            );
        }
        beating.cancel();
        membership.wait().await;
        store.release(lease.id()).await?;
        store.leave(lease.id()).await
    }
}
