//! What clients do, as data: planned, then recorded with what came of it.

mod lists;
mod object;
mod observed;

pub use lists::{MICROS_MAX, Micro, Micros, Script};
pub use object::{Object, Sort};
pub use observed::Observed;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An operation of a client. Values and identities are unique in a run, so that whoever reads one knows who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A step of making a workload's tables; repeated until it works.
    Setup {
        /// Which.
        step: u32,
    },
    /// registers: reads a row.
    Read {
        /// Row.
        key: u32,
    },
    /// registers: writes a row.
    Write {
        /// Row.
        key: u32,
        /// Unique.
        value: u64,
    },
    /// registers: writes a row if it still holds what this client saw in it last.
    Compare {
        /// Row.
        key: u32,
        /// What it saw: 0 in a plan, filled in when it is sent.
        expected: i64,
        /// Unique.
        value: u64,
    },
    /// registers: writes a row and reads it back in one implicit transaction.
    WriteRead {
        /// Row.
        key: u32,
        /// Unique.
        value: u64,
    },
    /// bank: moves money and notes it in the ledger, atomically.
    Transfer {
        /// Unique number of the transfer.
        id: u64,
        /// Account.
        from: u32,
        /// Account.
        to: u32,
        /// How much.
        amount: u32,
        /// In which statements.
        how: How,
    },
    /// bank: reads the sum of all balances.
    Sum,
    /// bank: reads all balances.
    Balances,
    /// bank: reads the ledger. Closing only.
    Ledger,
    /// insert: a row with `now()`, `random()` and `gen_random_uuid()` in it.
    Insert {
        /// Unique.
        id: u64,
    },
    /// insert: reads one row.
    ReadRow {
        /// Which.
        id: u64,
    },
    /// insert: reads all rows. Closing only.
    ReadRows,
    /// indexes: inserts the rows of a batch in one statement.
    Stock {
        /// Unique.
        batch: u64,
        /// Of its first row; the others have the next ones.
        color: u32,
        /// What its last row violates.
        doom: Doom,
    },
    /// indexes: gives all rows of a batch one color.
    Repaint {
        /// Which.
        batch: u64,
        /// Which.
        color: u32,
    },
    /// indexes: gives all rows of a batch new codes.
    Renumber {
        /// Which.
        batch: u64,
        /// The last one's is another row's.
        doomed: bool,
    },
    /// indexes: deletes a batch.
    Withdraw {
        /// Which.
        batch: u64,
    },
    /// indexes: reads the table and each of its indexes, at one instant.
    Audit,
    /// rebuilt: a definition over all rows.
    Redefine {
        /// Which: see the workload.
        number: u32,
    },
    /// append: a transaction over lists.
    Lists {
        /// Unique; its appended values follow from it ([`Operation::appended`]).
        id: u64,
        /// How it is said.
        script: Script,
        /// What it does.
        micros: Micros,
    },
    /// append: reads all lists in one statement.
    ReadLists,
    /// tpcb: adds an amount to a customer, a teller and a branch, and notes it in the history.
    Pay {
        /// Unique: number of the note.
        id: u64,
        /// Whose.
        customer: u32,
        /// By whom.
        teller: u32,
        /// Where.
        branch: u32,
        /// How much.
        amount: u32,
        /// In which statements.
        how: How,
    },
    /// tpcb: reads the four sums, at one instant.
    Sums,
    /// tpcb: reads the history with its sum. Closing only.
    Payments,
    /// claims: takes two names at once.
    Claim {
        /// Unique: the owner.
        id: u64,
        /// A name.
        first: u32,
        /// Another one.
        second: u32,
    },
    /// claims: gives back what an owner has.
    Release {
        /// Which.
        id: u64,
    },
    /// claims: reads all names.
    Names,
    /// families: makes a parent, if it is not there.
    Found {
        /// Which.
        parent: u32,
    },
    /// families: a child, with a toy.
    Bear {
        /// Unique: the child.
        id: u64,
        /// Whose.
        parent: u32,
    },
    /// families: deletes a parent with all that hangs on it.
    Dissolve {
        /// Which.
        parent: u32,
    },
    /// families: reads everything, at one instant.
    Kin,
    /// schema: makes an object.
    Create {
        /// Which.
        object: Object,
    },
    /// schema: drops it.
    Drop {
        /// Which.
        object: Object,
    },
    /// schema: a statement that needs an object.
    Need {
        /// Which.
        object: Object,
        /// Does it write? Then this is what.
        value: u64,
    },
    /// schema: counts the rows in two ways, at one instant.
    Count,
    /// observer: reads a system table.
    Observe {
        /// Which.
        what: Observed,
    },
    /// sequences: draws a ticket.
    Ticket {
        /// Unique.
        id: u64,
    },
    /// sequences: makes rows with a generated identity and a ticket.
    Issue {
        /// Unique: whose rows they are.
        id: u64,
    },
    /// sequences: gives all rows of an issue new tickets.
    Renew {
        /// Unique.
        id: u64,
        /// Whose.
        who: u64,
    },
    /// sequences: sets the sequence of tickets to a stretch of its own.
    Jump {
        /// Unique.
        id: u64,
    },
    /// sequences: adds a column that numbers all rows, looks at it, and drops it again.
    Number {
        /// Unique.
        id: u64,
    },
    /// sequences: reads all rows.
    Issued,
    /// nodes: says where a node listens.
    Readdress {
        /// Which.
        node: u32,
        /// Unique; the address is made of it.
        value: u64,
    },
    /// nodes: reads the directory of nodes.
    Directory,
    /// nodes: registers a node.
    Enlist {
        /// Which.
        node: u32,
    },
    /// nodes: its replicas are to go elsewhere.
    Drain {
        /// Which.
        node: u32,
    },
    /// nodes: it takes replicas again.
    Activate {
        /// Which.
        node: u32,
    },
    /// nodes: a drained node is removed.
    Expel {
        /// Which.
        node: u32,
    },
    /// nodes: so many groups may be on the move at a time.
    Pace {
        /// So many.
        moves: u32,
    },
    /// recoveries: so many KiB a second a node is to send of states.
    Throttle {
        /// So many.
        rate: u32,
    },
    /// priorities: says how much a node is to be preferred as a leader.
    Prefer {
        /// Which.
        node: u32,
        /// So much.
        priority: u32,
    },
}

