//! Runs a SELECT: the views it names are written into an in-memory SQLite database, SQLite does the rest. So any client
//! may ask anything reasonable.

use std::collections::BTreeMap;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::answer::{Answer, Column, ColumnKind};
use super::errors::SqlRefusal;
use super::time::{self, Micros};
use super::views::{Cell, Source, VIEWS, View};
use super::wire;

/// What the session contributes to a SELECT.
#[derive(Clone, Default)]
pub struct SessionContext {
    /// The server that answers.
    pub host_ip: String,
    pub rpc_port: u16,
    pub session: u64,
    pub user: String,
    pub database: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// Seconds east of Greenwich.
    pub time_zone: i64,
    pub now: Micros,
}

/// Copies the views that `sql` names; what follows needs the state no more.
pub fn materialise(source: &Source<'_>, sql: &str, time_zone: i64) -> Vec<(&'static View, Vec<Vec<Value>>)> {
    let sql = sql.to_lowercase();
    let value = |cell: Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Int(number) => Value::Integer(number),
        Cell::Text(text) => Value::Text(text),
        Cell::Time(micros) => Value::Text(time::format(micros, time_zone)),
    };
    let rows = |view: &View| (view.rows)(source).into_iter().map(|row| row.into_iter().map(value).collect()).collect();
    VIEWS.iter().filter(|view| view.named_in(&sql)).map(|view| (view, rows(view))).collect()
}

/// Runs `sql` (already SQLite's) over the materialised views.
pub fn select(tables: Vec<(&'static View, Vec<Vec<Value>>)>, sql: &str, surroundings: SessionContext) -> Answer {
    match try_select(tables, sql, surroundings) {
        Ok(answer) => answer,
        Err(error) => refusal(&error).answer(),
    }
}

fn try_select(
    tables: Vec<(&'static View, Vec<Vec<Value>>)>,
    sql: &str,
    surroundings: SessionContext,
) -> rusqlite::Result<Answer> {
    let connection = Connection::open_in_memory()?;
    connection.execute("ATTACH ':memory:' AS oceanbase", [])?;
    functions(&connection, surroundings)?;
    for (view, rows) in tables {
        let columns = view.declarations();
        let declarations: Vec<String> = columns.iter().map(|(name, kind)| format!("\"{name}\" {kind}")).collect();
        connection.execute(&format!("CREATE TABLE oceanbase.\"{}\" ({})", view.name, declarations.join(",")), [])?;
        let places = vec!["?"; columns.len()].join(",");
        let mut insert = connection.prepare(&format!("INSERT INTO oceanbase.\"{}\" VALUES ({places})", view.name))?;
        for row in rows {
            insert.execute(params_from_iter(row))?;
        }
    }
    let mut statement = connection.prepare(sql)?;
    let mut columns: Vec<(String, Option<ColumnKind>)> = statement
        .columns()
        .map(|column| {
            let kind = column.decl_type().and_then(|kind| match kind.to_ascii_uppercase().as_str() {
                "DATETIME" => Some(ColumnKind::Datetime),
                "BIGINT" => Some(ColumnKind::Integer),
                _ => None,
            });
            (column.name().to_owned(), kind)
        })
        .collect();
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut cells = Vec::with_capacity(columns.len());
        for (index, (_, kind)) in columns.iter_mut().enumerate() {
            let (cell, seen) = match row.get_ref(index)? {
                ValueRef::Null => (None, None),
                ValueRef::Integer(number) => (Some(number.to_string()), Some(ColumnKind::Integer)),
                ValueRef::Real(number) => (Some(number.to_string()), Some(ColumnKind::Real)),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    (Some(String::from_utf8_lossy(text).into_owned()), Some(ColumnKind::Text))
                }
            };
            *kind = kind.or(seen);
            cells.push(cell);
        }
        rows.push(cells);
    }
    let columns = columns.into_iter().map(|(name, kind)| Column { name, kind: kind.unwrap_or(ColumnKind::Text) });
    Ok(Answer::Rows { columns: columns.collect(), rows })
}

fn refusal(error: &rusqlite::Error) -> SqlRefusal {
    let text = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    if let Some(table) = text.strip_prefix("no such table: ") {
        let table = if table.contains('.') { table.to_owned() } else { format!("oceanbase.{table}") };
        return SqlRefusal::new(5019, format!("Table '{table}' doesn't exist"));
    }
    if let Some(column) = text.strip_prefix("no such column: ") {
        return SqlRefusal::new(5217, format!("Unknown column '{column}' in 'field list'"));
    }
    if let Some(function) = text.strip_prefix("no such function: ") {
        return SqlRefusal::new(5055, format!("FUNCTION {function} does not exist"));
    }
    SqlRefusal::syntax(&text)
}

