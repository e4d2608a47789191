//! The last words of a browser that did not come up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{ENABLE, under_systemd};

/// What is kept of them, in bytes.
const KEPT_BYTES: usize = 4 << 10;
/// What is told of them, in characters.
const TOLD_CHARS: usize = 300;

/// How long a browser that ended may have words on their way.
const LATE: Duration = Duration::from_millis(500);

/// What a browser wrote to its standard error, the end of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Mutex<VecDeque<u8>>,
    silent: watch::Sender<bool>,
}

impl Words {
    /// Listens until the browser and all its children are silent for good.
    pub(super) async fn listen(&self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = [0_u8; 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let mut kept = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&buffer[..n]);
            let excess = kept.len().saturating_sub(KEPT_BYTES);
            kept.drain(..excess);
        }
        self.0.silent.send_replace(true);
    }

    /// In one line, with the remedy where it is known. Of a browser that has ended.
    pub(super) async fn told(&self) -> Option<String> {
        let mut silent = self.0.silent.subscribe();
        // A helper that lives on holds it open: what is there is told.
        drop(timeout(LATE, silent.wait_for(|silent| *silent)).await);
        let kept: Vec<u8> = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        tell(&String::from_utf8_lossy(&kept), under_systemd())
    }
}

fn tell(words: &str, systemd: bool) -> Option<String> {
    if ["No usable sandbox", "Failed to move to new namespace", "credentials.cc"]
        .iter()
        .any(|sign| words.contains(sign))
    {
        if systemd {
            return Some(format!("its sandbox cannot work within the agent's own unit: {ENABLE}"));
        }
        return Some(
            "its sandbox needs user namespaces, which this host does not allow it: allow them (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu \
             kernel.apparmor_restrict_unprivileged_userns=0 or a profile for the browser; in a container a seccomp profile that permits them)"
                .to_owned(),
        );
    }
    // A headless browser always complains of a desktop that is not there, and tells its stack, which helps nobody here.
    let mut lines = words.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with('#') && !line.contains("dbus") && !line.contains("drmGetDevices")
    });
    let fatal = lines.clone().find(|line| line.contains("FATAL"));
    let line = fatal.or_else(|| lines.next_back())?;
    Some(line.chars().filter(|c| !c.is_control()).take(TOLD_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_is_told() {
        assert_eq!(tell("", false), None);
        assert_eq!(tell("[1:ERROR:dbus/bus.cc:405] Failed to connect to the bus\n", false), None);
        assert_eq!(tell("a\n\x1b[1mb\x07\n#0 0x5617 <unknown>\n", false).as_deref(), Some("[1mb"));
        assert_eq!(
            tell("x\n[1:FATAL:a.cc] out of it\nReceived signal 6\n", false).as_deref(),
            Some("[1:FATAL:a.cc] out of it")
        );
        assert_eq!(tell(&"y".repeat(1000), false).map(|told| told.len()), Some(TOLD_CHARS));
        let words = "[7:7:FATAL:zygote_host_impl_linux.cc(127)] No usable sandbox! ...";
        let sandbox = tell(words, false).expect("words");
        assert!(sandbox.contains("sysctl kernel.unprivileged_userns_clone=1"), "{sandbox}");
        let within_a_unit = tell(words, true).expect("words");
        assert!(within_a_unit.ends_with("systemctl enable --now sitepulse-browser.socket"), "{within_a_unit}");
        assert!(!within_a_unit.contains("sysctl"), "{within_a_unit}");
    }

    #[tokio::test]
    async fn a_talkative_browser_costs_a_few_kilobytes() {
        let words = Words::default();
        let text = "0123456789abcde\n".repeat(10_000) + "the end\n";
        words.listen(text.as_bytes()).await;
        assert_eq!(words.0.bytes.lock().expect("not poisoned").len(), KEPT_BYTES);
        assert_eq!(words.told().await.as_deref(), Some("the end"));
    }
}
