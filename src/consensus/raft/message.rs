//! What members say to each other, and what they write down: versioned postcard enums.
//!
//! Entries travel and rest in one encoding ([`Entry::encoded`]), made once when a payload is proposed; the payload is a
//! view into it. Replicas therefore hold the same bytes, and neither the WAL record nor the chosen payload is a copy.

use super::configuration::Configured;
use super::raft_log::Entry;
use crate::consensus::{Damage, Floor, Membership, Payload};
use crate::types::{Duration, Era, Instant, LogIndex, NodeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// On the wire. A new version is a new variant.
#[derive(Serialize, Deserialize)]
enum Versioned {
    /// Had no memory of its sender; nobody says it any more, and nobody would know whether to believe it.
    V1,
    /// Had no membership in its answers.
    V2,
    /// Had no clocks in its heartbeats.
    V3,
    V4(Message),
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// Era of the sender.
    pub(super) era: Era,
    /// Which memory of the sender says it: see [`super::recovery`].
    pub(super) memory: Memory,
    /// The sender has no voice: what it acknowledges counts for nothing yet.
    pub(super) recovering: bool,
    pub(super) body: Body,
}

/// Identity of what a member remembers. A member whose disk is lost comes back with another one, of a higher generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Memory {
    /// 0: from before there were any.
    pub(super) generation: u64,
    /// Tells lives that do not know of each other apart.
    pub(super) nonce: u32,
}

/// Latest memory known of each member; absent ones are of generation 0.
pub(super) type Memories = BTreeMap<NodeId, Memory>;

/// How far somebody is a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Remembers what it has promised, and so may promise.
    #[default]
    Member,
    /// Has forgotten, and takes part in nothing before it knows again.
    Recovering,
    /// Knows of nothing: a first start, or a wiped disk. Never written down.
    Blank,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    /// "Would you vote for me in `next`?" Nobody's era moves.
    PreVote { next: Era, last: LogIndex, last_era: Era },
    /// Answer to [`Body::PreVote`]; binds nobody.
    PreVoteReply { next: Era, granted: bool },
    /// "Vote for me in this era." Sent when the sender's own vote is durable.
    Vote { last: LogIndex, last_era: Era },
    /// Answer to [`Body::Vote`]. A grant is sent when it is durable. `memories`: as known to the voter, the candidate's that it
    /// answers among them.
    VoteReply { granted: bool, memories: Memories },
    /// Entries to follow (`previous`, `previous_era`). Empty: only asks whether that position matches.
    Append { previous: LogIndex, previous_era: Era, entries: Vec<WireEntry>, committed: LogIndex },
    /// The log matches the leader's up to here, durably.
    AppendMatched { matched: LogIndex },
    /// The position `previous` does not match. The leader's own last entry at or before `hint` whose era is at most
    /// `hint_era` is the last that can.
    AppendRejected { previous: LogIndex, hint: LogIndex, hint_era: Era },
    /// "I lead": `committed` is clamped to what the receiver is known to hold, `round` counts the reads' proofs. `sent`: on the
    /// sender's clock; `lease`: so long nobody else is to be elected (see [`super::lease`]).
    Heartbeat { committed: LogIndex, round: u64, sent: Instant, lease: Duration },
    /// Answer to [`Body::Heartbeat`], with its `round` and `sent`. `last` shows a leader that a disk has lost what it had acknowledged.
    /// `clock`: the sender's own; `promise`: what it grants of the lease, from then on.
    HeartbeatReply { round: u64, last: LogIndex, sent: Instant, clock: Instant, promise: Duration },
    /// A heartbeat that wants no answer: more has been chosen, and no append is due that would tell so.
    Chosen { committed: LogIndex },
    /// "Your era is over": the sender's is in the message.
    Outdated,
    /// "What you need is before my log begins, after `floor`." Either the receiver's log meets the sender's there, or it needs
    /// the whole state.
    Behind { floor: Floor },
    /// "This memory of mine is empty. Where do you stand?"
    Ask,
    /// Answer to the [`Body::Ask`] of that memory. `last`: of the sender's log; `leads`: it leads its era; `membership`: in force there.
    Answer { asker: Memory, phase: Phase, last: LogIndex, leads: bool, memories: Memories, membership: Membership },
    /// "I know of a later memory of yours than the one that speaks, of this generation."
    Forgotten { generation: u64 },
    /// "Campaign now, and lead in my place": see [`super::transfer`].
    TimeoutNow,
    /// [`Body::Vote`] of a candidate that its leader has asked to be one.
    VoteNow { last: LogIndex, last_era: Era },
}

