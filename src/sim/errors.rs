//! OceanBase's error numbers as clients see them (docs/oceanbase.md#numbers-on-the-wire).

use super::answer::Answer;

/// A refusal of the root service or of the SQL session. `number` is OceanBase's, without its sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlRefusal {
    pub number: u16,
    pub text: String,
    /// The precheck looks again for as long as it may.
    pub retry: bool,
}

impl SqlRefusal {
    pub fn new(number: u16, text: impl Into<String>) -> Self {
        Self { number, text: text.into(), retry: false }
    }

    pub fn retried(mut self) -> Self {
        self.retry = true;
        self
    }

    pub fn answer(&self) -> Answer {
        let (number, sqlstate) = self.on_wire();
        Answer::Error { number, sqlstate: sqlstate.into(), text: self.text.clone() }
    }

    /// Number and SQLSTATE. Most numbers travel as they are; those with a MySQL equivalent travel as that.
    pub fn on_wire(&self) -> (u16, &'static str) {
        match self.number {
            4002 => (1210, "HY000"),
            4007 => (1235, "0A000"),
            5001 => (1064, "42000"),
            5036 => (1227, "42501"),
            5065 => (1317, "70100"),
            5019 => (1146, "42S02"),
            5217 => (1054, "42S22"),
            8001 | 8002 => (self.number, "08004"),
            5055 => (1305, "42000"),
            1045 | 1049 => (self.number, "42000"),
            other => (other, "HY000"),
        }
    }

    pub fn query_timeout(limit: i64) -> Self {
        Self::new(
            4012,
            format!(
                "Timeout, query has reached the maximum query timeout: {limit}(us), maybe you can adjust the session \
                 variable ob_query_timeout or query_timeout hint, and try again."
            ),
        )
    }

    pub fn interrupted() -> Self {
        Self::new(5065, "Query execution was interrupted")
    }

    pub fn syntax(near: &str) -> Self {
        Self::new(
            5001,
            format!(
                "You have an error in your SQL syntax; check the manual that corresponds to your OceanBase version for \
                 the right syntax to use near '{near}'"
            ),
        )
    }
}
