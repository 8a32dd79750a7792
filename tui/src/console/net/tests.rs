//! The actor against a scripted daemon: breaks, repeats, and calls that are never answered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Actor, CallFailure, DaemonSession, Dial, Followed, Fresh, PendingCall, Watched};
use crate::console::data::{Answer, Conn, Done, Mutation, Query};
use crate::console::fixtures;
use crate::console::msg::{DaemonRequest, Follow, Msg};

fn jobs() -> Query {
    Query::Jobs { company: None, after: String::new() }
}

type Feed = mpsc::UnboundedReceiver<Watched>;

/// A daemon that follows a script: one entry for each dial, one for each change.
#[derive(Default)]
struct ScriptedDaemon {
    dials: Mutex<VecDeque<Result<Feed, CallFailure>>>,
    answers: Mutex<VecDeque<Result<Done, CallFailure>>>,
    /// Details wait for this.
    release: CancellationToken,
    log: Mutex<Vec<String>>,
}

impl ScriptedDaemon {
    fn note(&self, text: String) {
        self.log.lock().unwrap().push(text);
    }

    fn logged(&self, prefix: &str) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter_map(|line| line.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    fn expect(&self, dial: Result<Feed, CallFailure>) {
        self.dials.lock().unwrap().push_back(dial);
    }
}

/// A search that nobody answers: it is noted when nobody waits for it any more.
struct UnderWay(Arc<ScriptedDaemon>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.note(format!("given up {}", self.1));
    }
}

struct ScriptedSession(Arc<ScriptedDaemon>, Mutex<Option<Feed>>);

impl Dial for Arc<ScriptedDaemon> {
    fn dial(&self) -> PendingCall<Arc<dyn DaemonSession>> {
        let next = self.dials.lock().unwrap().pop_front();
        let dialed =
            match next {
                Some(Ok(feed)) => Ok(Arc::new(ScriptedSession(Arc::clone(self), Mutex::new(Some(feed))))
                    as Arc<dyn DaemonSession>),
                Some(Err(failure)) => Err(failure),
                None => Err(CallFailure::Away("nobody listens".to_owned())),
            };
        std::future::ready(dialed).boxed()
    }
}

impl DaemonSession for ScriptedSession {
    fn watch(&self, cursor: String) -> PendingCall<BoxStream<'static, Watched>> {
        self.0.note(format!("watch {cursor}"));
        let feed = self.1.lock().unwrap().take().unwrap();
        let items = stream::unfold(feed, |mut feed| async { feed.recv().await.map(|item| (item, feed)) });
        std::future::ready(Ok(items.boxed())).boxed()
    }

    fn follow(&self, what: Follow) -> PendingCall<Followed> {
        let first = match what {
            Follow::Integration(integration) => {
                self.0.note(format!("attempts {integration}"));
                Fresh::Attempts(fixtures::attempts())
            }
            Follow::Activity(company) => {
                self.0.note(format!("activity {company:?}"));
                Fresh::Activity
            }
        };
        let items = stream::iter([Ok(first)]).chain(stream::pending());
        std::future::ready(Ok(items.boxed())).boxed()
    }

    fn ask(&self, query: Query) -> PendingCall<Answer> {
        let attempt = match query {
            Query::Detail { attempt } => attempt,
            Query::Find { .. } => {
                let nobody = Answer::Leads { rows: Vec::new(), more: false, searched: None };
                return std::future::ready(Ok(nobody)).boxed();
            }
            Query::FindAnywhere { text, .. } => {
                self.0.note(format!("search {text}"));
                let under_way = UnderWay(Arc::clone(&self.0), text);
                return async move {
                    let _under_way = under_way;
                    std::future::pending().await
                }
                .boxed();
            }
            _ => return std::future::pending().boxed(),
        };
        self.0.note(format!("detail {attempt}"));
        let release = self.0.release.clone();
        async move {
            release.cancelled().await;
            Ok(Answer::Detail(Box::new((fixtures::failed(&attempt), fixtures::detail()))))
        }
        .boxed()
    }

    fn mutate(&self, request_id: String, _: Mutation) -> PendingCall<Done> {
        self.0.note(format!("mutate {request_id}"));
        let answer = self.0.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => std::future::ready(answer).boxed(),
            None => std::future::pending().boxed(),
        }
    }
}

/// The console's side of an actor that runs.
struct Rig {
    daemon: Arc<ScriptedDaemon>,
    commands: mpsc::UnboundedSender<DaemonRequest>,
    messages: mpsc::Receiver<Msg>,
    tasks: JoinSet<()>,
}

impl Rig {
    fn start(daemon: Arc<ScriptedDaemon>) -> Self {
        let (out, messages) = mpsc::channel(16);
        let (commands, inbox) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(Actor::new(Arc::clone(&daemon), out, inbox).run());
        Self { daemon, commands, messages, tasks }
    }

