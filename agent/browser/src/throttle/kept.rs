//! A browser of another user, slowed down at the agent's word by the process of that user which started it (`sitepulse-agent keep-browser`, see [`crate::keeper`]).
//!
//! They have a socket for it, whose one end the agent sends with the first byte to the browser: a space, which is nothing to a browser. The
//! keeper only peeks at it, so that the browser reads what the agent wrote, whether anybody keeps it or not; where nobody does, the end that was sent is closed, and the answer
//! to the first question is that it cannot be done.
//!
//! The agent writes a rate (four bytes, thousandths, little-endian) when a load begins, which is answered by a byte (1: done), and [`END`] when it ends. Both go
//! when the socket does.

use std::io::{IoSlice, IoSliceMut, Read as _, Result, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use sitepulse_model::vitals::profile::Milli;

use super::{Throttle, Throttled, Whose};

/// No rate: a load has ended.
const END: Milli = Milli(0);
/// How long an answer may take. After that there is no more talk, and the keeper ends the browser.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The agent's way to whoever keeps its browser.
#[derive(Debug)]
pub(crate) struct Kept {
    socket: UnixStream,
    /// One question at a time.
    asking: Mutex<()>,
}

/// A load that is slowed down over there, until it is dropped.
#[derive(Debug)]
pub(crate) struct There(Arc<Kept>);

impl Drop for There {
    fn drop(&mut self) {
        // An error says that the browser has ended.
        self.0.tell(END).ok();
    }
}

impl Kept {
    /// Sends the other end over the connection to a browser, before anything else is.
    pub(crate) fn offer(browser: impl AsFd) -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(ANSWER_MAX))?;
        let ends = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        assert!(beside.push(SendAncillaryMessage::ScmRights(&ends)), "there is space for one");
        sendmsg(browser, &[IoSlice::new(b" ")], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(Self { socket, asking: Mutex::default() })
    }

    pub(super) fn begin(self: &Arc<Self>, rate: Milli) -> Option<There> {
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = [0];
        let heard = self.tell(rate).and_then(|()| (&self.socket).read_exact(&mut answer));
        if let Err(error) = heard {
            tracing::debug!("nobody slows the browser down by rest ({error})");
            // An answer that comes late would be taken for the next one.
            self.socket.shutdown(std::net::Shutdown::Both).ok();
            return None;
        }
        (answer == [1]).then(|| There(self.clone()))
    }

    fn tell(&self, rate: Milli) -> Result<()> {
        (&self.socket).write_all(&rate.0.to_le_bytes())
    }
}

/// The end that an agent sent with its first byte, which is left to be read. `None` of an agent that sends none.
pub(crate) fn offered(agent: impl AsFd) -> Result<Option<UnixStream>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(agent, &mut [IoSliceMut::new(&mut byte)], &mut beside, RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC)?;
    let mut ends = beside.drain().filter_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut ends) = message else { return None };
        ends.next()
    });
    Ok(ends.next().map(|end: OwnedFd| UnixStream::from(end)))
}

/// Does what the agent says to the browser `root`, until it says no more.
pub(crate) fn obey(mut agent: UnixStream, root: i32) {
    let throttle = Throttle::new(Whose::Own(root));
    let mut loads: Vec<Throttled> = Vec::new();
    let mut rate = [0; 4];
    while agent.read_exact(&mut rate).is_ok() {
        let rate = Milli(u32::from_le_bytes(rate));
        if rate == END {
            // They are alike.
            drop(loads.pop());
            continue;
        }
        let load = throttle.begin(rate);
        let answer = [u8::from(load.is_some())];
        loads.extend(load);
        if agent.write_all(&answer).is_err() {
            return;
        }
    }
}
