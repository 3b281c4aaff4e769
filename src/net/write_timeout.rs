//! Cuts off a client that does not read what is sent to it: bytes that wait in a full socket hold memory, and such a client
//! could make it hold them forever. Silence in the other direction is no fault: a watch may have nothing to say for long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A connection whose writes must move. A write that makes no progress for `patience` fails with
/// [`io::ErrorKind::TimedOut`], and every byte that is taken gives it as long again.
#[derive(Debug)]
pub struct WriteTimeout<S> {
    inner: S,
    patience: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub const fn new(inner: S, patience: Duration) -> Self {
        Self { inner, patience, waiting: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the client took nothing for {} s", patience.as_secs_f32()),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP socket flushes at once; that must not count as bytes taken.
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic_now;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails_after_the_patience() {
        let (server, _client) = tokio::io::duplex(64);
        let mut server = WriteTimeout::new(server, PATIENCE);
        let began = monotonic_now();
        let error = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("took nothing for 30 s"), "{error}");
        assert_eq!(monotonic_now().duration_since(began).as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_taker_is_not_cut_off_and_neither_is_silence() {
        let (server, mut client) = tokio::io::duplex(64);
        let mut server = WriteTimeout::new(server, PATIENCE);
        let taker = tokio::spawn(async move {
            let mut taken = 0;
            while taken < 1000 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                taken += client.read(&mut [0; 64]).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1000)).await;
            client.write_all(b"x").await.unwrap();
        });
        server.write_all(&[0; 1000]).await.unwrap();
        let mut said = [0; 1];
        server.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"x");
        taker.await.unwrap();
    }
}
