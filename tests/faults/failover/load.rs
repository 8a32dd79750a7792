//! Leads that are posted as fast as they are answered, and when which were accepted.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use leadline_fakes::sample_lead;
use leadline_tests::post_lead;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const SENDERS: usize = 4;
const REFUSED_REST: Duration = Duration::from_millis(20);
/// Over so long a rate is taken.
pub(super) const RATE_OVER: Duration = Duration::from_secs(1);

/// What was answered, in order.
#[derive(Debug, Default)]
struct Answers {
    accepted: Vec<(Instant, String)>,
    refused: Vec<Instant>,
}

pub(super) struct Load {
    senders: JoinSet<()>,
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<Answers>>,
    started: Instant,
}

impl Load {
    pub(super) fn start(url: &str, key: &str) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Answers>>::default());
        let mut senders = JoinSet::new();
        let next = Arc::new(AtomicUsize::new(1));
        for _ in 0..SENDERS {
            let (url, key) = (url.to_owned(), key.to_owned());
            let (stop, answers, next) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&next));
            senders.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let lead = sample_lead(next.fetch_add(1, Ordering::Relaxed)).to_string();
                    let (status, answer) = post_lead(&url, &key, lead).await;
                    if status == 202 {
                        let uuid = answer["lead"].as_str().unwrap().to_uppercase();
                        answers.lock().unwrap().accepted.push((Instant::now(), uuid));
                    } else {
                        answers.lock().unwrap().refused.push(Instant::now());
                        // Senders come back later than at once.
                        sleep(REFUSED_REST).await;
                    }
                }
            });
        }
        Self { senders, stop, answers, started: Instant::now() }
    }

    pub(super) fn count(&self) -> usize {
        self.answers.lock().unwrap().accepted.len()
    }

    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many were refused since.
    pub(super) fn refused_since(&self, at: Instant) -> usize {
        self.answers.lock().unwrap().refused.iter().filter(|refused| **refused >= at).count()
    }

    /// How many were accepted in a second, up to a moment.
    pub(super) fn rate_before(&self, end: Instant) -> f64 {
        let answers = self.answers.lock().unwrap();
        let from = end - RATE_OVER;
        let counted = answers.accepted.iter().filter(|(at, _)| *at > from && *at <= end).count();
        counted as f64 / RATE_OVER.as_secs_f64()
    }

    /// When the first one was accepted after a moment.
    pub(super) fn first_after(&self, moment: Instant) -> Option<Instant> {
        let answers = self.answers.lock().unwrap();
        answers.accepted.iter().map(|(at, _)| *at).find(|at| *at > moment)
    }

    /// When the first second after a moment begins in which so many were accepted.
    pub(super) fn first_second_of(&self, rate: f64, after: Instant) -> Option<Instant> {
        let answers = self.answers.lock().unwrap();
        let times: Vec<_> = answers.accepted.iter().map(|(at, _)| *at).filter(|at| *at > after).collect();
        let needed = ((rate * RATE_OVER.as_secs_f64()).ceil() as usize).max(1);
        times.windows(needed).find(|many| *many.last().unwrap() - many[0] <= RATE_OVER).map(|many| many[0])
    }

    /// Stops, and tells the uuids of those that were accepted.
    pub(super) async fn stop(mut self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        while self.senders.join_next().await.is_some() {}
        let answers = self.answers.lock().unwrap();
        answers.accepted.iter().map(|(_, uuid)| uuid.clone()).collect()
    }
}
