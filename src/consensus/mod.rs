//! **Consensus**: one seam, several protocols. A group agrees on one log of opaque payloads.
//!
//! A protocol is a pure machine behind [`Consensus`]. The driver (`partition::Replica`, driven by a worker) feeds it
//! messages, proposals, time and "this is on disk now", and after each such call takes what it wants done from
//! [`Consensus::ready`]. The contract of the hand-over is written on the fields of [`Ready`].
//!
//! Nothing above this seam knows of a term of an entry or of truncation; nothing above may assume that proposals are
//! chosen in the order proposed, or that a lost one stays lost (rules C): every payload is idempotent by an identity of
//! its own.
//!
//! - Raft (default): [`raft`].
//! - Multi-Paxos: its place is a folder beside it and one arm of [`build`].
//!
//! # Checkpoints and snapshots
//! The log would grow for ever; so its driver saves the state from time to time, and the entries that made it can go. Their
//! place is taken by a [`Floor`]: the position up to which the state stands for the log.
//!
//! - The driver saves its state durably (a checkpoint) and then permits forgetting: [`Consensus::compact`].
//! - A member that needs what nobody's log holds any more asks its driver for a whole state: [`Ready::fetch`]. The driver
//!   pulls one from the named member's driver, saves it, and reports it: [`Consensus::installed`].
//! - At the beginning of a life the driver reports what it has loaded: [`Recovered::state`]. A member whose log begins
//!   after what its state covers **lacks state** ([`Status::lacks_state`]): its checkpoint is lost or damaged. It votes with
//!   its true last position and acknowledges what its log really holds, so that nothing acknowledged is outvoted; but it does
//!   not campaign, and hands out nothing to execute, until a snapshot is installed.
//!
//! # Membership
//! Who belongs to a group is a value in its log ([`Membership`], [`Payload::Configuration`]), in force at a member from the moment at
//! which it is appended there. [`Consensus::change`] asks for another one. The state that executing the log makes includes
//! it, as bytes: a driver hands them back with the state ([`Recovered::membership`], [`Consensus::installed`]), for the entries that
//! said so may be gone.

pub mod detection;
mod membership;
pub mod raft;

pub use membership::{Change, FollowerStatus, MAX_MEMBERS, Membership, Refused};

/// What is persisted, in the log's own words.
pub use crate::wal::{Damage, Floor, Record};

use crate::types::{Era, Instant, LogIndex, NodeId, Rng};
use crate::wal::RecoveredGroup;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which protocol a group runs; chosen when the cluster is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// [`raft::Raft`].
    #[default]
    Raft,
}

/// Builds this member of a group from what recovery found.
///
/// # Errors
/// [`Unreadable`] if the recovered records or the hard state make no sense to the protocol: the member must stay out of
/// its group (rules A12 iii).
pub fn build(protocol: Protocol, config: Config, recovered: Recovered) -> Result<Box<dyn Consensus>, Unreadable> {
    match protocol {
        Protocol::Raft => Ok(Box::new(raft::Raft::new(config, recovered)?)),
    }
}

/// What a member's message says, in words for people who read a trace; `None` if it is no protocol's.
#[must_use]
pub fn describe(protocol: Protocol, message: &[u8]) -> Option<String> {
    match protocol {
        Protocol::Raft => raft::describe(message),
    }
}

/// What a record of a member's log holds; `None` if it is no protocol's.
#[must_use]
pub fn payload(protocol: Protocol, record: &Record) -> Option<Payload> {
    match protocol {
        Protocol::Raft => raft::offline::payload(record),
    }
}

/// What a member's hard state says, in words; `None` if it is no protocol's.
#[must_use]
pub fn hard_state_words(protocol: Protocol, hard_state: &[u8]) -> Option<String> {
    match protocol {
        Protocol::Raft => raft::offline::words(hard_state),
    }
}

/// Does the member with this hard state know what it has promised?
#[must_use]
pub fn remembers(protocol: Protocol, hard_state: &[u8]) -> bool {
    match protocol {
        Protocol::Raft => raft::offline::remembers(hard_state),
    }
}

/// For a group whose majority is lost for good: the record and the hard state that make `node`, of which this was found on disk,
/// its only member. `known`: the membership that its state names.
///
/// Nothing makes this safe: what the others had acknowledged and this one does not hold is lost.
///
/// # Errors
/// [`Unreadable`] when the member makes no sense.
pub fn alone(
    protocol: Protocol,
    node: NodeId,
    group: &RecoveredGroup,
    state: Option<Floor>,
    known: Option<&Membership>,
) -> Result<Alone, Unreadable> {
    match protocol {
        Protocol::Raft => raft::offline::alone(node, group, state, known),
    }
}

