//! Who owns a lane: which of the living daemons pushes there. The lanes of integrations that share an account are one
//! daemon's, for its quota is kept and its people are locked in one process.

use sha2::{Digest as _, Sha256};

use crate::domain::lane::LaneId;

/// An account as far as daemons divide lanes by it: a part of its hash, as it is known by credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountKey(u64);

impl AccountKey {
    /// The account that a connector knows by a text; every daemon makes the same of it.
    pub(super) fn of(connector: &str, text: &str) -> Self {
        let hash: [u8; 32] = Sha256::digest(format!("{connector}\n{text}")).into();
        Self(hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }
}

/// The daemons that live, this one included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Living {
    pub(super) daemons: Vec<i64>,
    /// Each of them can divide lanes by account. While one cannot, all divide them by integration: otherwise a lane might
    /// be nobody's.
    pub(super) by_account: bool,
}

impl Living {
    /// Which daemon owns a lane: the one with the highest hash of both, so that a change of the living moves only the
    /// lanes it must.
    pub(super) fn owner(&self, lane: LaneId, account: Option<AccountKey>) -> Option<i64> {
        let integration = lane.integration.uuid().as_u128();
        let shard = match account.filter(|_| self.by_account) {
            Some(AccountKey(account)) => account,
            None => integration as u64 ^ (integration >> 64) as u64,
        };
        self.daemons.iter().copied().max_by_key(|daemon| mix(shard ^ mix(*daemon as u64)))
    }

    /// Whether a lane is this daemon's; a daemon that knows of none takes all for its own.
    pub(super) fn is_owner(&self, daemon: i64, lane: LaneId, account: Option<AccountKey>) -> bool {
        self.owner(lane, account).is_none_or(|owner| owner == daemon)
    }

    /// Whether a lane's owner depends on its account.
    pub(super) fn asks_for_accounts(&self) -> bool {
        self.by_account && self.daemons.len() > 1
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CompanyId, IntegrationId};

    fn living(daemons: &[i64]) -> Living {
        Living { daemons: daemons.to_vec(), by_account: true }
    }

    fn lane() -> LaneId {
        LaneId::new(CompanyId(1), IntegrationId::generate())
    }

    #[test]
    fn lanes_are_shared_evenly_and_only_a_leavers_lanes_move() {
        let (four, three) = (living(&[3, 7, 8, 20]), living(&[3, 7, 20]));
        let lanes: Vec<_> = (0..10_000)
            .map(|n| (lane(), (n % 2 == 0).then(|| AccountKey::of("hubspot", &n.to_string()))))
            .collect();
        for daemon in &four.daemons {
            let own =
                lanes.iter().filter(|(lane, account)| four.owner(*lane, *account) == Some(*daemon)).count();
            assert!((2_250..2_750).contains(&own), "{daemon} owns {own} of 10000");
        }
        for (lane, account) in lanes {
            let (before, after) = (four.owner(lane, account), three.owner(lane, account));
            assert!(before == after || before == Some(8));
        }
        assert_eq!(Living::default().owner(lane(), None), None);
    }

    #[test]
    fn lanes_of_one_account_are_one_daemons_once_all_can_tell() {
        let account = Some(AccountKey::of("hubspot", "token"));
        assert_ne!(account, Some(AccountKey::of("pipedrive", "token")));
        let lanes: Vec<_> = (0..100).map(|_| lane()).collect();
        let is_one = |living: &Living| {
            lanes.iter().all(|lane| living.owner(*lane, account) == living.owner(lanes[0], account))
        };
        let mut living = living(&[3, 7, 8, 20]);
        assert!(is_one(&living) && living.asks_for_accounts());
        living.by_account = false;
        assert!(!is_one(&living) && !living.asks_for_accounts());
        assert!(lanes.iter().all(|lane| living.owner(*lane, account) == living.owner(*lane, None)));
    }
}