/// An entry on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireEntry {
    pub(super) era: Era,
    /// [`Entry::encoded`].
    pub(super) bytes: Bytes,
}

impl Message {
    pub(super) fn encode(self) -> Bytes {
        let size = match &self.body {
            Body::Append { entries, .. } => entries.iter().map(|entry| entry.bytes.len() + 16).sum::<usize>() + 64,
            _ => 64,
        };
        postcard::to_extend(&Versioned::V4(self), Vec::with_capacity(size))
            .expect("plain data of known length always encodes into memory")
            .into()
    }

    /// `None` for what no version of us can have sent; nothing may follow the message either.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((Versioned::V4(message), [])) => Some(message),
            _ => None,
        }
    }
}

/// An entry as written and sent.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    V1(#[serde(borrow)] StoredPayload<'a>),
}

/// [`Payload`], borrowed, so that decoding can tell where in the bytes the payload lies.
#[derive(Serialize, Deserialize)]
enum StoredPayload<'a> {
    Empty,
    Command(&'a [u8]),
    Configuration(&'a [u8]),
}

/// Encodes a payload into an entry; the one place where a payload is copied.
pub(super) fn encode_entry(era: Era, payload: &Payload) -> Entry {
    let (stored, size) = match payload {
        Payload::Empty => (StoredPayload::Empty, 0),
        Payload::Command(bytes) => (StoredPayload::Command(bytes), bytes.len()),
        Payload::Configuration(bytes) => (StoredPayload::Configuration(bytes), bytes.len()),
    };
    let encoded = postcard::to_extend(&Stored::V1(stored), Vec::with_capacity(size + 16))
        .expect("plain data of known length always encodes into memory");
    decode_entry(era, encoded.into()).expect("what was just encoded decodes")
}

/// Views bytes as an entry. `None` if they are none.
pub(super) fn decode_entry(era: Era, encoded: Bytes) -> Option<Entry> {
    let payload = match postcard::take_from_bytes(&encoded) {
        Ok((Stored::V1(stored), [])) => match stored {
            StoredPayload::Empty => Payload::Empty,
            StoredPayload::Command(bytes) => Payload::Command(encoded.slice_ref(bytes)),
            // A membership that is not understood cannot be obeyed, and obeying it is what appending it means.
            StoredPayload::Configuration(bytes) if Membership::decode(bytes).is_none() => return None,
            StoredPayload::Configuration(bytes) => Payload::Configuration(encoded.slice_ref(bytes)),
        },
        _ => return None,
    };
    Some(Entry { era, payload, encoded })
}

/// What a member must never forget: the promise of its vote, the hole in its log if it has one, and which memories are void.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HardState {
    /// Highest era that this member knows of.
    pub(super) era: Era,
    /// Whom it has voted for in that era.
    pub(super) vote: Option<NodeId>,
    /// Set while records that this member once held (and may have acknowledged) are missing: see
    /// [`super::raft_log`]. Kept here too, so that a second crash in the middle of the refilling does not forget it.
    pub(super) hole: Option<Hole>,
    /// Its own memory.
    pub(super) memory: Memory,
    pub(super) phase: Phase,
    /// The others' latest memories: what earlier ones said counts no more.
    pub(super) memories: Memories,
    /// The latest membership known to be chosen; `None`: none is known.
    pub(super) configuration: Option<Configured>,
    /// No promise to elect nobody was longer.
    pub(super) lease: Duration,
}

/// Version 3: before leases.
#[derive(Serialize, Deserialize)]
struct HardStateV3 {
    era: Era,
    vote: Option<NodeId>,
    hole: Option<Hole>,
    memory: Memory,
    phase: Phase,
    memories: Memories,
    configuration: Option<Configured>,
}

