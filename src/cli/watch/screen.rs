//! A terminal on which a picture is drawn over and over: its other buffer, so that what stood there before comes back, and lines
//! that a narrower window would break are drawn anew. Knows nothing of what is drawn.

use std::io::{self, Write};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::blocks::Size;
use crate::cli::style::Paint;

/// The other buffer, without the cursor; and back.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J";
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";
/// What a terminal has that does not say.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Whether the terminal can be drawn on: one for lines alone (an editor's, a log) says so by its name.
pub fn can_be_drawn_on() -> bool {
    std::env::var("TERM").is_ok_and(|name| !name.is_empty() && name != "dumb")
}

/// As it is now: it changes whenever the window does.
pub fn size() -> Size {
    let Ok(size) = tcgetwinsize(io::stdout()) else { return USUAL };
    let or = |told: u16, usual: usize| if told == 0 { usual } else { usize::from(told) };
    Size { columns: or(size.ws_col, USUAL.columns), rows: or(size.ws_row, USUAL.rows) }
}

/// A screen that is drawn on; dropped, the terminal is as it was.
pub struct Screen {
    paint: Paint,
    /// What is drawn, for a screen of this size.
    drawn: (Size, Vec<String>),
    /// The terminal's settings of before: what is typed is not shown meanwhile.
    settings: Option<Termios>,
}

impl Screen {
    pub fn open(paint: Paint) -> io::Result<Self> {
        let settings = tcgetattr(io::stdout()).ok();
        let screen = Self { paint, drawn: (Size { columns: 0, rows: 0 }, Vec::new()), settings };
        screen.enter()?;
        Ok(screen)
    }

    /// Draws what has changed; everything, when the size has.
    pub fn draw(&mut self, size: Size, lines: Vec<String>) -> io::Result<()> {
        let (before, drawn) = &self.drawn;
        let mut text = String::new();
        if *before != size {
            text.push_str("\u{1b}[2J");
        }
        let known = if *before == size { drawn.as_slice() } else { &[] };
        for row in 0..lines.len().max(known.len()) {
            let (line, known) = (lines.get(row).map(String::as_str).unwrap_or_default(), known.get(row));
            if known.map(String::as_str) != Some(line) {
                // Cleared first: behind a line that is as wide as the terminal, clearing takes its last letter.
                text.push_str(&format!("\u{1b}[{};1H\u{1b}[2K{}", row + 1, self.paint.only_colours(line)));
            }
        }
        self.drawn = (size, lines);
        write(&text)
    }

    /// Gives the terminal back while the process is stopped (Ctrl-Z).
    pub fn stop_process(&mut self) -> io::Result<()> {
        self.leave();
        // Returns when it is told to go on.
        kill_process(getpid(), Signal::STOP)?;
        self.drawn.1.clear();
        self.drawn.0 = Size { columns: 0, rows: 0 };
        self.enter()
    }

    fn enter(&self) -> io::Result<()> {
        if let Some(settings) = &self.settings {
            let mut silent = settings.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            tcsetattr(io::stdout(), OptionalActions::Now, &silent)?;
        }
        write(ENTER)
    }

    /// A terminal that went away stops nothing.
    fn leave(&self) {
        let _ = write(LEAVE);
        if let Some(settings) = &self.settings {
            let _ = tcsetattr(io::stdout(), OptionalActions::Now, settings);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

fn write(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
