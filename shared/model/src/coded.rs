//! What is written as code beside checks has in common: what can be wrong with it, and what it refers to.

use alloc::string::String;
use core::fmt;

/// Most checks, groups and tags that one object names, of each.
pub const NAMES_MAX: usize = 1_000;

/// Something wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key at fault, `from` or `checks[1]`; empty where it is the whole.
    pub field: String,
    /// What is wrong, with the remedy.
    pub message: String,
}

impl Fault {
    /// A fault from its two parts.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

impl core::error::Error for Fault {}

/// What an object refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Referent {
    /// A check, by id.
    Check,
    /// A group that a check is in.
    Group,
    /// A tag that a check carries.
    Tag,
    /// An accounting policy, by id.
    Policy,
    /// A channel that messages go out by, by id.
    Channel,
    /// A user, by id.
    User,
    /// An on-call schedule, by id.
    Schedule,
    /// An escalation policy, by id.
    Escalation,
}

impl Referent {
    /// Its word: `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Group => "group",
            Self::Tag => "tag",
            Self::Policy => "policy",
            Self::Channel => "channel",
            Self::User => "user",
            Self::Schedule => "schedule",
            Self::Escalation => "escalation",
        }
    }
}

/// A name that must lead to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where it stands: `checks[1]`.
    pub field: String,
    /// To what.
    pub to: Referent,
    /// The name.
    pub name: String,
}

impl Reference {
    /// The references of a list: `field[0]`, `field[1]`, ...
    pub fn list<'a>(field: &'a str, to: Referent, names: &'a [String]) -> impl Iterator<Item = Self> + 'a {
        let one =
            move |(at, name): (usize, &String)| Self { field: alloc::format!("{field}[{at}]"), to, name: name.clone() };
        names.iter().enumerate().map(one)
    }
}

/// The faults of a list of names: too many, or one twice.
pub fn names_faults<'a>(field: &'a str, names: &'a [String]) -> impl Iterator<Item = Fault> + 'a {
    let many = (names.len() > NAMES_MAX)
        .then(|| Fault::new(field, alloc::format!("{} names: at most {NAMES_MAX} are allowed", names.len())));
    let twice = names.iter().enumerate().take(NAMES_MAX).filter(|(at, name)| names[..*at].contains(name)).map(
        move |(at, name)| {
            Fault::new(alloc::format!("{field}[{at}]"), alloc::format!("{name:?} is named twice: once is enough"))
        },
    );
    many.into_iter().chain(twice)
}
