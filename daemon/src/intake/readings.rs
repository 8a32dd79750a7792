//! Writes down who read which lead, before it is told: one statement for all that a company's keys read meanwhile. Each
//! company has a line of its own, so that one whose rows somebody holds keeps no other's readers waiting.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use super::{
    intake_store::{IntakeStore, StoreFailure},
    views::KeyMatch,
};
use crate::{
    domain::ids::{CompanyId, LeadId},
    store::operator::reading::Reading,
};

/// The most readings of a company that wait to be written, all of which one statement takes; beyond it readers are told to
/// come back.
const LINE_CAP: usize = 256;
/// The readings of so many companies are written at once.
const AT_ONCE: usize = 4;
/// What is handed in is put into its line at once.
const QUEUE_CAP: usize = 1024;

/// Where readings are handed in.
#[derive(Debug)]
pub(super) struct Readings(mpsc::Sender<WaitingReading>);

#[derive(Debug)]
pub(super) struct WaitingReading {
    reading: Reading,
    answer: oneshot::Sender<Result<(), StoreFailure>>,
}

impl Readings {
    pub(super) fn new() -> (Self, mpsc::Receiver<WaitingReading>) {
        let (sender, queue) = mpsc::channel(QUEUE_CAP);
        (Self(sender), queue)
    }

    /// Waits until it is written down, or tells why it is not.
    pub(super) async fn note(&self, matched: &KeyMatch, lead: LeadId) -> Result<(), StoreFailure> {
        let operator = format!("intake key {}", matched.prefix());
        self.write_down(Reading { company: matched.view.id, lead, operator }).await
    }

    async fn write_down(&self, reading: Reading) -> Result<(), StoreFailure> {
        let (answer, written) = oneshot::channel();
        self.0.try_send(WaitingReading { reading, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFailure::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreFailure::Failed,
        })?;
        written.await.unwrap_or(Err(StoreFailure::Failed))
    }
}

impl WaitingReading {
    fn end(self, written: Result<(), StoreFailure>) {
        if self.answer.send(written).is_err() {
            tracing::debug!("a reader left before the answer");
        }
    }
}

/// What waits to be written, of those companies alone that have some waiting or under way. A request waits for each, and
/// of those there are only so many.
#[derive(Debug, Default)]
struct Lines {
    waiting: HashMap<CompanyId, Vec<WaitingReading>>,
    /// Who has some waiting and none under way, in the order in which they came.
    turns: VecDeque<CompanyId>,
}

impl Lines {
    fn join(&mut self, reading: WaitingReading) {
        let company = reading.reading.company;
        let line = self.waiting.entry(company).or_insert_with(|| {
            self.turns.push_back(company);
            Vec::new()
        });
        if line.len() < LINE_CAP {
            line.push(reading);
        } else {
            reading.end(Err(StoreFailure::Busy));
        }
    }

    /// Whose turn it is, with all that waits of theirs.
    fn next(&mut self) -> Option<(CompanyId, Vec<WaitingReading>)> {
        let company = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&company).map(std::mem::take);
        Some((company, line.unwrap_or_default()))
    }

    /// What was under way of a company is written, or is not.
    fn ended(&mut self, company: CompanyId) {
        if self.waiting.get(&company).is_some_and(Vec::is_empty) {
            self.waiting.remove(&company);
        } else {
            self.turns.push_back(company);
        }
    }
}

/// Writes what was handed in; ends when every [`Readings`] is gone and all that waited has its answer.
pub(super) async fn write<S: IntakeStore>(store: Arc<S>, mut queue: mpsc::Receiver<WaitingReading>) {
    let (mut lines, mut under_way, mut is_open) = (Lines::default(), FuturesUnordered::new(), true);
    while is_open || !under_way.is_empty() {
        tokio::select! {
            handed_in = queue.recv(), if is_open => match handed_in {
                Some(reading) => lines.join(reading),
                None => is_open = false,
            },
            Some(company) = under_way.next() => lines.ended(company),
        }
        while let Ok(reading) = queue.try_recv() {
            lines.join(reading);
        }
        while under_way.len() < AT_ONCE
            && let Some((company, line)) = lines.next()
        {
            under_way.push(write_line(&*store, company, line));
        }
    }
}

async fn write_line<S: IntakeStore>(store: &S, company: CompanyId, line: Vec<WaitingReading>) -> CompanyId {
    // Who left is told nothing, and has read nothing.
    let (readings, waiting): (Vec<_>, Vec<_>) = line
        .into_iter()
        .filter(|waiting| !waiting.answer.is_closed())
        .map(|it| (it.reading, it.answer))
        .unzip();
    if readings.is_empty() {
        return company;
    }
    let written = store.note_read(&readings).await;
    for (reading, answer) in readings.into_iter().zip(waiting) {
        WaitingReading { reading, answer }.end(written);
    }
    company
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{
            fake::{COMPANY, Fake, NEIGHBOUR},
            until,
        },
        *,
    };

    fn reading(company: CompanyId) -> Reading {
        Reading { company, lead: LeadId::generate(), operator: "intake key llk_7_aaaa".to_owned() }
    }

    #[tokio::test]
    async fn a_company_whose_rows_are_held_keeps_no_others_readers_waiting() {
        let store = Fake::new();
        store.with(|state| state.held_reads = Some(COMPANY));
        let (readings, queue) = Readings::new();
        let all = async {
            let held = async {
                tokio::join!(readings.write_down(reading(COMPANY)), readings.write_down(reading(COMPANY)))
            };
            let others = async {
                until(|| store.with(|state| state.reads_begun > 0)).await;
                for _ in 0..3 {
                    assert_eq!(readings.write_down(reading(NEIGHBOUR)).await, Ok(()));
                }
                assert_eq!(store.with(|state| state.read.len()), 3, "those of the held one wait");
                store.reads.add_permits(2);
            };
            let (held, ()) = tokio::join!(held, others);
            assert_eq!(held, (Ok(()), Ok(())));
            // The lines end with whoever hands in.
            drop(readings);
        };
        let writing = write(Arc::clone(&store), queue);
        tokio::join!(writing, all);
        assert_eq!(store.with(|state| state.read.len()), 5);
    }

    #[tokio::test]
    async fn a_line_is_no_longer_than_a_statement_and_none_waits_for_a_reader_who_left() {
        let mut lines = Lines::default();
        let mut answers = Vec::new();
        for _ in 0..=LINE_CAP {
            let (answer, written) = oneshot::channel();
            lines.join(WaitingReading { reading: reading(COMPANY), answer });
            answers.push(written);
        }
        assert_eq!(answers.pop().unwrap().await, Ok(Err(StoreFailure::Busy)));
        let (company, line) = lines.next().unwrap();
        assert_eq!((company, line.len()), (COMPANY, LINE_CAP));
        assert!(lines.next().is_none());
        answers.clear();
        let store = Fake::new();
        assert_eq!(write_line(&*store, company, line).await, COMPANY);
        assert_eq!(store.with(|state| state.reads_begun), 0, "nobody reads it any more");
        lines.ended(COMPANY);
        assert!(lines.waiting.is_empty() && lines.turns.is_empty());
    }
}
