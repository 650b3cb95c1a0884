//! **Membership**: who belongs to a group, and how that changes.
//!
//! A membership is a value in the log. Joint consensus (Ongaro's thesis §4.3, §6 of the paper): a change of voters goes through a
//! membership in which the old and the new voters are there together, and everything that needs a majority needs one of each.
//! Then the new one follows by itself. So there is no moment at which two majorities exist that do not know of each other,
//! however many voters change at once.
//!
//! - A **voter** has a voice: elections and commits need a majority of them.
//! - A **learner** receives the log and has no voice. Whoever is to become a voter is a learner first, so that it does not count
//!   before it holds what the others hold.
//! - A **witness** is a voter that keeps the log and no rows (rules A11). It is named among the voters *and* here.
//!
//! # Invariants
//! - The number rises by one with each change; the joint membership of a change and the one that it ends in share it.
//! - Lists are sorted, without doubles; a learner is no voter to come; a witness is a voter; not all voters are witnesses.
//!
//! # Caveats
//! - Two memberships of one number can exist where two leaders began a change after the same one; at most one of them is ever
//!   chosen.

use crate::types::{LogIndex, NodeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most members that a group may have: every entry goes to each of them.
pub const MAX_MEMBERS: usize = 64;

/// Who belongs to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Membership {
    /// Configuration id. 0: nothing is known of the group. 1: as it was formed. One more with each change.
    pub id: u64,
    /// Who has a voice; while joint, once the change is complete.
    pub voters: Vec<NodeId>,
    /// While joint: who had a voice before the change, and has it until it is complete. Otherwise empty.
    pub outgoing: Vec<NodeId>,
    /// Who receives the log without a voice.
    pub learners: Vec<NodeId>,
    /// Voters that keep no rows.
    pub witnesses: Vec<NodeId>,
}

/// A change that is asked for: what the group is to be afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The change is made only if the group's configuration has this id.
    pub expected: u64,
    /// Who is to have a voice.
    pub voters: Vec<NodeId>,
    /// Who is to receive the log without one.
    pub learners: Vec<NodeId>,
    /// Which of the voters keep no rows.
    pub witnesses: Vec<NodeId>,
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This member does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<NodeId>,
    },
    /// The group has changed since the change was thought of.
    #[error("the group's configuration is {id}, another one than the change expects")]
    Stale {
        /// The configuration that it has.
        id: u64,
    },
    /// Ask again later: an earlier change is not complete, or this leader is new and has not committed anything yet, or it is
    /// handing over.
    #[error("an earlier change is under way, or the leader is not settled")]
    UnderWay,
    /// This node cannot be a voter yet: it is no learner of the group, or lacks too much of the log, or cannot be reached.
    #[error("node {0} has not caught up with the group", node.0)]
    Behind {
        /// Which node.
        node: NodeId,
    },
    /// No group may be so.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A follower as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Which node.
    pub node: NodeId,
    /// Its log equals the leader's up to here, durably.
    pub matched: LogIndex,
    /// It has no voice in this configuration.
    pub learner: bool,
    /// Its memory is lost or new: what it acknowledges counts for nothing yet.
    pub recovering: bool,
    /// It has been heard within an election time-out.
    pub reachable: bool,
}

/// On disk and in the log.
#[derive(Serialize, Deserialize)]
enum Stored {
    V1(Membership),
}

impl Membership {
    /// [`Membership::id`] of a group as it is formed.
    pub const FIRST: u64 = 1;
    /// Of a group of which nothing is known.
    pub const UNKNOWN: Self =
        Self { id: 0, voters: Vec::new(), outgoing: Vec::new(), learners: Vec::new(), witnesses: Vec::new() };

    /// Of a group as it is formed.
    #[must_use]
    pub fn initial(voters: impl IntoIterator<Item = NodeId>) -> Self {
        let voters = sorted(voters);
        if voters.is_empty() { Self::default() } else { Self { id: Self::FIRST, voters, ..Self::default() } }
    }

