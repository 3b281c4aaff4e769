//! Secrets that a command is given: from a file, standard input, a variable or the terminal; never from an argument, which
//! every user of the machine could read. May use files and the terminal; does not know what a secret is for.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};

use super::failure::Failure;

/// The secret in a file, `-` for standard input. `remedy` goes into the error when it is empty.
pub fn from_file(file: &Path, remedy: &str) -> Result<SecretString, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text =
        text.map_err(|error| Failure::Usage(format!("cannot read password file {}: {error}", file.display())))?;
    let secret = SecretString::from(sanitize_line(&text));
    if secret.expose_secret().is_empty() {
        return Err(Failure::Usage(format!("password file {} is empty, {remedy}", file.display())));
    }
    Ok(secret)
}

/// The secret in an environment variable, which may be empty; `None`: it is not set. `instead` goes into the error when
/// its value is not text.
pub fn from_variable(name: &str, instead: &str) -> Result<Option<SecretString>, Failure> {
    match std::env::var(name) {
        Ok(secret) => Ok(Some(SecretString::from(secret))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::Usage(format!("${name} is not UTF-8, {instead}"))),
    }
}

/// Asks on the terminal without showing what is typed; `None`: standard input is no terminal.
pub fn ask(prompt: &str) -> Result<Option<SecretString>, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let wrong = |error: io::Error| Failure::Usage(format!("cannot ask for a password on this terminal: {error}"));
    let typed = type_silently(prompt).map_err(wrong)?;
    let typed = typed.ok_or_else(|| Failure::Refused("no password was typed, nothing was done".to_owned()))?;
    let text =
        String::from_utf8(typed).map_err(|_| Failure::Usage("the password that was typed is not UTF-8".into()))?;
    if text.is_empty() {
        return Err(Failure::Usage("the password that was typed is empty".to_owned()));
    }
    Ok(Some(SecretString::from(text)))
}

/// Editors end a file with a line break that is not part of the secret; spaces may be.
fn sanitize_line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// What was typed up to the end of the line; `None`: it was cancelled.
fn type_silently(prompt: &str) -> io::Result<Option<Vec<u8>>> {
    let _silent = Silent::begin()?;
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}: ")?;
    stderr.flush()?;
    let mut line = Line::default();
    let mut byte = [0];
    let mut stdin = io::stdin().lock();
    loop {
        if stdin.read(&mut byte)? == 0 {
            return Ok(None);
        }
        match line.key(byte[0]) {
            Typed::More => {}
            Typed::Done => return Ok(Some(line.0)),
            Typed::Cancelled => return Ok(None),
        }
    }
}

/// A terminal that shows nothing of what is typed and leaves every key to us, Ctrl-C too: a signal would end the process
/// before the terminal is as it was.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that went away needs nothing put back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        let _ = writeln!(io::stderr());
    }
}

/// A line that is being typed.
#[derive(Default)]
struct Line(Vec<u8>);

/// What a key did to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    More,
    Done,
    Cancelled,
}

impl Line {
    fn key(&mut self, byte: u8) -> Typed {
        const CONTROL_C: u8 = 0x03;
        const CONTROL_D: u8 = 0x04;
        const BACKSPACE: u8 = 0x08;
        const CONTROL_U: u8 = 0x15;
        const DELETE: u8 = 0x7f;
        match byte {
            b'\n' | b'\r' => return Typed::Done,
            CONTROL_C => return Typed::Cancelled,
            CONTROL_D => return if self.0.is_empty() { Typed::Cancelled } else { Typed::Done },
            CONTROL_U => self.0.clear(),
            // A letter is one or more bytes; all but its first begin with the bits 10.
            BACKSPACE | DELETE => while self.0.pop().is_some_and(|last| last & 0b1100_0000 == 0b1000_0000) {},
            byte => self.0.push(byte),
        }
        Typed::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_the_password() {
        assert_eq!(sanitize_line("pass word \r\n"), "pass word ");
        assert_eq!(sanitize_line("a\n\n"), "a\n");
    }

    #[test]
    fn a_file_is_read_and_an_empty_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        assert_eq!(from_file(&file, "").unwrap().expose_secret(), "secret");
        std::fs::write(&file, "\n").unwrap();
        let Err(Failure::Usage(told)) = from_file(&file, "write it") else { panic!("taken") };
        assert!(told.ends_with("is empty, write it"), "{told}");
        assert!(matches!(from_file(&directory.path().join("none"), ""), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_line_is_edited_blindly() {
        let typed = |keys: &[u8]| {
            let mut line = Line::default();
            let ended = keys.iter().map(|key| line.key(*key)).find(|typed| *typed != Typed::More);
            (ended, String::from_utf8(line.0).unwrap())
        };
        assert_eq!(typed(b"pass word\n"), (Some(Typed::Done), "pass word".to_owned()));
        assert_eq!(typed("aé\u{7f}b\r".as_bytes()), (Some(Typed::Done), "ab".to_owned()));
        assert_eq!(typed(b"\x7fwrong\x15right\x04"), (Some(Typed::Done), "right".to_owned()));
        assert_eq!(typed(b"half\x03"), (Some(Typed::Cancelled), "half".to_owned()));
        assert_eq!(typed(b"\x04"), (Some(Typed::Cancelled), String::new()));
        assert_eq!(typed(b"abc"), (None, "abc".to_owned()));
    }
}
