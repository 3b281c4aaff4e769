//! Aligned text: tables with a heading, and lists of `name: value`. A Chinese character takes two columns of a terminal. No
//! borders: `awk` reads the same lines as people do. Pure: makes strings, prints nothing.

use comfy_table::presets;
use unicode_width::UnicodeWidthStr;

use super::style::Paint;
use crate::domain::printable::sanitize_line;

#[derive(Debug)]
pub struct Table {
    headings: Vec<String>,
    /// How many columns are always shown: the first ones.
    usual: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(headings: &[&str]) -> Self {
        let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Self { usual: headings.len(), headings, rows: Vec::new() }
    }

    /// Adds columns behind the others that only `--output wide` shows; rows have cells for them too.
    pub fn with_wide(mut self, headings: &[&str]) -> Self {
        self.headings.extend(headings.iter().map(|heading| (*heading).to_owned()));
        self
    }

    /// Adds a row; cells may carry line breaks and tabs, which are shown as spaces.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|cell| flat(&cell.into())).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the usual columns. Colour marks headings only: words carry the meaning.
    pub fn lines(self, paint: Paint) -> Vec<String> {
        let usual = self.usual;
        self.first(usual, paint)
    }

    /// The lines of all columns.
    pub fn wide_lines(self, paint: Paint) -> Vec<String> {
        let all = self.headings.len();
        self.first(all, paint)
    }

    fn first(self, columns: usize, paint: Paint) -> Vec<String> {
        let mut table = borderless();
        table.set_header(self.headings.into_iter().take(columns));
        table.add_rows(self.rows.into_iter().map(|row| row.into_iter().take(columns).collect::<Vec<_>>()));
        let mut lines = aligned(&mut table);
        if let Some(heading) = lines.first_mut() {
            *heading = paint.bold(heading);
        }
        lines
    }
}

fn borderless() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// The lines of a table; none trails.
fn aligned(table: &mut comfy_table::Table) -> Vec<String> {
    table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 2)));
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// `text` with spaces up to so many columns.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// One line that shows all that it holds: names and messages come from other machines.
pub fn flat(text: &str) -> String {
    sanitize_line(text).into_owned()
}

/// `name: value` lines with the values under each other; empty values are left out.
pub fn fields(pairs: &[(&str, String)]) -> Vec<String> {
    let mut table = borderless();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([format!("{name}:"), flat(value)]);
    }
    aligned(&mut table)
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
    fn wide_columns_stand_behind_the_usual_ones() {
        let table = || {
            let mut table = Table::new(&["ID", "NAME"]).with_wide(&["REASON"]);
            table.row(["1", "a", "b"]);
            table
        };
        assert_eq!(table().lines(Paint::Plain), ["ID  NAME", "1   a"]);
        assert_eq!(table().wide_lines(Paint::Plain), ["ID  NAME  REASON", "1   a     b"]);
    }

    #[test]
    fn chinese_takes_two_columns_each() {
        let mut table = Table::new(&["ID", "名称", "STATUS"]);
        table.row(["1", "测试集群", "RUNNING"]);
        table.row(["200", "ob", "运行中"]);
        let lines = table.lines(Paint::Plain);
        assert_eq!(lines, ["ID   名称      STATUS", "1    测试集群  RUNNING", "200  ob        运行中"]);
        let column = |line: &String, word: &str| line.split(word).next().unwrap().width();
        assert_eq!([column(&lines[0], "STATUS"), column(&lines[1], "RUNNING"), column(&lines[2], "运行中")], [15; 3]);
        // One row a line and one cell a column, for programs too.
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["1", "测试集群", "RUNNING"]);
        assert_eq!(padded("停止", 6), "停止  ");
        assert_eq!(fields(&[("集群", "一".to_owned()), ("id", "2".to_owned())]), ["集群:  一", "id:    2"]);
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
