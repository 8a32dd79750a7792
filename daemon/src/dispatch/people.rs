//! One person at a time: where a target forbids no second one, pushes for the same person wait for each other.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::Instant,
};

/// A target's search knows by then whom a push has made.
const LATELY: Duration = Duration::from_secs(600);
/// When so many are remembered, those who were met longer ago are forgotten.
const PEOPLE_MAX: usize = 1024;

/// When the last push for somebody ended.
type Met = Option<Instant>;

/// The people of one account, by a hash that means nothing elsewhere.
#[derive(Debug, Default)]
pub(super) struct People {
    hasher: RandomState,
    /// Until when others may have met anybody.
    others_until: Met,
    people: Mutex<HashMap<u64, Arc<AsyncMutex<Met>>>>,
}

/// The right to push for a person, until this is dropped.
#[derive(Debug)]
pub(super) struct Alone {
    met: OwnedMutexGuard<Met>,
    others_until: Met,
}

fn is_lately(met: Met) -> bool {
    met.is_some_and(|met| met.elapsed() < LATELY)
}

impl Alone {
    /// Whether another push for the person has just ended: a search may not know yet whom it made.
    pub(super) fn met_lately(&self) -> bool {
        is_lately(*self.met) || is_lately(self.others_until)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        *self.met = Some(Instant::now());
    }
}

impl People {
    /// Nobody is known. Others may have pushed for anybody until that time: whom they met is not known here.
    pub(super) fn new(others_until: Option<Instant>) -> Self {
        Self { others_until, ..Self::default() }
    }

    /// Waits until no other push for this person is under way.
    pub(super) async fn alone(&self, person: &str) -> Alone {
        let person = {
            let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
            if people.len() >= PEOPLE_MAX {
                // Who is being pushed is locked.
                people.retain(|_, person| person.try_lock().map_or(true, |met| is_lately(*met)));
            }
            Arc::clone(people.entry(self.hasher.hash_one(person)).or_default())
        };
        Alone { met: person.lock_owned().await, others_until: self.others_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_free(people: &People, person: &str) -> bool {
        tokio::time::timeout(Duration::from_millis(1), people.alone(person)).await.is_ok()
    }

    #[tokio::test]
    async fn pushes_for_one_person_wait_and_those_for_others_do_not() {
        let people = People::default();
        let ada = people.alone("ada").await;
        assert!(!ada.met_lately() && !is_free(&people, "ada").await);
        assert!(is_free(&people, "bob").await);
        drop(ada);
        assert!(people.alone("ada").await.met_lately());
    }

    #[tokio::test]
    async fn neither_who_was_met_lately_nor_who_is_being_pushed_is_forgotten() {
        let people = People::default();
        let _ada = people.alone("ada").await;
        for n in 0..2 * PEOPLE_MAX {
            drop(people.alone(&n.to_string()).await);
        }
        assert!(people.alone("0").await.met_lately());
        assert!(!is_free(&people, "ada").await);
    }

    #[tokio::test]
    async fn whom_another_life_met_is_not_known() {
        assert!(People::new(Some(Instant::now())).alone("ada").await.met_lately());
        assert!(!People::new(Instant::now().checked_sub(LATELY)).alone("ada").await.met_lately());
    }
}
