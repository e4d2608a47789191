//! A slower processor, pretended by rest: when the main thread of a page has worked for some time, its whole process is stopped (`SIGSTOP`) for `rate - 1`
//! times as long, and then goes on (`SIGCONT`).
//!
//! Chromium has a way of its own (`Emulation.setCPUThrottlingRate`): a thread interrupts the main thread every 200 us and keeps it busy, so that three quarters
//! of a processor burn at a rate of 4, also while the page does nothing but wait for a slow network. Here a thread of the agent looks once a
//! millisecond at what the kernel has counted of each main thread ([`debt`]). Nothing is burnt, a page that waits is not stopped, and a look that comes late is made good by a longer
//! rest. All threads of a renderer rest while its main thread pays, as on a slower processor; Chromium's way holds up the main thread alone. Work that runs beside a
//! main thread at rest is not slowed down, by either.
//!
//! # Whom it stops
//!
//! The protocol does not tell which process a page is in, so all renderers of the browser rest alike: pages of one rate alone may be in it (`browser/lanes.rs`).
//!
//! Architecture invariant: nothing is stopped but what is the first process of a namespace of its own below this one's, or lives in one ([`renderers`]). That is where the sandbox puts renderers, and the kernel
//! ends a namespace with its first process, whether its processes are stopped or not. So a renderer that rests when the agent or the browser is
//! killed ends with the browser, as any other. Whatever else happens here, its end lets go on what it stopped: `Drop` sees to it.
//!
//! A browser of another user (one that comes from a socket) is slowed down by whoever keeps it there, at the agent's word ([`kept`]): the same code on the other side.
//! A browser that nobody keeps, one without its sandbox, or a kernel that keeps no account of threads: then it is Chromium's way.

mod debt;
pub(crate) mod kept;
mod renderers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sitepulse_daemon::clock;
use sitepulse_model::vitals::profile::Milli;

use self::kept::Kept;
use self::renderers::Renderers;

/// The thread calls nothing deep.
const THREAD_STACK_BYTES: usize = 128 << 10;
/// How often new renderers are looked for, in microseconds. They start for longer than that before a page is in them.
const LIST_EVERY_US: u64 = 15_000;

/// Slows the renderers of one browser down, while somebody wants that.
#[derive(Debug)]
pub(crate) struct Throttle {
    browser: Whose,
    shared: Arc<Shared>,
    refused: AtomicBool,
}

/// Who may stop a browser's processes.
#[derive(Debug)]
pub(crate) enum Whose {
    /// This process, whose child it is.
    Own(i32),
    /// Whoever keeps it.
    Kept(Arc<Kept>),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when the last load has ended.
    over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Loads that want it.
    loads: u32,
    /// Whether its thread runs.
    works: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A load that is slowed down, until it is dropped.
#[derive(Debug)]
pub(crate) enum Throttled {
    /// By this process.
    Here(#[expect(dead_code, reason = "dropped, it goes on")] Here),
    /// By whoever keeps the browser.
    There(#[expect(dead_code, reason = "dropped, it goes on")] kept::There),
}

/// A load that is slowed down by this process.
#[derive(Debug)]
pub(crate) struct Here(Arc<Shared>);

impl Drop for Here {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.loads -= 1;
        if state.loads == 0 {
            self.0.over.notify_one();
        }
    }
}

impl Throttle {
    pub(crate) fn new(browser: Whose) -> Self {
        Self { browser, shared: Arc::default(), refused: AtomicBool::default() }
    }

    /// Slows the browser's renderers down by `rate`, those included that it has yet to start. One of them, the page's own, is to be there. All who want
    /// that at once must want the same rate. `None` where it cannot be done.
    ///
    /// Reads a few hundred small files, or waits until somebody else did.
    pub(crate) fn begin(&self, rate: Milli) -> Option<Throttled> {
        let throttled = match &self.browser {
            Whose::Own(root) => self.try_begin(*root, rate).map(Throttled::Here),
            Whose::Kept(kept) => kept.begin(rate).map(Throttled::There),
        };
        self.refused.store(throttled.is_none(), Ordering::Relaxed);
        throttled
    }

    /// Whether it could not be done when last asked for.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn try_begin(&self, root: i32, rate: Milli) -> Option<Here> {
        let renderers = Renderers::find(root)?;
        let mut state = self.shared.state();
        if !state.works {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("throttle".to_owned()).stack_size(THREAD_STACK_BYTES);
            if let Err(error) = thread.spawn(move || work(&shared, renderers, rate)) {
                tracing::warn!("the browser's renderers cannot be slowed down: no thread ({error})");
                return None;
            }
            state.works = true;
        }
        state.loads += 1;
        drop(state);
        Some(Here(self.shared.clone()))
    }
}

/// Should the thread fail, the next load has another one.
struct Panicked<'a>(&'a Shared);

impl Drop for Panicked<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().works = false;
        }
    }
}

fn work(shared: &Shared, mut renderers: Renderers, rate: Milli) {
    let _panicked = Panicked(shared);
    let mut list_at = clock::monotonic().plus_us(LIST_EVERY_US);
    let mut state = shared.state();
    while state.loads > 0 {
        drop(state);
        let now = clock::monotonic();
        if now >= list_at {
            renderers.list();
            list_at = now.plus_us(LIST_EVERY_US);
        }
        let next = renderers.look(rate);
        let pause = next.since(clock::monotonic());
        state = shared.state();
        if state.loads > 0 {
            (state, _) = shared.over.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
        }
    }
    // Before another thread may begin.
    drop(renderers);
    state.works = false;
}
