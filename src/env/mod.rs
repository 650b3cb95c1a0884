//! **The seam**: the five traits through which a worker reaches the world, and the events by which the world reaches it.
//!
//! A worker is a function of the events it is given. It calls the environment synchronously; nothing here blocks,
//! completions and arrivals come back as [`Event`]s. [`crate::node::Worker`] is the only caller: `take` for each event, and
//! `turn_over` when all that were ready have been taken (`handle` is both). The machines below it return values and never
//! see an environment.
//!
//! There are two implementations: `env::tokio` (sockets, timers, a file thread) and the simulator's virtual world.
//! Behaviour differs by which one was built, never by a `cfg`.
//!
//! # Invariants
//! - The environment gives one event at a time and never from inside a call that the worker makes.
//! - `Clock::now` does not move during one call of the worker.
//! - Every event is followed by the end of a turn, at once or after a bounded number of others.
//! - After the worker has returned `Control::Stop`, or after a crash, no call and no event follows for that worker.
//! - Everything submitted during one `handle` may be carried out in any order relative to other kinds (a message may
//!   leave before a disk operation starts); only [`Disk`] orders its own operations. Whoever needs "persist, then
//!   send" sends when the completion has come back.

pub mod buggify;
mod clock;
mod disk;
mod entropy;
mod network;
pub mod probe;
pub mod tokio;

pub use buggify::Buggify;
pub use clock::Clock;
pub use disk::{Disk, DiskError, DiskOp, DiskOutput, DiskResult, OpId};
pub use entropy::Entropy;
pub use network::{Endpoint, Network, Port};

use crate::types::{ConnectionId, Duration, NodeId};
use bytes::Bytes;

/// All of it. A trait object on purpose: the choice is made once at start, a virtual call beside a system call costs
/// nothing, and no type parameter spreads through the workers.
pub trait Env: Network + Clock + Disk + Entropy + Buggify {}

impl<T: Network + Clock + Disk + Entropy + Buggify> Env for T {}

/// What the world tells a worker.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first event of a life. The worker begins its recovery.
    Start,
    /// A message of a peer (or of another worker of this node) has arrived, whole and with a good checksum.
    Message {
        /// The port it was sent to.
        to: Port,
        /// What was sent.
        payload: Bytes,
    },
    /// Something happened on a client connection.
    Client {
        /// Which.
        connection: ConnectionId,
        /// What.
        event: ClientEvent,
    },
    /// An instant asked for by [`Clock::wake_at`] has come. May be late, may be spurious.
    Wake,
    /// The worker has not listened for about this long: an event took it so long, or the process was stopped. Comes before
    /// everything that has waited meanwhile, and what has waited comes before a [`Event::Wake`]: time in which nobody
    /// listened is not silence.
    Paused {
        /// How long, at least.
        length: Duration,
    },
    /// A peer's machine refuses connections to where the peer has listened: its process has ended. A hint: it may not come,
    /// come late, or be wrong.
    PeerGone {
        /// Which.
        node: NodeId,
    },
    /// A disk operation has ended.
    Disk {
        /// The operation, as returned by [`Disk::submit`].
        op: OpId,
        /// How it ended.
        result: DiskResult,
    },
    /// The operator asks for a clean stop: finish what is durable-in-progress, then return [`Control::Stop`].
    Shutdown,
}

/// What happened on a client connection.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// A client has connected. `local` tells that it came over loopback.
    Opened {
        /// Over loopback?
        local: bool,
    },
    /// Bytes from the client, in order, cut anywhere.
    Bytes(Bytes),
    /// The client is gone, or the environment closed the connection. Nothing follows.
    Closed,
}

/// What a worker answers to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// The worker's life ends here; the environment ends the process (production) or the node (simulation).
    Stop(StopReason),
}

/// Why a worker ends its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Asked to.
    Shutdown,
    /// The disk failed in a way that leaves unknown what it holds (a failed sync): only a restart can tell.
    Disk(String),
    /// A replica's state differs from its leader's at the same log position (rules A1): it must not serve or vote on.
    Diverged(String),
    /// The data directory cannot be used by this node: what, and what the operator can do.
    Unusable(String),
}