/// What the last row of a statement violates, after the others have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doom {
    /// Nothing: it is sound.
    None,
    /// The primary key.
    Key,
    /// A unique constraint.
    Unique,
    /// A check.
    Check,
}

impl Doom {
    const NAMES: [(Self, &'static str); 4] =
        [(Self::None, ""), (Self::Key, "_dup_key"), (Self::Unique, "_dup_code"), (Self::Check, "_bad_color")];
}

/// How money is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// Two UPDATEs in one query text.
    Two,
    /// One UPDATE with CASE.
    One,
    /// BEGIN, a SELECT of both balances, two UPDATEs with what the client makes of them, COMMIT: an interactive
    /// transaction that loses an update unless somebody sees to it.
    Block,
}

impl How {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Two => "",
            Self::One => "_single",
            Self::Block => "_block",
        }
    }

    fn of(verb: &str) -> Self {
        match verb {
            _ if verb.ends_with(Self::One.suffix()) => Self::One,
            _ if verb.ends_with(Self::Block.suffix()) => Self::Block,
            _ => Self::Two,
        }
    }
}

/// An operation with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlannedOperation {
    /// When.
    pub at_ns: u64,
    /// What.
    pub operation: Operation,
    /// The client drops the connection right after sending, as one that crashes does.
    pub abandon: bool,
}

