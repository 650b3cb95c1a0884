//! **Session**: a client's connection as a machine, from bytes to bytes.
//!
//! [`Gateway`] is all sessions of one worker. It is given what clients send, what partitions answer, and time; it returns
//! bytes for clients and requests for partitions. It speaks PostgreSQL's protocol 3 (`codec`, `writer`: the crate
//! `pgwire` as a synchronous codec), answers what is its own business (`settings`, `connection::utility`), and turns the
//! rest into requests that are retried until their outcome is known or the statement's time is over (`call`). What touches
//! several partitions is ordered by the cluster partition and collected from each (`connection::order`). Statements
//! that read the schema `system` ask all nodes what they see instead (`survey`, `system`, `connection::observe`).
//!
//! # What a client is promised
//! - A write is executed at most once, however often the gateway had to ask (rules A9).
//! - An error other than 40003 means that the statement has changed nothing and never will; 40003 means that this is
//!   not known, and says so rather than guess.
//! - A definition that was acknowledged is in force on every partition; an error about what exists was checked against
//!   the cluster's catalog after the statement came (rules B4).
//! - Statements of one query text are one transaction, and so is what the extended protocol executes before a Sync; definitions
//!   are transactions of their own (`connection::implicit`).
//!
//! # Invariants
//! - Messages of a connection are dealt with strictly in order, one at a time, however they are pipelined or cut.
//! - A session has one statement under way; sequence numbers of logged requests only rise, attempt numbers never repeat.
//! - A connection holds bounded memory: a message is at most 64 MiB, and little more may wait behind a statement.
//! - No bytes of a client make the gateway panic.
//!
//! # Caveats
//! - An earlier attempt can answer while a catalog read is out for a later one: whatever ends a statement
//!   dismisses every call that is out for it (the simulator found one left behind).
//! - Transaction blocks are without definitions (`connection::block`).
//! - What a block reads of system tables is of that moment, and is not compared at COMMIT.
//! - The rows of a portal with a row limit are all fetched when it is first executed.
//! - A cancel request must reach the worker that has the session.
//! - Authentication and TLS have their place in `connection::startup`.

mod call;
mod codec;
mod connection;
mod gateway;
mod sequences;
mod settings;
mod shared;
mod survey;
mod system;
mod values;
mod writer;

#[cfg(test)]
mod tests;

pub use gateway::{Gateway, GatewayConfig, GatewayOutput, GatewayStats};
