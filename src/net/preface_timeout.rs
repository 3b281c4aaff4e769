//! The first bytes of a connection. A client must say in time which protocol it speaks: HTTP/2 begins with 24 bytes
//! that are always the same, and what does not begin so is HTTP/1, whose own timeout begins with its first byte.
//! Without this, a connection that never sends anything would be held for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::Sleep;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The deadline of a connection that has not yet shown which protocol it speaks.
#[derive(Debug)]
pub struct PrefaceTimeout {
    /// Bytes of the HTTP/2 preface that have come.
    seen: usize,
    /// When the rest must be there.
    deadline: Pin<Box<Sleep>>,
}

impl PrefaceTimeout {
    pub fn new(patience: Duration) -> Self {
        Self { seen: 0, deadline: Box::pin(tokio::time::sleep(patience)) }
    }

    /// Reads through `read`, and fails with [`io::ErrorKind::TimedOut`] when nothing came and the time is over. `true`:
    /// the opening is over.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        read: impl FnOnce(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        match read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(self.take(&buffer.filled()[before..]))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.deadline.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time"))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Whether these bytes settle which protocol it is.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let expected = &PREFACE[self.seen..];
        let equal = bytes.iter().zip(expected).take_while(|(byte, expected)| byte == expected).count();
        self.seen += equal;
        self.seen == PREFACE.len() || equal < bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_ends_with_the_preface_or_with_what_is_not_one() {
        let takes = |parts: &[&[u8]]| {
            let mut preface_timeout = PrefaceTimeout::new(Duration::from_secs(1));
            parts.iter().map(|part| preface_timeout.take(part)).collect::<Vec<_>>()
        };
        assert_eq!(takes(&[PREFACE]), [true]);
        assert_eq!(takes(&[&PREFACE[..23], &PREFACE[23..]]), [false, true]);
        assert_eq!(takes(&[&[PREFACE, b"more"].concat()]), [true]);
        assert_eq!(takes(&[b"G"]), [true]);
        assert_eq!(takes(&[b"P", b"OST"]), [false, true]);
        assert_eq!(takes(&[b"PRI ", b"", b"/"]), [false, false, true]);
    }
}
