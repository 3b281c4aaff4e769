//! The tasks of `watch` as blocks of lines: what it is, how far, what it waits for and since when. A block has as many lines as
//! the terminal's width makes it need, and as many blocks are drawn as its height bears. Pure: `now` and the size are arguments.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::cli::lines::{blocker_lines, going_back, outcome, running, short_target, stalled_for, task_state_mark};
use crate::cli::style::{Mark, Paint};
use crate::cli::table::flat;
use crate::cli::view::{Phase, TaskView, phase};
use crate::cli::{times, words};
use crate::clock::Timestamp;
use crate::proto::v1;

/// Columns between two pieces of a line, and before what belongs to the line above.
const GAP: usize = 2;
/// Steps side by side that are named; the others are counted.
const MOST_STEPS: usize = 3;
/// Lines that one wait or one error may take.
const MOST_LINES: usize = 3;

/// A terminal, in columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// What is on the screen.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    pub server: &'a str,
    /// Whether the open tasks are known: before, nothing can be said of them.
    pub known: bool,
    pub open: Vec<&'a TaskView>,
    /// Closed a moment ago.
    pub ended: Vec<&'a TaskView>,
    /// What is wrong with the watching itself.
    pub notice: Option<&'a str>,
}

/// A part of a line that stays together, and how it is coloured.
struct Piece {
    text: String,
    mark: Mark,
}

fn piece(text: impl Into<String>, mark: Mark) -> Piece {
    Piece { text: text.into(), mark }
}

fn plain(text: impl Into<String>) -> Piece {
    piece(text, |_, text| text.to_owned())
}

impl Picture<'_> {
    /// At most as many lines as the terminal has, none wider than it.
    pub fn lines(&self, size: Size, now: Timestamp, paint: Paint) -> Vec<String> {
        let mut lines = self.heading(size.columns, paint);
        let tasks: Vec<&TaskView> = self.open.iter().chain(&self.ended).copied().collect();
        if tasks.is_empty() {
            let word = if self.known { "no task is open; waiting for the next one" } else { "waiting for the service" };
            lines.extend(wrapped(word, size.columns, 0));
        }
        let rows = size.rows.saturating_sub(lines.len());
        lines.extend(fitted(&tasks, Size { rows, ..size }, now, paint));
        lines.truncate(size.rows);
        lines
    }

    fn heading(&self, columns: usize, paint: Paint) -> Vec<String> {
        let at_rest = self.open.iter().filter(|view| phase(view.task().state()) == Phase::AtRest).count();
        let mut count = counted(self.open.len(), "task open", "tasks open");
        if at_rest > 0 {
            count.push_str(&format!(", {at_rest} at rest"));
        }
        let count = if self.known { count } else { String::new() };
        let pieces = [piece("obsteward watch", Paint::bold), plain(count), plain(flat(self.server))];
        let mut lines = flow(&pieces, columns, 0, paint);
        match self.notice {
            Some(notice) => lines.extend(coloured(wrapped(&flat(notice), columns, 0), Paint::yellow, paint)),
            None => {
                lines.extend(coloured(
                    wrapped("Ctrl-C ends the watching, never a task", columns, 0),
                    Paint::dim,
                    paint,
                ));
            }
        }
        lines.push(String::new());
        lines
    }
}

/// Blocks with a line between them; without, when those are too many; a line for each task, when they still are.
fn fitted(tasks: &[&TaskView], size: Size, now: Timestamp, paint: Paint) -> Vec<String> {
    let blocks: Vec<Vec<String>> = tasks.iter().map(|view| block(view, size.columns, now, paint)).collect();
    let needed: usize = blocks.iter().map(Vec::len).sum();
    if needed + blocks.len().saturating_sub(1) <= size.rows {
        return blocks.join(&String::new());
    }
    if needed <= size.rows {
        return blocks.concat();
    }
    let one_each = |view: &&TaskView| one_line(view, size.columns, now, paint);
    if tasks.len() <= size.rows {
        return tasks.iter().map(one_each).collect();
    }
    let shown = size.rows.saturating_sub(1);
    let left = counted(tasks.len() - shown, "more task does not fit here", "more tasks do not fit here");
    tasks.iter().take(shown).map(one_each).chain([cut(&left, size.columns)]).collect()
}

