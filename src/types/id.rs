//! Identifiers. Each is a type of its own, so that a log index cannot be handed over as a partition.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

identifier!(
    /// A machine of the cluster, chosen by the operator; unique for ever.
    NodeId(u32), "n"
);
identifier!(
    /// A worker of a node: one thread in production. Dense from 0.
    WorkerId(u16), "w"
);
identifier!(
    /// A partition group. [`PartitionId::CLUSTER`] carries the catalog and membership, the rest carry rows.
    PartitionId(u32), "p"
);
identifier!(
    /// Position in a group's replicated log; the first entry has index 1, 0 means "before the log".
    LogIndex(u64), "@"
);
identifier!(
    /// Leader era of a group: Raft's term, the round of a Paxos ballot.
    Era(u64), "e"
);
identifier!(
    /// One life of a worker; 0 means "not known". Never used twice: the upper 40 bits are drawn with the worker's log, the lower 24
    /// count its lives on it.
    Incarnation(u64), "i"
);

impl Incarnation {
    /// Bits that count.
    const COUNT: u32 = 24;

    /// Before the first life on a log with that identity.
    #[must_use]
    pub const fn before_first(log: u64) -> Self {
        // Positive as a signed number, too.
        Self(log >> (Self::COUNT + 1) << Self::COUNT)
    }

    /// Which life on its log.
    #[must_use]
    pub const fn life(self) -> u64 {
        self.0 & ((1 << Self::COUNT) - 1)
    }

    /// Is it certainly earlier than the other, being on the same log? Of two logs nobody can tell.
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        self.0 >> Self::COUNT == other.0 >> Self::COUNT && self.0 < other.0
    }
}

identifier!(
    /// A client connection of one worker's life.
    ConnectionId(u64), "c"
);
identifier!(
    /// Version of the replicated catalog; raised by each committed DDL.
    CatalogVersion(u64), "v"
);
identifier!(
    /// A table, by a number that is never reused.
    TableId(u32), "t"
);
identifier!(
    /// A key-ordered tree of a partition's store: a table's rows or one index. Never reused.
    TreeId(u32), "tree"
);
identifier!(
    /// Number of a request within its session; the first is 1.
    Sequence(u64), "#"
);

identifier!(
    /// Place of a multi-partition command in the one order that the cluster partition gives them; 0 means "none".
    GlobalNumber(u64), "g"
);

impl GlobalNumber {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl PartitionId {
    /// The cluster partition: catalog, membership, gateways.
    pub const CLUSTER: Self = Self(0);
}

impl LogIndex {
    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The index before this one; 0 stays 0.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Sequence {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A client session, unique over the whole life of the cluster (RIFL: the gateway's number is assigned by the cluster
/// partition's log at each start of a gateway, so a restarted gateway never repeats a session).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// Number given to this life of the gateway by the cluster partition.
    pub gateway: u64,
    /// Counter of the gateway.
    pub counter: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}.{}", self.gateway, self.counter)
    }
}

/// Identity of a request: a retry carries the same one and is executed once (rules A9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Whose.
    pub session: SessionId,
    /// Which.
    pub sequence: Sequence,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.session, self.sequence)
    }
}