    /// The next message that the test cares about.
    async fn until<T>(&mut self, wanted: impl Fn(&Msg) -> Option<T>) -> T {
        let found = async {
            loop {
                let msg = self.messages.recv().await.expect("the actor runs");
                if let Some(found) = wanted(&msg) {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(10), found).await.expect("it comes in time")
    }

    async fn live(&mut self) {
        self.until(|msg| matches!(msg, Msg::Conn(Conn::Live)).then_some(())).await;
    }

    async fn stop(mut self) {
        drop(self.commands);
        drop(self.messages);
        let ended = timeout(Duration::from_secs(10), self.tasks.join_next()).await;
        ended.expect("it ends with the console").expect("it ran").expect("it did not panic");
    }
}

fn feed() -> (mpsc::UnboundedSender<Watched>, Feed) {
    mpsc::unbounded_channel()
}

fn snapshot(cursor: &str) -> Watched {
    Ok(Some((cursor.to_owned(), Msg::Snapshot { version: "1".to_owned(), integrations: vec![] })))
}

#[tokio::test]
async fn silence_is_a_daemon_that_hangs_once_it_has_sent_heartbeats() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (first, one) = feed();
    let (_second, two) = feed();
    daemon.expect(Ok(one));
    daemon.expect(Ok(two));
    let mut rig = Rig::start(daemon);
    rig.live().await;
    first.send(snapshot("c1")).unwrap();
    first.send(Ok(None)).unwrap();
    let silent_from = Instant::now();
    let error = |msg: &Msg| match msg {
        Msg::Conn(Conn::Lost { error, .. }) => Some(error.clone()),
        _ => None,
    };
    assert_eq!(rig.until(error).await, "the daemon has stopped answering");
    // A heartbeat comes every 1.8 s, and two must be missing.
    assert!(silent_from.elapsed() >= Duration::from_millis(3600));
    // How long a busy machine takes to wake it proves nothing: the wait itself leaves time within the four seconds.
    assert!(super::actor::SILENCE <= Duration::from_millis(3800), "whoever looks knows within four seconds");
    // It comes back where it was: a heartbeat moves no cursor.
    rig.live().await;
    assert_eq!(rig.daemon.logged("watch "), ["", "c1"]);
    rig.stop().await;
}

fn mutate(ticket: u64) -> DaemonRequest {
    DaemonRequest::Mutate { ticket, mutation: Mutation::Reset { integration: "01I1".to_owned() } }
}

#[tokio::test]
async fn after_a_break_it_comes_back_where_it_was() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (first, one) = feed();
    let (_second, two) = feed();
    daemon.expect(Ok(one));
    daemon.expect(Err(CallFailure::Away("nobody listens".to_owned())));
    daemon.expect(Ok(two));
    let mut rig = Rig::start(daemon);
    rig.live().await;
    rig.commands.send(DaemonRequest::Follow(Some(Follow::Integration("01I1".to_owned())))).unwrap();
    let first_ones = |msg: &Msg| matches!(msg, Msg::Attempts { first: true, .. }).then_some(());
    rig.until(first_ones).await;
    first.send(snapshot("c1")).unwrap();
    rig.until(|msg| matches!(msg, Msg::Snapshot { .. }).then_some(())).await;
    drop(first);
    let number = |msg: &Msg| match msg {
        Msg::Conn(Conn::Lost { attempt, .. }) => Some(*attempt),
        _ => None,
    };
    assert_eq!(rig.until(number).await, 1);
    assert_eq!(rig.until(number).await, 2);
    rig.live().await;
    rig.until(first_ones).await;
    assert_eq!(rig.daemon.logged("watch "), ["", "c1"]);
    assert_eq!(rig.daemon.logged("attempts "), ["01I1", "01I1"]);
    // One thing is followed at a time.
    rig.commands.send(DaemonRequest::Follow(Some(Follow::Activity(Some(7))))).unwrap();
    rig.until(|msg| matches!(msg, Msg::Happened).then_some(())).await;
    assert_eq!(rig.daemon.logged("activity "), ["Some(7)"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_change_is_sent_again_under_its_id_until_it_is_answered() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let ((_first, one), (_second, two)) = (feed(), feed());
    daemon.expect(Ok(one));
    daemon.expect(Ok(two));
    daemon.answers.lock().unwrap().extend([
        Err(CallFailure::Away("no answer".to_owned())),
        Ok(Done::Moved { count: 1, job: String::new() }),
        Err(CallFailure::Refused("no such integration".to_owned())),
    ]);
    let mut rig = Rig::start(daemon);
    rig.live().await;
    rig.commands.send(mutate(7)).unwrap();
    rig.until(|msg| matches!(msg, Msg::Delayed { ticket: 7 }).then_some(())).await;
    let answer = |msg: &Msg| match msg {
        Msg::Done { ticket, done } => Some((*ticket, done.clone())),
        _ => None,
    };
    assert_eq!(rig.until(answer).await, (7, Ok(Done::Moved { count: 1, job: String::new() })));
    rig.commands.send(mutate(8)).unwrap();
    assert_eq!(rig.until(answer).await, (8, Err(CallFailure::Refused("no such integration".to_owned()))));
    let ids = rig.daemon.logged("mutate ");
    assert_eq!(ids.len(), 3);
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    rig.stop().await;
}

#[tokio::test]
async fn a_denial_waits_for_the_operator() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (_keep, one) = feed();
    daemon.expect(Err(CallFailure::Denied("not open to you".to_owned())));
    daemon.expect(Ok(one));
    let mut rig = Rig::start(daemon);
    rig.until(|msg| matches!(msg, Msg::Conn(Conn::Denied(_))).then_some(())).await;
    rig.commands.send(DaemonRequest::Ask { ticket: 1, query: jobs() }).unwrap();
    rig.until(|msg| {
        matches!(msg, Msg::Answered { ticket: 1, answer: Err(CallFailure::Away(_)) }).then_some(())
    })
    .await;
    assert_eq!(rig.daemon.dials.lock().unwrap().len(), 1, "it does not dial by itself");
    rig.commands.send(DaemonRequest::Reconnect).unwrap();
    rig.live().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_machine_that_slept_dials_at_once_and_knows_since_when_nothing_was_heard() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (first, one) = feed();
    let (_second, two) = feed();
    daemon.expect(Ok(one));
    for _ in 0..5 {
        daemon.expect(Err(CallFailure::Away("no network yet".to_owned())));
    }
    daemon.expect(Ok(two));
    let mut rig = Rig::start(daemon);
    rig.live().await;
    first.send(snapshot("c1")).unwrap();
    first.send(Ok(None)).unwrap();
    rig.until(|msg| matches!(msg, Msg::Snapshot { .. }).then_some(())).await;
    drop(first);
    let begun = Instant::now();
    let mut heard = BTreeSet::new();
    for number in 1..=6 {
        let lost = |msg: &Msg| match msg {
            Msg::Conn(Conn::Lost { attempt, heard_at, .. }) => Some((*attempt, *heard_at)),
            _ => None,
        };
        let (attempt, heard_at) = rig.until(lost).await;
        assert_eq!(attempt, number, "it goes on to wait longer each time");
        heard.insert(heard_at.expect("it was live"));
        rig.commands.send(DaemonRequest::Woke).unwrap();
    }
    rig.live().await;
    assert_eq!(heard.len(), 1, "the last sign of life, however often it dials");
    // The waits between would have taken more than seven seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    rig.stop().await;
}

#[tokio::test]
async fn a_call_that_hangs_holds_up_nothing_and_only_the_last_wish_counts() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (keep, one) = feed();
    daemon.expect(Ok(one));
    daemon.answers.lock().unwrap().push_back(Ok(Done::Moved { count: 1, job: String::new() }));
    let mut rig = Rig::start(daemon);
    rig.live().await;
    for (ticket, attempt) in [(1, "A1"), (2, "A2"), (3, "A3")] {
        let query = Query::Detail { attempt: attempt.to_owned() };
        rig.commands.send(DaemonRequest::Ask { ticket, query }).unwrap();
    }
    rig.commands.send(DaemonRequest::Ask { ticket: 5, query: jobs() }).unwrap();
    rig.commands.send(mutate(6)).unwrap();
    rig.until(|msg| matches!(msg, Msg::Done { ticket: 6, .. }).then_some(())).await;
    rig.daemon.release.cancel();
    rig.until(|msg| matches!(msg, Msg::Answered { ticket: 3, answer: Ok(_) }).then_some(())).await;
    assert_eq!(rig.daemon.logged("detail "), ["A1", "A3"]);
    drop(keep);
    rig.until(|msg| matches!(msg, Msg::Answered { ticket: 5, answer: Err(_) }).then_some(())).await;
    rig.stop().await;
}