/// MySQL's functions that SQLite lacks.
fn functions(connection: &Connection, surroundings: SessionContext) -> rusqlite::Result<()> {
    let SessionContext { host_ip, rpc_port, session, user, database, variables, time_zone, now } = surroundings;
    let flags = FunctionFlags::SQLITE_UTF8;
    let text = move |micros: Micros| time::format(micros, time_zone);
    let whole = move |micros: Micros| text(micros).get(..19).unwrap_or_default().to_owned();
    let micros = move |context: &Context<'_>, index: usize| -> rusqlite::Result<Option<Micros>> {
        Ok(match context.get_raw(index) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number * 1_000_000),
            _ => time::parse(&context.get::<String>(index)?, time_zone),
        })
    };
    let plain = |context: &Context<'_>, index: usize| -> Option<String> {
        match context.get_raw(index) {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
        }
    };
    connection.create_scalar_function("now", -1, flags, move |context| {
        Ok(if context.is_empty() { whole(now) } else { text(now) })
    })?;
    connection.create_scalar_function("sysdate", -1, flags, move |_| Ok(whole(now)))?;
    connection.create_scalar_function("utc_timestamp", -1, flags, move |_| Ok(time::format(now, 0)))?;
    connection.create_scalar_function("unix_timestamp", -1, flags, move |context| {
        let at = if context.is_empty() { Some(now / 1_000_000 * 1_000_000) } else { micros(context, 0)? };
        Ok(at.map(|at| match at % 1_000_000 {
            0 => Value::Integer(at / 1_000_000),
            _ => Value::Real(at as f64 / 1e6),
        }))
    })?;
    connection.create_scalar_function("time_to_usec", 1, flags, move |context| micros(context, 0))?;
    connection.create_scalar_function("usec_to_time", 1, flags, move |context| {
        Ok(context.get::<Option<i64>>(0)?.map(text))
    })?;
    connection.create_scalar_function("connection_id", 0, flags, move |_| Ok(session as i64))?;
    connection.create_scalar_function("host_ip", 0, flags, move |_| Ok(host_ip.clone()))?;
    connection.create_scalar_function("rpc_port", 0, flags, move |_| Ok(i64::from(rpc_port)))?;
    connection.create_scalar_function("version", 0, flags, |_| Ok(wire::VERSION))?;
    connection.create_scalar_function("ob_version", 0, flags, |_| Ok("4.2.5.3"))?;
    connection.create_scalar_function("effective_tenant_id", 0, flags, |_| Ok(1_i64))?;
    connection.create_scalar_function("effective_tenant", 0, flags, |_| Ok("sys"))?;
    for name in ["database", "schema"] {
        let database = database.clone();
        connection.create_scalar_function(name, 0, flags, move |_| Ok(database.clone()))?;
    }
    for name in ["user", "current_user", "session_user", "system_user"] {
        let user = format!("{}@%", user.split('@').next().unwrap_or_default());
        connection.create_scalar_function(name, 0, flags, move |_| Ok(user.clone()))?;
    }
    connection.create_scalar_function("sysvar", 1, flags, move |context| {
        let name = context.get::<String>(0)?;
        let value = variables.get(&name).cloned().unwrap_or_default();
        Ok(value.parse().map_or(Value::Text(value), Value::Integer))
    })?;
    connection.create_scalar_function("concat", -1, flags, move |context| {
        let parts: Option<Vec<String>> = (0..context.len()).map(|index| plain(context, index)).collect();
        Ok(parts.map(|parts| parts.concat()))
    })?;
    connection.create_scalar_function("concat_ws", -1, flags, move |context| {
        let parts: Vec<String> = (1..context.len()).filter_map(|index| plain(context, index)).collect();
        Ok(plain(context, 0).map(|separator| parts.join(&separator)))
    })?;
    connection.create_scalar_function("substring_index", 3, flags, |context| {
        let (text, delimiter, count) = (context.get::<String>(0)?, context.get::<String>(1)?, context.get::<i64>(2)?);
        let parts: Vec<&str> = text.split(delimiter.as_str()).collect();
        let wanted = (count.unsigned_abs() as usize).min(parts.len());
        let kept = if count >= 0 { &parts[..wanted] } else { &parts[parts.len() - wanted..] };
        Ok(kept.join(&delimiter))
    })?;
    connection.create_scalar_function("find_in_set", 2, flags, |context| {
        let (text, set) = (context.get::<String>(0)?, context.get::<String>(1)?);
        Ok(set.split(',').position(|member| member == text).map_or(0, |index| index as i64 + 1))
    })?;
    // SLEEP(n) must not hold a thread: it answers at once
    connection.create_scalar_function("sleep", 1, flags, |_| Ok(0_i64))
}
