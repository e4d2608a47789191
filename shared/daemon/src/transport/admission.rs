//! Who may take a place in a server. Pure counting, no IO.
//!
//! An address is believed only after a retry showed that it receives. Newcomers with unproven addresses (which may be forged, so they
//! are not counted against anybody) get [`RETRY_ABOVE`] places among the handshakes; above that they are sent a retry, which costs
//! the server no memory. Proven addresses are counted by network (/24, /48), so that one network cannot take all places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CONNECTIONS_MAX;

/// Handshakes under way above which newcomers must show that they receive.
pub const RETRY_ABOVE: usize = 64;
/// Most handshakes under way.
pub const HANDSHAKES_MAX: usize = 256;
/// Most handshakes under way from one network, of proven addresses.
pub const HANDSHAKES_NETWORK_MAX: usize = 32;
/// Most connections without a client certificate that is known.
pub const ANONYMOUS_MAX: usize = 64;
/// Most connections without a client certificate that is known from one network.
pub const ANONYMOUS_NETWORK_MAX: usize = 16;

/// What to do with a newcomer.
#[derive(Debug)]
pub enum Admission {
    /// Begin the handshake; keep the place until it ends.
    Accept(Place),
    /// Let it show that it receives.
    Retry,
    /// No place.
    Refuse,
}

/// The places of a server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Places {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    handshakes: usize,
    handshake_networks: HashMap<Network, usize>,
    anonymous: usize,
    anonymous_networks: HashMap<Network, usize>,
    enrolled: usize,
}

/// A network as far as counting goes: /24 of IPv4, /48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network([u8; 6]);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self([0xff, 0xff, a, b, c, 0])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Self([a, b, c, d, e, f])
            }
        }
    }
}

/// A place taken; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Places,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Handshake(Option<Network>),
    Anonymous(Network),
    Enrolled,
}

impl Places {
    /// A newcomer at `address`; `proven` once a retry showed that it receives.
    pub fn admit(&self, address: IpAddr, proven: bool) -> Admission {
        let mut counts = self.counts();
        if counts.handshakes >= HANDSHAKES_MAX && proven {
            return Admission::Refuse;
        }
        if !proven && counts.handshakes >= RETRY_ABOVE {
            return Admission::Retry;
        }
        let network = proven.then(|| Network::of(address));
        if let Some(network) = network {
            let count = counts.handshake_networks.entry(network).or_default();
            if *count >= HANDSHAKES_NETWORK_MAX {
                return Admission::Refuse;
            }
            *count += 1;
        }
        counts.handshakes += 1;
        Admission::Accept(self.place(Kind::Handshake(network)))
    }

    /// A connection with a client certificate, or `None` when the server is full.
    pub fn enrolled(&self) -> Option<Place> {
        let mut counts = self.counts();
        if counts.enrolled >= CONNECTIONS_MAX {
            return None;
        }
        counts.enrolled += 1;
        Some(self.place(Kind::Enrolled))
    }

    /// A connection without a client certificate from `address`, or `None` when there are too many.
    pub fn anonymous(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts();
        if counts.anonymous >= ANONYMOUS_MAX {
            return None;
        }
        let network = Network::of(address);
        let count = counts.anonymous_networks.entry(network).or_default();
        if *count >= ANONYMOUS_NETWORK_MAX {
            return None;
        }
        *count += 1;
        counts.anonymous += 1;
        Some(self.place(Kind::Anonymous(network)))
    }

    /// Handshakes under way.
    pub fn handshakes(&self) -> usize {
        self.counts().handshakes
    }

    /// Connections, with and without a client certificate.
    pub fn connections(&self) -> usize {
        let counts = self.counts();
        counts.enrolled + counts.anonymous
    }

    fn place(&self, kind: Kind) -> Place {
        Place { places: self.clone(), kind }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts();
        match self.kind {
            Kind::Handshake(network) => {
                counts.handshakes -= 1;
                if let Some(network) = network {
                    give_back(&mut counts.handshake_networks, network);
                }
            }
            Kind::Anonymous(network) => {
                counts.anonymous -= 1;
                give_back(&mut counts.anonymous_networks, network);
            }
            Kind::Enrolled => counts.enrolled -= 1,
        }
    }
}

fn give_back(networks: &mut HashMap<Network, usize>, network: Network) {
    if let Some(count) = networks.get_mut(&network) {
        *count -= 1;
        if *count == 0 {
            networks.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(a: u8, b: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, a, b))
    }

    fn take(places: &Places, address: IpAddr, proven: bool) -> Place {
        match places.admit(address, proven) {
            Admission::Accept(place) => place,
            other @ (Admission::Retry | Admission::Refuse) => panic!("{other:?}"),
        }
    }

    #[test]
    fn forged_addresses_leave_room_for_proven_ones() {
        let places = Places::default();
        let held: Vec<Place> = (0..RETRY_ABOVE).map(|n| take(&places, ip(1, n as u8), false)).collect();
        assert!(matches!(places.admit(ip(1, 1), false), Admission::Retry));
        drop(take(&places, ip(1, 1), true));
        drop(held);
        assert_eq!(places.handshakes(), 0);
    }

    #[test]
    fn one_network_cannot_take_all_places() {
        let places = Places::default();
        let held: Vec<Place> = (0..HANDSHAKES_NETWORK_MAX).map(|n| take(&places, ip(1, n as u8), true)).collect();
        assert!(matches!(places.admit(ip(1, 99), true), Admission::Refuse));
        drop(take(&places, ip(2, 1), true));
        drop(held);
        drop(take(&places, ip(1, 99), true));
        let mapped = "::ffff:10.0.1.5".parse::<IpAddr>().unwrap();
        assert_eq!(Network::of(mapped), Network::of(ip(1, 200)));
    }

    #[test]
    fn every_kind_is_bounded_and_given_back() {
        let places = Places::default();
        let all: Vec<Place> = (0..2560_u32).filter_map(|n| places.anonymous(ip((n / 10) as u8, 1))).collect();
        assert_eq!(all.len(), ANONYMOUS_MAX);
        let enrolled: Vec<Place> = (0..CONNECTIONS_MAX + 5).filter_map(|_| places.enrolled()).collect();
        assert_eq!(enrolled.len(), CONNECTIONS_MAX);
        drop((all, enrolled));
        assert_eq!(places.connections(), 0);
        let few: Vec<Place> = (0..40).filter_map(|_| places.anonymous(ip(1, 1))).collect();
        assert_eq!(few.len(), ANONYMOUS_NETWORK_MAX);
        assert!(places.counts().handshake_networks.is_empty());
    }
}
