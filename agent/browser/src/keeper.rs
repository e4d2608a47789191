//! The process that keeps a browser for the agent of another user: what `systemd/sitepulse-browser@.service` runs, as the browser's own user.
//!
//! Its standard input is the agent's connection, which the browser gets as its descriptors 3 and 4. It stays beside the browser, because only a process of the same
//! user may stop and continue its renderers ([`crate::throttle::kept`]), and ends with it. When the agent goes, so does the browser, whatever it is doing.
//!
//! Architecture invariant: it takes nothing from the agent but rates, has no privilege that the browser has not, and lives under the same limits.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use crate::launch::BECOME;
use crate::throttle::kept;

/// Starts `program`, a browser and its flags, and stays until it ends. Its exit code, as a shell tells it.
///
/// # Errors
/// It cannot be started.
pub fn keep(program: &[OsString]) -> std::io::Result<u8> {
    let word = kept::offered(std::io::stdin())?;
    let mut command = Command::new("/bin/sh");
    // The thread that starts it is the one that waits below: the browser ends with it.
    command.args(["-c", BECOME, "sh", "setpriv", "--pdeathsig", "KILL", "--"]).args(program);
    let mut browser = command.spawn()?;
    let root = i32::try_from(browser.id()).unwrap_or(0);
    if let Some(word) = word {
        let obey = move || {
            kept::obey(word, root);
            // The agent is gone, or done with this browser.
            std::process::exit(0);
        };
        std::thread::Builder::new().name("keeper".to_owned()).spawn(obey)?;
    }
    let status = browser.wait()?;
    Ok(status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}