/// Version 2: before memberships.
#[derive(Serialize, Deserialize)]
struct HardStateV2 {
    era: Era,
    vote: Option<NodeId>,
    hole: Option<Hole>,
    memory: Memory,
    phase: Phase,
    memories: Memories,
}

/// Version 1: before memories.
#[derive(Serialize, Deserialize)]
struct HardStateV1 {
    era: Era,
    vote: Option<NodeId>,
    hole: Option<Hole>,
}

/// The position that the log had before it was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Hole {
    // In the order in which logs are compared.
    pub(super) last_era: Era,
    pub(super) last: LogIndex,
}

impl From<Damage> for Hole {
    fn from(damage: Damage) -> Self {
        Self { last_era: damage.last_era, last: damage.last }
    }
}

#[derive(Serialize, Deserialize)]
enum StoredHardState {
    V1(HardStateV1),
    V2(HardStateV2),
    V3(HardStateV3),
    V4(HardState),
}

impl HardState {
    pub(super) fn encode(&self) -> Bytes {
        postcard::to_stdvec(&StoredHardState::V4(self.clone())).expect("plain data always encodes into memory").into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((StoredHardState::V1(HardStateV1 { era, vote, hole }), [])) => {
                Some(Self { era, vote, hole, ..Self::default() })
            }
            Ok((StoredHardState::V2(HardStateV2 { era, vote, hole, memory, phase, memories }), [])) => {
                Some(Self { era, vote, hole, memory, phase, memories, ..Self::default() })
            }
            Ok((StoredHardState::V3(HardStateV3 { era, vote, hole, memory, phase, memories, configuration }), [])) => {
                Some(Self { era, vote, hole, memory, phase, memories, configuration, lease: Duration::ZERO })
            }
            Ok((StoredHardState::V4(hard_state), [])) => Some(hard_state),
            _ => None,
        }
    }
}

