//! What follows from a statement's changes, in rounds: see the head of [`super`].

use super::super::context::Context;
use super::super::execute::{
    Run, check_row, delete_row, evaluate_all, insert_row, key_text, unique_violation, update_row,
};
use super::super::placement::{Home, Share, home};
use super::super::prepared::Prepared;
use super::{
    Change, Knot, Part, Reach, Web, converted, has_parent, home_of_owner, home_of_parent, home_of_rows, is_own,
    key_of_owner, missing, reach, rows_with, values_of,
};
use crate::catalog::{ForeignAction, ForeignKey, Table};
use crate::storage::Store;
use crate::types::datetime::TimeZone;
use crate::types::{PartitionId, SqlError, SqlState, TableId, TreeId, Value};
use crate::{planted, sometimes};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most rounds of one statement: a chain of rows that cascade from one partition to the next.
const MAX_ROUNDS: u32 = 4_000;

/// What a partition has to do, or to look at, because of a change elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Item {
    /// The sender's row has this key no longer.
    Release { table: TableId, index: u32, key: Vec<Value> },
    /// The sender has a row with this key.
    Claim { table: TableId, index: u32, key: Vec<Value> },
    /// A row with this key must exist: it is referenced. `key` in the child's types; `left`: since it went.
    Require { child: TableId, foreign_key: u32, key: Vec<Value>, left: bool },
    /// The row with this key went, or got another one: see to its children. `key` in the parent's types.
    Act { child: TableId, foreign_key: u32, old: Vec<Value>, new: Option<Vec<Value>> },
    /// The row with this key went: no child may be left.
    Unreferenced { child: TableId, foreign_key: u32, key: Vec<Value>, restrict: bool },
    /// A row that moves here.
    Place { table: TableId, old: Vec<Value>, row: Vec<Value> },
}

impl Item {
    /// May it lead to further changes?
    const fn acts(&self) -> bool {
        matches!(self, Self::Act { .. } | Self::Place { .. })
    }
}

/// Items, each with the partition that it is for; 0: all.
pub(super) type Message = Vec<(u32, Item)>;

/// What is said in one round, as it travels.
#[derive(Serialize, Deserialize)]
enum Said {
    V1(Message),
}

/// The settling of one statement at one participant.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// What is looked at when no action is left.
    held: Vec<(PartitionId, Item)>,
    /// Somebody looks for children that are left, and may ask for their parents: there is one more round.
    asks: bool,
    rounds: u32,
}

/// The surroundings of a round.
pub(super) struct Round<'a> {
    pub(super) web: &'a Web,
    pub(super) store: &'a mut Store,
    pub(super) context: &'a mut Context,
    /// Who settles; `None`: whoever has everything that matters.
    pub(super) here: Option<Share>,
    /// Rows that go elsewhere because of an action.
    pub(super) leaving: Message,
}

pub(super) fn encode(message: Message) -> Bytes {
    postcard::to_stdvec(&Said::V1(message)).expect("plain data, always encodable").into()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Message, SqlError> {
    let malformed = |_| SqlError::new(SqlState::DATA_CORRUPTED, "malformed items of another partition");
    let Said::V1(message) = postcard::from_bytes(bytes).map_err(malformed)?;
    Ok(message)
}

impl Settlement {
    /// Takes what all participants have said in a round (this one's own too), in ascending order of partition. Returns
    /// what this one says in the next; `None`: it is settled.
    pub(super) fn take(
        &mut self,
        round: &mut Round<'_>,
        said: Vec<(PartitionId, Message)>,
    ) -> Result<Option<Message>, SqlError> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(SqlError::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "referential actions follow one another without end",
            )
            .detail(format!("A statement's actions may go through at most {MAX_ROUNDS} rounds.")));
        }
        let own = round.here.map(|share| share.own.0);
        let (mut acts, mut anybody_acts) = (Vec::new(), false);
        for (from, message) in said {
            for (to, item) in message {
                anybody_acts |= item.acts();
                self.asks |= matches!(item, Item::Unreferenced { .. });
                let mine = to == 0 || own.is_none_or(|own| own == to);
                match mine {
                    // Planted 124: what another one asks for is not done.
                    true if item.acts() && planted!(124) && own.is_some_and(|own| own != from.0) => {}
                    true if item.acts() => acts.push(item),
                    true => self.held.push((from, item)),
                    false => {}
                }
            }
        }
        if anybody_acts {
            sometimes!("integrity.acted", !acts.is_empty());
            for item in acts {
                round.act(item)?;
            }
            return round.emit().map(Some);
        }
        let held = std::mem::take(&mut self.held);
        let asked = round.check(held)?;
        Ok(std::mem::take(&mut self.asks).then_some(asked))
    }
}

