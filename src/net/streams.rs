//! The streams of one HTTP/2 connection, each held to the rule that [`crate::net::write_timeout`] has for connections: a
//! client that does not read what is sent to it is cut off. A window that its client never opens stops a stream while the
//! socket still moves, and hyper waits for it without end. Here each stream keeps an account of what is owed to its client; a
//! stream that is behind for too long is reset and its answer dropped, and nothing else of its connection is disturbed.
//!
//! Only an answer whose last bytes hyper has handed over already cannot be reset any more: when those are not taken in time,
//! the connection ends. The end of a long answer is held back until little of it is left, so that this is rare.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use crate::clock::monotonic_now;
use crate::net::unauthenticated::Asking;

/// The end of an answer is held back while more of it than this is owed, in bytes.
const SMALL_REST: usize = 16 * 1024;

tokio::task_local! {
    /// The account of the stream whose future is being polled.
    static STREAM: Arc<Account>;
}

#[derive(Clone, Debug)]
pub struct Streams(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    patience: Duration,
    begun: Instant,
    accounts: Mutex<HashMap<u64, Arc<Account>>>,
    next: AtomicU64,
    /// Whether a task checks the accounts already.
    watched: AtomicBool,
    behind: Notify,
}

/// What is owed to the client of one stream.
#[derive(Debug)]
struct Account {
    ledger: Arc<Ledger>,
    /// Bytes that were handed over and not yet written.
    owed: AtomicUsize,
    /// Whether a frame was handed over and the next was not asked for yet: hyper waits for room in the window.
    waiting: AtomicBool,
    /// When it last made progress, in milliseconds from the beginning of the connection.
    moved: AtomicU64,
    /// Whether its future has ended: it cannot be reset any more.
    over: AtomicBool,
    cut: Notify,
    /// Wakes the body whose end is held back, once the rest is small.
    held: Mutex<Option<Waker>>,
}

/// How the accounts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendState {
    /// Nothing is owed.
    Even,
    /// Something is owed, and in time.
    Owing,
    /// Bytes are overdue on a stream that cannot be reset any more.
    Lost,
}

impl Streams {
    /// `patience`: how long a stream may be behind.
    pub fn new(patience: Duration) -> Self {
        Self(Arc::new(Ledger {
            patience,
            begun: monotonic_now(),
            accounts: Mutex::default(),
            next: AtomicU64::default(),
            watched: AtomicBool::default(),
            behind: Notify::new(),
        }))
    }

    /// Resets streams that are behind for too long, for as long as it is polled. Ends when the connection must end.
    pub async fn watch(&self) {
        loop {
            self.0.behind.notified().await;
            loop {
                tokio::time::sleep(self.0.patience / 4).await;
                // Before the accounts are read: a stream that falls behind afterwards must be able to wake this.
                self.0.watched.store(false, Ordering::SeqCst);
                match self.0.look() {
                    SendState::Even => break,
                    SendState::Owing => self.0.watched.store(true, Ordering::SeqCst),
                    SendState::Lost => return,
                }
            }
        }
    }
}

impl Ledger {
    fn accounts(&self) -> MutexGuard<'_, HashMap<u64, Arc<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(monotonic_now().saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    fn look(&self) -> SendState {
        let (now, patience) = (self.now(), u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX));
        let mut standing = SendState::Even;
        self.accounts().retain(|_, account| {
            let owed = account.owed.load(Ordering::SeqCst);
            let over = account.over.load(Ordering::SeqCst);
            if over && owed == 0 {
                return false;
            }
            if owed == 0 && !account.waiting.load(Ordering::SeqCst) {
                return true;
            }
            if standing == SendState::Even {
                standing = SendState::Owing;
            }
            if now.saturating_sub(account.moved.load(Ordering::SeqCst)) >= patience {
                if over {
                    standing = SendState::Lost;
                } else {
                    account.cut.notify_one();
                }
            }
            true
        });
        standing
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    /// Runs the future of a stream; dropping the future resets the stream.
    fn execute(&self, stream: F) {
        let ledger = Arc::clone(&self.0);
        let account = Arc::new(Account {
            moved: AtomicU64::new(ledger.now()),
            ledger: Arc::clone(&ledger),
            owed: AtomicUsize::default(),
            waiting: AtomicBool::default(),
            over: AtomicBool::default(),
            cut: Notify::new(),
            held: Mutex::default(),
        });
        let number = ledger.next.fetch_add(1, Ordering::Relaxed);
        ledger.accounts().insert(number, Arc::clone(&account));
        tokio::spawn(async move {
            let ended = Ended { number, account: Arc::clone(&account) };
            tokio::select! {
                _ = STREAM.scope(Arc::clone(&account), stream) => {}
                () = account.cut.notified() => {
                    let seconds = ledger.patience.as_secs_f32();
                    debug!(seconds, "a stream whose client takes nothing is reset");
                    account.owed.store(0, Ordering::SeqCst);
                }
            }
            drop(ended);
        });
    }
}

