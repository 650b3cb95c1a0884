//! What a late vote of a lost memory may not do; the random tests and the scripts show the rest.

use super::super::Raft;
use super::super::message::{Body, HardState, Memories, Memory, Message};
use super::cluster::{ELECTION, HEARTBEAT};
use crate::consensus::{Config, Consensus, Recovered, Role};
use crate::types::random::SeedableRng;
use crate::types::{Era, Instant, NodeId, Rng};

const NOW: Instant = Instant(1_000_000_000);

fn say(raft: &mut Raft, from: u32, era: u64, generation: u64, body: Body) {
    say_as(raft, from, era, Memory { generation, nonce: 0 }, body);
}

fn say_as(raft: &mut Raft, from: u32, era: u64, memory: Memory, body: Body) {
    let message = Message { era: Era(era), memory, recovering: false, body };
    raft.step(NOW, NodeId(from), &message.encode());
    settle(raft);
}

/// Its disk is quick.
fn settle(raft: &mut Raft) {
    while let Some(ready) = raft.ready() {
        raft.persisted(NOW, ready.number);
    }
}

/// Node 1 of five asks for votes in era 1.
fn candidate() -> Raft {
    let config = Config {
        node: NodeId(1),
        voters: (1..=5).map(NodeId).collect(),
        group: 0,
        detection: crate::consensus::detection::Detection::default(),
        heartbeat: HEARTBEAT,
        election_timeout: ELECTION,
        lease: crate::types::Duration::ZERO,
        max_batch_entries: 1,
        max_batch_bytes: 1,
        max_inflight: 1,
        rng: Rng::seed_from_u64(1),
    };
    let recovered = Recovered { hard_state: Some(HardState::default().encode()), ..Recovered::default() };
    let mut raft = Raft::new(config, recovered).expect("a formed member");
    raft.handle_timeout(NOW);
    raft.handle_timeout(raft.next_timeout());
    for from in [2, 3] {
        say(&mut raft, from, 0, 0, Body::PreVoteReply { next: Era(1), granted: true });
    }
    assert_eq!((raft.status().role, raft.status().era), (Role::Candidate, Era(1)));
    raft
}

fn vote(memories: &[(u32, u64)]) -> Body {
    let known = |&(node, generation): &(u32, u64)| (NodeId(node), Memory { generation, nonce: 0 });
    Body::VoteReply { granted: true, memories: memories.iter().map(known).collect::<Memories>() }
}

#[test]
fn a_vote_of_a_memory_that_another_voter_knows_to_be_lost_does_not_count() {
    for late_first in [true, false] {
        let mut raft = candidate();
        if late_first {
            say(&mut raft, 5, 1, 1, vote(&[]));
        }
        say(&mut raft, 3, 1, 0, vote(&[(5, 2)]));
        if !late_first {
            say(&mut raft, 5, 1, 1, vote(&[]));
        }
        assert_eq!(raft.status().role, Role::Candidate, "2 of 5 and a lost memory are no quorum");
        say(&mut raft, 4, 1, 0, vote(&[]));
        assert_eq!(raft.status().role, Role::Leader);
    }
}

#[test]
fn who_founds_anew_what_it_has_founded_before_is_not_believed() {
    let mut raft = candidate();
    let (first, second) = (Memory { generation: 1, nonce: 7 }, Memory { generation: 1, nonce: 8 });
    // A word of its first life, whatever it was.
    say_as(&mut raft, 4, 0, first, Body::PreVoteReply { next: Era(1), granted: true });
    say_as(&mut raft, 4, 1, second, vote(&[]));
    say_as(&mut raft, 5, 1, second, vote(&[]));
    assert_eq!(raft.status().role, Role::Candidate, "of 4 another memory is known, of 5 none");
    say_as(&mut raft, 4, 1, first, vote(&[]));
    assert_eq!(raft.status().role, Role::Leader);
}

#[test]
fn a_vote_that_was_given_to_another_memory_of_the_candidate_does_not_count() {
    let mut raft = candidate();
    say(&mut raft, 3, 1, 0, vote(&[(1, 7)]));
    say(&mut raft, 4, 1, 0, vote(&[(1, 7)]));
    assert_eq!(raft.status().role, Role::Candidate);
    say(&mut raft, 4, 1, 0, vote(&[]));
    say(&mut raft, 5, 1, 0, vote(&[]));
    assert_eq!(raft.status().role, Role::Leader);
}

#[test]
fn who_is_told_that_it_has_forgotten_takes_another_name_and_goes_on() {
    let mut raft = candidate();
    say(&mut raft, 2, 1, 0, Body::Forgotten { generation: 4 });
    say(&mut raft, 3, 1, 0, vote(&[(1, 4)]));
    say(&mut raft, 4, 1, 0, vote(&[]));
    assert_eq!(raft.status().role, Role::Candidate, "these were given to the old name");
}
