//! A member's durable state without the member: read for people, and rewritten where a majority is lost for good.

use super::message::{HardState, Phase, decode_entry, encode_entry};
use crate::consensus::{Membership, Payload, Record, Unreadable};
use crate::types::{Era, LogIndex, NodeId};
use crate::wal::RecoveredGroup;
use bytes::Bytes;

/// What a record of the log holds; `None`: it is none of ours.
pub(in crate::consensus) fn payload(record: &Record) -> Option<Payload> {
    decode_entry(record.era, record.bytes.clone()).map(|entry| entry.payload)
}

/// A hard state in words; `None`: it is none of ours.
pub(in crate::consensus) fn words(hard_state: &[u8]) -> Option<String> {
    let HardState { era, vote, hole, phase, .. } = HardState::decode(hard_state)?;
    let vote = vote.map_or_else(|| "no vote given".to_owned(), |node| format!("vote given to node {}", node.0));
    let hole = hole.map_or_else(String::new, |hole| format!(", log known to have reached {}", hole.last));
    let phase = if phase == Phase::Member { "" } else { ", recovering: it has forgotten what it promised" };
    Some(format!("{era}, {vote}{hole}{phase}"))
}

/// Is this a member that remembers what it has promised?
pub(in crate::consensus) fn remembers(hard_state: &[u8]) -> bool {
    HardState::decode(hard_state).is_some_and(|hard| hard.phase == Phase::Member)
}

/// What makes a member the only one of its group: a record that says so, behind the last one that can be relied on, and a hard
/// state that goes with it. The era is a new one, so that nothing of the old group is ever taken for newer.
///
/// # Errors
/// [`Unreadable`] when the hard state does not decode.
pub(in crate::consensus) fn alone(
    node: NodeId,
    group: &RecoveredGroup,
    known: Option<&Membership>,
) -> Result<(Record, Bytes), Unreadable> {
    let hard = match &group.hard_state {
        Some(bytes) => HardState::decode(bytes).ok_or(Unreadable::HardState)?,
        None => HardState::default(),
    };
    let floor = group.floor.unwrap_or_default();
    let first_lost = group.damaged.map_or(LogIndex(u64::MAX), |damage| damage.first);
    // The last one stands: what an earlier one of a higher index said was replaced.
    let last = group.records.last().map_or(floor.index, |record| record.index).max(floor.index);
    let index = last.next().min(first_lost);
    let highest = group.records.iter().map(|record| record.era).chain([floor.era, hard.era]).max();
    let damaged = group.damaged.map_or(Era(0), |damage| damage.last_era);
    let era = Era(highest.unwrap_or_default().max(damaged).0 + 1);
    let logged = group.records.iter().filter(|record| record.index < index).filter_map(payload);
    let memberships = logged.filter_map(|payload| match payload {
        Payload::Configuration(bytes) => Membership::decode(&bytes),
        _ => None,
    });
    let before = memberships.map(|membership| membership.id).chain(known.map(|known| known.id)).max();
    let membership = Membership { id: before.unwrap_or(1) + 1, voters: vec![node], ..Membership::default() };
    let entry = encode_entry(era, &Payload::Configuration(membership.encode()));
    let hard = HardState { era, vote: Some(node), hole: None, phase: Phase::Member, ..hard };
    Ok((Record { index, era, bytes: entry.encoded }, hard.encode()))
}
