//! Who may do what: passwords, the slowing of guesses, the audit log. Sessions and tokens are [`crate::app::Credential`]s.
//!
//! What a user may do is their role, written as code and looked up with every request; a password is kept as argon2id beside it. Everything
//! that decides is pure and is handed `now`; the store and the doors are elsewhere ([`crate::app`], [`crate::present::door`]).

pub mod audit;
pub mod identity;
pub mod password;
pub mod throttle;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::user::Role;
use tokio::sync::Semaphore;

use crate::app::Access;
use audit::Bound;
use identity::Identity;
use throttle::Throttle;

/// Most passwords that are hashed at a time: each takes a core and [`password::MEMORY_KIB`] for a moment.
pub const HASHERS_MAX: usize = 2;

/// By which way somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The admin socket, or the files themselves.
    Cli,
    /// An API token.
    Token,
    /// A one-time sign-in link.
    Link,
    /// A user's password.
    Password,
    /// A user's invitation.
    Invite,
    /// An identity provider.
    Provider,
    /// Nobody who is known: public paths, and what is refused.
    Stranger,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 7] =
        [Self::Cli, Self::Token, Self::Link, Self::Password, Self::Invite, Self::Provider, Self::Stranger];

    /// The stored number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Link => 0,
            Self::Cli => 1,
            Self::Token => 2,
            Self::Password => 3,
            Self::Invite => 4,
            Self::Stranger => 5,
            Self::Provider => 6,
        }
    }

    /// The way of a stored number; what this build does not know is nobody's.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|way| way.code() == code).unwrap_or(Self::Stranger)
    }

    /// The text in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Token => "token",
            Self::Link => "link",
            Self::Password => "password",
            Self::Invite => "invite",
            Self::Provider => "provider",
            Self::Stranger => "stranger",
        }
    }
}

/// How far a role reaches.
pub const fn access_of(role: Role) -> Access {
    match role {
        Role::Viewer => Access::Read,
        Role::Responder => Access::Respond,
        Role::Editor => Access::Edit,
        Role::Admin => Access::Admin,
    }
}

/// A user's password, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// argon2id with salt and costs: a PHC string.
    pub phc: String,
    /// When it was set.
    pub set: UtcMicros,
}

/// What those who sign in share.
#[derive(Debug)]
pub struct Desk {
    passwords: RwLock<HashMap<String, Password>>,
    /// By their names.
    identities: RwLock<BTreeMap<String, Identity>>,
    throttle: Mutex<Throttle>,
    bound: Mutex<Bound>,
    /// Whose turn it is to hash.
    pub(crate) hashers: Arc<Semaphore>,
    opened: AtomicBool,
}

impl Desk {
    /// From the stored passwords and identities; `opened`: whether anybody ever signed in.
    pub(crate) fn new(
        passwords: HashMap<String, Password>,
        identities: BTreeMap<String, Identity>,
        opened: bool,
    ) -> Self {
        Self {
            passwords: RwLock::new(passwords),
            identities: RwLock::new(identities),
            throttle: Mutex::default(),
            bound: Mutex::default(),
            hashers: Arc::new(Semaphore::new(HASHERS_MAX)),
            opened: AtomicBool::new(opened),
        }
    }

    /// A user's password.
    pub fn password(&self, user: &str) -> Option<Password> {
        self.passwords.read().unwrap_or_else(PoisonError::into_inner).get(user).cloned()
    }

    /// Whether anybody has one.
    pub fn any_password(&self) -> bool {
        !self.passwords.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn keep(&self, user: &str, password: Option<Password>) {
        let mut passwords = self.passwords.write().unwrap_or_else(PoisonError::into_inner);
        match password {
            Some(password) => passwords.insert(user.to_owned(), password),
            None => passwords.remove(user),
        };
    }

    /// Who somebody at a provider is here.
    pub(crate) fn identity(&self, name: &str) -> Option<Identity> {
        self.identities.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Who a user is at providers, with the names.
    pub fn identities_of(&self, user: &str) -> Vec<(String, Identity)> {
        let identities = self.identities.read().unwrap_or_else(PoisonError::into_inner);
        let own = identities.iter().filter(|(_, identity)| identity.user == user);
        own.map(|(name, identity)| (name.clone(), identity.clone())).collect()
    }

    pub(crate) fn keep_identity(&self, name: &str, identity: Option<Identity>) {
        let mut identities = self.identities.write().unwrap_or_else(PoisonError::into_inner);
        match identity {
            Some(identity) => identities.insert(name.to_owned(), identity),
            None => identities.remove(name),
        };
    }

    /// Whether anybody ever signed in.
    pub fn opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    pub(crate) fn note_opened(&self) {
        self.opened.store(true, Ordering::Relaxed);
    }

    pub(crate) fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of an address that guesses are counted by: all of IPv4, the network of IPv6 that one customer has. `None`: this machine, where a proxy may
/// stand for everybody.
pub fn counted_by(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => {
            let mut bytes = v6.octets();
            bytes[8..].fill(0);
            Some(IpAddr::from(bytes))
        }
    }
}
