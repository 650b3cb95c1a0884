//! **In sync**: who has everything that was acknowledged in sync mode (rules A2; Kafka's in-sync replicas, KIP-497).
//!
//! What is committed is on the disks of a quorum, and is executed, read and voted on then, whatever its tables ask for. A table decides
//! one thing: when the *reply* to who has written it is released. In mode `sync` that is when every member of the partition's *in-sync
//! set* has the entry on disk. The set is replicated state. It is changed by entries of the partition's own log, each of which says which
//! version of the set it follows from, so that of two leaders' changes one is nothing. So "every replica that is alive" is no
//! opinion of a leader but a fact, which can be checked afterwards: whoever is in the newest set has all that was ever acknowledged, and any
//! single member of it is enough to go on from when all others are lost with their disks (`orrery recover --unsafe`).
//!
//! The leader keeps the set (`replica::acknowledge`):
//! - A member **leaves** when it has been silent, or has lacked something that it was to have, for longer than `in_sync_timeout`, and at once when
//!   it has no voice any more. Until the entry that says so is executed, replies wait for it.
//! - A follower **joins** when it keeps up. Replies wait for it from then on; it is proposed as a member when it has everything that was
//!   released before. So when the entry takes effect, it has all that was ever acknowledged.
//! - The set exists where it is needed: as long as no table asks for `sync` it is left as it is, and a partition that never had
//!   such a table has none (version 0, in which nothing is released).
//!
//! `REPLICATION = n` is the other thing that a table may ask for: so many backups have the entry on disk. It knows of no set: as long as fewer
//! than n backups are there, nothing is acknowledged.
//!
//! # What is held
//! - What a command asks for follows from the trees that it has written (the undo journal), by the catalog in force at its place: the strictest
//!   of its tables. It is noted beside its outcome ([`dedup`](super::dedup)), so that a retry at another leader waits as the first reply
//!   did. Errors and reads wait for nothing: a read may show what has not been acknowledged yet.
//! - A reply that is held belongs to its leader. When leadership is lost it is answered as lost, the session asks again, and the
//!   next leader holds it again. A statement whose time is over meanwhile ends with 40003: it is executed, and stays so.
//! - Replies that are held count as pending: beyond `max_pending` writes are refused, never reads and definitions. A session that goes on
//!   lets go of its own, and nobody is made to wait for what no table asks for any more. (Once they were held for ever, and everything was
//!   refused.) What clients leave behind that are gone waits until leadership moves.
//! - A command over several partitions is voted on as always; to hold votes would make others wait who ask for nothing. Each participant
//!   holds its own answer, and the session needs them all. What it must find on the disks then is the *decision*, not only the
//!   command: whoever survives alone might come to another one, if another participant's log was lost. So the decision on such a
//!   command is logged at once, and *every* reply waits for the decisions on all such commands before it: it rests on what they came to.
//!   Definitions, and the cluster partition, are semi-sync.
//! - What is asked for under an idempotency token and comes to nothing, since it was executed before, waits at each of its partitions for what the
//!   strictest table asks for.
//!
//! # Invariants
//! - When a reply to a write in mode `sync` is released, every member of the newest set has its entry on disk: of the released set
//!   by the leader's book; of a newer one, because who has joined had all that was released before, and who leads anew releases nothing before
//!   it has executed an entry of its own era (and with it every change of the set that an earlier leader could have made).
//! - A leader releases nothing that it does not have on disk itself.
//! - What a member holds counts from its own acknowledgement, never while it recovers (its memory is lost or new).
//!
//! # Caveats
//! - A block that is told in its first statement that its token was used before has been told so by the token's home alone.
//! - When a member dies, replies wait for up to `in_sync_timeout`, once. A quorum is always needed besides: with a majority gone nothing is
//!   committed, and the set cannot shrink either.
//! - A member that loses its disk stays in the set until it is found to lack something; it is one of those whose loss the others make up for.
//! - What is read may be what was not acknowledged, and may be lost with all others' disks.

use crate::sometimes;
use crate::types::NodeId;
use serde::{Deserialize, Serialize};

/// The in-sync set of a partition, as its log says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InSync {
    /// Raised by each change; 0: nobody has said yet.
    pub version: u64,
    /// Ascending.
    pub members: Vec<NodeId>,
}

impl InSync {
    /// Takes a change, if it follows from this version.
    pub(super) fn change(&mut self, expected: u64, members: Vec<NodeId>) {
        if expected != self.version {
            sometimes!("partition.in_sync_change_overtaken");
            return;
        }
        *self = Self { version: expected.saturating_add(1), members };
    }
}
