//! Takes log lines to standard error. Logging only queues a line; one thread writes, and only that thread waits for the reader.
//! What does not fit into the queue is lost, counted, and reported in its place. Nothing is buffered: a queued line is written
//! at once.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes in the queue; some twenty thousand lines.
const MOST_BYTES: usize = 4 << 20;
/// Pause before a standard error that was made non-blocking is tried again.
const WOULD_BLOCK_PAUSE: Duration = Duration::from_millis(5);

/// Formats the report of so many lost lines.
type LostReport = fn(u64) -> String;

/// Handle of the queue; cheap to clone.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// The queue has become non-empty.
    queued: Condvar,
    /// The queue is empty and everything is written.
    written: Condvar,
    lost: LostReport,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
    /// The thread is writing a line that is no longer in the queue.
    writing: bool,
}

impl Queue {
    fn push(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// The next line to write, or a report of the lines that were lost after the last one.
    fn next(&mut self, lost: LostReport) -> Option<Vec<u8>> {
        match self.lines.pop_front() {
            Some(line) => {
                self.bytes -= line.len();
                Some(line)
            }
            None if self.lost > 0 => Some(lost(std::mem::take(&mut self.lost)).into_bytes()),
            None => None,
        }
    }
}

impl LogWriter {
    pub(super) fn start(output: impl Write + Send + 'static, lost: LostReport) -> io::Result<Self> {
        let queue = Mutex::default();
        let lines = Self(Arc::new(Shared { queue, queued: Condvar::new(), written: Condvar::new(), lost }));
        let shared = Arc::clone(&lines.0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_all(output))?;
        Ok(lines)
    }

    /// Queues a line, which ends with its newline. Never waits for the reader.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut queue = self.0.lock();
        if queue.bytes + line.len() > MOST_BYTES {
            queue.lost += 1;
            return;
        }
        if queue.lost > 0 {
            // Exempt from the limit: it is one line for all that were lost.
            let lost = std::mem::take(&mut queue.lost);
            queue.push((self.0.lost)(lost).into_bytes());
        }
        queue.push(line);
        drop(queue);
        self.0.queued.notify_one();
    }

    /// Waits at most so long until everything is written; returns whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let pending = |queue: &mut Queue| queue.writing || queue.lost > 0 || !queue.lines.is_empty();
        let waited = self.0.written.wait_timeout_while(self.0.lock(), limit, pending);
        let (queue, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        !waited.timed_out()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Only an allocation can panic while the lock is held, and every change is complete.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut output: impl Write) {
        loop {
            let line = {
                let mut queue = self.lock();
                queue.writing = false;
                loop {
                    match queue.next(self.lost) {
                        Some(line) => {
                            queue.writing = true;
                            break line;
                        }
                        None => {
                            self.written.notify_all();
                            queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
                        }
                    }
                }
            };
            write_line(&mut output, &line);
        }
    }
}

/// A closed standard error is no reason to end or to wait.
fn write_line(output: &mut impl Write, mut line: &[u8]) {
    while !line.is_empty() {
        match output.write(line) {
            Ok(0) => return,
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(WOULD_BLOCK_PAUSE),
            Err(_) => return,
        }
    }
    let _ = output.flush();
}

/// Receives one event's line per call from the subscriber.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes a line when it is allowed to.
    struct Reader {
        let_go: mpsc::Receiver<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.let_go.recv();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_reader_does_not_take_is_counted_and_nothing_else_is_lost() {
        let (go, let_go) = mpsc::channel();
        let read = Arc::new(Mutex::new(Vec::new()));
        let reader = Reader { let_go, read: Arc::clone(&read) };
        let lines = LogWriter::start(reader, |lost| format!("{lost} lost\n")).unwrap();
        let said = |number: usize| format!("{number:0999}\n");
        let most = 2 * MOST_BYTES / 1000;
        for number in 0..most {
            lines.push(said(number).into_bytes());
        }
        assert!(!lines.flush(Duration::from_millis(1)), "nothing was read");
        // The reader continues, as after a pause.
        drop(go);
        assert!(lines.flush(Duration::from_secs(30)));
        lines.push(b"later\n".to_vec());
        assert!(lines.flush(Duration::from_secs(30)));

        let read = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        let read: Vec<&str> = read.lines().collect();
        let [kept @ .., lost, later] = &read[..] else { panic!("{read:?}") };
        assert_eq!(*later, "later");
        assert_eq!(*lost, format!("{} lost", most - kept.len()));
        assert!(kept.len() * 1000 <= MOST_BYTES + 1000 && kept.len() > MOST_BYTES / 2000, "{}", kept.len());
        for (number, line) in kept.iter().enumerate() {
            assert_eq!(*line, said(number).trim_end());
        }
    }

    #[test]
    fn a_closed_standard_error_holds_nobody_up() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = LogWriter::start(Closed, |lost| format!("{lost} lost\n")).unwrap();
        lines.push(b"a line\n".to_vec());
        assert!(lines.flush(Duration::from_secs(30)));
    }
}
