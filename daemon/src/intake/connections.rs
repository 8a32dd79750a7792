//! The connections there are: no address may have more than its share, and when all places are taken the oldest idle one
//! is given up of the address that has the most among those with idle ones. So whoever only holds places keeps nobody out.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    most_of_one: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    /// Oldest first.
    connections: BTreeMap<u64, AddressEntry>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct AddressEntry {
    address: IpAddr,
    requests: Arc<AtomicUsize>,
    close: CancellationToken,
}

/// A connection's place, until this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    all: Arc<Connections>,
    id: u64,
    requests: Arc<AtomicUsize>,
    /// Cancelled when the place is wanted by others.
    pub(super) close: CancellationToken,
}

/// A request under way on a connection.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl Connections {
    pub(super) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_one, open: Mutex::default() })
    }

    /// A place for a connection from an address; none if it has as many as it may, or all are busy.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        is_trusted: bool,
        stop: &CancellationToken,
    ) -> Option<ConnectionPlace> {
        let mut open = self.open();
        let own = open.by_address.get(&address).copied().unwrap_or_default();
        if own >= self.most_of_one && !is_trusted {
            return None;
        }
        if open.connections.len() >= self.most {
            open.close_one(address, own)?;
        }
        let id = open.next;
        open.next += 1;
        let (requests, close) = (Arc::new(AtomicUsize::new(0)), stop.child_token());
        let entry = AddressEntry { address, requests: Arc::clone(&requests), close: close.clone() };
        open.connections.insert(id, entry);
        *open.by_address.entry(address).or_default() += 1;
        Some(ConnectionPlace { all: Arc::clone(self), id, requests, close })
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Closes an idle connection for a newcomer, whose address has so many: the oldest of the address that has the most.
    /// None if those that are idle belong to addresses that have no more than the newcomer's, or nothing else.
    fn close_one(&mut self, newcomer: IpAddr, own: usize) -> Option<()> {
        let of = |entry: &AddressEntry| self.by_address.get(&entry.address).copied().unwrap_or_default();
        // Where some have several, nobody gives the only one up.
        let spared = usize::from(self.by_address.values().any(|count| *count > 1));
        let may_go = |entry: &AddressEntry| {
            entry.requests.load(Ordering::Relaxed) == 0
                && (of(entry) > own.max(spared) || entry.address == newcomer)
        };
        let idle = self.connections.iter().filter(|(_, entry)| may_go(entry));
        let id = idle.min_by_key(|(_, entry)| Reverse(of(entry))).map(|(id, _)| *id)?;
        let entry = self.remove(id)?;
        entry.close.cancel();
        Some(())
    }

    fn remove(&mut self, id: u64) -> Option<AddressEntry> {
        let entry = self.connections.remove(&id)?;
        if let Some(count) = self.by_address.get_mut(&entry.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&entry.address);
            }
        }
        Some(entry)
    }
}

impl ConnectionPlace {
    /// Notes that a request has come; the connection is busy until what this answers is dropped.
    pub(super) fn request(&self) -> UnderWay {
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.requests))
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        // It may have been closed to make room, and be gone already.
        drop(self.all.open().remove(self.id));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_busy_with_all_it_has_keeps_nobody_out() {
        let (all, stop) = (Connections::new(6, 3), CancellationToken::new());
        let enter = |n| all.enter(address(n), false, &stop);
        let busy = [enter(1).unwrap(), enter(1).unwrap(), enter(1).unwrap()];
        let _under_way = busy.each_ref().map(ConnectionPlace::request);
        let idle = [enter(2).unwrap(), enter(2).unwrap()];
        let lone = enter(3).unwrap();
        let newcomer = enter(4).unwrap();
        assert!(idle[0].close.is_cancelled() && !idle[1].close.is_cancelled());
        let another = enter(2);
        assert!(another.is_some() && idle[1].close.is_cancelled(), "it may have another one of its own");
        let _under_way = newcomer.request();
        assert!(enter(4).is_none(), "nobody loses the only one");
        assert!(!lone.close.is_cancelled());
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([198, 51, 100, n])
    }

    #[test]
    fn who_holds_the_most_places_gives_up_the_oldest_idle_one() {
        let (all, stop) = (Connections::new(4, 3), CancellationToken::new());
        let enter = |n| all.enter(address(n), false, &stop);
        let held = [enter(1).unwrap(), enter(1).unwrap(), enter(1).unwrap()];
        assert!(enter(1).is_none(), "an address has its share");
        let busy = held[0].request();
        let other = enter(2).unwrap();
        let newcomer = enter(3).unwrap();
        assert!(!held[0].close.is_cancelled(), "it is busy");
        assert!(held[1].close.is_cancelled() && !held[2].close.is_cancelled());
        assert!(!other.close.is_cancelled() && !newcomer.close.is_cancelled());
        let last = held[2].request();
        assert!(enter(4).is_none(), "nothing of who has several is idle");
        drop((busy, last));
        assert!(enter(4).is_some());
        drop((held, other, newcomer));
        assert!(all.open().connections.is_empty() && all.open().by_address.is_empty());
    }

    #[test]
    fn many_who_hold_one_place_each_keep_nobody_out() {
        let (all, stop) = (Connections::new(3, 3), CancellationToken::new());
        let enter = |n| all.enter(address(n), false, &stop);
        let held = [enter(1).unwrap(), enter(2).unwrap(), enter(3).unwrap()];
        let newcomer = enter(4).unwrap();
        assert!(held[0].close.is_cancelled() && !held[1].close.is_cancelled());
        assert!(!newcomer.close.is_cancelled());
    }

    #[test]
    fn a_proxy_has_all_places() {
        let (all, stop) = (Connections::new(4, 1), CancellationToken::new());
        let held: Vec<_> = (0..4).filter_map(|_| all.enter(address(1), true, &stop)).collect();
        assert_eq!(held.len(), 4);
        stop.cancel();
        assert!(held.iter().all(|connection| connection.close.is_cancelled()));
    }
}
