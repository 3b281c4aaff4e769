//! Aligned text: tables with a heading, and lists of `name: value`. Pure: makes strings, prints nothing.

use super::style::Paint;
use crate::domain::printable::one_line;

/// Rows of cells under headings; the last column is not padded, so that long texts cost no trailing spaces.
#[derive(Debug)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(|heading| (*heading).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells may carry line breaks and tabs, which are shown as spaces.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|cell| flat(&cell.into())).collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines. Colour marks headings only: words carry the meaning.
    pub fn lines(&self, paint: Paint) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).chain([self.headings.len()]).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().chain([&self.headings]).filter_map(|row| row.get(column)).map(|cell| width(cell)).max()
            })
            .map(Option::unwrap_or_default)
            .collect();
        let mut lines = vec![paint.bold(&aligned(&self.headings, &widths))];
        lines.extend(self.rows.iter().map(|row| aligned(row, &widths)));
        lines
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&padded(cell, *width));
        line.push_str("  ");
    }
    line.trim_end().to_owned()
}

/// `text` with spaces up to `width` characters.
pub fn padded(text: &str, wanted: usize) -> String {
    let missing = wanted.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// One line that shows all that it holds: names and messages come from other machines.
pub fn flat(text: &str) -> String {
    one_line(text).into_owned()
}

/// `name: value` lines with the values under each other; empty values are left out.
pub fn fields(pairs: &[(&str, String)]) -> Vec<String> {
    let shown: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let widest = shown.iter().map(|(name, _)| width(name)).max().unwrap_or(0) + 1;
    shown.iter().map(|(name, value)| format!("{}  {}", padded(&format!("{name}:"), widest), flat(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_do_not_trail() {
        let mut table = Table::new(&["ID", "NAME", "NOTE"]);
        table.row(["1", "a", ""]);
        table.row(["200", "größer", "two\nlines"]);
        assert_eq!(
            table.lines(Paint::Plain),
            ["ID   NAME    NOTE", "1    a", "200  größer  two lines"].map(str::to_owned).to_vec()
        );
    }

    #[test]
    fn escape_codes_from_elsewhere_do_not_reach_the_terminal() {
        assert_eq!(flat("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(flat("ob\u{202e}gpj\nx"), "ob\\u{202e}gpj x");
    }

    #[test]
    fn fields_leave_out_what_is_empty() {
        let lines = fields(&[("id", "1".to_owned()), ("sync error", String::new()), ("status", "RUNNING".to_owned())]);
        assert_eq!(lines, ["id:      1", "status:  RUNNING"]);
    }
}
