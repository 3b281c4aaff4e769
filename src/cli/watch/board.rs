//! All tasks at a glance: drawn again and again until somebody interrupts it. What is drawn is `blocks`, where is `screen`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

use super::blocks::{Picture, Size, block};
use super::many::{ManyTasks, Shown};
use super::screen::{Screen, size};
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::follow::over;
use crate::cli::lines::result_line;
use crate::cli::output::Output;
use crate::cli::resume::{Continuity, Message, ResumableStream, Stopped, StreamOpening, interrupted, resume};
use crate::cli::style::Paint;
use crate::cli::view::{Phase, TaskView, phase};
use crate::clock::{Clock, Timestamp};
use crate::proto::v1;

/// How often it is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How long a task that was closed stays, with its outcome.
const STAYS: Duration = Duration::from_secs(10);
/// How many outcomes are told once more at the end.
const MOST_OUTCOMES: usize = 20;

/// Shows all tasks until the time is over, somebody interrupts it or the server is gone for good.
pub async fn show(
    client: &Client,
    output: &Output,
    open: impl FnMut(Option<i64>) -> StreamOpening<Message>,
    timeout: Option<Duration>,
) -> Result<Exit, Failure> {
    let mut signals = Signals::listen().map_err(|error| output.failure(error))?;
    let many = RefCell::new(ManyTasks::new(Board::new(Clock::steady()), None));
    let mut heard = Heard(&many);
    let mut following = pin!(resume(&mut heard, open));
    let mut time_over = pin!(over(timeout));
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut screen = Screen::open(output.paint).map_err(|error| output.failure(error))?;
    let ended = loop {
        let size = size();
        let lines = many.borrow_mut().picture(client.url(), size, output.paint);
        let drawn = screen.draw(size, lines);
        drawn.map_err(|error| output.failure(error))?;
        tokio::select! {
            ended = &mut following => break ended,
            () = &mut time_over => break Ok(()),
            _ = signals.interrupt.recv() => break Ok(()),
            _ = signals.terminate.recv() => break Ok(()),
            _ = signals.stop.recv() => screen.stop_process().map_err(|error| output.failure(error))?,
            _ = signals.resized.recv() => {}
            _ = frames.tick() => {}
        }
    };
    drop(screen);
    let many = many.borrow();
    output.lines(many.last_picture(size(), output.paint))?;
    match ended {
        Ok(()) => {
            output.note(&many.last_words());
            Ok(Exit::Done)
        }
        Err(Stopped::Failure(failure)) => Err(failure),
        Err(Stopped::Left(why)) => Err(client.not_known(why.to_owned())),
        Err(Stopped::Status(status)) => {
            Err(client.failure("watch tasks", status).then(Some("look again with: obsteward watch".to_owned())))
        }
    }
}

/// What reaches the process from its terminal and its user.
struct Signals {
    resized: Signal,
    interrupt: Signal,
    terminate: Signal,
    /// Ctrl-Z.
    stop: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            resized: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
        })
    }
}

/// What the board shows besides the open tasks.
struct Board {
    clock: Clock,
    /// Whether the open tasks are known.
    known: bool,
    /// Tasks that were closed a moment ago, and when that was heard.
    ended: Vec<(Timestamp, TaskView)>,
    /// How tasks ended while it was watched, the last ones.
    outcomes: VecDeque<String>,
    notice: Option<String>,
}

impl Board {
    fn new(clock: Clock) -> Self {
        Self { clock, known: false, ended: Vec::new(), outcomes: VecDeque::new(), notice: None }
    }
}

impl Shown for Board {
    fn begin(&mut self, _: &[v1::Task]) -> Result<(), Failure> {
        self.known = true;
        Ok(())
    }

    fn event(&mut self, _: &TaskView, _: &v1::TaskEvent) -> Result<(), Failure> {
        Ok(())
    }

    fn progress(&mut self, _: Option<&TaskView>, _: &v1::SubtaskProgress) -> Result<(), Failure> {
        Ok(())
    }

    fn closed(&mut self, view: TaskView) {
        self.outcomes.push_back(result_line(view.task()));
        if self.outcomes.len() > MOST_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.ended.push((self.clock.now(), view));
    }

    fn opened(&mut self) {
        self.notice = None;
    }

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.notice = Some(interrupted("watch", status, pause));
    }
}

impl ManyTasks<Board> {
    fn picture(&mut self, server: &str, size: Size, paint: Paint) -> Vec<String> {
        let now = self.shown.clock.now();
        self.shown.ended.retain(|(heard, _)| now.since(*heard) < STAYS);
        let picture = Picture {
            server,
            known: self.shown.known,
            open: self.tasks().collect(),
            ended: self.shown.ended.iter().map(|(_, view)| view).collect(),
            notice: self.shown.notice.as_deref(),
        };
        picture.lines(size, now, paint)
    }

    /// What stays on the terminal: how tasks ended, and where the others stand.
    fn last_picture(&self, size: Size, paint: Paint) -> Vec<String> {
        let now = self.shown.clock.now();
        let open = self.tasks().flat_map(|view| block(view, size.columns, now, paint));
        self.shown.outcomes.iter().cloned().chain(open).collect()
    }

    fn last_words(&self) -> String {
        let at_rest = self.tasks().filter(|view| phase(view.task().state()) == Phase::AtRest).count();
        let moving = self.tasks().count() - at_rest;
        let again = "look again with: obsteward watch";
        let some = |number: usize| if number == 1 { "1 task".to_owned() } else { format!("{number} tasks") };
        match (self.shown.known, moving, at_rest) {
            (false, _, _) => format!("nothing was heard of the tasks yet, {again}"),
            (true, 0, 0) => format!("no task is open, {again}"),
            (true, 0, _) => format!("{} at rest, {again}", some(at_rest)),
            (true, 1, _) => format!("1 task goes on without a watcher, {again}"),
            (true, _, _) => format!("{} go on without a watcher, {again}", some(moving)),
        }
    }
}

/// Hands over what is heard, between two looks at it.
struct Heard<'a>(&'a RefCell<ManyTasks<Board>>);

impl ResumableStream for Heard<'_> {
    type Message = Message;

    fn position(&self) -> Option<i64> {
        self.0.borrow().position()
    }

    fn take(&mut self, message: Message) -> Result<Continuity, Failure> {
        self.0.borrow_mut().take(message)
    }

    fn is_over(&self) -> bool {
        self.0.borrow().is_over()
    }

    fn opened(&mut self) {
        self.0.borrow_mut().opened();
    }

    fn broken(&mut self, status: &Status, pause: Duration) {
        self.0.borrow_mut().broken(status, pause);
    }

    fn tick(&mut self) {}
}