/// What makes a member the only one of its group: see [`alone`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alone {
    /// All of the log is void, and it begins after this.
    pub begins: Option<Floor>,
    /// To be appended.
    pub record: Record,
    /// Goes with it.
    pub hard_state: Bytes,
}

/// What a member finds of its earlier lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records in the order in which they were appended, superseded ones included.
    pub records: Vec<Record>,
    /// Last durable hard state.
    pub hard_state: Option<Bytes>,
    /// Records are lost, of known indices (rules A12 ii): the member keeps its true last position for voting comparisons and
    /// may vote, but neither campaigns nor acknowledges or truncates beyond the hole until the leader has refilled it.
    pub damaged: Option<Damage>,
    /// Up to here a checkpoint has stood for the records, which may be gone.
    pub floor: Option<Floor>,
    /// Up to here the state that was loaded reaches; `None`: it is empty. Set by the driver.
    pub state: Option<Floor>,
    /// The membership that the loaded state names ([`Membership::encode`]); `None`: up to there none was executed. Set by the driver.
    pub membership: Option<Bytes>,
    /// Without a hard state: something was lost here, so that this cannot be the first life. Set by the driver.
    pub amnesia: bool,
}

impl From<RecoveredGroup> for Recovered {
    fn from(group: RecoveredGroup) -> Self {
        let RecoveredGroup { records, hard_state, damaged, floor } = group;
        Self { records, hard_state, damaged, floor, state: None, membership: None, amnesia: false }
    }
}

/// Why a member cannot be built from what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The hard state does not decode: term and vote are unknown.
    #[error("the hard state of the group does not decode")]
    HardState,
    /// The record at this index does not decode.
    #[error("the log record {0} of the group does not decode")]
    Record(LogIndex),
    /// Records are missing before this one, and recovery did not report a hole.
    #[error("log records of the group are missing before {0}")]
    Gap(LogIndex),
}

/// A member's consensus protocol for one group.
pub trait Consensus: Send {
    /// Takes a message of a peer. Malformed bytes are ignored and counted as a probe: never a panic.
    fn step(&mut self, now: Instant, from: NodeId, message: &[u8]);

    /// Proposes a payload. Accepted means: it may be chosen, or not; nothing more is ever said about this proposal than
    /// that its payload comes out in [`Ready::committed`].
    ///
    /// # Errors
    /// [`NotLeader`] if this member cannot propose: the payload was not and will not be proposed by this call.
    fn propose(&mut self, now: Instant, payload: Bytes) -> Result<(), NotLeader>;

    /// If this member leads, begins to hand leadership over: to `to`, or with `None` to whoever suits best. It proposes nothing
    /// ([`NotLeader`]) until that is done or given up after an election time-out. Returns to whom; `None` if there is nobody
    /// to take it over, or if that is under way.
    fn transfer(&mut self, now: Instant, to: Option<NodeId>) -> Option<NodeId>;

    /// Asks for another membership, as this member leads. Accepted means: it is proposed, and in force here from now on; a change
    /// of voters is completed by itself, by whoever leads. It may still be lost with the leadership: whether it has come about
    /// is seen in [`Consensus::membership`] when [`Status::settled`].
    ///
    /// # Errors
    /// [`Refused`]: nothing was proposed.
    fn change(&mut self, now: Instant, change: Change) -> Result<(), Refused>;

    /// Who belongs to the group, as far as this member knows: the latest membership in its log, chosen or not.
    fn membership(&self) -> &Membership;

    /// The followers as this leader sees them; empty unless it leads.
    fn followers(&self) -> Vec<FollowerStatus>;

    /// This member is to lead the group, if it can (`None`: it does not matter who). Others give it time to stand for election first; nobody
    /// is refused a vote for it.
    fn prefer(&mut self, _leader: Option<NodeId>) {}

    /// Asks for proof that this member leads at some instant after this call; the answer is a [`ReadState`] carrying
    /// `token`, with the `committed` of the call's arrival. If leadership is lost the token is dropped: see
    /// [`Ready::reads_dropped`].
    ///
    /// # Errors
    /// [`NotLeader`] if this member does not lead.
    fn read_barrier(&mut self, now: Instant, token: u64) -> Result<(), NotLeader>;

