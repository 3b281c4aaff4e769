//! MySQL's tokens, as far as a simulated OBServer is asked: words, strings, numbers, variables, punctuation.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an identifier as it was written.
    Word(String),
    /// `` `x` ``
    Quoted(String),
    /// `'x'` or `"x"`, without quotes and escapes.
    Text(String),
    Number(String),
    /// `@@x`, `@@session.x`, `@@global.x`, `@x`: the bare name.
    Variable(String),
    Symbol(String),
}

/// A token and whether blanks stood before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexeme {
    pub token: Token,
    pub spaced: bool,
}

impl Lexeme {
    pub fn is(&self, word: &str) -> bool {
        match &self.token {
            Token::Word(text) | Token::Symbol(text) => text.eq_ignore_ascii_case(word),
            _ => false,
        }
    }
}

/// Comments and hints are dropped, a closing semicolon too. None: a string or comment has no end.
pub fn lex(sql: &str) -> Option<Vec<Lexeme>> {
    let chars: Vec<char> = sql.chars().collect();
    let mut lexemes = Vec::new();
    let (mut i, mut spaced) = (0, false);
    while let Some(c) = chars.get(i).copied() {
        let next = chars.get(i + 1).copied();
        if c.is_whitespace() {
            i += 1;
        } else if c == '#' || (c == '-' && next == Some('-') && chars.get(i + 2).is_none_or(|c| c.is_whitespace())) {
            i = end_of(&chars, i, |c| c == '\n');
        } else if c == '/' && next == Some('*') {
            i = (i + 2..chars.len()).find(|i| chars[*i] == '*' && chars.get(i + 1) == Some(&'/'))? + 2;
        } else {
            let (token, end) = token(&chars, i)?;
            lexemes.push(Lexeme { token, spaced });
            (i, spaced) = (end, false);
            continue;
        }
        spaced = true;
    }
    while lexemes.last().is_some_and(|last| last.is(";")) {
        lexemes.pop();
    }
    Some(lexemes)
}

fn end_of(chars: &[char], from: usize, ends: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|i| ends(chars[*i])).unwrap_or(chars.len())
}

fn token(chars: &[char], start: usize) -> Option<(Token, usize)> {
    let c = chars[start];
    let text = |from: usize, end: usize| chars[from..end].iter().collect::<String>();
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    match c {
        '\'' | '"' | '`' => quoted(chars, start),
        '@' => {
            let from = start + if chars.get(start + 1) == Some(&'@') { 2 } else { 1 };
            let end = end_of(chars, from, |c| !(word(c) || c == '.'));
            let name = text(from, end).to_lowercase();
            let name = ["session.", "global.", "local."].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(&name);
            Some((Token::Variable(name.to_owned()), end))
        }
        c if c.is_ascii_digit() => {
            let end = end_of(chars, start, |c| !(word(c) || c == '.'));
            Some((Token::Number(text(start, end)), end))
        }
        c if word(c) => {
            let end = end_of(chars, start, |c| !word(c));
            Some((Token::Word(text(start, end)), end))
        }
        _ => {
            let long = ["<=>", "!=", "<>", "<=", ">=", ":=", "||", "&&"];
            let found = long.iter().find(|symbol| chars[start..].iter().take(symbol.len()).copied().eq(symbol.chars()));
            let length = found.map_or(1, |symbol| symbol.len());
            Some((Token::Symbol(text(start, start + length)), start + length))
        }
    }
}

fn quoted(chars: &[char], start: usize) -> Option<(Token, usize)> {
    let quote = chars[start];
    let (mut text, mut i) = (String::new(), start + 1);
    loop {
        let c = *chars.get(i)?;
        if c == quote && chars.get(i + 1) == Some(&quote) {
            text.push(quote);
            i += 2;
        } else if c == quote {
            let token = if quote == '`' { Token::Quoted(text) } else { Token::Text(text) };
            return Some((token, i + 1));
        } else if c == '\\' && quote != '`' {
            let escaped = *chars.get(i + 1)?;
            match escaped {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                '0' => text.push('\0'),
                // these two keep their backslash, for LIKE
                '%' | '_' => text.extend(['\\', escaped]),
                other => text.push(other),
            }
            i += 2;
        } else {
            text.push(c);
            i += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> String {
        lex(sql).unwrap().iter().map(|lexeme| format!("{:?} ", lexeme.token)).collect()
    }

    #[test]
    fn statements_fall_into_tokens() {
        assert_eq!(shown("select 'a''b\\'c' -- x\n;"), "Word(\"select\") Text(\"a'b'c\") ");
        assert_eq!(shown("@@session.x /*+ hint */ GV$A"), "Variable(\"x\") Word(\"GV$A\") ");
        assert_eq!(shown("a<=>1.5"), "Word(\"a\") Symbol(\"<=>\") Number(\"1.5\") ");
        assert_eq!(lex("select 'a"), None);
    }
}
