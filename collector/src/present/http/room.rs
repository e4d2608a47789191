//! Who holds a connection, and who goes when there are too many. Pure counting, no IO.
//!
//! Whoever showed a session or a token that holds is known, and nobody makes them go. Everybody else is a stranger: readers of status pages, jobs that ping, who signs
//! in, and whoever just opens connections. Strangers hold what is left over: where there is no room, the oldest of theirs goes, first from the address that has the
//! most of them, so that one address cannot take what others read by, and all strangers together cannot keep those out who respond.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Most connections at a time.
pub const CONNECTIONS_MAX: usize = 512;
/// Most of them from one address (of IPv6: one /64); from this machine, where a proxy may stand for everybody, there is no such bound.
pub const PEER_MAX: usize = 128;

/// Whom a connection is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Peer {
    /// This machine.
    Here,
    /// An address of IPv4, or the first half of one of IPv6.
    There(u64),
}

impl Peer {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Here,
            // What begins with 0 is nobody's address in IPv6.
            IpAddr::V4(v4) => Self::There(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => Self::There((v6.to_bits() >> 64) as u64),
        }
    }
}

/// A connection's number.
pub(super) type Seat = u64;

#[derive(Debug)]
struct Held {
    peer: Peer,
    known: bool,
}

/// What becomes of a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It has this seat; a stranger with the other one goes.
    Seat(Seat, Option<Seat>),
    /// Everybody who is there is known.
    Full,
}

/// The connections that are held.
#[derive(Debug)]
pub(super) struct Room {
    /// Most of them.
    max: usize,
    /// Most of them from one address.
    peer_max: usize,
    next: Seat,
    /// The oldest first.
    held: BTreeMap<Seat, Held>,
    peers: HashMap<Peer, usize>,
}

impl Room {
    pub(super) fn new(max: usize, peer_max: usize) -> Self {
        Self { max, peer_max, next: 0, held: BTreeMap::new(), peers: HashMap::new() }
    }

    /// A connection is asked for.
    pub(super) fn enter(&mut self, address: IpAddr) -> Entry {
        let peer = Peer::of(address);
        let own = self.peers.get(&peer).copied().unwrap_or(0);
        let goes = if peer != Peer::Here && own >= self.peer_max {
            Some(self.oldest_stranger(Some(peer)))
        } else if self.held.len() >= self.max {
            Some(self.oldest_stranger(self.most_strangers()))
        } else {
            None
        };
        let goes = match goes {
            Some(None) => return Entry::Full,
            Some(Some(seat)) => {
                self.leave(seat);
                Some(seat)
            }
            None => None,
        };
        let seat = self.next;
        self.next += 1;
        self.held.insert(seat, Held { peer, known: false });
        *self.peers.entry(peer).or_default() += 1;
        Entry::Seat(seat, goes)
    }

    /// Who holds it showed a session or a token that holds.
    pub(super) fn known(&mut self, seat: Seat) {
        if let Some(held) = self.held.get_mut(&seat) {
            held.known = true;
        }
    }

    /// It is over, or goes; once.
    pub(super) fn leave(&mut self, seat: Seat) {
        let Some(held) = self.held.remove(&seat) else { return };
        if let Some(count) = self.peers.get_mut(&held.peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&held.peer);
            }
        }
    }

    /// Whose strangers are the most; of several the one whose oldest is the oldest.
    fn most_strangers(&self) -> Option<Peer> {
        let mut strangers: HashMap<Peer, (usize, Seat)> = HashMap::new();
        for (seat, held) in self.held.iter().filter(|(_, held)| !held.known) {
            strangers.entry(held.peer).or_insert((0, *seat)).0 += 1;
        }
        let most = strangers.into_iter().max_by_key(|(_, (count, oldest))| (*count, std::cmp::Reverse(*oldest)));
        most.map(|(peer, _)| peer)
    }

    fn oldest_stranger(&self, of: Option<Peer>) -> Option<Seat> {
        let mut strangers = self.held.iter().filter(|(_, held)| !held.known && Some(held.peer) == of);
        strangers.next().map(|(seat, _)| *seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> IpAddr {
        IpAddr::from([198, 51, (n / 250) as u8, (n % 250) as u8 + 1])
    }

    fn seat(entry: Entry) -> Seat {
        match entry {
            Entry::Seat(seat, _) => seat,
            Entry::Full => panic!("full"),
        }
    }

    #[test]
    fn strangers_never_keep_out_who_is_known() {
        let mut room = Room::new(CONNECTIONS_MAX, PEER_MAX);
        let mine: Vec<Seat> = (0..8).map(|_| seat(room.enter(address(0)))).collect();
        mine.iter().for_each(|seat| room.known(*seat));
        for n in 0..20_000 {
            let Entry::Seat(_, goes) = room.enter(address(1 + n % 10_000)) else { panic!("a stranger finds room") };
            assert!(goes.is_none_or(|goes| !mine.contains(&goes)), "who is known went");
            assert!(room.held.len() <= CONNECTIONS_MAX);
        }
        assert!(mine.iter().all(|seat| room.held.contains_key(seat)));
        // And who comes now finds room too.
        assert!(matches!(room.enter(address(0)), Entry::Seat(_, Some(_))));
    }

    #[test]
    fn the_address_with_the_most_gives_way_its_oldest_first() {
        let mut room = Room::new(CONNECTIONS_MAX, PEER_MAX);
        let reader = seat(room.enter(address(0)));
        let greedy: Vec<Seat> = (0..PEER_MAX).map(|_| seat(room.enter(address(1)))).collect();
        // One more of its own costs it its own oldest.
        assert!(matches!(room.enter(address(1)), Entry::Seat(_, Some(goes)) if goes == greedy[0]));
        while room.held.len() < CONNECTIONS_MAX {
            let n = 2 + room.held.len();
            assert!(matches!(room.enter(address(n)), Entry::Seat(_, None)));
        }
        assert!(matches!(room.enter(address(5000)), Entry::Seat(_, Some(goes)) if goes == greedy[1]));
        assert!(room.held.contains_key(&reader));
    }

    #[test]
    fn where_all_are_known_there_is_no_room() {
        let mut room = Room::new(CONNECTIONS_MAX, PEER_MAX);
        let seats: Vec<Seat> = (0..PEER_MAX).map(|_| seat(room.enter(address(1)))).collect();
        seats.iter().for_each(|seat| room.known(*seat));
        assert_eq!(room.enter(address(1)), Entry::Full, "of this address");
        let other = seat(room.enter(address(2)));
        room.leave(seats[0]);
        room.leave(seats[0]);
        assert!(matches!(room.enter(address(1)), Entry::Seat(_, None)));
        room.leave(other);
        assert_eq!(room.peers.get(&Peer::of(address(2))), None);
    }

    #[test]
    fn this_machine_and_its_proxies_are_bounded_by_the_whole_alone() {
        let mut room = Room::new(CONNECTIONS_MAX, PEER_MAX);
        let here: Vec<Seat> = (0..CONNECTIONS_MAX).map(|_| seat(room.enter(IpAddr::from([127, 0, 0, 1])))).collect();
        assert_eq!(room.enter(address(1)), Entry::Seat(here.len() as Seat, Some(here[0])));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::4"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:198.51.100.7"), of("198.51.100.7"));
        assert_eq!((of("::1"), of("127.0.0.9")), (Peer::Here, Peer::Here));
    }
}