    /// When [`Consensus::handle_timeout`] wants to be called. Ask again after every other call.
    #[must_use]
    fn next_timeout(&self) -> Instant;

    /// Time has reached [`Consensus::next_timeout`]. Calling early or late is harmless.
    fn handle_timeout(&mut self, now: Instant);

    /// Nobody has listened for about this long, up to `now`: what this member did not hear in that time is not silence, and
    /// its patience goes on where it was interrupted. Call before it is given anything that has waited meanwhile.
    fn paused(&mut self, now: Instant, length: Duration);

    /// The machine of `peer` says that nobody listens there any more: its process has ended. A hint, which may be wrong, and is
    /// void as soon as the peer is heard again.
    fn peer_gone(&mut self, now: Instant, peer: NodeId);

    /// How suspicious its leader's silence is now, in thousandths ([`detection::SUSPECTED`]); `None` without one, and of a leader.
    fn suspicion(&self, _now: Instant) -> Option<u32> {
        None
    }

    /// What is to be done. Call after every other call until it returns `None`.
    #[must_use]
    fn ready(&mut self) -> Option<Ready>;

    /// Everything handed out with [`Ready::number`] ≤ `number` is durable.
    fn persisted(&mut self, now: Instant, number: u64);

    /// The caller has a durable checkpoint of the state at `through` or later, so that the entries up to there may be
    /// forgotten. Forgets only what was handed out for execution and is durable in the log; calling again is harmless.
    fn compact(&mut self, through: LogIndex);

    /// The caller holds, durably, the state that executing the log up to `floor` makes: a snapshot of another member,
    /// published as a checkpoint here; `membership` is what that state names. `true`: from now on this member goes on from there (the caller puts that state in the
    /// place of its own, and [`Ready::committed`] goes on behind it). `false`: it is no news, the state executed here reaches
    /// as far, and nothing has changed.
    fn installed(&mut self, now: Instant, floor: Floor, membership: Option<&Bytes>) -> bool;

    /// Where this member stands.
    fn status(&self) -> Status;

    /// Whom this replica waits for before it can be a member.
    fn awaited(&self) -> Vec<NodeId>;

    /// The full position of an index, as a checkpoint is labelled with: of any entry held here, and of the floor that the log
    /// begins after.
    fn position(&self, index: LogIndex) -> Option<Floor>;

    /// This member has its log on disk up to here.
    fn durable(&self) -> LogIndex {
        self.status().last
    }

    /// Bytes of the entries behind this index; `None`: not all of them are held here.
    fn bytes_behind(&self, _index: LogIndex) -> Option<u64> {
        None
    }

    /// A look at the log for the simulator's checkers: the era and a digest of the payload at `index`. `None` for what is
    /// not held, compacted entries among it.
    fn inspect(&self, index: LogIndex) -> Option<(Era, u64)>;
}

/// What a protocol wants done, and in which order: **persist → send → apply**.
#[derive(Debug, Default)]
pub struct Ready {
    /// Number of this hand-over, rising. Given back to [`Consensus::persisted`] when all of `records`, `hard_state`
    /// and `reset` are durable. Numbers without anything to persist are reported too (at once, in order).
    pub number: u64,
    /// The log that the WAL holds of this group is void and begins anew after this floor: to be written before `records` and
    /// with `hard_state`. A durable checkpoint covers the floor.
    pub reset: Option<Floor>,
    /// To be appended to the WAL, in this order, after everything of earlier numbers. What a record replaces is the
    /// protocol's to know: Raft's append at an index implies that everything from that index on is void; a Paxos accept
    /// replaces one slot.
    pub records: Vec<Record>,
    /// Replaces the group's hard state (Raft: term and vote), durable before or together with `records`, never after.
    pub hard_state: Option<Bytes>,
    /// Whether anything waits for a sync of this hand-over. `false` allows a lazy write; the protocols here always set
    /// it when there is something to persist.
    pub must_sync: bool,
    /// May leave at once, even before anything above is durable.
    pub messages_now: Vec<Outbound>,
    /// May leave only when this number is durable: they promise it (votes, acknowledgements).
    pub messages_after_persist: Vec<Outbound>,
    /// Chosen entries to execute, contiguous from where the last hand-over ended, each handed out exactly once per life.
    /// They are durable on a quorum, not necessarily here. They come by themselves, after everything that was to be
    /// persisted or sent: executing them may take long, and the others are to hear before it that they may begin, too.
    pub committed: Vec<Committed>,
    /// Reads whose leadership is proved.
    pub read_states: Vec<ReadState>,
    /// Tokens whose proof can no longer come.
    pub reads_dropped: Vec<u64>,
    /// What this member lacks is in no log that it can reach: a snapshot is wanted. Said again from time to time while it is
    /// so; the driver ignores it while it is about it.
    pub fetch: Option<Fetch>,
    /// The role has changed to this.
    pub role: Option<Role>,
    /// The membership in force has changed to this: by an entry appended here, by one cut off, or by a snapshot.
    pub membership: Option<Membership>,
}

