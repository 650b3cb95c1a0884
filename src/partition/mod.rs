//! **Partition**: the replicated unit. One log, one state, the same bytes on every replica.
//!
//! A [`Replica`] joins a consensus member with a [`StateMachine`]. Requests of sessions come in, are proposed as
//! [`command::Command`]s, come back committed, and are executed strictly in log order; the outcome goes to whoever waits.
//! Reads wait for a proof of leadership and run on the state that has executed at least what was committed when they came.
//!
//! Interactive transactions run on private forks of the leader's state and come into the log as one command that is
//! executed again: [`message::Step`], [`message::Commitment`] and `transaction` say how.
//!
//! # Invariants
//! - *Lockstep*: executing an entry depends on the replicated state and the entry alone (rules A1). What differs by node —
//!   wall clock, dice, memory, time-outs — is decided before proposing and fixed in the entry.
//! - Only committed entries are executed, in order, each once; `executed` never runs ahead of `committed` (rules A3).
//! - A request is executed at most once, whatever is retried, re-proposed or committed twice: [`dedup`] (rules A9).
//! - A request that is under way is not proposed a second time by the leader that proposed it: copies do no harm to the state,
//!   but where a round of consensus takes as long as an attempt they fill the log for ever
//!   (`scenarios/regressions/retries_fill_the_log.toml`).
//! - A command of several statements is executed in slices (`slice`), and nothing between two of them is ever seen.
//! - A refused request (`NotLeader`, `Replan`, `Overloaded`, `Stale`) leaves no mark in replicated state.
//! - An entry's timestamp is the maximum of what its leader proposed and the last one executed (rules B5).
//! - A reply is released when what was written is where its tables ask for: [`in_sync`]. Nothing else depends on it.
//! - State is compared: at every `digest_every`-th index the leader announces its digest and a follower that differs
//!   ends its life; restarted, it rebuilds itself from its checkpoint and the log after it.
//! - A state is frozen ([`snapshot`]) at an executed index, whole, and taken for that only if its digest says so. A snapshot of
//!   another replica ([`transfer`]) takes a state's place only when it is durable here.
//!
//! # Caveats
//! - Replacing a state by a snapshot drops the old one at once: a pause in proportion to its rows, on a replica that is behind.
//! - Entries of the deduplication table are dropped as `acked_below` advances, but a session's last one stays for good
//!   until epochs come with multi-partition transactions: 0.2 KB for every session that ever wrote.

pub mod command;
pub mod dedup;
pub mod global;
pub mod in_sync;
pub mod message;
mod parcel;
mod replica;
mod slice;
pub mod snapshot;
mod state_machine;
pub mod tokens;
pub mod transfer;
#[cfg(test)]
mod tests;
mod transaction;
pub mod words;

pub use command::dice;
pub use replica::{
    FollowerFacts, InSyncFacts, Keep, KeepingConfig, Origin, RecoveryFacts, Replica, ReplicaConfig, ReplicaOutput,
    Wanted,
};
pub use state_machine::StateMachine;
pub use transaction::{MAX_TRANSACTION_BYTES, seen, seen_error, shown_with};
pub use transfer::FetchFacts;