#[tokio::test]
async fn finding_as_one_types_gives_a_search_anywhere_up() {
    let daemon = Arc::new(ScriptedDaemon::default());
    let (_keep, one) = feed();
    daemon.expect(Ok(one));
    let mut rig = Rig::start(daemon);
    rig.live().await;
    let anywhere = |ticket, text: &str| {
        let query = Query::FindAnywhere { text: text.to_owned(), company: None, after: String::new() };
        DaemonRequest::Ask { ticket, query }
    };
    rig.commands.send(anywhere(1, "quartet")).unwrap();
    let text = "quartets".to_owned();
    rig.commands.send(DaemonRequest::Ask { ticket: 2, query: Query::Find { text, company: None } }).unwrap();
    rig.until(|msg| matches!(msg, Msg::Answered { ticket: 2, answer: Ok(_) }).then_some(())).await;
    // Who types on has given it up, so that the next one begins at once.
    rig.commands.send(anywhere(3, "quartets")).unwrap();
    let begun = async {
        while rig.daemon.logged("search ").len() < 2 || rig.daemon.logged("given up ").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), begun).await.expect("it is given up in time");
    assert_eq!(rig.daemon.logged("search "), ["quartet", "quartets"]);
    assert_eq!(rig.daemon.logged("given up "), ["quartet"]);
    rig.stop().await;
}
