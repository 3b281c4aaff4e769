//! Reads Rust source just well enough to know which paths it names: a tokenizer that drops comments and literals, and
//! over its tokens the paths that start at this crate (`crate::`, `$crate::`, `self::`, `super::`, and the crate's name
//! in `main.rs`) with groups unfolded. No macro is expanded, so generated code is not seen.

/// A word, `::`, or one character; a literal is `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// Inside an item under `#[cfg(test)]`.
    pub test: bool,
}

/// A path as written from the crate's root, `["store", "Store"]` for `crate::store::Store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath {
    pub line: usize,
    /// The module that names it.
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub test: bool,
}

/// What one file holds.
#[derive(Debug)]
pub struct Source {
    pub tokens: Vec<Token>,
    pub paths: Vec<NamedPath>,
    /// Modules of other files that are declared under `#[cfg(test)]`.
    pub test_modules: Vec<Vec<String>>,
}

/// Reads the file of the module `module` (`["engine", "step"]` for `src/engine/step.rs`, empty for a crate root).
/// `own_names` are the names besides `crate` under which this file reaches the crate.
pub fn read(text: &str, module: &[String], own_names: &[&str]) -> Source {
    let mut tokens = tokenize(text);
    mark_tests(&mut tokens);
    let mut reader = Reader { tokens: &tokens, own_names, paths: Vec::new(), test_modules: Vec::new() };
    reader.read(module);
    let Reader { paths, test_modules, .. } = reader;
    Source { paths, test_modules, tokens }
}

impl Source {
    /// Lines where `sequence` stands, word by word.
    pub fn lines_of<'a>(&'a self, sequence: &'a [&str]) -> impl Iterator<Item = &'a Token> {
        self.tokens
            .windows(sequence.len())
            .filter(move |window| window.iter().zip(sequence).all(|(token, wanted)| token.text == *wanted))
            .map(|window| &window[0])
    }
}

fn tokenize(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let start = at;
        let next = chars.get(at + 1).copied();
        let text = if first.is_whitespace() {
            at += 1;
            None
        } else if first == '/' && next == Some('/') {
            at = position(&chars, at, |c| c == '\n');
            None
        } else if first == '/' && next == Some('*') {
            at = after_block_comment(&chars, at);
            None
        } else if first == '"' {
            at = after_quoted(&chars, at);
            Some(String::from("\"\""))
        } else if first == '\'' {
            // A lifetime has no closing quote: 'a, but 'a' and '\n'.
            if next == Some('\\') || chars.get(at + 2) == Some(&'\'') {
                at = after_quoted(&chars, at);
                Some(String::from("\"\""))
            } else {
                at = position(&chars, at + 1, |c| !is_word(c));
                None
            }
        } else if is_word(first) {
            at = position(&chars, at, |c| !is_word(c));
            let word: String = chars[start..at].iter().collect();
            match (word.as_str(), chars.get(at)) {
                ("r" | "br" | "cr", Some('"' | '#')) => {
                    let hashes = position(&chars, at, |c| c != '#') - at;
                    if chars.get(at + hashes) == Some(&'"') {
                        at = after_raw_string(&chars, at + hashes + 1, hashes);
                        Some(String::from("\"\""))
                    } else {
                        // A raw identifier: r#type.
                        at += hashes;
                        None
                    }
                }
                ("b" | "c", Some('"' | '\'')) => {
                    at = after_quoted(&chars, at);
                    Some(String::from("\"\""))
                }
                _ => Some(word),
            }
        } else if first == ':' && next == Some(':') {
            at += 2;
            Some(String::from("::"))
        } else {
            at += 1;
            Some(first.to_string())
        };
        tokens.extend(text.map(|text| Token { text, line, test: false }));
        line += chars[start..at].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first place from `from` where `stop` holds, or the end.
fn position(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| stop(chars[at])).unwrap_or(chars.len())
}

fn after_block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// `from` is at the opening quote.
fn after_quoted(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != chars[from] {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// `from` is behind the opening quote.
fn after_raw_string(chars: &[char], from: usize, hashes: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        at += 1;
        if chars[at - 1] == '"' && chars[at..].iter().take_while(|&&c| c == '#').count() >= hashes {
            return at + hashes;
        }
    }
    at
}

/// Marks the items under `#[cfg(test)]` or `#[cfg(all(test, …))]`; a whole file or block under `#![cfg(test)]`.
/// What such an attribute stands on besides items (a field, an arm) stays unmarked, which is the strict side.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let inner = is(tokens, at, &["#", "!", "["]);
        let open = if inner { at + 2 } else { at + 1 };
        let test = (inner || is(tokens, at, &["#", "["]))
            && (is(tokens, open + 1, &["cfg", "(", "test", ")", "]"])
                || is(tokens, open + 1, &["cfg", "(", "all", "(", "test"]));
        if !test {
            at += 1;
            continue;
        }
        let end = if inner { tokens.len() } else { after_item(tokens, after_group(tokens, open)) };
        tokens[at..end].iter_mut().for_each(|token| token.test = true);
        at = end.max(at + 1);
    }
}

