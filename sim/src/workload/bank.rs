//! `bank`: accounts between which money moves. Every transfer notes itself in a ledger in the same transaction, under a
//! unique number, so that exactly-once can be judged from what clients read. Some transactions are implicit; the others
//! read the balances, compute, and write what they have computed between BEGIN and COMMIT, and are tried again after 40001.
//!
//! All rows have `bank = 1` in their key. In `bank` it is the key's first column: all of it lies in one partition, however many
//! there are. In `branch_bank` the account's number comes first: source, target and ledger lie where they fall, and the
//! money that is under way between two partitions may be seen by nobody. In `token_bank`, the same, transfers are made under idempotency
//! tokens: a client that does not know what has become of one asks for the same again, at another node, until it knows. The ledger
//! has no key there that would refuse a transfer the second time.

use super::wire::{Answer, Exchange, integer, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{How, Operation};
use orrery::types::Rng;
use orrery::types::random::below;

/// What each account has at first.
pub const OPENING_BALANCE: i64 = 100;

/// See the module.
pub(super) struct Bank {
    name: &'static str,
    /// Of both tables.
    primary_key: &'static str,
    /// Transfers have idempotency tokens.
    tokens: bool,
}

/// In one partition.
pub(super) const BANK: Bank = Bank { name: "bank", primary_key: "bank, id", tokens: false };
/// In all of them.
pub(super) const BRANCH_BANK: Bank = Bank { name: "branch_bank", primary_key: "id, bank", tokens: false };
/// Likewise.
pub(super) const TOKEN_BANK: Bank = Bank { name: "token_bank", primary_key: "id, bank", tokens: true };

impl Kind for Bank {
    fn name(&self) -> &'static str {
        self.name
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["money-conserved", "exactly-once"]
    }

    fn setup(&self, place: Place) -> Vec<String> {
        let (n, primary_key) = (place.workload, self.primary_key);
        let ledgers_key = if self.tokens { String::new() } else { format!(", PRIMARY KEY ({primary_key})") };
        let accounts: Vec<String> = (0..place.keys).map(|id| format!("(1, {id}, {OPENING_BALANCE})")).collect();
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS accounts_{n} \
                 (bank int8, id int8, balance int8 NOT NULL, PRIMARY KEY ({primary_key}))"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS ledger_{n} (bank int8, id int8, source int8 NOT NULL, \
                 target int8 NOT NULL, amount int8 NOT NULL{ledgers_key})"
            ),
            format!("INSERT INTO accounts_{n} (bank, id, balance) VALUES {}", accounts.join(", ")),
        ]
    }

    fn ready(&self, place: Place) -> String {
        format!("SELECT id FROM accounts_{} WHERE bank = 1 AND id = {}", place.workload, place.keys - 1)
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        match below(rng, 100) {
            0..75 => transfer(rng, place, unique),
            75..90 => Operation::Sum,
            _ => Operation::Balances,
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        let mut last = transfer(rng, place, unique);
        if let Operation::Transfer { how, .. } = &mut last {
            *how = How::Two;
        }
        let mut operations = vec![last];
        if reads {
            operations.extend([Operation::Sum, Operation::Ledger]);
        }
        operations
    }

    fn repeats(&self, operation: Operation) -> bool {
        self.tokens && matches!(operation, Operation::Transfer { .. })
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        match operation {
            Operation::Transfer { id, .. } if self.tokens => {
                Exchange::Simple(format!("SET orrery.idempotency_token = 'transfer {id}'"))
            }
            _ => first_exchange(place, operation, style),
        }
    }

    fn next(&self, place: Place, operation: Operation, answered: u32, answer: &Answer) -> Option<Exchange> {
        if !self.repeats(operation) {
            return next_exchange(place, operation, answered, answer);
        }
        match answered {
            // It is said in words whatever the client's style.
            1 => Some(first_exchange(place, operation, Style::Simple)),
            later => next_exchange(place, operation, later - 1, answer),
        }
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        match operation {
            Operation::Transfer { .. } => Seen::Nothing,
            Operation::Sum => {
                let field = answer.results.last().and_then(|result| result.rows.first()?.first()?.as_ref());
                Seen::Value(field.and_then(|field| integer(field, binary)))
            }
            // Balances have two columns, ledger rows four.
            _ => Seen::Rows(answer.results.iter().flat_map(|result| texts(&result.rows)).collect()),
        }
    }
}

