//! From MySQL's SELECT to SQLite's: the few places where the two write the same thing differently. Text to text.

use super::lexer::{Lexeme, Token};

/// The same SELECT for SQLite.
pub fn rewrite(lexemes: &[Lexeme]) -> String {
    let mut out = String::new();
    let mut i = 0;
    while let Some(lexeme) = lexemes.get(i) {
        let at = |offset: usize| lexemes.get(i + offset);
        let is = |offset: usize, word: &str| at(offset).is_some_and(|lexeme| lexeme.is(word));
        let mut used = 1;
        let text = match &lexeme.token {
            Token::Text(text) => literal(text),
            Token::Quoted(name) => format!("\"{}\"", name.replace('"', "\"\"")),
            Token::Number(number) => number.clone(),
            Token::Variable(name) => variable(name, i.checked_sub(1).map(|i| &lexemes[i]), at(1)),
            Token::Symbol(symbol) => match symbol.as_str() {
                "<=>" => "IS".into(),
                "||" => " OR ".into(),
                "&&" => " AND ".into(),
                other => other.into(),
            },
            Token::Word(_) if lexeme.is("in") && is(1, "(") && is(2, "(") && !is(3, "select") => {
                // SQLite compares row values with a VALUES table, not with a list
                used = 2;
                "IN (VALUES".into()
            }
            Token::Word(_) if lexeme.is("if") && is(1, "(") => "IIF".into(),
            Token::Word(_) if lexeme.is("separator") => ",".into(),
            Token::Word(_) if lexeme.is("from") && is(1, "dual") => {
                used = 2;
                String::new()
            }
            Token::Word(_) if lexeme.is("for") && is(1, "update") => {
                used = 2;
                String::new()
            }
            Token::Word(_) if lexeme.is("as") && (is(1, "signed") || is(1, "unsigned")) => {
                used = if is(2, "integer") { 3 } else { 2 };
                "AS INTEGER".into()
            }
            Token::Word(_) if lexeme.is("as") && is(1, "char") => {
                used = if is(2, "(") { 5 } else { 2 };
                "AS TEXT".into()
            }
            // in SQLite these are keywords that take no parentheses
            Token::Word(word)
                if ["current_timestamp", "current_date", "current_time"].contains(&lower(word).as_str()) =>
            {
                used = if is(1, "(") { if is(2, ")") { 3 } else { 4 } } else { 1 };
                "now(6)".into()
            }
            Token::Word(word) => word.clone(),
        };
        if lexeme.spaced && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&text);
        i += used;
    }
    out
}

fn lower(word: &str) -> String {
    word.to_lowercase()
}

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A variable that is a column of its own keeps its name.
fn variable(name: &str, before: Option<&Lexeme>, after: Option<&Lexeme>) -> String {
    let alone = before.is_some_and(|before| before.is("select") || before.is(","))
        && after.is_none_or(|after| after.is(",") || after.is("limit") || after.is("from"));
    let value = format!("sysvar({})", literal(name));
    if alone { format!("{value} AS \"@@{name}\"") } else { value }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::lex;
    use super::*;

    #[test]
    fn mysql_becomes_sqlite() {
        for (mysql, sqlite) in [
            ("SELECT COUNT(*) FROM t", "SELECT COUNT(*) FROM t"),
            ("select (a,b) in (('x', 1))", "select (a,b) IN (VALUES('x', 1))"),
            ("select a in ('x')", "select a in ('x')"),
            ("SELECT CAST(COUNT(*) AS SIGNED)", "SELECT CAST(COUNT(*) AS INTEGER)"),
            ("select @@version_comment limit 1", "select sysvar('version_comment') AS \"@@version_comment\" limit 1"),
            ("select if(a <=> null, \"x\", `b`) from dual", "select IIF(a IS null, 'x', \"b\") "),
            ("select current_timestamp(6)", "select now(6)"),
        ] {
            assert_eq!(rewrite(&lex(mysql).unwrap()), sqlite);
        }
    }
}