    /// Is nothing known of the group?
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.id == 0
    }

    /// Is a change of voters half done?
    #[must_use]
    pub const fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Has this node a voice?
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Does this node keep no rows?
    #[must_use]
    pub fn is_witness(&self, node: NodeId) -> bool {
        self.witnesses.contains(&node)
    }

    /// Does this node receive the log?
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.contains(&node)
    }

    /// Everybody who receives the log, sorted.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        sorted(self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied())
    }

    /// Do these nodes make a majority: of the voters, and while joint of the outgoing ones as well?
    pub fn reached(&self, by: impl Fn(NodeId) -> bool) -> bool {
        self.halves().all(|half| half.iter().filter(|node| by(**node)).count() >= majority(half))
            && !self.voters.is_empty()
    }

    /// Is a majority against, in either half?
    pub fn refused(&self, by: impl Fn(NodeId) -> bool) -> bool {
        self.halves().any(|half| half.iter().filter(|node| by(**node)).count() >= majority(half))
    }

    /// The largest value that a majority reaches, in both halves while joint. `None`: there are no voters.
    pub fn value<T: Ord>(&self, of: impl Fn(NodeId) -> T) -> Option<T> {
        let value = |half: &[NodeId]| {
            let mut values: Vec<T> = half.iter().map(|node| of(*node)).collect();
            values.sort_unstable();
            let at = values.len() - majority(half);
            values.into_iter().nth(at)
        };
        self.halves().filter_map(value).min()
    }

    /// Those whose majorities count.
    fn halves(&self) -> impl Iterator<Item = &[NodeId]> {
        [self.voters.as_slice(), self.outgoing.as_slice()].into_iter().filter(|half| !half.is_empty())
    }

    /// The membership with which a change begins: joint, if voters change.
    ///
    /// # Errors
    /// A sentence, if no group may be so.
    pub fn next(&self, change: &Change) -> Result<Self, &'static str> {
        let (voters, learners, witnesses) = (
            sorted(change.voters.iter().copied()),
            sorted(change.learners.iter().copied()),
            sorted(change.witnesses.iter().copied()),
        );
        if voters.is_empty() {
            return Err("a group needs voters");
        }
        if voters.len() + learners.len() > MAX_MEMBERS {
            return Err("a group has at most 64 members");
        }
        if learners.iter().any(|node| voters.contains(node)) {
            return Err("a learner is no voter");
        }
        if witnesses.iter().any(|node| !voters.contains(node)) {
            return Err("a witness is one of the voters");
        }
        if witnesses.len() == voters.len() {
            return Err("not all voters can be witnesses: somebody has to keep the rows");
        }
        if (&voters, &learners, &witnesses) == (&self.voters, &self.learners, &self.witnesses) {
            return Err("the group is so already");
        }
        let outgoing = if voters == self.voters { Vec::new() } else { self.voters.clone() };
        Ok(Self { id: self.id + 1, voters, outgoing, learners, witnesses })
    }

    /// The membership in which a joint one ends.
    #[must_use]
    pub fn completed(&self) -> Self {
        Self { outgoing: Vec::new(), ..self.clone() }
    }

    /// As it stands in the log, in checkpoints and in hard states.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(&Stored::V1(self.clone())).expect("plain data always encodes into memory").into()
    }

    /// `None` for what no version of us has written, and for what no group may be.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (Stored::V1(membership), []) = postcard::take_from_bytes(bytes).ok()? else { return None };
        let rises = |nodes: &[NodeId]| nodes.is_sorted_by(|before, after| before < after);
        let Self { id, voters, outgoing, learners, witnesses } = &membership;
        let sound = *id > 0
            && !voters.is_empty()
            && [voters, outgoing, learners, witnesses].into_iter().all(|nodes| rises(nodes))
            && !learners.iter().any(|node| voters.contains(node))
            && witnesses.iter().all(|node| voters.contains(node));
        sound.then_some(membership)
    }
}