/// Marks the stream as over when its future ends, in whatever way.
struct Ended {
    number: u64,
    account: Arc<Account>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.account.over.store(true, Ordering::SeqCst);
        self.account.waiting.store(false, Ordering::SeqCst);
        if self.account.owed.load(Ordering::SeqCst) == 0 {
            self.account.ledger.accounts().remove(&self.number);
        }
    }
}

impl Account {
    fn moved(&self) {
        self.moved.store(self.ledger.now(), Ordering::SeqCst);
    }

    fn lend(&self, bytes: usize) {
        if self.owed.fetch_add(bytes, Ordering::SeqCst) == 0 {
            self.moved();
        }
        self.waiting.store(true, Ordering::SeqCst);
        if !self.ledger.watched.swap(true, Ordering::SeqCst) {
            self.ledger.behind.notify_one();
        }
    }

    fn paid(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.moved();
        // A reset cleared the account: what is dropped with it is not subtracted again.
        let left = self.owed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| Some(owed.saturating_sub(bytes)));
        if left.is_ok_and(|before| before.saturating_sub(bytes) <= SMALL_REST)
            && let Some(waker) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }
}

/// Bytes of an answer on their way to the client.
#[derive(Debug)]
pub struct TrackedBytes {
    bytes: Bytes,
    account: Option<Arc<Account>>,
}

impl TrackedBytes {
    fn paid(&self, bytes: usize) {
        if let Some(account) = &self.account {
            account.paid(bytes);
        }
    }
}

impl Buf for TrackedBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.paid(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        let taken = self.bytes.copy_to_bytes(count);
        self.paid(count);
        taken
    }
}

impl Drop for TrackedBytes {
    fn drop(&mut self) {
        self.paid(self.bytes.remaining());
    }
}

/// The body of an answer, on the account of the stream in whose future it was made; over HTTP/1 there is no account.
#[derive(Debug)]
pub struct TrackedBody<B: Body> {
    body: B,
    account: Option<Arc<Account>>,
    /// The end, while it is held back.
    end: Option<Option<Result<Frame<TrackedBytes>, B::Error>>>,
    _asked: Asking,
}

impl<B: Body> TrackedBody<B> {
    /// `asked`: the request that this answers, which counts as open until the body is dropped.
    pub fn new(body: B, asked: Asking) -> Self {
        Self { body, account: STREAM.try_with(Arc::clone).ok(), end: None, _asked: asked }
    }
}

impl<B: Body<Data = Bytes, Error: Unpin> + Unpin> Body for TrackedBody<B> {
    type Data = TrackedBytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedBytes>, Self::Error>>> {
        let Self { body, account, end, .. } = self.get_mut();
        let Some(account) = account else {
            let frame = ready!(Pin::new(body).poll_frame(context));
            return Poll::Ready(
                frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| TrackedBytes { bytes, account: None }))),
            );
        };
        if account.waiting.swap(false, Ordering::SeqCst) {
            account.moved();
        }
        if end.is_none() {
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_data() => {
                    let lent = Some(Arc::clone(account));
                    let frame = frame.map_data(|bytes| {
                        account.lend(bytes.len());
                        TrackedBytes { bytes, account: lent }
                    });
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(frame)) => {
                    *end = Some(Some(Ok(frame.map_data(|bytes| TrackedBytes { bytes, account: None }))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => *end = Some(None),
            }
        }
        *account.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        if account.owed.load(Ordering::SeqCst) > SMALL_REST {
            return Poll::Pending;
        }
        Poll::Ready(end.take().flatten())
    }

    fn is_end_stream(&self) -> bool {
        let small = self.account.as_ref().is_none_or(|account| account.owed.load(Ordering::SeqCst) <= SMALL_REST);
        small && self.end.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
