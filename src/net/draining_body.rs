//! The body of a request that is answered before it is read. A socket that is closed while bytes wait in it resets its
//! connection, and a reset overtakes the answer: its client sees a broken connection instead of the refusal. So what is left
//! of such a body is read and thrown away, for a while, behind the answer (RFC 9112, section 9.6). A stream of HTTP/2 is reset
//! alone, but that loses its answer on some clients too.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// Most bytes that are thrown away: a client that has not read the answer by then will not.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Longest time in which they are read.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct DrainingBody {
    /// `None`: nothing of it is left.
    body: Option<Incoming>,
    /// Whether the rest is read and thrown away when the service did not read it.
    lingers: bool,
}

impl DrainingBody {
    /// Wraps the body of a request. A client that waits for `100 Continue` has sent nothing yet: its body is left as it is.
    pub fn around(request: Request<Incoming>) -> Request<Self> {
        let lingers = !request.headers().contains_key(EXPECT);
        request.map(|body| Self { body: Some(body), lingers })
    }
}

impl Body for DrainingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for DrainingBody {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.lingers && !body.is_end_stream());
        // Without a runtime there is no connection any more.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(rest)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MOST_BYTES {
            return;
        }
    }
}
