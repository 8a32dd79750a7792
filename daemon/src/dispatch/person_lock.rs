//! One person at a time: where a target forbids no second one, pushes for the same person wait for each other, as far as
//! this daemon makes them: it makes all of a company.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::Instant,
};

/// A target's search knows by then whom a push has made.
const RECENT: Duration = Duration::from_secs(600);
/// When so many are remembered, those who were met longer ago are forgotten.
const PEOPLE_MAX: usize = 1024;

/// When the last push for somebody ended.
type Met = Option<Instant>;

/// Somebody, as the last push left them.
#[derive(Debug, Default)]
struct LockedPerson {
    met: Met,
    /// What it said it had made.
    made: Value,
}

/// The people of one account, by a hash that means nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct PersonLocks {
    hasher: RandomState,
    /// Until when others may have met anybody.
    others_until: Mutex<Met>,
    people: Mutex<HashMap<u64, Arc<AsyncMutex<LockedPerson>>>>,
}

/// The right to push for a person, until this is dropped.
#[derive(Debug)]
pub(super) struct PersonLock {
    person: OwnedMutexGuard<LockedPerson>,
    others_until: Met,
}

fn is_recent(met: Met) -> bool {
    met.is_some_and(|met| met.elapsed() < RECENT)
}

impl PersonLock {
    /// Whether another push for the person has just ended: a search may not know yet whom it made.
    pub(super) fn recently_pushed(&self) -> bool {
        is_recent(self.person.met) || is_recent(self.others_until)
    }

    /// What the last push for the person said it had made, for this one to say anew.
    pub(super) fn made(&mut self) -> &mut Value {
        &mut self.person.made
    }
}

impl Drop for PersonLock {
    fn drop(&mut self) {
        self.person.met = Some(Instant::now());
    }
}

impl PersonLocks {
    /// Nobody is known. Others may have pushed for anybody until that time: whom they met is not known here.
    pub(super) fn new(others_until: Option<Instant>) -> Self {
        Self { others_until: others_until.into(), ..Self::default() }
    }

    /// Other daemons may have pushed for anybody until then.
    pub(super) fn meet_others(&self, until: Instant) {
        *self.others_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Waits until no other push for this person is under way.
    pub(super) async fn alone(&self, person: &str) -> PersonLock {
        let person = {
            let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
            if people.len() >= PEOPLE_MAX {
                // Others who have it push for that person, or are about to.
                people.retain(|_, person| {
                    Arc::strong_count(person) > 1
                        || person.try_lock().is_ok_and(|person| is_recent(person.met))
                });
            }
            Arc::clone(people.entry(self.hasher.hash_one(person)).or_default())
        };
        let mut person = person.lock_owned().await;
        if !is_recent(person.met) {
            // A search knows by now what became of it.
            person.made = Value::Null;
        }
        PersonLock { person, others_until: *self.others_until.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_free(people: &PersonLocks, person: &str) -> bool {
        tokio::time::timeout(Duration::from_millis(1), people.alone(person)).await.is_ok()
    }

    #[tokio::test]
    async fn pushes_for_one_person_wait_and_those_for_others_do_not() {
        let people = PersonLocks::default();
        let ada = people.alone("ada").await;
        assert!(!ada.recently_pushed() && !is_free(&people, "ada").await);
        assert!(is_free(&people, "bob").await);
        drop(ada);
        assert!(people.alone("ada").await.recently_pushed());
    }

    #[tokio::test]
    async fn the_next_push_is_told_what_was_made_while_a_search_may_not_know() {
        let people = PersonLocks::default();
        *people.alone("ada").await.made() = "501".into();
        assert_eq!(*people.alone("bob").await.made(), Value::Null);
        assert_eq!(*people.alone("ada").await.made(), "501");
        for person in people.people.lock().unwrap().values() {
            person.try_lock().unwrap().met = Instant::now().checked_sub(RECENT);
        }
        assert_eq!(*people.alone("ada").await.made(), Value::Null);
    }

    #[tokio::test]
    async fn neither_who_was_recently_pushed_nor_who_is_being_pushed_is_forgotten() {
        let people = PersonLocks::default();
        let _ada = people.alone("ada").await;
        for n in 0..2 * PEOPLE_MAX {
            drop(people.alone(&n.to_string()).await);
        }
        assert!(people.alone("0").await.recently_pushed());
        assert!(!is_free(&people, "ada").await);
    }

    #[tokio::test]
    async fn who_is_about_to_be_pushed_is_not_forgotten() {
        let people = PersonLocks::default();
        drop(people.alone("ada").await);
        // The first push for her has found her, and has not locked her yet.
        let ada = people.people.lock().unwrap().values().next().cloned().unwrap();
        ada.try_lock().unwrap().met = None;
        for n in 0..2 * PEOPLE_MAX {
            drop(people.alone(&n.to_string()).await);
        }
        let _locked = ada.lock_owned().await;
        assert!(!is_free(&people, "ada").await);
    }

    #[tokio::test]
    async fn whom_another_daemon_met_is_not_known() {
        assert!(PersonLocks::new(Some(Instant::now())).alone("ada").await.recently_pushed());
        assert!(!PersonLocks::new(Instant::now().checked_sub(RECENT)).alone("ada").await.recently_pushed());
        let people = PersonLocks::default();
        people.meet_others(Instant::now());
        assert!(people.alone("ada").await.recently_pushed());
    }
}