fn sorted(nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    nodes.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

const fn majority(half: &[NodeId]) -> usize {
    half.len() / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(of: &[u32]) -> Vec<NodeId> {
        of.iter().copied().map(NodeId).collect()
    }

    fn joint(voters: &[u32], outgoing: &[u32]) -> Membership {
        Membership { id: 2, voters: nodes(voters), outgoing: nodes(outgoing), ..Membership::default() }
    }

    #[test]
    fn a_majority_is_one_of_each_half() {
        let both = joint(&[3, 4, 5], &[1, 2, 3]);
        let by = |who: &'static [u32]| move |node: NodeId| who.contains(&node.0);
        assert!(!both.reached(by(&[3, 4, 5])), "no majority of the old ones");
        assert!(!both.reached(by(&[1, 2, 3])), "no majority of the new ones");
        assert!(both.reached(by(&[2, 3, 4])));
        assert!(both.refused(by(&[1, 2])));
        assert!(!both.refused(by(&[1, 4])));
        assert_eq!(both.value(|node| u64::from(node.0)), Some(2));
        assert_eq!(Membership::initial(nodes(&[1, 2, 3, 4])).value(|node| node.0), Some(2));
        assert!(!Membership::default().reached(|_| true), "nobody is a majority of nobody");
        assert_eq!(Membership::default().value(|node| node), None);
    }

    #[test]
    fn a_change_of_voters_is_joint_and_one_of_learners_is_not() {
        let first = Membership::initial(nodes(&[3, 1, 2, 1]));
        assert_eq!((first.id, &first.voters), (1, &nodes(&[1, 2, 3])));
        let change = Change { expected: 1, voters: nodes(&[1, 2, 3]), learners: nodes(&[4]), ..Change::default() };
        let second = first.next(&change).unwrap();
        assert!(!second.is_joint() && second.contains(NodeId(4)) && !second.is_voter(NodeId(4)));
        let change = Change { expected: 2, voters: nodes(&[4, 2, 3]), ..Change::default() };
        let third = second.next(&change).unwrap();
        assert!(third.is_joint() && third.is_voter(NodeId(1)) && third.is_voter(NodeId(4)));
        assert_eq!(third.members(), nodes(&[1, 2, 3, 4]));
        let last = third.completed();
        assert_eq!((last.id, last.is_joint(), last.contains(NodeId(1))), (3, false, false));
        assert_eq!(Membership::decode(&third.encode()), Some(third));
    }

    #[test]
    fn what_no_group_may_be_is_refused() {
        let group = Membership::initial(nodes(&[1, 2, 3]));
        let refused = |voters: &[u32], learners: &[u32], witnesses: &[u32]| {
            let (voters, learners, witnesses) = (nodes(voters), nodes(learners), nodes(witnesses));
            group.next(&Change { expected: 1, voters, learners, witnesses }).is_err()
        };
        assert!(refused(&[], &[1], &[]), "no voters");
        assert!(refused(&[1, 2], &[2], &[]), "both");
        assert!(refused(&[1, 2], &[], &[3]), "a witness without a voice");
        assert!(refused(&[1, 2], &[], &[1, 2]), "nobody has the rows");
        assert!(refused(&[3, 2, 1], &[], &[]), "nothing changes");
        assert!(refused(&(1..80).collect::<Vec<_>>(), &[], &[]), "too many");
        assert!(!refused(&[1, 2, 3], &[], &[3]), "a voter gives its rows up");
    }

    #[test]
    fn bytes_that_are_no_membership_are_refused() {
        let encoded = joint(&[1, 2], &[2, 3]).encode();
        assert_eq!(encoded.as_ref(), [0, 2, 2, 1, 2, 2, 2, 3, 0, 0], "the bytes of version 1");
        for end in 0..encoded.len() {
            assert_eq!(Membership::decode(&encoded[..end]), None);
        }
        assert_eq!(Membership::decode(&[0, 2, 2, 2, 1, 0, 0, 0]), None, "unsorted");
        assert_eq!(Membership::decode(&[0, 2, 0, 0, 0, 0]), None, "no voters");
        assert_eq!(Membership::decode(&[1, 2, 1, 1, 0, 0, 0]), None, "another version");
    }
}
