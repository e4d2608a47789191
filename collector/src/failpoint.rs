//! Named places where a test lets the process die: `SITEPULSE_FAILPOINT=outbox.sent:3` ends it with SIGKILL when it passes `outbox.sent` for the third time.
//!
//! Only builds with debug assertions have them; in a release [`pass`] is nothing.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

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
