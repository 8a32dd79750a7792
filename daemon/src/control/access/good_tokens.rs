//! Tokens that were let in: each is looked up whatever its neighbours showed, and no other costs a look then.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// So many are remembered; then all are forgotten, and each is known again once it is shown in good times.
const CAP: usize = 10_000;

type Hash = [u8; 32];

/// The hashes of tokens that opened something when they were shown last.
#[derive(Debug, Default)]
pub(super) struct GoodTokens(Mutex<HashSet<Hash>>);

impl GoodTokens {
    pub(super) fn has(&self, hash: &Hash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(hash)
    }

    /// Remembers whether a token opened something.
    pub(super) fn keep(&self, hash: Hash, is_good: bool) {
        let mut good = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            good.remove(&hash);
            return;
        }
        if good.len() >= CAP && !good.contains(&hash) {
            good.clear();
        }
        good.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        hash
    }

    #[test]
    fn a_token_is_good_for_as_long_as_it_opened_something_last() {
        let tokens = GoodTokens::default();
        tokens.keep(hash(1), false);
        assert!(!tokens.has(&hash(1)));
        tokens.keep(hash(1), true);
        assert!(tokens.has(&hash(1)) && !tokens.has(&hash(2)));
        tokens.keep(hash(1), false);
        assert!(!tokens.has(&hash(1)), "revoked or expired since");
    }

    #[test]
    fn so_many_are_remembered() {
        let tokens = GoodTokens::default();
        (0..CAP).for_each(|n| tokens.keep(hash(n), true));
        tokens.keep(hash(0), true);
        assert!(tokens.has(&hash(0)) && tokens.has(&hash(CAP - 1)), "known ones need no room");
        tokens.keep(hash(CAP), true);
        assert!(tokens.has(&hash(CAP)) && !tokens.has(&hash(0)));
    }
}
