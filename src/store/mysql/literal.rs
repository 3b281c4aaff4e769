//! Values as literals of the statement's text, so that many statements are one message and one round trip. The session's SQL mode
//! is fixed by us: a backslash escapes.

use std::fmt::Write;

use crate::store::sql::SqlValue;

/// A statement with its values in the places of `?`. None of our statements has a `?` that is not one of these.
pub(super) fn with_values(sql: &str, values: &[SqlValue]) -> String {
    let mut text = String::with_capacity(sql.len() + 16 * values.len());
    let mut values = values.iter();
    let mut parts = sql.split('?');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        literal(&mut text, values.next().unwrap_or(&SqlValue::Null));
        text.push_str(part);
    }
    text
}

pub(super) fn literal(into: &mut String, value: &SqlValue) {
    match value {
        SqlValue::Null => into.push_str("NULL"),
        SqlValue::Int(number) => _ = write!(into, "{number}"),
        SqlValue::Text(text) => quote(into, text),
        SqlValue::Bytes(bytes) => {
            into.push_str("x'");
            for byte in bytes {
                let _ = write!(into, "{byte:02x}");
            }
            into.push('\'');
        }
    }
}

fn quote(into: &mut String, text: &str) {
    into.push('\'');
    for character in text.chars() {
        match character {
            '\0' => into.push_str("\\0"),
            '\'' => into.push_str("\\'"),
            '\\' => into.push_str("\\\\"),
            // The character that ends a text file on some systems; MySQL's own quoting escapes it too.
            '\u{1a}' => into.push_str("\\Z"),
            other => into.push(other),
        }
    }
    into.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_quotes() {
        let values =
            ["a'b\\'; DROP TABLE task; -- ?\0\u{1a}é".into(), 7_i64.into(), SqlValue::Null, vec![0_u8, 255].into()];
        let text = with_values("SELECT ?, ?, ?, ? FROM t", &values);
        assert_eq!(text, "SELECT 'a\\'b\\\\\\'; DROP TABLE task; -- ?\\0\\Zé', 7, NULL, x'00ff' FROM t");
    }
}
