//! The signals that end a daemon.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal as listen};

/// A signal that asks the daemon to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: the service manager.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl Signal {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }
}

/// Listens from its making on, so that no signal in between is lost or kills the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
}

impl Signals {
    /// Starts to listen. Within a tokio runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }
}

/// Waits for the first signal that asks the daemon to end.
pub async fn signal() -> io::Result<Signal> {
    Ok(Signals::install()?.next().await)
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Number, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_told_apart() {
        let mut signals = Signals::install().unwrap();
        for (number, expected) in
            [(Number::TERM, Signal::Terminate), (Number::INT, Signal::Interrupt), (Number::HUP, Signal::Hangup)]
        {
            kill_process(getpid(), number).unwrap();
            assert_eq!(signals.next().await, expected, "{}", expected.as_str());
        }
    }
}
