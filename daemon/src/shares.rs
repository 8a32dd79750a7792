//! Room that many ask for, of which none may have more than a share, so that others always find some.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much room in all, and so much of it for each owner.
pub struct Shares<K> {
    all: Arc<Semaphore>,
    share: usize,
    /// Of those who have or wait for some now.
    owners: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// Room that is taken, until this is dropped.
#[derive(Debug)]
pub struct Share {
    own: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Share {
    /// Adds room to what is taken.
    pub fn merge(&mut self, more: Self) {
        self.own.merge(more.own);
        self.all.merge(more.all);
    }
}

impl<K: Copy + Eq + Hash> Shares<K> {
    #[must_use]
    pub fn new(all: usize, share: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), share, owners: Mutex::default() }
    }

    /// Waits for room: first for the owner's own, so that one who asks for much keeps only himself waiting.
    pub async fn take(&self, owner: K, room: u32) -> Option<Share> {
        let own = self.own(owner).acquire_many_owned(room).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(room).await.ok()?;
        Some(Share { own, all })
    }

    /// Takes room if there is some now.
    pub fn try_take(&self, owner: K, room: u32) -> Option<Share> {
        let own = self.own(owner).try_acquire_many_owned(room).ok()?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(room).ok()?;
        Some(Share { own, all })
    }

    /// How much nobody has.
    #[must_use]
    pub fn free(&self) -> usize {
        self.all.available_permits()
    }

    fn own(&self, owner: K) -> Arc<Semaphore> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = owners.get(&owner).and_then(Weak::upgrade) {
            return own;
        }
        // Those who have none any more are forgotten now and then, so that looking for them costs nothing.
        if owners.len() >= 64 && owners.len().is_power_of_two() {
            owners.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.share));
        owners.insert(owner, Arc::downgrade(&own));
        own
    }
}

impl<K> fmt::Debug for Shares<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("all", &self.all).field("share", &self.share).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_has_more_than_a_share_and_what_is_dropped_comes_back() {
        let shares = Shares::new(3, 2);
        let mut first = shares.try_take('a', 1).unwrap();
        first.merge(shares.take('a', 1).await.unwrap());
        assert!(shares.try_take('a', 1).is_none(), "his share is taken");
        let other = shares.try_take('b', 1).unwrap();
        assert!(shares.try_take('b', 1).is_none() && shares.free() == 0, "all of it is taken");
        drop(first);
        assert_eq!(shares.free(), 2);
        let (waiting, ()) = tokio::join!(shares.take('b', 2), async { drop(other) });
        assert!(waiting.is_some() && shares.try_take('b', 1).is_none());
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let shares = Shares::new(10, 1);
        for owner in 0..10_000 {
            drop(shares.try_take(owner, 1));
        }
        assert!(shares.owners.lock().unwrap().len() <= 64);
    }
}
