//! ALTER COLUMN … TYPE.

use super::Alteration;
use crate::catalog::{Column, Placement};
use crate::sql::bind::{self, data_type_in};
use crate::sql::cast::{CastContext, cast, is_relabel};
use crate::sql::context::Context;
use crate::sql::define::sequence;
use crate::types::random::SeedableRng;
use crate::types::{DataType, Rng, SqlError, SqlState};
use sqlparser::ast;

impl Alteration<'_, '_> {
    pub(super) fn retype(
        &mut self,
        place: usize,
        to: &ast::DataType,
        using: Option<&ast::Expr>,
    ) -> Result<(), SqlError> {
        let old = self.table.columns[place].clone();
        let to = data_type_in(to, self.change.text)?;
        if let Some(identity) = old.sequences.identity {
            sequence::retype_identity(self.change, identity.sequence, to)?;
        }
        if self.values.iter().any(|(other, _)| *other == place) {
            let message = format!("cannot alter type of column \"{}\" twice", old.name);
            return Err(SqlError::unsupported(message));
        }
        let mut new = Column { data_type: to, ..old.clone() };
        let keeps = using.is_none() && keeps_values(old.data_type, to);
        if self.table.partition_key.contains(&place) {
            self.retype_partition_key(&old, to, using)?;
        }
        if !stays(old.data_type, to, using) && self.is_referenced(place) {
            let message = format!("cannot alter type of column \"{}\" used in a foreign key constraint", old.name);
            return Err(SqlError::unsupported(message)
                .hint("Drop the constraint and add it again, or change an integer to another integer, a text to another text."));
        }
        if !keeps {
            let value = bind::conversion(self.change.settings, &self.before, (place, &new), using, self.change.text)?;
            self.values.push((place, value));
            self.rewrites = true;
        }
        new.default = self.default_as(&old, &new)?;
        self.table.columns[place] = new;
        // Conditions are texts: they mean what they mean for the new type, if they mean anything.
        for check in self.table.checks.clone() {
            // A place in it is none in the statement.
            let unplaced = |error: SqlError| SqlError { position: None, ..error };
            let uses = bind::column_uses(&self.before, &check.expression)?;
            if uses.iter().any(|found| found.column == place) {
                bind::compile_check(self.change.settings, &self.table, &check.expression).map_err(unplaced)?;
                if check.valid && !keeps {
                    self.proving.push(check.name);
                }
            }
        }
        Ok(())
    }

    /// Is it on either side of a foreign key?
    fn is_referenced(&self, place: usize) -> bool {
        let mut references = self.change.catalog.references_to(self.table.id);
        self.table.foreign_keys.iter().any(|key| key.columns.contains(&place))
            || references.any(|(child, number)| child.foreign_keys[number].parent_columns.contains(&place))
    }

    /// Rows stay where they are only if their new keys hash and compare as the old ones did.
    fn retype_partition_key(&mut self, old: &Column, to: DataType, using: Option<&ast::Expr>) -> Result<(), SqlError> {
        if !stays(old.data_type, to, using) {
            let message = format!(
                "cannot alter column \"{}\" because it is part of the partition key of relation \"{}\"",
                old.name, self.table.name
            );
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).hint(
                "Its rows would belong to other partitions. An integer can become another integer, a text another text; else copy the rows to a new table.",
            ));
        }
        if let Placement::Range(points) = &mut self.table.placement {
            let context = Context::new(self.change.now, Rng::from_seed([0; 32]), "UTC", 0);
            for point in points {
                *point = cast(&context, point.clone(), old.data_type, to, CastContext::Assignment)?;
            }
        }
        Ok(())
    }

    /// The default's text for the new type.
    fn default_as(&self, old: &Column, new: &Column) -> Result<Option<String>, SqlError> {
        let settings = self.change.settings;
        let (Some(text), Some(cast)) =
            (&old.default, bind::converted_default(&self.change.catalog, settings, old, new)?)
        else {
            return Ok(None);
        };
        let plain = bind::default_value(&self.change.catalog, settings, new);
        // Two draws from a sequence are never the same.
        let same = bind::draws(&cast) || plain.is_ok_and(|plain| plain == cast);
        Ok(Some(if same { text.clone() } else { format!("CAST({text} AS {})", old.data_type) }))
    }
}

/// Do values hash, and compare with those of other tables, as they did?
fn stays(from: DataType, to: DataType, using: Option<&ast::Expr>) -> bool {
    use DataType::{Int2, Int4, Int8, Text, Varchar};
    let alike = matches!((from, to), (Int2 | Int4 | Int8, Int2 | Int4 | Int8) | (Text | Varchar(_), Text | Varchar(_)));
    using.is_none() && (alike || from == to)
}

/// Is every value of the one type the same value of the other, in rows and in keys?
fn keeps_values(from: DataType, to: DataType) -> bool {
    match (from, to) {
        (DataType::Char(_), _) | (_, DataType::Char(_)) => from == to,
        (DataType::Varchar(Some(from)), DataType::Varchar(Some(to))) => from <= to,
        (DataType::Numeric(Some((from, scale))), DataType::Numeric(Some((to, same)))) => from <= to && scale == same,
        _ => is_relabel(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_types_of_one_kind_keep_values() {
        use DataType::{Char, Int4, Int8, Numeric, Text, Varchar};
        for (from, to) in [
            (Varchar(Some(3)), Varchar(Some(4))),
            (Varchar(Some(3)), Text),
            (Text, Varchar(None)),
            (Numeric(Some((5, 2))), Numeric(Some((7, 2)))),
            (Numeric(Some((5, 2))), Numeric(None)),
        ] {
            assert!(keeps_values(from, to), "{from} to {to}");
        }
        for (from, to) in [
            (Varchar(Some(4)), Varchar(Some(3))),
            (Text, Varchar(Some(9))),
            (Char(3), Text),
            (Int4, Int8),
            (Numeric(Some((5, 2))), Numeric(Some((7, 3)))),
            (Numeric(None), Numeric(Some((7, 3)))),
        ] {
            assert!(!keeps_values(from, to), "{from} to {to}");
        }
    }
}
