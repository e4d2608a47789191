//! Named places where a test lets the process die: `SITEPULSE_FAILPOINT=outbox.sent:3` ends it with SIGKILL when it passes `outbox.sent` for the third time.
//!
//! A test in this very process plants a panic instead, for one subject: [`plant_panic`].
//!
//! Only builds with debug assertions have them; in a release [`pass`] is nothing.

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    struct Armed {
        name: String,
        left: AtomicU64,
    }

    /// Reads `NAME:COUNT`. A text that says nothing else is a mistake in a test, and ends it.
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let read = || {
            let text = std::env::var("SITEPULSE_FAILPOINT").ok()?;
            let (name, count) = text.split_once(':').expect("SITEPULSE_FAILPOINT=NAME:COUNT");
            let left = AtomicU64::new(count.parse().expect("SITEPULSE_FAILPOINT=NAME:COUNT"));
            Some(Armed { name: name.to_owned(), left })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Where who panics.
    static PLANTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

    pub(super) fn plant(name: &str, subject: &str) {
        let mut planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
        planted.insert((name.to_owned(), subject.to_owned()));
    }

    pub(super) fn is_planted(name: &str, subject: &str) -> bool {
        let planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
        !planted.is_empty() && planted.contains(&(name.to_owned(), subject.to_owned()))
    }

    pub(super) fn pass(name: &str) {
        let Some(armed) = armed().filter(|armed| armed.name == name) else { return };
        if armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Nothing runs after this: no destructor, no flush, as with a power cut.
            let died = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            died.expect("a process may kill itself");
            loop {
                std::thread::park();
            }
        }
    }
}

/// Passes the place `name`.
#[cfg(debug_assertions)]
pub(crate) fn pass(name: &str) {
    armed::pass(name);
}

/// Passes the place `name`.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn pass(_name: &str) {}

/// From here on whoever passes `name` for `subject` in this process panics.
#[cfg(debug_assertions)]
pub fn plant_panic(name: &str, subject: &str) {
    armed::plant(name, subject);
}

/// Passes the place `name` for a subject.
///
/// # Panics
/// Where a test planted that.
#[cfg(debug_assertions)]
pub(crate) fn pass_for(name: &str, subject: &str) {
    assert!(!armed::is_planted(name, subject), "a test planted a panic at {name} for {subject}");
}

/// Passes the place `name` for a subject.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) const fn pass_for(_name: &str, _subject: &str) {}