impl Round<'_> {
    /// What follows from the changes since the last call.
    pub(super) fn emit(&mut self) -> Result<Message, SqlError> {
        let mut message = std::mem::take(&mut self.leaving);
        for item in std::mem::take(&mut self.context.due).into_items() {
            self.emit_due(item, &mut message)?;
        }
        for change in std::mem::take(&mut self.context.changes.0) {
            let knot = self.web.knot(change.table)?;
            self.emit_keys(knot, &change, &mut message);
            self.emit_references(knot, &change, &mut message)?;
            self.emit_children(knot, &change, &mut message)?;
        }
        Ok(message)
    }

    pub(super) fn partitions(&self) -> u32 {
        self.here.map_or(1, |share| share.partitions)
    }

    /// The number under which an item for such a home travels.
    pub(super) fn address(&self, home: Home) -> u32 {
        match home {
            Home::Everywhere => 0,
            Home::At(partition) => partition.0,
        }
    }

    fn emit_keys(&self, knot: &Knot, change: &Change, message: &mut Message) {
        let table = &knot.target.table;
        for (number, index) in (0_u32..).zip(&table.indexes).filter(|(_, index)| index.global.is_some()) {
            let columns: Vec<usize> = index.columns.iter().map(|(column, _)| *column).collect();
            let key = |row: &Option<Vec<Value>>| row.as_ref().and_then(|row| values_of(row, &columns));
            let (old, new) = (key(&change.old), key(&change.new));
            if change.part == Part::Whole && old == new {
                continue;
            }
            let to = |key: &[Value]| home_of_owner(table, index, key, self.partitions()).0;
            // Planted 122: the entry of a row that goes stays.
            if let Some(key) = old.filter(|_| change.part != Part::Comes && !planted!(122)) {
                message.push((to(&key), Item::Release { table: table.id, index: number, key }));
            }
            if let Some(key) = new.filter(|_| change.part != Part::Leaves) {
                message.push((to(&key), Item::Claim { table: table.id, index: number, key }));
            }
        }
    }

    fn emit_references(&mut self, knot: &Knot, change: &Change, message: &mut Message) -> Result<(), SqlError> {
        let Some(new) = change.new.as_ref().filter(|_| change.part != Part::Leaves) else { return Ok(()) };
        let table = &knot.target.table;
        for ((number, key), parent) in (0_u32..).zip(&table.foreign_keys).zip(&knot.parents) {
            let same = |old: &Vec<Value>| key.columns.iter().all(|column| old[*column] == new[*column]);
            // A row that comes from elsewhere may have left a check there that waits.
            let waits = knot.deferred[number as usize];
            let comes = waits && change.part == Part::Comes && !planted!(222);
            if change.old.as_ref().is_some_and(same) && !comes {
                continue;
            }
            let Some(values) = values_of(new, &key.columns) else {
                if key.full && key.columns.iter().any(|column| !new[*column].is_null()) {
                    return Err(mixed(table, key));
                }
                continue;
            };
            if waits {
                sometimes!("integrity.reference_deferred");
                let item = Item::Require { child: table.id, foreign_key: number, key: values, left: false };
                self.context.deferred.push(item);
                continue;
            }
            let Some(of_parent) = converted(&values, parent, &key.parent_columns) else {
                return Err(no_parent(table, key, parent, &values, &self.context.time.zone));
            };
            let to = home_of_parent(parent, &key.parent_columns, &of_parent, self.partitions())?;
            let to = if parent.is_replicated() { self.own() } else { self.address(to) };
            message.push((to, Item::Require { child: table.id, foreign_key: number, key: values, left: false }));
        }
        Ok(())
    }

    fn emit_children(&mut self, knot: &Knot, change: &Change, message: &mut Message) -> Result<(), SqlError> {
        let Some(old) = change.old.as_ref().filter(|_| change.part != Part::Comes) else { return Ok(()) };
        let parent = &knot.target.table;
        for (child, number) in &knot.children {
            let (knot, key, _) = self.web.foreign_key(*child, *number)?;
            let waits = knot.deferred[*number];
            let Some(values) = values_of(old, &key.parent_columns) else { continue };
            let new = change
                .new
                .as_ref()
                .map(|new| key.parent_columns.iter().map(|column| new[*column].clone()).collect::<Vec<Value>>());
            if new.as_ref() == Some(&values) {
                continue;
            }
            let child = &knot.target.table;
            let Some(of_child) = converted(&values, child, &key.columns) else { continue };
            // Each copy of a replicated parent sees to the children beside it.
            let to = if parent.is_replicated() {
                self.own()
            } else {
                self.address(home_of_rows(child, &key.columns, &of_child, self.partitions()))
            };
            let foreign_key = u32::try_from(*number).unwrap_or(u32::MAX);
            let action = if new.is_some() { key.on_update } else { key.on_delete };
            let child = child.id;
            if waits && action == ForeignAction::NoAction {
                sometimes!("integrity.release_deferred");
                let item = Item::Unreferenced { child, foreign_key, key: of_child, restrict: false };
                self.context.deferred.push(item);
                continue;
            }
            if action == ForeignAction::SetDefault {
                // The default may be the very key that goes: then the child has not changed, and is looked at like this.
                let key = of_child.clone();
                message.push((to, Item::Unreferenced { child, foreign_key, key, restrict: false }));
            }
            message.push((
                to,
                match action {
                    ForeignAction::NoAction | ForeignAction::Restrict => {
                        let restrict = action == ForeignAction::Restrict;
                        Item::Unreferenced { child, foreign_key, key: of_child, restrict }
                    }
                    _ => Item::Act { child, foreign_key, old: of_child, new },
                },
            ));
        }
        Ok(())
    }

    /// The executor itself, as an address.
    pub(super) fn own(&self) -> u32 {
        self.here.map_or(0, |share| share.own.0)
    }

    /// Does what a foreign key says is to be done with children.
    fn act(&mut self, item: Item) -> Result<(), SqlError> {
        match item {
            Item::Place { table, old, row } => self.place(table, old, row),
            Item::Act { child, foreign_key, old, new } => {
                let (knot, key, _) = self.web.foreign_key(child, foreign_key as usize)?;
                let table = &knot.target.table;
                let action = if new.is_some() { key.on_update } else { key.on_delete };
                for (at, row) in rows_with(self.store, table, &key.columns, &old, false)? {
                    match action {
                        ForeignAction::Cascade => match &new {
                            None => {
                                delete_row(self.store, table, &at, &row);
                                self.note(table.id, Some(row), None, Part::Whole);
                            }
                            Some(values) => self.change(knot, key, &at, row, values.clone())?,
                        },
                        ForeignAction::SetNull => {
                            self.change(knot, key, &at, row, vec![Value::Null; key.columns.len()])?;
                        }
                        ForeignAction::SetDefault => {
                            let mut run = Run::new(self.store, &[], self.context);
                            let defaults = evaluate_all(&knot.defaults, &[], &mut run)?;
                            let values = key.columns.iter().map(|column| defaults[*column].clone()).collect();
                            self.change(knot, key, &at, row, values)?;
                        }
                        ForeignAction::NoAction | ForeignAction::Restrict => {}
                    }
                }
                Ok(())
            }
            _ => Err(missing()),
        }
    }

    fn note(&mut self, table: TableId, old: Option<Vec<Value>>, new: Option<Vec<Value>>, part: Part) {
        self.context.changes.0.push(Change { table, old, new, part });
    }

    /// Gives a row other values in a foreign key's columns. It may belong elsewhere then.
    fn change(
        &mut self,
        knot: &Knot,
        key: &ForeignKey,
        at: &[u8],
        old: Vec<Value>,
        values: Vec<Value>,
    ) -> Result<(), SqlError> {
        let table = &knot.target.table;
        let mut new = old.clone();
        for (column, value) in key.columns.iter().zip(values) {
            let fitting = super::fitted_value(value, table.columns[*column].data_type).ok_or_else(|| {
                let message = format!("value out of range for type {}", table.columns[*column].data_type);
                SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
            })?;
            new[*column] = fitting;
        }
        check_row(&knot.target, &new, &mut Run::new(self.store, &[], self.context))?;
        let place = home(table, &new, self.partitions());
        if !table.is_replicated() && !is_own(place, self.here) {
            sometimes!("integrity.child_moves");
            delete_row(self.store, table, at, &old);
            let item = Item::Place { table: table.id, old: old.clone(), row: new.clone() };
            self.leaving.push((self.address(place), item));
            self.note(table.id, Some(old), Some(new), Part::Leaves);
            return Ok(());
        }
        if let Some(index) = update_row(self.store, table, at, &old, &new, &mut Vec::new()) {
            return Err(unique_violation(table, &new, index, &self.context.time.zone));
        }
        self.note(table.id, Some(old), Some(new), Part::Whole);
        Ok(())
    }

    fn place(&mut self, table: TableId, old: Vec<Value>, row: Vec<Value>) -> Result<(), SqlError> {
        let table = &self.web.knot(table)?.target.table;
        if let Some(index) = insert_row(self.store, table, &row, &mut Vec::new()) {
            return Err(unique_violation(table, &row, index, &self.context.time.zone));
        }
        self.note(table.id, Some(old), Some(row), Part::Comes);
        Ok(())
    }

    /// Keys first, then references, then what may be left of them. Returns the parents that are asked for.
    fn check(&mut self, held: Vec<(PartitionId, Item)>) -> Result<Message, SqlError> {
        self.own_keys(&held)?;
        let mut asked = Message::new();
        for (_, item) in held {
            match item {
                Item::Require { child, foreign_key, key, left } => {
                    let (knot, foreign_key, parent) = self.web.foreign_key(child, foreign_key as usize)?;
                    let of_parent = converted(&key, parent, &foreign_key.parent_columns).ok_or_else(missing)?;
                    // Planted 121: nobody looks.
                    if !has_parent(self.store, parent, &foreign_key.parent_columns, &of_parent)? && !planted!(121) {
                        let (table, zone) = (&knot.target.table, &self.context.time.zone);
                        return Err(match left {
                            true => still_referenced(table, foreign_key, parent, &of_parent, zone),
                            false => no_parent(table, foreign_key, parent, &key, zone),
                        });
                    }
                }
                Item::Unreferenced { child, foreign_key: number, key, restrict } => {
                    let (knot, foreign_key, parent) = self.web.foreign_key(child, number as usize)?;
                    let table = &knot.target.table;
                    if rows_with(self.store, table, &foreign_key.columns, &key, true)?.is_empty() {
                        continue;
                    }
                    let of_parent = converted(&key, parent, &foreign_key.parent_columns).ok_or_else(missing)?;
                    if restrict {
                        let zone = &self.context.time.zone;
                        return Err(still_referenced(table, foreign_key, parent, &of_parent, zone));
                    }
                    let to = home_of_parent(parent, &foreign_key.parent_columns, &of_parent, self.partitions())?;
                    let to = if parent.is_replicated() { self.own() } else { self.address(to) };
                    asked.push((to, Item::Require { child, foreign_key: number, key, left: true }));
                }
                Item::Release { .. } | Item::Claim { .. } | Item::Act { .. } | Item::Place { .. } => {}
            }
        }
        Ok(asked)
    }

    /// What is released and claimed, taken together: a key may go from one row to another in one statement.
    fn own_keys(&mut self, held: &[(PartitionId, Item)]) -> Result<(), SqlError> {
        type Balance<'i> = BTreeMap<(TreeId, Vec<u8>), (BTreeMap<PartitionId, i64>, TableId, u32, &'i [Value])>;
        let mut keys = Balance::new();
        for (from, item) in held {
            let (table, index, key, more) = match item {
                Item::Release { table, index, key } => (*table, *index, key, -1),
                Item::Claim { table, index, key } => (*table, *index, key, 1),
                _ => continue,
            };
            let (table, index, tree) = self.owners(table, index)?;
            let at = (tree, key_of_owner(table, &table.indexes[index as usize], key));
            let entry = keys.entry(at).or_insert_with(|| (BTreeMap::new(), table.id, index, key.as_slice()));
            *entry.0.entry(*from).or_default() += more;
        }
        for ((tree, at), (mut owners, table, index, key)) in keys {
            if let Some(owner) = self.store.get(tree, &at) {
                *owners.entry(owner_in(owner)?).or_default() += 1;
            }
            owners.retain(|_, rows| *rows != 0);
            let (table, index, _) = self.owners(table, index)?;
            match owners.iter().next() {
                None => drop(self.store.remove(tree, &at)),
                // Planted 120: whoever comes last has it.
                Some((owner, _)) if planted!(120) => drop(self.store.put(tree, &at, &owner.0.to_be_bytes())),
                Some((owner, 1)) if owners.len() == 1 => drop(self.store.put(tree, &at, &owner.0.to_be_bytes())),
                Some(_) if owners.values().all(|rows| *rows > 0) => {
                    sometimes!("integrity.key_is_taken");
                    let columns: Vec<usize> =
                        table.indexes[index as usize].columns.iter().map(|(column, _)| *column).collect();
                    let row = super::sparse(table, &columns, key);
                    return Err(unique_violation(table, &row, Some(index as usize), &self.context.time.zone));
                }
                Some(_) => {
                    let message =
                        format!("index \"{}\" does not agree with its rows", table.indexes[index as usize].name);
                    return Err(SqlError::new(SqlState::DATA_CORRUPTED, message));
                }
            }
        }
        Ok(())
    }

    fn owners(&self, table: TableId, index: u32) -> Result<(&Table, u32, TreeId), SqlError> {
        let table = &self.web.knot(table)?.target.table;
        let tree = table.indexes.get(index as usize).and_then(|index| index.global).ok_or_else(missing)?;
        Ok((table, index, tree))
    }
}

