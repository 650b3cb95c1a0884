//! Columns and rows over a table's life: rows that are older than a column are too short to have it, and columns that were
//! dropped are still there.

use super::{Column, ColumnSequences, Table};
use crate::types::{DataType, SqlError, Value, row};

impl Column {
    /// A column that takes NULL, has no default, and is as old as its table.
    #[must_use]
    pub fn new(name: String, data_type: DataType) -> Self {
        Self {
            name,
            data_type,
            not_null: false,
            default: None,
            missing: Value::Null,
            dropped: false,
            sequences: ColumnSequences::default(),
        }
    }

    /// From now on nobody sees it.
    pub fn drop_it(&mut self, position: usize) {
        // A name that is taken by nobody, as in PostgreSQL.
        let name = format!("........dropped.{}........", position + 1);
        *self = Self { dropped: true, ..Self::new(name, self.data_type) };
    }
}

impl Table {
    /// The columns that are not dropped, with their positions.
    pub fn live_columns(&self) -> impl DoubleEndedIterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.dropped)
    }

    /// Every column that can be read, as a mask over a row.
    #[must_use]
    pub fn every_column(&self) -> Vec<bool> {
        self.columns.iter().map(|column| !column.dropped).collect()
    }

    /// The columns marked in `wanted` of a stored row; the others are NULL.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn read_row(&self, bytes: &[u8], wanted: &[bool]) -> Result<Vec<Value>, SqlError> {
        let (mut values, width) = row::decode_columns(bytes, wanted)?;
        if width < wanted.len() {
            for ((value, wanted), column) in values.iter_mut().zip(wanted).zip(&self.columns).skip(width) {
                if *wanted {
                    value.clone_from(&column.missing);
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TableId, TreeId};

    fn table(columns: Vec<Column>) -> Table {
        Table { columns, ..Table::new(TableId(1), TreeId(1), "public", "t") }
    }

    #[test]
    fn old_rows_have_the_values_with_which_columns_were_added() {
        let column = |name: &str, missing| Column { missing, ..Column::new(name.to_owned(), DataType::Int4) };
        let mut table = table(vec![column("a", Value::Null), column("b", Value::Int4(7)), column("c", Value::Null)]);
        let old = row::encode(&[Value::Int4(1)]);
        let full = row::encode(&[Value::Int4(1), Value::Null, Value::Int4(3)]);
        let all = table.every_column();
        assert_eq!(table.read_row(&old, &all).unwrap(), [Value::Int4(1), Value::Int4(7), Value::Null]);
        assert_eq!(table.read_row(&full, &all).unwrap(), [Value::Int4(1), Value::Null, Value::Int4(3)]);
        // What is not wanted is not filled in.
        assert_eq!(table.read_row(&old, &[true, false, false]).unwrap()[1], Value::Null);
        table.columns[1].drop_it(1);
        assert_eq!(table.read_row(&old, &table.every_column()).unwrap()[1], Value::Null);
        assert_eq!((table.column("b"), table.live_columns().count()), (None, 2));
    }
}
