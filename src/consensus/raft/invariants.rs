//! What holds of one member between any two calls. Asserted after each of them in builds with debug assertions, which
//! the simulator's are; silent under a planted bug, which a checker has to find without our help.

use super::{Raft, RoleState};
use crate::env::buggify::is_any_planted;

/// Checks one member.
pub(super) fn check(raft: &Raft) {
    if !cfg!(debug_assertions) || is_any_planted() {
        return;
    }
    let core = &raft.core;
    let log = &core.log;
    assert!(log.durable() <= log.handed(), "nothing is durable that was not given to the WAL");
    assert!(log.handed() <= log.last(), "nothing was given to the WAL that is not in the log");
    assert!(log.committed() <= log.last(), "a member calls chosen only what it holds");
    assert!(log.applied() <= log.committed(), "only chosen entries are executed");
    assert!(log.last_era() <= core.era(), "no entry is of an era that its holder does not know");
    assert!(log.floor().index <= log.applied(), "only what was executed is forgotten");
    assert!(log.floor().index <= log.durable(), "only what is durable is forgotten");
    assert!(log.eras_rise(), "eras never fall along a log");
    assert!(raft.recovery.is_none() == core.is_member(), "who has no memory recovers, and nobody else does");
    assert!(
        core.is_member() || matches!(raft.role, RoleState::Follower(_)),
        "without a memory nobody campaigns or leads"
    );
    let (settled, open) = (core.configurations.settled(), core.configurations.open());
    assert!(open.iter().all(|open| open.index > log.committed()), "a membership that is chosen is settled");
    assert!(
        open.is_sorted_by(|before, after| before.index < after.index)
            && open.first().is_none_or(|first| settled.index < first.index),
        "memberships stand in the order of the log"
    );
    assert!(open.last().is_none_or(|last| last.index <= log.last()), "a membership stands in the log or goes with it");
    match &raft.role {
        RoleState::Follower(follower) => {
            assert!(follower.leader != Some(core.settings.node), "nobody follows itself");
        }
        RoleState::Candidate(candidate) => {
            assert!(candidate.votes.get(&core.settings.node) == Some(&true), "a candidate supports itself");
            assert!(
                candidate.pre || core.hard.vote == Some(core.settings.node),
                "a candidate has given its vote of this era to itself"
            );
        }
        RoleState::Leader(leader) => {
            assert!(core.hard.vote == Some(core.settings.node), "a leader has voted for itself in its era");
            assert!(log.hole().is_none(), "a member with a hole in its log does not lead");
            assert!(!log.lacks_state(), "a member that lacks its state does not lead");
            assert!(
                log.committed() < leader.first || open.len() <= 1,
                "a leader makes one change at a time, and none before it knows what was chosen"
            );
            for peer in core.peers() {
                assert!(leader.followers.contains_key(&peer), "{peer} is a member and receives the log");
            }
            for (peer, follower) in &leader.followers {
                assert!(follower.matched <= log.last(), "{peer} cannot match what the leader does not hold");
                assert!(follower.matched < follower.next, "what {peer} holds is not sent to it again");
            }
        }
    }
}