impl Operation {
    /// The operation to try after this one has failed or come to nothing known: what it writes is unique again.
    #[must_use]
    pub fn renewed(self) -> Self {
        const NEXT: u64 = 10_000_000_000;
        match self {
            Self::Write { key, value } => Self::Write { key, value: value + NEXT },
            Self::Compare { key, expected, value } => Self::Compare { key, expected, value: value + NEXT },
            Self::WriteRead { key, value } => Self::WriteRead { key, value: value + NEXT },
            Self::Transfer { id, from, to, amount, how } => Self::Transfer { id: id + NEXT, from, to, amount, how },
            Self::Insert { id } => Self::Insert { id: id + NEXT },
            Self::Stock { batch, color, doom } => Self::Stock { batch: batch + NEXT, color, doom },
            // One that only reads is repeated as it is.
            Self::Lists { id, script, micros } if micros.writes() => Self::Lists { id: id + NEXT, script, micros },
            Self::Pay { id, customer, teller, branch, amount, how } => {
                Self::Pay { id: id + NEXT, customer, teller, branch, amount, how }
            }
            Self::Claim { id, first, second } => Self::Claim { id: id + NEXT, first, second },
            Self::Bear { id, parent } => Self::Bear { id: id + NEXT, parent },
            Self::Ticket { id } => Self::Ticket { id: id + NEXT },
            Self::Issue { id } => Self::Issue { id: id + NEXT },
            Self::Renew { id, who } => Self::Renew { id: id + NEXT, who },
            Self::Jump { id } => Self::Jump { id: id + NEXT },
            Self::Number { id } => Self::Number { id: id + NEXT },
            Self::Readdress { node, value } => Self::Readdress { node, value: value + NEXT },
            other => other,
        }
    }

