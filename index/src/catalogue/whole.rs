//! How does a table that only keeps books come over whole from another catalogue?

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::Catalogue;
use crate::StoreError;

/// Values of one row, in the order of the columns that were asked for.
pub(crate) type Row = Vec<Value>;

impl Catalogue {
    /// All rows of a table; none if it is not there, as in a catalogue that only programs of
    /// before wrote to.
    pub(crate) fn whole_table(&self, table: &str, columns: &str) -> Result<Vec<Row>, StoreError> {
        if !self.tables()?.iter().any(|name| name == table) {
            return Ok(vec![]);
        }
        self.sql(|c| {
            let mut statement = c.prepare(&format!("SELECT {columns} FROM {table}"))?;
            let width = statement.column_count();
            let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect())?;
            rows.collect()
        })
    }

    /// Puts rows in place of those that are there. Rows whose first column is a text that
    /// `own` claims are kept as they are, and not taken over.
    pub(crate) fn replace_table(
        &self,
        table: &str,
        columns: &str,
        rows: &[Row],
        own: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let is_own = |row: &Row| matches!(row.first(), Some(Value::Text(key)) if own(key));
        let kept: Vec<Row> =
            self.whole_table(table, columns)?.into_iter().filter(|row| is_own(row)).collect();
        self.execute(&format!("DELETE FROM {table}"), [])?;
        let places = vec!["?"; columns.split(',').count()].join(", ");
        let insert = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
        for row in kept.iter().chain(rows.iter().filter(|row| !is_own(row))) {
            self.execute(&insert, params_from_iter(row))?;
        }
        Ok(())
    }

    /// The names of all tables, but for SQLite's own.
    pub(crate) fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.sql(|c| {
            let mut statement = c.prepare_cached(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                 ORDER BY name",
            )?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })
    }
}