fn is(tokens: &[Token], at: usize, sequence: &[&str]) -> bool {
    sequence.iter().enumerate().all(|(offset, wanted)| text(tokens, at + offset) == *wanted)
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

/// `open` is at a bracket; behind the one that closes it.
fn after_group(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for at in open..tokens.len() {
        match text(tokens, at) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Behind the item that starts at `start`, or `start` when no item does.
fn after_item(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while text(tokens, at) == "#" {
        at = after_group(tokens, at + 1);
    }
    if text(tokens, at) == "pub" {
        at += 1;
        if text(tokens, at) == "(" {
            at = after_group(tokens, at);
        }
    }
    let ends_with_block = match text(tokens, at) {
        "const" => matches!(text(tokens, at + 1), "fn" | "unsafe" | "async"),
        "use" | "static" | "type" | "let" => false,
        "mod" | "fn" | "impl" | "struct" | "enum" | "trait" | "async" | "unsafe" | "macro_rules" => true,
        _ => return start,
    };
    while at < tokens.len() {
        match text(tokens, at) {
            ";" => return at + 1,
            "{" if ends_with_block => return after_group(tokens, at),
            "(" | "[" | "{" => at = after_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

struct Reader<'a> {
    tokens: &'a [Token],
    own_names: &'a [&'a str],
    paths: Vec<NamedPath>,
    test_modules: Vec<Vec<String>>,
}

impl Reader<'_> {
    fn read(&mut self, module: &[String]) {
        let mut module = module.to_vec();
        // The depths of braces at which inline modules were opened.
        let mut inline = Vec::new();
        let mut depth = 0;
        let mut at = 0;
        while at < self.tokens.len() {
            match text(self.tokens, at) {
                "mod" if text(self.tokens, at + 2) == "{" => {
                    depth += 1;
                    inline.push(depth);
                    module.push(self.tokens[at + 1].text.clone());
                    at += 2;
                }
                "mod" if text(self.tokens, at + 2) == ";" && self.tokens[at].test => {
                    let mut declared = module.clone();
                    declared.push(self.tokens[at + 1].text.clone());
                    self.test_modules.push(declared);
                }
                "{" => depth += 1,
                "}" => {
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                    depth -= 1;
                }
                _ if self.starts_path(at) => {
                    at = self.path(at, &module);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn starts_path(&self, at: usize) -> bool {
        let own = matches!(text(self.tokens, at), "crate" | "self" | "super")
            || self.own_names.contains(&text(self.tokens, at));
        let visibility = at >= 3 && is(self.tokens, at - 3, &["pub", "(", "in"]);
        own && text(self.tokens, at + 1) == "::" && !visibility
    }

    /// Records the paths that start at `at`; behind them.
    fn path(&mut self, at: usize, module: &[String]) -> usize {
        let mut base = module.to_vec();
        match text(self.tokens, at) {
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => base.clear(),
        }
        self.tree(at + 2, base, module)
    }

    /// `at` is behind a `::`; records every path that the tree there unfolds to.
    fn tree(&mut self, mut at: usize, mut path: Vec<String>, module: &[String]) -> usize {
        loop {
            match text(self.tokens, at) {
                "{" => {
                    at += 1;
                    while !matches!(text(self.tokens, at), "}" | "") {
                        at = if text(self.tokens, at) == "," { at + 1 } else { self.tree(at, path.clone(), module) };
                    }
                    return at + 1;
                }
                "super" => {
                    path.pop();
                }
                "self" => {}
                word if word == "*" || word.starts_with(is_word) => path.push(word.to_owned()),
                // A generic argument, a macro's parameter: the path ends before it.
                _ => {
                    self.record(at, path, module);
                    return at;
                }
            }
            at += 1;
            if text(self.tokens, at) == "::" {
                at += 1;
                continue;
            }
            self.record(at - 1, path, module);
            return if text(self.tokens, at) == "as" { at + 2 } else { at };
        }
    }

    fn record(&mut self, at: usize, to: Vec<String>, module: &[String]) {
        if let Some(token) = self.tokens.get(at) {
            self.paths.push(NamedPath { line: token.line, from: module.to_vec(), to, test: token.test });
        }
    }
}