fn first_exchange(place: Place, operation: Operation, style: Style) -> Exchange {
    let n = place.workload;
    let balances = format!("SELECT id, balance FROM accounts_{n} WHERE bank = $1");
    match operation {
        Operation::Transfer { id, from, to, amount, how } => Exchange::Simple(match how {
            How::Block => {
                format!("BEGIN; SELECT id, balance FROM accounts_{n} WHERE bank = 1 AND id IN ({from}, {to})")
            }
            How::One => format!(
                "UPDATE accounts_{n} SET balance = balance + CASE WHEN id = {to} THEN {amount} ELSE -{amount} END \
                 WHERE bank = 1 AND id IN ({from}, {to}); \
                 INSERT INTO ledger_{n} (bank, id, source, target, amount) VALUES (1, {id}, {from}, {to}, {amount})"
            ),
            How::Two => format!(
                "UPDATE accounts_{n} SET balance = balance - {amount} WHERE bank = 1 AND id = {from}; \
                 UPDATE accounts_{n} SET balance = balance + {amount} WHERE bank = 1 AND id = {to}; \
                 INSERT INTO ledger_{n} (bank, id, source, target, amount) VALUES (1, {id}, {from}, {to}, {amount})"
            ),
        }),
        Operation::Sum => style.exchange(
            "sum",
            // Cast, since the sum of int8 is numeric.
            &format!("SELECT sum(balance)::int8 FROM accounts_{n} WHERE bank = $1"),
            &[1],
        ),
        Operation::Balances => Style::Unnamed.exchange("balances", &balances, &[1]),
        // Both in one implicit transaction: the ledger explains exactly these balances.
        Operation::Ledger => Exchange::Simple(format!(
            "SELECT id, balance FROM accounts_{n} WHERE bank = 1; \
             SELECT id, source, target, amount FROM ledger_{n} WHERE bank = 1"
        )),
        other => unreachable!("bank never plans `{other}`"),
    }
}

fn next_exchange(place: Place, operation: Operation, answered: u32, answer: &Answer) -> Option<Exchange> {
    let n = place.workload;
    let Operation::Transfer { id, from, to, amount, how: How::Block } = operation else { return None };
    match answered {
        1 => {
            let rows: Vec<_> = answer.results.iter().flat_map(|result| texts(&result.rows)).collect();
            // What has not been read is not there; then the UPDATE finds nothing either. A broken server may answer
            // anything at all.
            let balance = |account: u32| -> i64 {
                let shown = rows
                    .iter()
                    .find(|row| row.first().and_then(|field| field.as_deref()) == Some(account.to_string().as_str()));
                shown.and_then(|row| row.get(1)?.as_ref()?.parse().ok()).unwrap_or(0)
            };
            let (source, target) = (balance(from) - i64::from(amount), balance(to) + i64::from(amount));
            Some(Exchange::Simple(format!(
                "UPDATE accounts_{n} SET balance = {source} WHERE bank = 1 AND id = {from}; \
                 UPDATE accounts_{n} SET balance = {target} WHERE bank = 1 AND id = {to}; \
                 INSERT INTO ledger_{n} (bank, id, source, target, amount) VALUES (1, {id}, {from}, {to}, {amount})"
            )))
        }
        2 => Some(Exchange::Simple("COMMIT".to_owned())),
        _ => None,
    }
}

fn transfer(rng: &mut Rng, place: Place, unique: u64) -> Operation {
    let keys = u64::from(place.keys);
    let from = below(rng, keys) as u32;
    let to = ((u64::from(from) + 1 + below(rng, keys - 1)) % keys) as u32;
    let amount = 1 + below(rng, 9) as u32;
    let how = match below(rng, 5) {
        0 | 1 => How::Two,
        2 => How::One,
        _ => How::Block,
    };
    Operation::Transfer { id: unique, from, to, amount, how }
}
