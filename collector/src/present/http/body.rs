//! A request's body that must come in time: whoever sends slowly, or not at all, does not hold a connection for good.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may take, and what it may take longer for.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes for each of which that is so much longer: whoever sends this many a second is never late.
pub const BODY_BYTES_PER_SECOND: u64 = 64 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time: send it within 30 s, or at 64 KiB a second")]
struct Late;

/// A body with its deadline.
pub(super) struct Timely<B = Incoming> {
    body: B,
    until: Instant,
    /// Made when the body is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub(super) fn new(body: B, within: Duration) -> Self {
        Self { body, until: Instant::now() + within, alarm: None }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Timely<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.until += Duration::from_micros(bytes.saturating_mul(1_000_000) / BODY_BYTES_PER_SECOND);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let until = self.until;
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if alarm.deadline() != until {
                    alarm.as_mut().reset(until);
                }
                alarm.as_mut().poll(cx).map(|()| Some(Err(Late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    /// Announced, and never sent.
    struct Silence;

    impl Body for Silence {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn what_does_not_come_ends() {
        let mut body = Timely::new(Silence, Duration::from_millis(1));
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("did not come in time"), "{error}");
    }

    #[tokio::test]
    async fn what_comes_earns_time() {
        let mut body = Timely::new(Full::new(Bytes::from(vec![b'x'; 128 << 10])), BODY_TIMEOUT);
        let before = body.until;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 128 << 10);
        assert_eq!(body.until - before, Duration::from_secs(2));
        assert!(body.frame().await.is_none());
    }
}
