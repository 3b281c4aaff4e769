//! Colours: only on a terminal, and not when NO_COLOR is set. Words always say the same without them.

use std::borrow::Cow;

use crate::domain::printable::is_invisible;

/// What [`Paint`] writes.
const CODES: [&str; 6] = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"];

/// One of the ways in which [`Paint`] marks a text.
pub type Mark = fn(Paint, &str) -> String;

/// Whether and how text is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// No codes at all.
    Plain,
    /// ANSI codes.
    Colour,
}

impl Paint {
    /// Colour only on a terminal, and only when `NO_COLOR` is unset or empty (no-color.org).
    pub fn choose(terminal: bool, no_color: Option<&std::ffi::OsStr>) -> Self {
        let forbidden = no_color.is_some_and(|value| !value.is_empty());
        if terminal && !forbidden { Self::Colour } else { Self::Plain }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Bad.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Good.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Worth a look.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A text that acts on the terminal by these colours only, and breaks its lines; what else acts is written out.
    pub fn only_colours(self, text: &str) -> Cow<'_, str> {
        if !text.contains(|letter| letter != '\n' && is_invisible(letter)) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len() + 8);
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let code = match self {
                Self::Plain => None,
                Self::Colour => CODES.iter().copied().find(|code| rest.starts_with(code)),
            };
            let taken = code.map_or(letter.len_utf8(), str::len);
            match letter {
                letter if code.is_none() && letter != '\n' && is_invisible(letter) => {
                    shown.extend(letter.escape_unicode())
                }
                _ => shown.push_str(&rest[..taken]),
            }
            rest = &rest[taken..];
        }
        Cow::Owned(shown)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_codes_without_a_terminal_or_with_no_color() {
        assert_eq!(Paint::choose(false, None), Paint::Plain);
        assert_eq!(Paint::choose(true, Some("1".as_ref())), Paint::Plain);
        assert_eq!(Paint::choose(true, Some("".as_ref())), Paint::Colour);
        assert_eq!(Paint::choose(true, None), Paint::Colour);
        assert_eq!(Paint::Plain.red("x"), "x");
    }

    #[test]
    fn only_our_own_codes_reach_a_terminal() {
        let text = format!("{}\u{1b}[5mb\u{202e}c\nd\u{9b}2J", Paint::Colour.red("a"));
        assert_eq!(Paint::Colour.only_colours(&text), "\u{1b}[31ma\u{1b}[0m\\u{1b}[5mb\\u{202e}c\nd\\u{9b}2J");
        assert_eq!(Paint::Plain.only_colours("\u{1b}[31ma"), "\\u{1b}[31ma");
        for paint in [Paint::Colour, Paint::Plain] {
            let own = [paint.bold("x"), paint.dim("x"), paint.red("x"), paint.green("x"), paint.yellow("x")].concat();
            assert_eq!(paint.only_colours(&own), own);
        }
    }
}
