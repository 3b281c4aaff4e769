//! Small counters of ids. Ids that callers chose are remembered: the counters pass over them, also after the registration is
//! gone.

use super::database::Database;
use super::statement::{OnConflict, Statement};
use crate::domain::ids::LARGEST_ID;
use crate::store::StoreError;

/// A counter while a change is decided. What it gives out is given with the change, or not at all.
pub struct Ids {
    counter: &'static str,
    read: i64,
    last: i64,
    chosen: Vec<i64>,
}

impl Ids {
    pub async fn read(database: &mut Database, counter: &'static str) -> Result<Self, StoreError> {
        let row = database.row("SELECT value FROM counter WHERE name = ?", vec![counter.into()]).await?;
        let read = row.ok_or_else(|| StoreError::Damaged(format!("there is no counter {counter}")))?.int(0)?;
        Ok(Self { counter, read, last: read, chosen: Vec::new() })
    }

    /// An id that a caller chose: it is never given out.
    pub fn choose(&mut self, id: i64) {
        self.chosen.push(id);
    }

    pub async fn next(&mut self, database: &mut Database) -> Result<i64, StoreError> {
        loop {
            self.last += 1;
            if self.last > LARGEST_ID {
                return Err(StoreError::Failed(format!("all ids of counter {} below 2^53 are given", self.counter)));
            }
            let known = vec![self.counter.into(), self.last.into()];
            if !self.chosen.contains(&self.last)
                && !database.exists("SELECT 1 FROM chosen_id WHERE counter = ? AND id = ?", known).await?
            {
                return Ok(self.last);
            }
        }
    }

    /// What keeps all this.
    pub fn statements(self) -> Vec<Statement> {
        let Self { counter, read, last, chosen } = self;
        let chosen = chosen.into_iter().map(|id| {
            let row = [("counter", counter.into()), ("id", id.into())];
            Statement::insert("chosen_id", row).on_conflict(OnConflict::Keep)
        });
        let given = (last > read)
            .then(|| Statement::update("counter", vec![("value", last.into())], vec![("name", counter.into())]));
        chosen.chain(given).collect()
    }
}
