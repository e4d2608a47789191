//! A stream of frames: messages of one kind in, of another out.

use std::marker::PhantomData;
use std::sync::Arc;

use quinn::{RecvStream, SendStream, VarInt};
use sitepulse_wire::frame::{EncodeError, FrameDecoder, FrameError, Message, PUSH_BYTES_MAX};
use thiserror::Error;

use super::ConnectionLost;
use super::admission::Place;

/// Which stream's data leaves first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamPriority {
    /// Old records.
    Backlog = 0,
    /// New records.
    Fresh = 1,
    /// Everything that steers.
    Control = 2,
}

/// Why a stream works no more, or a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamError {
    /// The connection is gone.
    #[error("connection lost: {0}")]
    Lost(#[from] ConnectionLost),
    /// The peer sent what is no frame, or no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The message breaks the protocol's rules; the stream is unharmed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The peer gave up this stream.
    #[error("the peer gave up the stream (code {code})")]
    Aborted {
        /// The peer's code.
        code: u64,
    },
    /// This side has finished it.
    #[error("the stream is finished")]
    Finished,
}

/// Both directions of a stream.
#[derive(Debug)]
pub struct FrameStream<In, Out> {
    sender: FrameSender<Out>,
    receiver: FrameReceiver<In>,
}

impl<In: Message, Out: Message> FrameStream<In, Out> {
    pub(super) fn new(send: SendStream, receive: RecvStream, place: Option<Arc<Place>>) -> Self {
        Self {
            sender: FrameSender {
                stream: send,
                pending: Vec::new(),
                written: 0,
                message: PhantomData,
                _place: place.clone(),
            },
            receiver: FrameReceiver {
                stream: receive,
                decoder: FrameDecoder::new(),
                message: PhantomData,
                _place: place,
            },
        }
    }

    /// See [`FrameSender::send`].
    pub async fn send(&mut self, message: &Out) -> Result<(), StreamError> {
        self.sender.send(message).await
    }

    /// See [`FrameReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<In>, StreamError> {
        self.receiver.recv().await
    }

    /// See [`FrameSender::finish`].
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.sender.finish().await
    }

    /// See [`FrameSender::set_priority`].
    pub fn set_priority(&mut self, priority: StreamPriority) {
        self.sender.set_priority(priority);
    }

    /// The two halves.
    pub fn split(self) -> (FrameSender<Out>, FrameReceiver<In>) {
        (self.sender, self.receiver)
    }
}

/// The sending half.
#[derive(Debug)]
pub struct FrameSender<Out> {
    stream: SendStream,
    /// Encoded and not yet taken by the transport, from `written` on.
    pending: Vec<u8>,
    written: usize,
    message: PhantomData<fn(Out)>,
    _place: Option<Arc<Place>>,
}

impl<Out: Message> FrameSender<Out> {
    /// Hands a message to the transport; waits while its window is full. A QUIC acknowledgement means nothing: only the peer's answer
    /// does. Cancel safe: a message that was cut short is completed by the next call, before that call's own.
    pub async fn send(&mut self, message: &Out) -> Result<(), StreamError> {
        let frame = message.encode()?;
        self.flush().await?;
        self.pending = frame;
        self.written = 0;
        self.flush().await
    }

    /// Sends nothing more; the peer's `recv` gives `None` after the last message.
    pub async fn finish(&mut self) -> Result<(), StreamError> {
        self.flush().await?;
        self.stream.finish().map_err(|_| StreamError::Finished)
    }

    /// Waits until the peer's transport has everything that was sent before [`FrameSender::finish`].
    pub async fn drained(&mut self) -> Result<(), StreamError> {
        match self.stream.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(StreamError::Aborted { code: code.into_inner() }),
            Err(quinn::StoppedError::ConnectionLost(error)) => Err(StreamError::Lost(error.into())),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::Finished),
        }
    }

    /// Sets which data leaves first when the connection is the bottleneck.
    pub fn set_priority(&mut self, priority: StreamPriority) {
        // Fails only on a closed stream, where it does not matter.
        drop(self.stream.set_priority(priority as i32));
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        while self.written < self.pending.len() {
            self.written += self.stream.write(&self.pending[self.written..]).await.map_err(write_error)?;
        }
        self.pending = Vec::new();
        self.written = 0;
        Ok(())
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct FrameReceiver<In> {
    stream: RecvStream,
    decoder: FrameDecoder,
    message: PhantomData<fn() -> In>,
    _place: Option<Arc<Place>>,
}

impl<In: Message> FrameReceiver<In> {
    /// The next message; `None` when the peer has finished. Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<In>, StreamError> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(Some(message));
            }
            match self.stream.read_chunk(PUSH_BYTES_MAX, true).await.map_err(read_error)? {
                Some(chunk) => self.decoder.push(&chunk.bytes)?,
                None => {
                    self.decoder.finish()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Wants nothing more from the peer.
    pub fn stop(&mut self, code: u32) {
        // Fails only on a closed stream, where it does not matter.
        drop(self.stream.stop(VarInt::from_u32(code)));
    }
}

fn write_error(error: quinn::WriteError) -> StreamError {
    match error {
        quinn::WriteError::Stopped(code) => StreamError::Aborted { code: code.into_inner() },
        quinn::WriteError::ConnectionLost(error) => StreamError::Lost(error.into()),
        quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => StreamError::Finished,
    }
}

fn read_error(error: quinn::ReadError) -> StreamError {
    match error {
        quinn::ReadError::Reset(code) => StreamError::Aborted { code: code.into_inner() },
        quinn::ReadError::ConnectionLost(error) => StreamError::Lost(error.into()),
        quinn::ReadError::ClosedStream | quinn::ReadError::IllegalOrderedRead | quinn::ReadError::ZeroRttRejected => {
            StreamError::Finished
        }
    }
}
