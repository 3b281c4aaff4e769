//! From MySQL's SELECT to SQLite's: the few places where the two write the same thing differently. Text to text.

use super::lexer::{Lexeme, Token};

/// The same SELECT for SQLite.
pub fn rewrite(lexemes: &[Lexeme]) -> String {
    let mut out = String::new();
    let names = names(lexemes);
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
        if let Some((_, name)) = names.iter().find(|(end, _)| *end == i) {
            out.push_str(&format!(" AS \"{}\"", name.replace('"', "\"\"")));
        }
    }
    out
}

/// MySQL names a column after its expression as it was written: where each unnamed `...)` of the outermost list ends,
/// and its name.
fn names(lexemes: &[Lexeme]) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    if !lexemes.first().is_some_and(|first| first.is("select")) {
        return names;
    }
    let distinct = lexemes.get(1).is_some_and(|second| second.is("distinct"));
    let (mut depth, mut start, mut named) = (0_usize, 1 + usize::from(distinct), false);
    for at in 1..=lexemes.len() {
        let is = |word: &str| lexemes.get(at).is_some_and(|lexeme| lexeme.is(word));
        let list_ends =
            at == lexemes.len() || ["from", "where", "limit", "order", "group", "union"].iter().any(|word| is(word));
        if depth == 0 && (list_ends || is(",")) {
            if !named && at > start && lexemes[at - 1].is(")") {
                names.push((at, written(&lexemes[start..at])));
            }
            (start, named) = (at + 1, false);
            if list_ends {
                break;
            }
        } else if is("(") {
            depth += 1;
        } else if is(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && is("as") {
            named = true;
        }
    }
    names
}

fn written(lexemes: &[Lexeme]) -> String {
    let mut out = String::new();
    for (at, lexeme) in lexemes.iter().enumerate() {
        if lexeme.spaced && at > 0 {
            out.push(' ');
        }
        match &lexeme.token {
            Token::Text(text) => out.push_str(&literal(text)),
            Token::Variable(name) => out.push_str(&format!("@@{name}")),
            Token::Word(text) | Token::Quoted(text) | Token::Number(text) | Token::Symbol(text) => out.push_str(text),
        }
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
            ("SELECT COUNT(*) FROM t", "SELECT COUNT(*) AS \"COUNT(*)\" FROM t"),
            ("select 1 where (a,b) in (('x', 1))", "select 1 where (a,b) IN (VALUES('x', 1))"),
            ("select 1 where a in ('x')", "select 1 where a in ('x')"),
            (
                "SELECT a, CAST(COUNT(*) AS SIGNED) FROM t",
                "SELECT a, CAST(COUNT(*) AS INTEGER) AS \"CAST(COUNT(*) AS SIGNED)\" FROM t",
            ),
            ("SELECT CAST(a AS SIGNED) AS x FROM t", "SELECT CAST(a AS INTEGER) AS x FROM t"),
            ("select @@version_comment limit 1", "select sysvar('version_comment') AS \"@@version_comment\" limit 1"),
            (
                "select if(a <=> null, \"x\", `b`) from dual",
                "select IIF(a IS null, 'x', \"b\") AS \"if(a <=> null, 'x', b)\" ",
            ),
            ("select current_timestamp(6)", "select now(6) AS \"current_timestamp(6)\""),
        ] {
            assert_eq!(rewrite(&lex(mysql).unwrap()), sqlite);
        }
    }
}
