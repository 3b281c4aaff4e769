//! The last lines that a process wrote into a file since a moment, bounded: what a person wants to see of one that died.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::domain::printable::is_invisible;

/// Characters of a line; the rest is cut off.
const LINE: usize = 1_000;

#[derive(Clone, Copy, Debug)]
pub struct TailLimits {
    pub lines: usize,
    pub bytes: u64,
}

/// The end of a file at some moment.
#[derive(Clone, Debug)]
pub struct FilePosition {
    path: PathBuf,
    /// Inode and size; `None`: there was none.
    end: Option<(u64, u64)>,
}

impl FilePosition {
    /// The end that the file has now.
    pub fn of(path: &Path) -> Self {
        let end = std::fs::metadata(path).ok().map(|metadata| (metadata.ino(), metadata.size()));
        Self { path: path.to_owned(), end }
    }

    /// The beginning: everything in the file counts as new.
    pub fn before(path: &Path) -> Self {
        Self { path: path.to_owned(), end: None }
    }

    /// The last lines since then; none when the file cannot be read. A file that was replaced or truncated is all new.
    pub fn last_lines(&self, bounds: TailLimits) -> Vec<String> {
        self.tail(bounds).unwrap_or_default()
    }

    fn tail(&self, bounds: TailLimits) -> io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let size = metadata.size();
        let begin = match self.end {
            Some((inode, end)) if inode == metadata.ino() && end <= size => end,
            Some(_) | None => 0,
        };
        let from = begin.max(size.saturating_sub(bounds.bytes));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(bounds.bytes).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line may have been cut.
        let text = if from > begin { text.split_once('\n').map_or(&*text, |(_, rest)| rest) } else { &*text };
        let mut lines: Vec<String> = text.lines().rev().take(bounds.lines).map(printable).collect();
        lines.reverse();
        Ok(lines)
    }
}

/// Terminals act on control characters. Bytes that are no UTF-8 become `?`, which is not longer than they were.
fn printable(line: &str) -> String {
    let shown = |letter: char| match letter {
        char::REPLACEMENT_CHARACTER => '?',
        letter if is_invisible(letter) => ' ',
        letter => letter,
    };
    line.chars().take(LINE).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: TailLimits = TailLimits { lines: 3, bytes: 40 };

    #[test]
    fn only_what_was_written_since_and_only_the_end_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let nothing = FilePosition::of(&path);
        assert_eq!(nothing.last_lines(FEW), [] as [&str; 0]);
        write("old\n");
        assert_eq!(nothing.last_lines(FEW), ["old"]);
        let mark = FilePosition::of(&path);
        assert_eq!(mark.last_lines(FEW), [] as [&str; 0]);
        std::fs::write(&path, b"old\na\nb\x1b[31m\nc\xff\nd\n").unwrap();
        assert_eq!(mark.last_lines(FEW), ["b [31m", "c?", "d"]);
        write(&format!("old\n{}\nlast", "long ".repeat(100)));
        assert_eq!(mark.last_lines(FEW), ["last"]);
        write("c");
        assert_eq!(mark.last_lines(FEW), ["c"], "a file that was cut is all new");
    }
}