/// All there is to see of a task at a glance.
pub fn block(view: &TaskView, columns: usize, now: Timestamp, paint: Paint) -> Vec<String> {
    let task = view.task();
    let mut lines = flow(&what(task, now), columns, 0, paint);
    let mark = task_state_mark(task.state());
    match phase(task.state()) {
        Phase::Open => lines.extend(doing(view, columns, now, paint)),
        Phase::AtRest => {
            lines.extend(flow(&[bar(task, columns), piece(steps(task), Paint::dim)], columns, GAP, paint));
            lines.extend(coloured(wrapped(&flat(&outcome(task)), columns, GAP), mark, paint));
            let next = format!("what you can do: obsteward tasks show {}", task.id);
            lines.extend(wrapped(&next, columns, GAP));
        }
        Phase::Closed if task.state() == v1::TaskState::Successful => {}
        Phase::Closed => lines.extend(coloured(wrapped(&flat(&outcome(task)), columns, GAP), mark, paint)),
    }
    lines
}

/// Id, state and since when, operation, target, and who asked for it.
fn what(task: &v1::Task, now: Timestamp) -> Vec<Piece> {
    let back = if going_back(task) { " (rollback)" } else { "" };
    let cluster = task.cluster.as_ref().map(|cluster| cluster.name.as_str()).unwrap_or_default();
    let target = match short_target(task) {
        part if part.is_empty() => format!("cluster {cluster}"),
        part => format!("{part} of {cluster}"),
    };
    vec![
        piece(task.id.to_string(), Paint::bold),
        piece(format!("{}{}", words::task_state(task.state), timed(task, now)), task_state_mark(task.state())),
        plain(format!("{}{back}", flat(&task.name))),
        plain(flat(&target)),
        plain(format!("by {}", flat(&task.creator))),
    ]
}

/// How long a task runs or rests, or took.
fn timed(task: &v1::Task, now: Timestamp) -> String {
    let began = times::moment(task.create_time.as_ref());
    let (word, from, to) = match phase(task.state()) {
        Phase::Open => (" for ", began, Some(now)),
        Phase::AtRest => (" for ", times::moment(task.resting_since.as_ref()), Some(now)),
        Phase::Closed => (" in ", began, times::moment(task.finish_time.as_ref())),
    };
    from.zip(to).map(|(from, to)| format!("{word}{}", times::brief(to.since(from)))).unwrap_or_default()
}

/// The bar, the step at work, and what that waits for; of several side by side a line for each.
fn doing(view: &TaskView, columns: usize, now: Timestamp, paint: Paint) -> Vec<String> {
    let task = view.task();
    let at_work: Vec<&v1::Subtask> = view.subtasks().filter(|subtask| is_at_work(subtask)).collect();
    let far = [bar(task, columns), piece(steps(task), Paint::dim)];
    let step = |subtask: &v1::Subtask| {
        let since = times::moment(subtask.start_time.as_ref());
        let since = since.map(|since| format!(" for {}", times::brief(now.since(since)))).unwrap_or_default();
        format!("{}{since}", flat(&view.name(subtask.id)))
    };
    if let [only] = at_work[..] {
        let mut lines = flow(&far.into_iter().chain([plain(step(only))]).collect::<Vec<_>>(), columns, GAP, paint);
        lines.extend(waits(only, &running(view, only, now), columns, now, paint));
        return lines;
    }
    let mut lines = flow(&far, columns, GAP, paint);
    for subtask in at_work.iter().take(MOST_STEPS) {
        let what = running(view, subtask, now);
        let colon = if what.is_empty() { "" } else { ": " };
        lines.extend(waits(subtask, &format!("{}{colon}{what}", step(subtask)), columns, now, paint));
    }
    if at_work.len() > MOST_STEPS {
        let more = format!("and {} more side by side", at_work.len() - MOST_STEPS);
        lines.extend(wrapped(&more, columns, GAP));
    }
    lines
}

/// What a step waits for; yellow when nothing moves, with what holds it.
fn waits(subtask: &v1::Subtask, what: &str, columns: usize, now: Timestamp, paint: Paint) -> Vec<String> {
    let mut lines = wrapped(&flat(what), columns, GAP);
    if let Some(progress) = subtask.progress.as_ref().filter(|progress| stalled_for(progress, now).is_some()) {
        let held = blocker_lines(progress, 1);
        lines.extend(held.iter().flat_map(|held| wrapped(&flat(held), columns, GAP)));
        return coloured(lines, Paint::yellow, paint);
    }
    lines
}

