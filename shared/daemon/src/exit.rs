//! How a program ends: documented exit codes. `docs/exit-codes.md` is the page for people; a test holds the two together.

use std::error::Error;
use std::fmt;
use std::process::{ExitCode, Termination};

use crate::config::ConfigError;
use crate::files::FileError;
use crate::lock::LockError;
use crate::transport::{ConnectError, ListenError};

/// Why a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Something nobody foresaw.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A configuration or check file is wrong.
    Config = 3,
    /// The data directory cannot be used: read-only, locked, damaged, or its disk is full.
    DataDir = 4,
    /// The collector said no: token, certificate, revoked, protocol.
    Refused = 5,
    /// The other side is not running or cannot be reached.
    Unreachable = 6,
    /// The address to listen on is taken or not ours.
    Listen = 7,
    /// No such check, agent or region.
    NotFound = 8,
    /// A check that was run on demand is down.
    Down = 9,
    /// A check that was run on demand is unknown: this machine cannot tell.
    Unknown = 10,
    /// A stored report, counted again, has other figures.
    Changed = 11,
}

impl Exit {
    /// Every code, ascending.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Config,
        Self::DataDir,
        Self::Refused,
        Self::Unreachable,
        Self::Listen,
        Self::NotFound,
        Self::Down,
        Self::Unknown,
        Self::Changed,
    ];

    /// The number the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What the code says, as `docs/exit-codes.md` has it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Failure => "unexpected failure",
            Self::Usage => "wrong use of the command line",
            Self::Config => "bad configuration or check file",
            Self::DataDir => "data directory unusable",
            Self::Refused => "refused by the collector",
            Self::Unreachable => "the other side cannot be reached",
            Self::Listen => "cannot listen on the address",
            Self::NotFound => "not found",
            Self::Down => "the check is down",
            Self::Unknown => "the check is unknown",
            Self::Changed => "the figures changed",
        }
    }

    /// The code of an error: the first one in its chain of sources that has one, else [`Exit::Failure`].
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fatal) = error.downcast_ref::<Fatal>() {
                return fatal.exit;
            }
            if error.is::<ConfigError>() {
                return Self::Config;
            }
            if error.is::<LockError>() || error.is::<FileError>() {
                return Self::DataDir;
            }
            if error.is::<ListenError>() {
                return Self::Listen;
            }
            if let Some(connect) = error.downcast_ref::<ConnectError>() {
                return connect.exit();
            }
            next = error.source();
        }
        Self::Failure
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

/// An error that knows its exit code. Its text is the inner error's.
#[derive(Debug)]
pub struct Fatal {
    /// How the program ends.
    pub exit: Exit,
    inner: Box<dyn Error + Send + Sync>,
}

impl Fatal {
    /// Gives `error` (an error, or a text) an exit code.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, inner: error.into() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Error for Fatal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_code_with_its_meaning() {
        let page = include_str!("../../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(page.contains(&row), "docs/exit-codes.md lacks {row:?}");
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("| ")).count(), Exit::ALL.len() + 1);
    }

    #[test]
    fn the_code_is_found_through_the_chain() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Fatal);
        assert_eq!(Exit::of(&Outer(Fatal::new(Exit::NotFound, "no check shop"))), Exit::NotFound);
        assert_eq!(Exit::of(&std::io::Error::other("x")), Exit::Failure);
        assert_eq!(Fatal::new(Exit::Config, "bad").to_string(), "bad");
    }
}