fn owner_in(bytes: &[u8]) -> Result<PartitionId, SqlError> {
    let malformed = |_| SqlError::new(SqlState::DATA_CORRUPTED, "malformed owner of a key");
    Ok(PartitionId(u32::from_be_bytes(bytes.try_into().map_err(malformed)?)))
}

fn violation(table: &Table, key: &ForeignKey, message: String) -> SqlError {
    let mut error = SqlError::new(SqlState::FOREIGN_KEY_VIOLATION, message);
    error.table = Some(table.name.clone());
    error.constraint = Some(key.name.clone());
    error
}

pub(super) fn no_parent(
    child: &Table,
    key: &ForeignKey,
    parent: &Table,
    values: &[Value],
    zone: &TimeZone,
) -> SqlError {
    let row = super::sparse(child, &key.columns, values);
    let message =
        format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", child.name, key.name);
    let told = key_text(child, &key.columns, &row, zone);
    violation(child, key, message).detail(format!("Key {told} is not present in table \"{}\".", parent.name))
}

pub(super) fn mixed(child: &Table, key: &ForeignKey) -> SqlError {
    let message =
        format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", child.name, key.name);
    violation(child, key, message).detail("MATCH FULL does not allow mixing of null and nonnull key values.")
}

fn still_referenced(child: &Table, key: &ForeignKey, parent: &Table, values: &[Value], zone: &TimeZone) -> SqlError {
    let row = super::sparse(parent, &key.parent_columns, values);
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    let told = key_text(parent, &key.parent_columns, &row, zone);
    violation(child, key, message).detail(format!("Key {told} is still referenced from table \"{}\".", child.name))
}

