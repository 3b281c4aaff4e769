//! Colours: only on a terminal, and not when NO_COLOR is set. Words always say the same without them.

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

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Weak.
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
}
