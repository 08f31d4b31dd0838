//! The body of a request, guarded: a sender that stalls is cut off, and a body that nobody wants
//! is read to its end.
//!
//! A request may be answered before its body has arrived (too large, wrong content type). Closing
//! the connection then makes the system reset it, and the client often loses the answer. So the
//! rest is read and thrown away for a while, as nginx does with `lingering_close`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The longest silence in the middle of a body.
const MAX_SILENCE: Duration = Duration::from_secs(30);
/// The most bytes that are thrown away for one request.
const MAX_DISCARDED_BYTES: usize = 64 << 20;
/// The longest time that is spent on it.
const MAX_DISCARDING_TIME: Duration = Duration::from_secs(10);

/// The sender of a body fell silent.
#[derive(Debug, thiserror::Error)]
#[error("nothing arrived for {} seconds", MAX_SILENCE.as_secs())]
pub(crate) struct Stalled;

struct Guarded {
    /// Absent once it was read to the end, or broke off.
    body: Option<Body>,
    silence: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Starts or continues to wait; an error when the wait was too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Stalled> {
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(MAX_SILENCE)));
        silence.as_mut().poll(context).map(|()| Stalled)
    }

    fn restart_wait(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.as_mut().reset(Instant::now() + MAX_SILENCE);
        }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.restart_wait();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                self.body = None;
                Poll::Ready(end)
            }
            Poll::Pending => self.wait(context).map(|stalled| {
                self.body = None;
                Some(Err(axum::Error::new(stalled)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // Past the time limit the connection is simply closed.
                let _ = tokio::time::timeout(MAX_DISCARDING_TIME, discard(body)).await;
            });
        }
    }
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED_BYTES {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        match frame {
            Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

/// Guards the body of every request.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let guarded = request.map(|body| {
        Body::new(Guarded {
            body: Some(body),
            silence: None,
        })
    });
    next.run(guarded).await
}