/// What a message says, in words for people who read a trace; `None` if it is none of ours.
pub(in crate::consensus) fn describe(bytes: &[u8]) -> Option<String> {
    let Message { era, body, .. } = Message::decode(bytes)?;
    let words = match body {
        Body::PreVote { next, last, last_era } => {
            format!("would you vote for me in {next}? (last {last} of {last_era})")
        }
        Body::PreVoteReply { next, granted: true } => format!("would vote in {next}"),
        Body::PreVoteReply { next, granted: false } => format!("would not vote in {next}"),
        Body::Vote { last, last_era } => format!("vote for me (last {last} of {last_era})"),
        Body::VoteNow { last, last_era } => format!("my leader asks you to vote for me (last {last} of {last_era})"),
        Body::TimeoutNow => "lead in my place".to_owned(),
        Body::VoteReply { granted: true, .. } => "vote granted".to_owned(),
        Body::VoteReply { granted: false, .. } => "vote refused".to_owned(),
        Body::Append { previous, previous_era, entries, committed } => {
            format!("append {} entries after {previous} of {previous_era}, committed {committed}", entries.len())
        }
        Body::AppendMatched { matched } => format!("matched up to {matched}"),
        Body::AppendRejected { previous, hint, hint_era } => {
            format!("append after {previous} rejected (hint {hint} of {hint_era})")
        }
        Body::Heartbeat { committed, round, .. } => format!("heartbeat, committed {committed}, round {round}"),
        Body::HeartbeatReply { round, last, .. } => format!("heartbeat answered, round {round}, last {last}"),
        Body::Chosen { committed } => format!("committed {committed}"),
        Body::Ask => "I remember nothing: where do you stand?".to_owned(),
        Body::Answer { phase, last, leads, .. } => {
            format!("I am {phase:?}, last {last}{}", if leads { ", and lead" } else { "" })
        }
        Body::Forgotten { generation } => format!("you have forgotten: I know of your generation {generation}"),
        other => format!("{other:?}"),
    };
    Some(format!("{era}: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_version_4() {
        let message = Message {
            era: Era(3),
            memory: Memory { generation: 1, nonce: 7 },
            recovering: false,
            body: Body::Append {
                previous: LogIndex(4),
                previous_era: Era(2),
                entries: vec![WireEntry {
                    era: Era(3),
                    bytes: encode_entry(Era(3), &Payload::Command(Bytes::from_static(b"x=1"))).encoded,
                }],
                committed: LogIndex(300),
            },
        };
        let bytes = message.clone().encode();
        assert_eq!(bytes.as_ref(), [3, 3, 1, 7, 0, 4, 4, 2, 1, 3, 6, 0, 1, 3, b'x', b'=', b'1', 0xac, 2]);
        assert_eq!(Message::decode(&bytes), Some(message));

        let memory = Memory { generation: 2, nonce: 9 };
        let before = HardState { era: Era(5), vote: Some(NodeId(2)), ..HardState::default() };
        assert_eq!(HardState::decode(&[0, 5, 1, 2, 0]), Some(before.clone()), "version 1 had no memories");
        let memories = Memories::from([(NodeId(3), Memory { generation: 1, nonce: 4 })]);
        let hard = HardState { memory, memories, phase: Phase::Recovering, ..before };
        assert_eq!(
            HardState::decode(&[1, 5, 1, 2, 0, 2, 9, 1, 1, 3, 1, 4]),
            Some(hard.clone()),
            "nor version 2 members"
        );
        let membership = Membership::initial([NodeId(3), NodeId(8)]);
        let hard = HardState { configuration: Some(Configured { index: LogIndex(6), membership }), ..hard };
        let third = [2, 5, 1, 2, 0, 2, 9, 1, 1, 3, 1, 4, 1, 6, 1, 2, 3, 8, 0, 0, 0];
        assert_eq!(HardState::decode(&third), Some(hard.clone()), "nor version 3 promises");
        let hard = HardState { lease: Duration::new(1, 2), ..hard };
        assert_eq!(hard.encode().as_ref(), [&[3], &third[1..], &[1, 2]].concat());
        assert_eq!(HardState::decode(&hard.encode()), Some(hard));
    }

    #[test]
    fn every_body_survives_the_wire() {
        let (last, last_era, next) = (LogIndex(9), Era(8), Era(7));
        for body in [
            Body::PreVote { next, last, last_era },
            Body::PreVoteReply { next, granted: true },
            Body::Vote { last, last_era },
            Body::VoteReply { granted: false, memories: [(NodeId(4), Memory::default())].into() },
            Body::AppendMatched { matched: last },
            Body::AppendRejected { previous: last, hint: LogIndex(1), hint_era: last_era },
            Body::Heartbeat { committed: last, round: 5, sent: Instant(6), lease: Duration::from_millis(7) },
            Body::HeartbeatReply {
                round: u64::MAX,
                last,
                sent: Instant(u64::MAX),
                clock: Instant(9),
                promise: Duration::MAX,
            },
            Body::Chosen { committed: last },
            Body::Outdated,
            Body::Behind { floor: Floor { index: last, era: last_era } },
            Body::Ask,
            Body::Answer {
                asker: Memory::default(),
                phase: Phase::Blank,
                last,
                leads: true,
                memories: Memories::new(),
                membership: Membership::initial([NodeId(3)]),
            },
            Body::Forgotten { generation: 3 },
        ] {
            let memory = Memory { generation: 300, nonce: u32::MAX };
            let message = Message { era: Era(6), memory, recovering: true, body };
            let bytes = message.clone().encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            for end in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes[..end]), None, "a cut message is no message");
            }
        }
        assert_eq!(Message::decode(&[4, 0, 0]), None, "an unknown version is no message");
    }

    #[test]
    fn a_payload_is_a_view_into_its_entry() {
        let entry = encode_entry(Era(1), &Payload::Command(Bytes::from(vec![7; 500])));
        let Payload::Command(payload) = &entry.payload else { panic!("a command") };
        assert_eq!(payload.as_ptr(), entry.encoded[4..].as_ptr());
        assert_eq!(payload.len(), 500);
        assert_eq!(decode_entry(Era(1), entry.encoded.slice(1..)), None);
    }
}
