//! The statements that write, as data: each store writes them in its own dialect.

use std::fmt::Write;

use super::value::SqlValue;

/// Which SQL a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    /// MySQL, MariaDB and OceanBase in MySQL mode. Statements that write do so under the condition `@ok`.
    Mysql,
}

/// What an insertion does when there is a row with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Never happens: the reads before have looked.
    Fail,
    Keep,
    /// The row takes the new values of these columns; its key is `key`.
    Replace {
        key: &'static str,
        columns: &'static [&'static str],
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewValue {
    To(SqlValue),
    /// NULL if it is this word, and as it was if not.
    NullIf(&'static str),
}

type Columns<V> = Vec<(&'static str, V)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    Insert {
        table: &'static str,
        row: Columns<SqlValue>,
        on_conflict: OnConflict,
    },
    Update {
        table: &'static str,
        set: Columns<NewValue>,
        /// Every row where these columns have these values.
        of: Columns<SqlValue>,
    },
    Delete {
        table: &'static str,
        of: Columns<SqlValue>,
    },
}

impl Statement {
    pub fn insert<const N: usize>(table: &'static str, row: [(&'static str, SqlValue); N]) -> Self {
        Self::Insert { table, row: row.into(), on_conflict: OnConflict::Fail }
    }

    #[must_use]
    pub fn on_conflict(mut self, then: OnConflict) -> Self {
        if let Self::Insert { on_conflict, .. } = &mut self {
            *on_conflict = then;
        }
        self
    }

    pub fn update(table: &'static str, set: Columns<SqlValue>, of: Columns<SqlValue>) -> Self {
        let set = set.into_iter().map(|(column, value)| (column, NewValue::To(value))).collect();
        Self::Update { table, set, of }
    }

    pub fn delete<const N: usize>(table: &'static str, of: [(&'static str, SqlValue); N]) -> Self {
        Self::Delete { table, of: of.into() }
    }

    /// Its text, with a `?` for each of the values.
    pub fn render(self, dialect: Dialect) -> (String, Vec<SqlValue>) {
        let mut text = String::with_capacity(160);
        let mut values = Vec::new();
        match self {
            Self::Insert { table, row, on_conflict } => {
                let names: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
                let marks = vec!["?"; row.len()].join(", ");
                let _ = write!(text, "INSERT INTO `{table}` ({}) SELECT {marks}", quoted(&names));
                values.extend(row.into_iter().map(|(_, value)| value));
                text.push_str(match dialect {
                    Dialect::Sqlite => " WHERE true",
                    Dialect::Mysql => " FROM DUAL WHERE @ok",
                });
                conflict(&mut text, table, names.first().copied().unwrap_or_default(), on_conflict, dialect);
            }
            Self::Update { table, set, of } => {
                let _ = write!(text, "UPDATE `{table}` SET ");
                for (number, (column, value)) in set.into_iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    match value {
                        NewValue::To(value) => {
                            let _ = write!(text, "{comma}`{column}` = ?");
                            values.push(value);
                        }
                        NewValue::NullIf(word) => {
                            let _ = write!(text, "{comma}`{column}` = NULLIF(`{column}`, ?)");
                            values.push(word.into());
                        }
                    }
                }
                matching(&mut text, &mut values, of, dialect);
            }
            Self::Delete { table, of } => {
                let _ = write!(text, "DELETE FROM `{table}`");
                matching(&mut text, &mut values, of, dialect);
            }
        }
        (text, values)
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn conflict(text: &mut String, table: &str, first: &str, on_conflict: OnConflict, dialect: Dialect) {
    let list = |columns: &[&str], value: &dyn Fn(&str) -> String| {
        columns.iter().map(|column| format!("`{column}` = {}", value(column))).collect::<Vec<_>>().join(", ")
    };
    let clause = match (on_conflict, dialect) {
        (OnConflict::Fail, _) => return,
        (OnConflict::Keep, Dialect::Sqlite) => " ON CONFLICT DO NOTHING".to_owned(),
        (OnConflict::Keep, Dialect::Mysql) => {
            format!(" ON DUPLICATE KEY UPDATE `{table}`.`{first}` = `{table}`.`{first}`")
        }
        (OnConflict::Replace { key, columns }, Dialect::Sqlite) => {
            let new = list(columns, &|column| format!("excluded.`{column}`"));
            format!(" ON CONFLICT ({key}) DO UPDATE SET {new}")
        }
        (OnConflict::Replace { columns, .. }, Dialect::Mysql) => {
            let new = list(columns, &|column| format!("VALUES(`{column}`)"));
            format!(" ON DUPLICATE KEY UPDATE {new}")
        }
    };
    text.push_str(&clause);
}

fn matching(text: &mut String, values: &mut Vec<SqlValue>, of: Columns<SqlValue>, dialect: Dialect) {
    text.push_str(match dialect {
        Dialect::Sqlite => " WHERE true",
        Dialect::Mysql => " WHERE @ok",
    });
    for (column, value) in of {
        let _ = write!(text, " AND `{column}` = ?");
        values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_own_words() {
        let replace = OnConflict::Replace { key: "cluster, name", columns: &["idc"] };
        let insert = Statement::insert("zone", [("cluster", 1_i64.into()), ("name", "z".into()), ("idc", "i".into())]);
        let (sqlite, values) = insert.clone().on_conflict(replace).render(Dialect::Sqlite);
        assert_eq!(
            sqlite,
            "INSERT INTO `zone` (`cluster`, `name`, `idc`) SELECT ?, ?, ? WHERE true ON CONFLICT (cluster, name) DO UPDATE \
             SET `idc` = excluded.`idc`"
        );
        assert_eq!(values, [SqlValue::Int(1), SqlValue::Text("z".to_owned()), SqlValue::Text("i".to_owned())]);
        let (mysql, _) = insert.clone().on_conflict(replace).render(Dialect::Mysql);
        assert_eq!(
            mysql,
            "INSERT INTO `zone` (`cluster`, `name`, `idc`) SELECT ?, ?, ? FROM DUAL WHERE @ok ON DUPLICATE KEY UPDATE \
             `idc` = VALUES(`idc`)"
        );
        let (kept, _) = insert.on_conflict(OnConflict::Keep).render(Dialect::Mysql);
        assert!(kept.ends_with("ON DUPLICATE KEY UPDATE `zone`.`cluster` = `zone`.`cluster`"), "{kept}");
        let set = vec![("state", NewValue::To("X".into())), ("managed", NewValue::NullIf("STOPPED"))];
        let update = Statement::Update { table: "task", set, of: vec![("id", 7_i64.into())] };
        let (text, values) = update.render(Dialect::Mysql);
        assert_eq!(text, "UPDATE `task` SET `state` = ?, `managed` = NULLIF(`managed`, ?) WHERE @ok AND `id` = ?");
        assert_eq!(values.len(), 3);
        let (text, _) = Statement::delete("host", [("cluster", 1_i64.into())]).render(Dialect::Sqlite);
        assert_eq!(text, "DELETE FROM `host` WHERE true AND `cluster` = ?");
    }
}
