//! The state file's thread. A disk that hangs holds this thread up, and with it what must be durable first; never the schedule.
//!
//! Jobs run one after the other, in the order they were given. There are few: an order, an assignment, a note a minute.
//!
//! Architecture invariant: while the engine runs, nothing but this thread touches the state file.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::state::{StateDb, StateError};

type Job = Box<dyn FnOnce(&mut StateDb) + Send>;

/// Gives jobs to the thread. It ends after the last of them when every clone is gone.
#[derive(Debug, Clone)]
pub struct Keeper {
    jobs: Sender<Job>,
}

/// Starts the thread.
pub fn start(mut state: StateDb) -> std::io::Result<(Keeper, JoinHandle<()>)> {
    let (jobs, inbox) = channel::<Job>();
    let thread = std::thread::Builder::new().name("state".to_owned()).stack_size(512 << 10).spawn(move || {
        for job in inbox {
            job(&mut state);
        }
    })?;
    Ok((Keeper { jobs }, thread))
}

impl Keeper {
    /// Runs a job after those before it. The job itself tells whoever waits. A thread that panicked takes none: the engine sees that.
    pub fn run(&self, job: impl FnOnce(&mut StateDb) + Send + 'static) {
        drop(self.jobs.send(Box::new(job)));
    }

    /// A write that nobody waits for and that can fail: told, not fatal.
    pub fn write(&self, write: impl FnOnce(&mut StateDb) -> Result<(), StateError> + Send + 'static) {
        self.run(|state| {
            if let Err(error) = write(state) {
                tracing::warn!("{error}");
            }
        });
    }
}
