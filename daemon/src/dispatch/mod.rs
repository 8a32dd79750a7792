//! Dispatch: claims deliveries that are due, pushes them, each integration in its own lane, and writes what came of them.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    push::Client,
    store::{DueHint, Error, Store, queue::daemons::Wake},
};

mod attempt;
mod engine;
mod finisher;
mod lanes;
mod look_ups;
mod membership;
mod notices;
mod people;
mod probing;
mod pusher;
mod quota;
mod ready;
mod scrub;
mod session;
mod steward;

use engine::Engine;
use lanes::Lanes;
use membership::{Life, Member};
use notices::Teller;
use pusher::Pusher;
use ready::Shelf;
use steward::Steward;

/// So many ended attempts may wait to be written; past it, pushes wait.
const ENDED_MAX: usize = 1024;
/// How long a stop waits for the last attempts to be written.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// What dispatch is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub client: Client,
    /// NAME or NAME/VERSION, for companies that have no brand of their own.
    pub brand: String,
    /// Where intake, control and finished attempts tell what is due.
    pub hints: mpsc::UnboundedReceiver<Vec<DueHint>>,
    /// How often the sweep comes back to dead deliveries.
    pub sweep_interval: Duration,
    /// Nobody else can be working on this database: what other daemons left behind is taken over at once.
    pub is_sole: bool,
}

/// A running dispatch.
#[derive(Debug)]
pub struct Dispatch {
    store: Store,
    life: Arc<Life>,
    claiming: CancellationToken,
    beating: CancellationToken,
    engine: TaskTracker,
    pushes: TaskTracker,
    abandon: CancellationToken,
    finisher: TaskTracker,
    member: TaskTracker,
    steward: TaskTracker,
    notices: TaskTracker,
    /// Dropped when the last push has ended, so that the finisher knows that nothing comes any more.
    ended: mpsc::Sender<finisher::Ended>,
}

/// Enrolls this daemon and starts to claim.
pub async fn start(parts: Parts) -> Result<Dispatch, Error> {
    let Parts { store, client, brand, hints, sweep_interval, is_sole } = parts;
    // Without a bound, for whoever tells the engine must not wait for it while it waits for them. Room, beats and flushes
    // bound how much there is to tell; while the engine claims, that is what ended meanwhile.
    let (events, heard) = mpsc::unbounded_channel();
    // What others are to hear is told in one message however much has come up.
    let (outbox, letters) = mpsc::unbounded_channel::<Wake>();
    let (ended, to_write) = mpsc::channel(ENDED_MAX);
    let member = Member::enroll(store.clone(), events.clone(), letters, is_sole).await?;
    let life = member.life();
    let shelf = Arc::new(Shelf::new(store.clone(), brand, life.now().div_euclid(1000)));
    let (pushes, abandon) = (TaskTracker::new(), CancellationToken::new());
    let pusher = Arc::new(Pusher {
        store: store.clone(),
        client,
        life: Arc::clone(&life),
        shelf: Arc::clone(&shelf),
        events: events.clone(),
        ended: ended.clone(),
    });
    let teller = Teller(Arc::clone(&pusher));
    let engine = Engine {
        store: store.clone(),
        life: Arc::clone(&life),
        shelf,
        pusher,
        tracker: pushes.clone(),
        abandon: abandon.clone(),
        events: events.clone(),
        ended: ended.clone(),
        outbox,
        lanes: Lanes::default(),
        living: vec![life.id()],
        in_flight: 0,
        suspect: None,
        is_alone: false,
    };
    let dispatch = Dispatch {
        store: store.clone(),
        life,
        claiming: CancellationToken::new(),
        beating: CancellationToken::new(),
        engine: TaskTracker::new(),
        pushes,
        abandon,
        finisher: TaskTracker::new(),
        member: TaskTracker::new(),
        steward: TaskTracker::new(),
        notices: TaskTracker::new(),
        ended,
    };
    dispatch.notices.spawn(teller.run(dispatch.claiming.clone()));
    dispatch.member.spawn(member.run(dispatch.beating.clone()));
    let steward = Steward { store: store.clone(), life: Arc::clone(&dispatch.life), sweep_interval };
    dispatch.steward.spawn(steward.run(dispatch.claiming.clone()));
    dispatch.finisher.spawn(finisher::run(store, to_write, events));
    dispatch.engine.spawn(engine.run(heard, hints, dispatch.claiming.clone()));
    let Dispatch { engine, pushes, finisher, member, steward, notices, .. } = &dispatch;
    for tracker in [engine, pushes, finisher, member, steward, notices] {
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
            () = self.member.wait() => "the member",
            () = self.steward.wait() => "the steward",
            () = self.notices.wait() => "the teller of notices",
        }
    }

    /// Claims no more, waits for pushes in flight as long as the grace allows, writes what they came to, and gives the
    /// rest back without counting an attempt.
    pub async fn stop(self, grace: Duration) -> Result<(), Error> {
        let Self {
            store,
            life,
            claiming,
            beating,
            engine,
            pushes,
            abandon,
            finisher,
            member,
            steward,
            notices,
            ended,
        } = self;
        claiming.cancel();
        engine.wait().await;
        steward.wait().await;
        notices.wait().await;
        if tokio::time::timeout(grace, pushes.wait()).await.is_err() {
            tracing::warn!(pushes = pushes.len(), "the grace is over; pushes in flight are given back");
            abandon.cancel();
            pushes.wait().await;
        }
        drop(ended);
        // What is given back is told from what has ended by what is written, so nothing may be on its way any more.
        if tokio::time::timeout(LAST_FLUSH, finisher.wait()).await.is_err() {
            tracing::warn!("the database is away; the last attempts could not be written");
        }
        beating.cancel();
        member.wait().await;
        store.release(life.id()).await?;
        store.leave(life.id()).await
    }
}
