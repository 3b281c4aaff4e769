//! Makes text from elsewhere harmless where people read it: names, messages and log lines come from other machines. Pure.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character acts on the terminal, or on the text around it, instead of being visible: control characters, those that
/// change the direction of text (they make a name read as another), zero-width ones, and invisible tags.
pub const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// On one line: line breaks and tabs become spaces, any other invisible character is written as `\u{202e}`.
pub fn sanitize_line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\t' | '\n' | '\r' => line.push(' '),
            letter if is_invisible(letter) => line.extend(letter.escape_unicode()),
            letter => line.push(letter),
        }
    }
    Cow::Owned(line)
}

/// The same JSON text with every invisible character escaped: JSON strings may hold what a terminal acts on. Line breaks
/// between tokens stay.
pub fn json(text: String) -> String {
    if !text.contains(|letter| letter != '\n' && is_invisible(letter)) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter == '\n' || !is_invisible(letter) {
            shown.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for letter in ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}', '\u{200e}'..='\u{200f}', '\u{80}'..='\u{9f}']
            .into_iter()
            .flatten()
            .chain(['\u{61c}', '\u{200b}', '\u{feff}', '\u{ad}', '\u{e0041}', '\u{2028}', '\u{1b}', '\u{7f}', '\0'])
        {
            let (name, escaped) = (format!("a{letter}b"), letter.escape_unicode());
            assert_eq!(sanitize_line(&name), format!("a{escaped}b"));
            let quoted = serde_json::to_string(&name).unwrap();
            let shown = json(quoted);
            assert!(!shown.contains(is_invisible), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
        }
        assert_eq!(sanitize_line("two\nlines\tand\r"), "two lines and ");
        assert!(matches!(sanitize_line("größer 集群 ⚠\u{fe0f} e\u{301}"), Cow::Borrowed(_)));
        assert_eq!(json("{\n  \"a\": 1\n}".to_owned()), "{\n  \"a\": 1\n}");
    }
}
