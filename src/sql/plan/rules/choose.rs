//! The choice of an access path: as many equal key columns as possible, then a range, then an order that saves a sort.

use super::plain;
use crate::catalog::{IndexState, Table};
use crate::sql::expr::{Comparison, Expr};
use crate::sql::plan::{Access, Path, Scan, SortKey};
use crate::types::DataType;

/// Most combinations of IN lists that are looked up one by one.
const MAX_COMBINATIONS: usize = 10_000;

/// A path with what it would see to.
struct Candidate {
    access: Access,
    /// Conjuncts that the path makes superfluous.
    used: Vec<usize>,
    /// The order that was asked for comes by itself; `true`: backwards.
    order: Option<bool>,
}

/// Chooses the path of a scan; `true` if its rows come in the order of `keys`. `limited`: only the first few are wanted.
pub(super) fn choose(scan: &mut Scan, keys: &[SortKey], limited: bool) -> bool {
    let table = scan.table.clone();
    let conjuncts = scan.condition.take().map(Expr::conjuncts).unwrap_or_default();
    scan.pinned = pinned(&table, &conjuncts);
    let indexes = (0..table.indexes.len()).filter(|index| table.indexes[*index].state == IndexState::Active);
    let paths = std::iter::once(Path::Primary).chain(indexes.map(Path::Index));
    // The first of the best: the primary key before indexes, older indexes before younger.
    let mut best: Option<(Candidate, (bool, usize, bool, bool))> = None;
    for path in paths {
        let candidate = candidate(&table, path, &conjuncts, keys);
        let access = &candidate.access;
        let ranged = access.lower.is_some() || access.upper.is_some();
        let helps = access.path == Path::Primary || !access.equal.is_empty() || ranged;
        let ordered = !keys.is_empty() && candidate.order.is_some() && (limited || helps);
        if path != Path::Primary && !helps && !ordered {
            continue;
        }
        let score = (access.is_point(&table), access.equal.len(), ranged, ordered);
        if best.as_ref().is_none_or(|(_, known)| score > *known) {
            best = Some((candidate, score));
        }
    }
    let Some((candidate, _)) = best else { return false };
    let used = candidate.used;
    let rest = conjuncts.into_iter().enumerate().filter(|(place, _)| !used.contains(place));
    scan.condition = Expr::all(rest.map(|(_, conjunct)| conjunct).collect());
    scan.access = candidate.access;
    scan.access.backwards = candidate.order == Some(true) && !keys.is_empty();
    candidate.order.is_some()
}

fn candidate(table: &Table, path: Path, conjuncts: &[Expr], keys: &[SortKey]) -> Candidate {
    let mut access = Access::along(table, path);
    let mut used = Vec::new();
    let mut combinations = 1;
    for (column, data_type, _) in access.columns.clone() {
        let equal = conjuncts.iter().enumerate().find_map(|(place, conjunct)| {
            let values = equal_to(conjunct, column, data_type)?;
            (combinations * values.len() <= MAX_COMBINATIONS).then_some((place, values))
        });
        if let Some((place, values)) = equal {
            combinations *= values.len();
            access.equal.push(values);
            used.push(place);
            continue;
        }
        for (place, conjunct) in conjuncts.iter().enumerate() {
            let Some((comparison, bound)) = bound_of(conjunct, column, data_type) else { continue };
            let inclusive = matches!(comparison, Comparison::LessOrEqual | Comparison::GreaterOrEqual);
            let side = match comparison {
                Comparison::Greater | Comparison::GreaterOrEqual => &mut access.lower,
                _ => &mut access.upper,
            };
            if side.is_none() {
                *side = Some((bound, inclusive));
                used.push(place);
            }
        }
        break;
    }
    let order = order(table, &access, keys);
    Candidate { access, used, order }
}

/// Does the path bring rows in this order? `Some(true)`: read backwards.
fn order(table: &Table, access: &Access, keys: &[SortKey]) -> Option<bool> {
    let singles = access.equal.iter().take_while(|values| values.len() == 1).count();
    if access.is_point(table) && singles == access.columns.len() {
        return Some(false);
    }
    let keys = plain(keys)?;
    // A column that equals one value does not order anything.
    let fixed = |column: usize| access.columns[..singles].iter().any(|(fixed, ..)| *fixed == column);
    let keys = keys.into_iter().filter(|(column, _)| !fixed(*column));
    let mut columns = access.columns[singles..].iter();
    let mut backwards = None;
    for (column, key) in keys {
        let Some((own, _, descending)) = columns.next() else {
            // Behind a whole unique key nothing is left to order.
            let unique = match access.path {
                Path::Primary => !table.primary_key.is_empty(),
                Path::Index(_) => false,
            };
            return unique.then_some(backwards.unwrap_or(false));
        };
        if *own != column {
            return None;
        }
        let back = key.descending != *descending;
        // In a tree NULL lies behind the values of an ascending column, before those of a descending one.
        if table.columns[column].not_null || key.nulls_first == key.descending {
            if *backwards.get_or_insert(back) != back {
                return None;
            }
        } else {
            return None;
        }
    }
    Some(backwards.unwrap_or(false))
}

/// Values one of which the column must equal for this conjunct to hold.
fn equal_to(conjunct: &Expr, column: usize, data_type: DataType) -> Option<Vec<Expr>> {
    match conjunct {
        Expr::Compare(compare) if compare.comparison == Comparison::Equal => {
            bound_of(conjunct, column, data_type).map(|(_, value)| vec![value])
        }
        Expr::In(list) if list.needle == Expr::Column(column) && compatible(list.data_type, data_type) => {
            list.list.iter().all(Expr::is_fixed).then(|| list.list.clone())
        }
        // `WHERE done`, `WHERE NOT done`
        Expr::Column(only) if *only == column && data_type == DataType::Bool => Some(vec![Expr::TRUE]),
        Expr::Not(inner) if **inner == Expr::Column(column) && data_type == DataType::Bool => {
            Some(vec![Expr::Constant(crate::types::Value::Bool(false))])
        }
        _ => None,
    }
}

/// The value that the column is compared with, and how.
fn bound_of(conjunct: &Expr, column: usize, data_type: DataType) -> Option<(Comparison, Expr)> {
    let Expr::Compare(compare) = conjunct else { return None };
    if compare.comparison == Comparison::NotEqual || !compatible(compare.data_type, data_type) {
        return None;
    }
    if compare.left == Expr::Column(column) && compare.right.is_fixed() {
        return Some((compare.comparison, compare.right.clone()));
    }
    (compare.right == Expr::Column(column) && compare.left.is_fixed())
        .then(|| (compare.comparison.mirrored(), compare.left.clone()))
}

/// Do values of a comparison's type have keys in a column of this one?
fn compatible(compared: DataType, column: DataType) -> bool {
    let integer = |t| matches!(t, DataType::Int2 | DataType::Int4 | DataType::Int8);
    let text = |t| matches!(t, DataType::Text | DataType::Varchar(_));
    compared.base() == column.base() || integer(compared) && integer(column) || text(compared) && text(column)
}

/// What the partition key's columns must equal, as far as it is known before execution.
fn pinned(table: &Table, conjuncts: &[Expr]) -> Option<Vec<Vec<Expr>>> {
    if table.partition_key.is_empty() {
        return None;
    }
    let values = |column: &usize| {
        let data_type = table.columns[*column].data_type;
        let known = |conjunct| {
            let values = equal_to(conjunct, *column, data_type)?;
            values.iter().all(Expr::is_known_before).then_some(values)
        };
        conjuncts.iter().find_map(known)
    };
    table.partition_key.iter().map(values).collect()
}
