//! COPY … FROM STDIN.

use super::scope::Scope;
use super::{Binder, find_by_parts};
use crate::sql::expr::Expr;
use crate::sql::parse;
use crate::sql::plan::{Copy, Write};
use crate::types::{SqlError, SqlState, Value};

impl Binder<'_> {
    pub(in crate::sql) fn copy(&mut self, copy: &parse::Copy) -> Result<Write, SqlError> {
        let table = find_by_parts(self.catalog, &copy.table.parts, self.settings)?.clone();
        let mut columns = Vec::with_capacity(copy.table.columns.len());
        for name in &copy.table.columns {
            let column = table.column(name).ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
                SqlError::new(SqlState::UNDEFINED_COLUMN, message)
            })?;
            if columns.contains(&column) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            columns = table.live_columns().map(|(place, _)| place).collect();
        }
        let mut defaults = self.defaults(&table)?;
        for column in &columns {
            // Not evaluated in vain: it might draw from a sequence.
            defaults[*column] = Expr::Constant(Value::Null);
        }
        let (target, _) = self.target(&table, None, Scope::of_table(&table, &table.name))?;
        Ok(Write::Copy(Box::new(Copy { target, columns, defaults, format: copy.format.clone() })))
    }
}