    /// What the step at that position of the lists' transaction `id` appends: unique in the run.
    #[must_use]
    pub const fn appended(id: u64, index: usize) -> u64 {
        id * MICROS_MAX as u64 + index as u64
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Setup { step } => write!(f, "setup {step}"),
            Self::Read { key } => write!(f, "read {key}"),
            Self::Write { key, value } => write!(f, "write {key} {value}"),
            Self::Compare { key, expected, value } => write!(f, "compare {key} {expected} {value}"),
            Self::WriteRead { key, value } => write!(f, "write_read {key} {value}"),
            Self::Transfer { id, from, to, amount, how } => {
                write!(f, "transfer{} {id} {from} {to} {amount}", how.suffix())
            }
            Self::Sum => f.write_str("sum"),
            Self::Balances => f.write_str("balances"),
            Self::Ledger => f.write_str("ledger"),
            Self::Insert { id } => write!(f, "insert {id}"),
            Self::ReadRow { id } => write!(f, "read_row {id}"),
            Self::ReadRows => f.write_str("read_rows"),
            Self::Stock { batch, color, doom } => {
                let suffix = Doom::NAMES.iter().find(|(known, _)| *known == doom).map_or("", |(_, name)| name);
                write!(f, "stock{suffix} {batch} {color}")
            }
            Self::Repaint { batch, color } => write!(f, "repaint {batch} {color}"),
            Self::Renumber { batch, doomed } => {
                write!(f, "renumber{} {batch}", if doomed { "_dup_code" } else { "" })
            }
            Self::Withdraw { batch } => write!(f, "withdraw {batch}"),
            Self::Redefine { number } => write!(f, "redefine {number}"),
            Self::Audit => f.write_str("audit"),
            Self::Lists { id, script, micros } => write!(f, "lists_{} {id} {micros}", script.name()),
            Self::ReadLists => f.write_str("read_lists"),
            Self::Pay { id, customer, teller, branch, amount, how } => {
                write!(f, "pay{} {id} {customer} {teller} {branch} {amount}", how.suffix())
            }
            Self::Sums => f.write_str("sums"),
            Self::Payments => f.write_str("payments"),
            Self::Claim { id, first, second } => write!(f, "claim {id} {first} {second}"),
            Self::Release { id } => write!(f, "release {id}"),
            Self::Names => f.write_str("names"),
            Self::Found { parent } => write!(f, "found {parent}"),
            Self::Bear { id, parent } => write!(f, "bear {id} {parent}"),
            Self::Dissolve { parent } => write!(f, "dissolve {parent}"),
            Self::Kin => f.write_str("kin"),
            Self::Create { object } => write!(f, "create_{object}"),
            Self::Drop { object } => write!(f, "drop_{object}"),
            Self::Need { object, value } => write!(f, "need_{object} {value}"),
            Self::Count => f.write_str("count"),
            Self::Observe { what } => write!(f, "observe_{}", what.name()),
            Self::Ticket { id } => write!(f, "ticket {id}"),
            Self::Issue { id } => write!(f, "issue {id}"),
            Self::Renew { id, who } => write!(f, "renew {id} {who}"),
            Self::Jump { id } => write!(f, "jump {id}"),
            Self::Number { id } => write!(f, "number {id}"),
            Self::Issued => f.write_str("issued"),
            Self::Readdress { node, value } => write!(f, "readdress {node} {value}"),
            Self::Directory => f.write_str("directory"),
            Self::Enlist { node } => write!(f, "enlist {node}"),
            Self::Drain { node } => write!(f, "drain {node}"),
            Self::Activate { node } => write!(f, "activate {node}"),
            Self::Expel { node } => write!(f, "expel {node}"),
            Self::Pace { moves } => write!(f, "pace {moves}"),
            Self::Throttle { rate } => write!(f, "throttle {rate}"),
            Self::Prefer { node, priority } => write!(f, "prefer {node} {priority}"),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(script) = text.strip_prefix("lists_") {
            return lists(text, script);
        }
        let mut words = text.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words
            .map(|word| word.parse().map_err(|_| format!("`{word}` in `{text}` is not a number")))
            .collect::<Result<_, String>>()?;
        let small = |n: u64| u32::try_from(n).map_err(|_| format!("{n} in `{text}` is too large"));
        Ok(match (verb, numbers.as_slice()) {
            ("setup", &[step]) => Self::Setup { step: small(step)? },
            ("read", &[key]) => Self::Read { key: small(key)? },
            ("write", &[key, value]) => Self::Write { key: small(key)?, value },
            ("compare", &[key, expected, value]) => {
                let expected = i64::try_from(expected).map_err(|_| format!("{expected} in `{text}` is too large"))?;
                Self::Compare { key: small(key)?, expected, value }
            }
            ("write_read", &[key, value]) => Self::WriteRead { key: small(key)?, value },
            ("transfer" | "transfer_single" | "transfer_block", &[id, from, to, amount]) => {
                Self::Transfer { id, from: small(from)?, to: small(to)?, amount: small(amount)?, how: How::of(verb) }
            }
            ("pay" | "pay_single" | "pay_block", &[id, customer, teller, branch, amount]) => Self::Pay {
                id,
                customer: small(customer)?,
                teller: small(teller)?,
                branch: small(branch)?,
                amount: small(amount)?,
                how: How::of(verb),
            },
            ("sum", &[]) => Self::Sum,
            ("balances", &[]) => Self::Balances,
            ("ledger", &[]) => Self::Ledger,
            ("insert", &[id]) => Self::Insert { id },
            ("read_row", &[id]) => Self::ReadRow { id },
            ("read_rows", &[]) => Self::ReadRows,
            ("repaint", &[batch, color]) => Self::Repaint { batch, color: small(color)? },
            ("renumber" | "renumber_dup_code", &[batch]) => {
                Self::Renumber { batch, doomed: verb == "renumber_dup_code" }
            }
            ("withdraw", &[batch]) => Self::Withdraw { batch },
            ("redefine", &[number]) => Self::Redefine { number: small(number)? },
            ("audit", &[]) => Self::Audit,
            ("read_lists", &[]) => Self::ReadLists,
            ("sums", &[]) => Self::Sums,
            ("payments", &[]) => Self::Payments,
            ("claim", &[id, first, second]) => Self::Claim { id, first: small(first)?, second: small(second)? },
            ("release", &[id]) => Self::Release { id },
            ("names", &[]) => Self::Names,
            ("found", &[parent]) => Self::Found { parent: small(parent)? },
            ("bear", &[id, parent]) => Self::Bear { id, parent: small(parent)? },
            ("dissolve", &[parent]) => Self::Dissolve { parent: small(parent)? },
            ("kin", &[]) => Self::Kin,
            ("count", &[]) => Self::Count,
            (_, &[]) if let Some(what) = verb.strip_prefix("observe_").and_then(Observed::find) => {
                Self::Observe { what }
            }
            ("ticket", &[id]) => Self::Ticket { id },
            ("issue", &[id]) => Self::Issue { id },
            ("renew", &[id, who]) => Self::Renew { id, who },
            ("jump", &[id]) => Self::Jump { id },
            ("number", &[id]) => Self::Number { id },
            ("issued", &[]) => Self::Issued,
            ("readdress", &[node, value]) => Self::Readdress { node: small(node)?, value },
            ("directory", &[]) => Self::Directory,
            ("enlist", &[node]) => Self::Enlist { node: small(node)? },
            ("drain", &[node]) => Self::Drain { node: small(node)? },
            ("activate", &[node]) => Self::Activate { node: small(node)? },
            ("expel", &[node]) => Self::Expel { node: small(node)? },
            ("pace", &[moves]) => Self::Pace { moves: small(moves)? },
            ("throttle", &[rate]) => Self::Throttle { rate: small(rate)? },
            ("prefer", &[node, priority]) => Self::Prefer { node: small(node)?, priority: small(priority)? },
            (_, &[number]) if let Some(object) = Object::after("create_", verb, number) => Self::Create { object },
            (_, &[number]) if let Some(object) = Object::after("drop_", verb, number) => Self::Drop { object },
            (_, &[number, value]) if let Some(object) = Object::after("need_", verb, number) => {
                Self::Need { object, value }
            }
            (_, &[batch, color]) => {
                let doom = verb
                    .strip_prefix("stock")
                    .and_then(|suffix| Doom::NAMES.iter().find(|(_, name)| *name == suffix).map(|(doom, _)| *doom));
                let Some(doom) = doom else { return Err(format!("`{text}` is not an operation")) };
                Self::Stock { batch, color: small(color)?, doom }
            }
            _ => return Err(format!("`{text}` is not an operation")),
        })
    }
}

/// `block 7 r3 a5`: a transaction over lists.
fn lists(text: &str, rest: &str) -> Result<Operation, String> {
    let mut words = rest.splitn(3, ' ');
    let script = words.next().and_then(Script::find);
    let id = words.next().and_then(|id| id.parse().ok());
    let (Some(script), Some(id)) = (script, id) else { return Err(format!("`{text}` is not an operation")) };
    Ok(Operation::Lists { id, script, micros: words.next().unwrap_or_default().parse()? })
}

impl From<PlannedOperation> for String {
    fn from(planned: PlannedOperation) -> Self {
        format!("{} {}{}", planned.at_ns, planned.operation, if planned.abandon { " abandon" } else { "" })
    }
}

impl TryFrom<String> for PlannedOperation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (at, rest) = text.split_once(' ').ok_or_else(|| format!("`{text}` has no operation"))?;
        let (rest, abandon) = rest.strip_suffix(" abandon").map_or((rest, false), |rest| (rest, true));
        let at_ns = at.parse().map_err(|_| format!("`{at}` in `{text}` is not a time in nanoseconds"))?;
        Ok(Self { at_ns, operation: rest.parse()?, abandon })
    }
}