/// The partitions to which something is addressed in what was said, of so many that there are.
///
/// # Errors
/// When it is malformed.
pub fn addressed(said: &[(PartitionId, Bytes)], partitions: u32) -> Result<BTreeSet<PartitionId>, SqlError> {
    let mut found = BTreeSet::new();
    for (_, bytes) in said {
        for (to, _) in decode(bytes)? {
            match to {
                0 => found.extend((1..=partitions).map(PartitionId)),
                one => drop(found.insert(PartitionId(one))),
            }
        }
    }
    Ok(found)
}

impl Prepared {
    /// The partitions that must take part, besides those that execute the statement, for its constraints to be kept:
    /// then what follows from it is settled by all of them together ([`Self::settle`]). `None`: each keeps them alone.
    ///
    /// # Errors
    /// When values cannot be computed.
    pub fn concerned(&self, parameters: &[Value], partitions: u32) -> Result<Option<Vec<PartitionId>>, SqlError> {
        let Some((web, write)) = self.woven() else { return Ok(None) };
        let drawn = self.known_drawn(parameters)?;
        Ok(match reach(web, write, parameters, &drawn, partitions)? {
            Reach::Here => None,
            Reach::Known(found) => Some(found.into_iter().collect()),
            Reach::Everywhere => Some((1..=partitions).map(PartitionId).collect()),
        })
    }