/// A snapshot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Who has one, or may have one: the leader, or without a leader one member after another.
    pub from: NodeId,
    /// A snapshot at an earlier index than this is of no use.
    pub at_least: LogIndex,
}

/// A message to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// To whom.
    pub to: NodeId,
    /// The protocol's own, versioned bytes.
    pub message: Bytes,
}

/// A chosen entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where. Gap-free.
    pub index: LogIndex,
    /// What.
    pub payload: Payload,
}

/// Content of a chosen entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// The protocol's own no-op.
    Empty,
    /// What was proposed.
    Command(Bytes),
    /// A [`Membership`], encoded. It is in force already.
    Configuration(Bytes),
}

/// A proved read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// As given to [`Consensus::read_barrier`].
    pub token: u64,
    /// The read may run on any state that has executed this index.
    pub index: LogIndex,
}

/// This member does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the leader")]
pub struct NotLeader {
    /// Who does, as far as it knows.
    pub leader: Option<NodeId>,
}

/// Role of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Follows, or waits for somebody to follow.
    Follower,
    /// Asks for votes (or whether it would get them).
    Candidate,
    /// Proposes.
    Leader,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its role.
    pub role: Role,
    /// Its era.
    pub era: Era,
    /// Whom it believes to lead.
    pub leader: Option<NodeId>,
    /// Last position of its log.
    pub last: LogIndex,
    /// Known to be chosen.
    pub committed: LogIndex,
    /// The log held here begins after this; a checkpoint stands for the rest.
    pub floor: Floor,
    /// The state up to `floor` is missing: nothing is executed and the member does not campaign.
    pub lacks_state: bool,
    /// Whether it has a voice, durably.
    pub standing: Standing,
    /// To whom it is handing leadership over.
    pub successor: Option<NodeId>,
    /// [`Membership::id`] of the membership in force here.
    pub configuration: u64,
    /// A change of voters is half done.
    pub joint: bool,
    /// The membership in force is known to be chosen, and not joint: nothing is under way. Who leads says so only when an entry of its
    /// era is chosen: what others hold beyond its log never will be.
    pub settled: bool,
    /// This member has a voice in it.
    pub voter: bool,
}

/// How far a replica is a member of its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It has a voice.
    #[default]
    Member,
    /// The group has not been formed yet, as far as it knows: all members must be there once.
    Forming,
    /// It has lost what it had promised, or never was a member, and asks the others what it must know before it may promise.
    Recovering,
    /// It knows of no group, and waits for a leader that has it among its members.
    Outside,
}

/// What a protocol needs to be built.
pub struct Config {
    /// This member.
    pub node: NodeId,
    /// All voters of the group as it is formed, this member among them. Used as long as neither log nor state nor hard state knows
    /// a membership. Empty: this node is no member yet, and waits for a leader that teaches it.
    pub voters: Vec<NodeId>,
    /// Number of the group: who stands for election first goes by it.
    pub group: u64,
    /// How a failed leader is found out.
    pub detection: detection::Detection,
    /// Leader's heartbeat interval.
    pub heartbeat: Duration,
    /// Shortest patience with a silent leader.
    pub election_timeout: Duration,
    /// Followers promise to elect nobody else for so long after each heartbeat, and the leader reads without asking them
    /// meanwhile; 0: each read is proved by a round.
    pub lease: Duration,
    /// Most entries in one append message.
    pub max_batch_entries: usize,
    /// Most payload bytes in one append message (one entry is always allowed).
    pub max_batch_bytes: usize,
    /// Most append messages in flight to one follower.
    pub max_inflight: usize,
    /// Dice for time-outs.
    pub rng: Rng,
}
