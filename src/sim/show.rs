//! SHOW and DESC: each becomes a SELECT over the catalog, or a small answer of its own.

use std::collections::BTreeMap;

use super::answer::{Answer, Column, ColumnKind};
use super::errors::SqlRefusal;
use super::lexer::{Lexeme, Token};
use super::rewrite::{literal, rewrite};
use super::views::{VIEWS, find};
use super::wire;

pub enum Shown {
    /// SQLite's SELECT.
    Select(String),
    Answer(Answer),
}

pub fn show(lexemes: &[Lexeme], variables: &BTreeMap<String, String>) -> Result<Shown, SqlRefusal> {
    let is = |at: usize, word: &str| lexemes.get(at).is_some_and(|lexeme| lexeme.is(word));
    let described = !is(0, "show");
    if described {
        return describe(lexemes.last());
    }
    // qualifiers that change nothing here
    let mut at = 1;
    while ["full", "global", "session", "local"].iter().any(|word| is(at, word)) {
        at += 1;
    }
    let full = is(1, "full");
    let rest = &lexemes[(at + 1).min(lexemes.len())..];
    if is(at, "parameters") {
        let filter = filter(rest, "name");
        return Ok(Shown::Select(format!(
            "SELECT zone, svr_type, svr_ip, svr_port, name, data_type, value, info, section, scope, source, edit_level \
             FROM oceanbase.__all_virtual_sys_parameter_stat {filter} ORDER BY name, svr_ip"
        )));
    }
    if is(at, "processlist") {
        let columns = if full {
            "ID AS Id, USER AS User, TENANT AS Tenant, HOST AS Host, DB AS db, COMMAND AS Command, TIME AS Time, \
             STATE AS State, INFO AS Info, SVR_IP AS Ip, SQL_PORT AS Port"
        } else {
            "ID AS Id, USER AS User, HOST AS Host, DB AS db, COMMAND AS Command, TIME AS Time, STATE AS State, \
             INFO AS Info"
        };
        return Ok(Shown::Select(format!("SELECT {columns} FROM oceanbase.\"GV$OB_PROCESSLIST\" ORDER BY ID")));
    }
    let like = pattern(rest);
    let wanted = |name: &str| like.as_deref().is_none_or(|like| matches(&like.to_lowercase(), &name.to_lowercase()));
    if is(at, "variables") {
        let rows = variables.iter().filter(|(name, _)| wanted(name));
        let rows = rows.map(|(name, value)| vec![Some(name.clone()), Some(value.clone())]);
        return Ok(Shown::Answer(rows_of(&["Variable_name", "Value"], rows.collect())));
    }
    if is(at, "databases") {
        let rows = ["oceanbase"].iter().filter(|name| wanted(name)).map(|name| vec![Some((*name).to_owned())]);
        return Ok(Shown::Answer(rows_of(&["Database"], rows.collect())));
    }
    if is(at, "tables") {
        let rows = VIEWS.iter().filter(|view| wanted(view.name)).map(|view| vec![Some(view.name.to_owned())]);
        return Ok(Shown::Answer(rows_of(&["Tables_in_oceanbase"], rows.collect())));
    }
    if is(at, "columns") || is(at, "fields") {
        return describe(rest.get(if rest.get(2).is_some_and(|dot| dot.is(".")) { 3 } else { 1 }));
    }
    if is(at, "warnings") || is(at, "errors") {
        return Ok(Shown::Answer(rows_of(&["Level", "Code", "Message"], Vec::new())));
    }
    if is(at, "status") {
        return Ok(Shown::Answer(rows_of(&["Variable_name", "Value"], Vec::new())));
    }
    Err(SqlRefusal::new(4007, "this SHOW statement not supported"))
}

fn filter(rest: &[Lexeme], column: &str) -> String {
    match rest.iter().position(|lexeme| lexeme.is("where")) {
        Some(at) => rewrite(&rest[at..]),
        None => {
            pattern(rest).map(|like| format!("WHERE {column} LIKE {} ESCAPE '\\'", literal(&like))).unwrap_or_default()
        }
    }
}

fn pattern(rest: &[Lexeme]) -> Option<String> {
    let at = rest.iter().position(|lexeme| lexeme.is("like"))?;
    match &rest.get(at + 1)?.token {
        Token::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// SQL's LIKE.
fn matches(pattern: &str, text: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('%') => {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(chars.as_str(), &text[at..]))
        }
        Some(c) => {
            let any = c == '_';
            let c = if c == '\\' { chars.next().unwrap_or('\\') } else { c };
            let mut rest = text.chars();
            rest.next().is_some_and(|first| (any || c == first) && matches(chars.as_str(), rest.as_str()))
        }
    }
}

fn describe(name: Option<&Lexeme>) -> Result<Shown, SqlRefusal> {
    let name = match name.map(|lexeme| &lexeme.token) {
        Some(Token::Word(name) | Token::Quoted(name)) => name.as_str(),
        _ => "",
    };
    let Some(view) = find(name) else {
        return Err(SqlRefusal::new(5019, format!("Table 'oceanbase.{name}' doesn't exist")));
    };
    let row = |(name, kind): (&str, &str)| {
        let kind = match kind.split(' ').next() {
            Some("BIGINT") => "bigint(20)",
            Some("DATETIME") => "datetime(6)",
            _ => "varchar(65535)",
        };
        [name, kind, "YES", "", "NULL", ""].map(|text| Some(text.to_owned())).to_vec()
    };
    let rows = view.declarations().into_iter().map(row).collect();
    Ok(Shown::Answer(rows_of(&["Field", "Type", "Null", "Key", "Default", "Extra"], rows)))
}

pub fn rows_of(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Answer {
    let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Text };
    Answer::Rows { columns: columns.iter().map(column).collect(), rows }
}

/// What a session's variables are before it sets any.
pub fn default_variables() -> BTreeMap<String, String> {
    [
        ("autocommit", "1"),
        ("auto_increment_increment", "1"),
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
        ("character_set_database", "utf8mb4"),
        ("character_set_results", "utf8mb4"),
        ("character_set_server", "utf8mb4"),
        ("collation_connection", "utf8mb4_general_ci"),
        ("collation_server", "utf8mb4_general_ci"),
        ("init_connect", ""),
        ("interactive_timeout", "28800"),
        ("license", "MulanPubL-2.0"),
        ("lower_case_table_names", "1"),
        ("max_allowed_packet", "16777216"),
        ("net_write_timeout", "60"),
        ("ob_query_timeout", "10000000"),
        ("ob_trx_timeout", "86400000000"),
        ("performance_schema", "0"),
        ("query_cache_type", "OFF"),
        ("read_only", "0"),
        ("socket", ""),
        ("sql_mode", "STRICT_ALL_TABLES"),
        ("system_time_zone", "+00:00"),
        ("time_zone", "+00:00"),
        ("transaction_isolation", "READ-COMMITTED"),
        ("tx_isolation", "READ-COMMITTED"),
        ("version", wire::VERSION),
        ("version_comment", "OceanBase_CE 4.2.5.3 (simulated by obsteward)"),
        ("wait_timeout", "28800"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_sqls() {
        for (pattern, text, expected) in
            [("a%", "abc", true), ("%c", "abc", true), ("a_c", "abc", true), ("a\\_c", "abc", false), ("", "a", false)]
        {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