    /// Settles what follows from the changes where they were made. Alone (no share) the executor has all that matters.
    pub(in crate::sql) fn settle_here(&self, store: &mut Store, context: &mut Context) -> Result<(), SqlError> {
        let nothing = context.changes.is_empty() && context.due.is_empty();
        let Some((web, _)) = self.woven().filter(|_| !context.together && !nothing) else {
            return Ok(());
        };
        let here = context.share;
        let own = here.map_or(context.at, |share| share.own);
        let mut round = Round { web, store, context, here, leaving: Message::new() };
        let mut settlement = Settlement::default();
        let mut next = Some(round.emit()?);
        while let Some(message) = next {
            if let Some(share) = here {
                let elsewhere = message.iter().any(|(to, _)| *to != share.own.0);
                if elsewhere {
                    let message = "a constraint concerns a partition that does not take part";
                    return Err(SqlError::new(SqlState::INTERNAL_ERROR, message));
                }
            }
            next = settlement.take(&mut round, vec![(own, message)])?;
        }
        Ok(())
    }

    /// The first thing that a participant says when the statement has been executed everywhere: what follows from the
    /// changes that it has made (which `context` has), if it has made any.
    ///
    /// # Errors
    /// What the changes have wrong.
    pub fn begin_settling(&self, store: &mut Store, context: &mut Context, here: Share) -> Result<Bytes, SqlError> {
        let (web, _) = self.woven().ok_or_else(missing)?;
        Round { web, store, context, here: Some(here), leaving: Message::new() }.emit().map(encode)
    }

    /// Takes what all participants have said in a round (this one's own too), in ascending order of partition. Returns
    /// what this one says in the next; `None`: it is settled. After an error the caller rolls the store back to its mark.
    ///
    /// # Errors
    /// 23503, 23505, and what actions on referencing rows have wrong.
    pub fn settle(
        &self,
        settlement: &mut Settlement,
        store: &mut Store,
        context: &mut Context,
        here: Share,
        said: &[(PartitionId, Bytes)],
    ) -> Result<Option<Bytes>, SqlError> {
        let (web, _) = self.woven().ok_or_else(missing)?;
        let decoded = said.iter().map(|(from, bytes)| Ok((*from, decode(bytes)?))).collect::<Result<_, SqlError>>()?;
        let mut round = Round { web, store, context, here: Some(here), leaving: Message::new() };
        Ok(settlement.take(&mut round, decoded)?.map(encode))
    }
}
