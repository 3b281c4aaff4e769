//! The list of a task's subtasks that is redrawn in place, on standard error of a terminal. Draws only; what the lines
//! say comes from `lines`.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines::rows;
use super::style::Paint;
use super::view::TaskView;
use crate::clock::Clock;

/// A list on the terminal.
pub struct Live {
    screen: MultiProgress,
    rows: Vec<ProgressBar>,
    clock: Clock,
    paint: Paint,
    frame: usize,
}

impl Live {
    /// An empty list; the first drawing makes its rows.
    pub fn new(paint: Paint) -> Self {
        Self { screen: MultiProgress::new(), rows: Vec::new(), clock: Clock::steady(), paint, frame: 0 }
    }

    pub fn draw(&mut self, view: &TaskView) {
        self.frame = self.frame.wrapping_add(1);
        let lines = rows(view, self.clock.now(), self.frame, self.paint);
        while self.rows.len() < lines.len() {
            let bar = ProgressBar::new_spinner();
            // A wide message is cut at the edge of the terminal instead of wrapping and breaking the list.
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            self.rows.push(self.screen.add(bar));
        }
        for (row, line) in self.rows.iter().zip(lines) {
            row.set_message(line);
        }
    }

    /// Writes a line above the list.
    pub fn above(&self, line: &str) {
        // A terminal that went away stops nothing.
        let _ = self.screen.println(line);
    }

    /// Draws for the last time and leaves the list standing.
    pub fn finish(&mut self, view: &TaskView) {
        self.draw(view);
        for row in &self.rows {
            row.abandon();
        }
    }
}
