//! A member's durable state without the member: read for people, and rewritten where a majority is lost for good.

use super::configuration::Configured;
use super::message::{HardState, Phase, decode_entry, encode_entry};
use crate::consensus::{Alone, Floor, Membership, Payload, Record, Unreadable};
use crate::types::{Era, LogIndex, NodeId};
use crate::wal::RecoveredGroup;

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
/// state that goes with it. The era is a new one, so that nothing of the old group is ever taken for newer. `state` is what the
/// member's newest checkpoint covers: the log may be lost that far, and begins anew behind it then.
///
/// # Errors
/// [`Unreadable`] when the hard state does not decode.
pub(in crate::consensus) fn alone(
    node: NodeId,
    group: &RecoveredGroup,
    state: Option<Floor>,
    known: Option<&Membership>,
) -> Result<Alone, Unreadable> {
    let hard = match &group.hard_state {
        Some(bytes) => HardState::decode(bytes).ok_or(Unreadable::HardState)?,
        None => HardState::default(),
    };
    let floor = group.floor.unwrap_or_default();
    let first_lost = group.damaged.map_or(LogIndex(u64::MAX), |damage| damage.first);
    // The last one stands: what an earlier one of a higher index said was replaced.
    let last = group.records.last().map_or(floor.index, |record| record.index).max(floor.index);
    let index = last.next().min(first_lost);
    let begins = state.filter(|state| state.index >= index);
    let index = begins.map_or(index, |state| state.index.next());
    let highest = group.records.iter().map(|record| record.era).chain([floor.era, hard.era]).max();
    let damaged = group.damaged.map_or(Era(0), |damage| damage.last_era);
    let covered = state.map_or(Era(0), |state| state.era);
    let era = Era(highest.unwrap_or_default().max(damaged).max(covered).0 + 1);
    let logged = group.records.iter().filter(|record| record.index < index).filter_map(payload);
    let memberships = logged.filter_map(|payload| match payload {
        Payload::Configuration(bytes) => Membership::decode(&bytes),
        _ => None,
    });
    let settled = hard.configuration.iter().map(|configured| configured.membership.id);
    let before = memberships.map(|membership| membership.id).chain(known.map(|known| known.id)).chain(settled).max();
    let membership = Membership { id: before.unwrap_or(1) + 1, voters: vec![node], ..Membership::default() };
    let entry = encode_entry(era, &Payload::Configuration(membership.encode()));
    // It may name one that stood behind what is lost: that would count for more than the record.
    let configuration = Some(Configured { index, membership });
    let hard = HardState { era, vote: Some(node), hole: None, phase: Phase::Member, configuration, ..hard };
    Ok(Alone { begins, record: Record { index, era, bytes: entry.encoded }, hard_state: hard.encode() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Damage;
    use bytes::Bytes;

    fn found(records: u64, lost: Option<(u64, u64)>) -> RecoveredGroup {
        let entry = |index| Record {
            index: LogIndex(index),
            era: Era(3),
            bytes: encode_entry(Era(3), &Payload::Command(Bytes::from_static(b"x"))).encoded,
        };
        let membership = Membership { id: 7, voters: vec![NodeId(1), NodeId(2), NodeId(3)], ..Membership::default() };
        let configuration = Some(Configured { index: LogIndex(9), membership });
        let hard = HardState { era: Era(3), phase: Phase::Member, configuration, ..HardState::default() };
        RecoveredGroup {
            records: (1..=records).map(entry).collect(),
            hard_state: Some(hard.encode()),
            damaged: lost.map(|(first, last)| Damage {
                first: LogIndex(first),
                last: LogIndex(last),
                last_era: Era(4),
            }),
            ..RecoveredGroup::default()
        }
    }

    /// Where the log begins anew, and the record's place; its membership is the one that counts.
    fn made(group: &RecoveredGroup, state: Option<u64>) -> (Option<u64>, u64, u64) {
        let state = state.map(|index| Floor { index: LogIndex(index), era: Era(3) });
        let alone = alone(NodeId(2), group, state, None).expect("the hard state is one");
        let hard = HardState::decode(&alone.hard_state).expect("it was just encoded");
        let configured = hard.configuration.expect("it names the membership");
        assert_eq!((configured.index, configured.membership.voters), (alone.record.index, vec![NodeId(2)]));
        assert!(configured.membership.id > 7, "later than all that is known");
        (alone.begins.map(|floor| floor.index.0), alone.record.index.0, alone.record.era.0)
    }

    #[test]
    fn the_record_stands_behind_all_that_can_be_relied_on() {
        assert_eq!(made(&found(5, None), None), (None, 6, 4));
        assert_eq!(made(&found(5, None), Some(3)), (None, 6, 4));
        assert_eq!(made(&found(3, Some((4, 9))), None), (None, 4, 5), "in the place of the first that is lost");
        assert_eq!(made(&found(3, Some((4, 9))), Some(8)), (Some(8), 9, 5), "what is lost is covered by a checkpoint");
        assert_eq!(made(&found(3, None), Some(8)), (Some(8), 9, 4), "the log ends before what the checkpoint covers");
    }
}