fn one_line(view: &TaskView, columns: usize, now: Timestamp, paint: Paint) -> String {
    let task = view.task();
    let mut pieces = what(task, now);
    pieces.insert(2, bar(task, columns));
    let mut line = String::new();
    let mut used = 0;
    for piece in pieces {
        let gap = if used == 0 { 0 } else { GAP };
        let text = cut(&piece.text, columns.saturating_sub(used + gap));
        if text.is_empty() {
            break;
        }
        line.push_str(&format!("{:gap$}{}", "", (piece.mark)(paint, &text)));
        used += gap + text.width();
    }
    line
}

const fn is_at_work(subtask: &v1::Subtask) -> bool {
    subtask.state == v1::SubtaskState::Running as i32 || subtask.state == v1::SubtaskState::Canceling as i32
}

fn finished(task: &v1::Task) -> usize {
    task.subtasks.iter().filter(|subtask| subtask.state() == v1::SubtaskState::Successful).count()
}

fn steps(task: &v1::Task) -> String {
    let stand = if going_back(task) { " steps stand" } else { " steps" };
    format!("{} of {}{stand}", finished(task), task.subtasks.len())
}

/// How far a task is: its steps, and of those at work the counted part. Full only when every step has succeeded.
fn bar(task: &v1::Task, columns: usize) -> Piece {
    let width = (columns / 4).clamp(8, 24);
    let parts = task.subtasks.iter().filter(|subtask| is_at_work(subtask)).map(|subtask| {
        let (done, total) = subtask.progress.as_ref().and_then(|it| it.done.zip(it.total)).unwrap_or_default();
        if total > 0 { (done as f64 / total as f64).clamp(0.0, 1.0) } else { 0.0 }
    });
    let far = (finished(task) as f64 + parts.sum::<f64>()) / task.subtasks.len().max(1) as f64;
    let full = ((far * width as f64) as usize).min(width);
    piece(format!("{}{}", "█".repeat(full), "░".repeat(width - full)), task_state_mark(task.state()))
}

fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Pieces side by side, each whole on the next line where it does not fit; what belongs to them stands further in.
fn flow(pieces: &[Piece], columns: usize, margin: usize, paint: Paint) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for piece in pieces.iter().filter(|piece| !piece.text.is_empty()) {
        let inner = if lines.is_empty() { margin } else { margin.max(GAP) };
        if !lines.is_empty() && used + GAP + piece.text.width() <= columns {
            let text = format!("{:GAP$}{}", "", (piece.mark)(paint, &piece.text));
            lines.last_mut().into_iter().for_each(|line| line.push_str(&text));
            used += GAP + piece.text.width();
            continue;
        }
        let text = cut(&piece.text, columns.saturating_sub(inner));
        lines.push(format!("{}{}", " ".repeat(inner.min(columns)), (piece.mark)(paint, &text)));
        used = inner + text.width();
    }
    lines
}

/// A text over as many lines as it needs, at most [`MOST_LINES`].
fn wrapped(text: &str, columns: usize, margin: usize) -> Vec<String> {
    let room = columns.saturating_sub(margin);
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while words.peek().is_some() {
        let last = lines.len() + 1 == MOST_LINES;
        let mut line = String::new();
        while let Some(word) = words.next_if(|word| last || line.is_empty() || line.width() + 1 + word.width() <= room)
        {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
        lines.push(indented(&line, columns, margin));
    }
    lines
}

fn indented(text: &str, columns: usize, margin: usize) -> String {
    format!("{}{}", " ".repeat(margin.min(columns)), cut(text, columns.saturating_sub(margin)))
}

fn coloured(lines: Vec<String>, mark: Mark, paint: Paint) -> Vec<String> {
    lines.into_iter().map(|line| mark(paint, &line)).collect()
}

/// So many columns of a text; the last one says that something is left out.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter.width().unwrap_or_default();
        if used > columns {
            break;
        }
        shown.push(letter);
    }
    if columns > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
