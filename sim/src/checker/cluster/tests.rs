use super::*;
use orrery::consensus::Floor;
use orrery::env::{Control, Env, Event};

/// A member that shows what a test wants.
#[derive(Clone)]
struct Shown {
    status: Status,
    log: Vec<Entry>,
    state: Option<(LogIndex, u128)>,
    membership: Membership,
}

impl Machine for Shown {
    fn lost_log(&self) -> Option<&str> {
        None
    }

    fn handle(&mut self, _: &mut dyn Env, _: Event) -> Control {
        Control::Continue
    }
    fn consensus_status(&self, _: PartitionId) -> Option<Status> {
        let last = LogIndex(self.status.floor.index.0 + self.log.len() as u64);
        Some(Status { last, ..self.status })
    }
    fn log_entry(&self, _: PartitionId, index: LogIndex) -> Option<Entry> {
        self.log.get((index.0 as usize).checked_sub(self.status.floor.index.0 as usize + 1)?).copied()
    }
    fn membership(&self, _: PartitionId) -> Option<Membership> {
        Some(self.membership.clone())
    }
    fn state_digest(&self, _: PartitionId) -> Option<(LogIndex, u128)> {
        self.state
    }

    fn connections(&self) -> usize {
        0
    }
}

fn shown(role: Role, era: u64, log: &[(u64, u64)], committed: u64) -> Shown {
    let log: Vec<Entry> = log.iter().map(|&(era, digest)| (Era(era), digest)).collect();
    let committed = LogIndex(committed);
    let status = Status {
        standing: orrery::consensus::Standing::Member,
        successor: None,
        configuration: 1,
        joint: false,
        settled: true,
        voter: true,
        role,
        era: Era(era),
        leader: None,
        last: LogIndex(0),
        committed,
        floor: Floor::default(),
        lacks_state: false,
    };
    Shown { status, log, state: None, membership: Membership::UNKNOWN }
}

/// The log begins after that index and era.
fn after(floor: (u64, u64), member: Shown) -> Shown {
    let floor = Floor { index: LogIndex(floor.0), era: Era(floor.1) };
    Shown { status: Status { floor, ..member.status }, ..member }
}

/// Shows members one after another, as (node, member), and tells who objected.
fn objection(steps: &[(usize, Shown)]) -> Option<&'static str> {
    let mut checker = ClusterChecker::new(&Cluster { nodes: 3, partitions: 0, workers: 1, spares: 0 });
    let mut trace = Trace::new(0);
    steps
        .iter()
        .find_map(|(node, member)| checker.after(0, *node, 0, false, member, &mut trace).err())
        .map(|v| v.checker)
}

use Role::{Follower, Leader};

#[test]
fn a_healthy_group_passes() {
    let log = [(1, 10), (1, 11), (2, 12)];
    let steps = [
        (0, shown(Leader, 1, &log[..2], 0)),
        (1, shown(Follower, 1, &log[..1], 0)),
        (0, shown(Leader, 1, &log[..2], 1)),
        (1, shown(Follower, 1, &[(1, 10), (1, 11)], 1)),
        (2, shown(Leader, 2, &log, 1)),
        (0, shown(Follower, 2, &log, 3)),
    ];
    assert_eq!(objection(&steps), None);
}

#[test]
fn two_leaders_in_an_era() {
    let steps = [(0, shown(Leader, 3, &[], 0)), (1, shown(Leader, 4, &[], 0)), (2, shown(Leader, 3, &[], 0))];
    assert_eq!(objection(&steps), Some("election-safety"));
}

#[test]
fn logs_that_do_not_match() {
    let payload = [(0, shown(Follower, 1, &[(1, 10)], 0)), (1, shown(Follower, 1, &[(1, 99)], 0))];
    assert_eq!(objection(&payload), Some("log-matching"));
    let before = [(0, shown(Follower, 3, &[(1, 10), (3, 7)], 0)), (1, shown(Follower, 3, &[(2, 11), (3, 7)], 0))];
    assert_eq!(objection(&before), Some("log-matching"));
}

#[test]
fn committed_entries_are_one_history() {
    let two = [(0, shown(Leader, 1, &[(1, 10)], 1)), (1, shown(Follower, 2, &[(2, 20)], 1))];
    assert_eq!(objection(&two), Some("commit-history"));
    let back = [(0, shown(Leader, 1, &[(1, 10), (1, 11)], 2)), (0, shown(Leader, 1, &[(1, 10), (1, 11)], 1))];
    assert_eq!(objection(&back), Some("commit-history"));
    let beyond = [(0, shown(Follower, 1, &[(1, 10)], 2))];
    assert_eq!(objection(&beyond), Some("commit-history"));
}

#[test]
fn a_leader_has_what_was_committed_before_it() {
    let steps = [(0, shown(Leader, 1, &[(1, 10), (1, 11)], 2)), (1, shown(Leader, 2, &[(1, 10)], 0))];
    assert_eq!(objection(&steps), Some("leader-completeness"));
    // A leader of an older era that has not heard of the new one lacks it rightly.
    let old = [(0, shown(Leader, 5, &[(5, 10)], 1)), (1, shown(Leader, 4, &[(4, 1)], 0))];
    assert_eq!(objection(&old), None);
}

/// Two members have committed (1, 10) (1, 11) (2, 12); the third was away.
fn three_committed() -> Vec<(usize, Shown)> {
    let log = [(1, 10), (1, 11), (2, 12)];
    vec![(0, shown(Leader, 2, &log, 3)), (1, shown(Follower, 2, &log, 3)), (2, shown(Follower, 1, &log[..1], 1))]
}

fn objection_after(last: &[(usize, Shown)]) -> Option<&'static str> {
    objection(&[three_committed(), last.to_vec()].concat())
}

#[test]
fn a_checkpoint_stands_for_the_log_up_to_it() {
    let compacted = after((2, 1), shown(Leader, 2, &[(2, 12), (2, 13)], 3));
    // A snapshot in the place of a log that has gone another way, and of one that ends before it.
    let replaced =
        [(2, shown(Follower, 1, &[(1, 10), (1, 11), (1, 99)], 1)), (2, after((3, 2), shown(Follower, 2, &[], 3)))];
    let installed = (2, after((3, 2), shown(Follower, 2, &[(2, 13)], 4)));
    let later = (1, after((4, 2), shown(Leader, 3, &[(3, 14)], 4)));
    let steps = [(0, compacted), replaced[0].clone(), replaced[1].clone(), installed, later];
    assert_eq!(objection_after(&steps[..4]), None);
    assert_eq!(objection_after(&steps), None);
}

#[test]
fn a_checkpoint_ends_at_a_committed_entry() {
    let floors = |floor, committed| objection_after(&[(2, after(floor, shown(Follower, 2, &[], committed)))]);
    assert_eq!(floors((3, 2), 3), None);
    assert_eq!(floors((3, 1), 3), Some("commit-history"), "another history");
    assert_eq!(floors((4, 2), 4), Some("commit-history"), "nobody committed that");
    assert_eq!(floors((3, 2), 2), Some("commit-history"), "beyond what it calls committed");
    let shrinks = [(0, after((2, 1), shown(Leader, 2, &[(2, 12)], 3))), (0, shown(Leader, 2, &[(1, 10)], 3))];
    assert_eq!(objection_after(&shrinks), Some("commit-history"));
}

#[test]
fn what_was_compacted_is_not_forgotten_here() {
    let all = |last: Shown| {
        let compacted = |role| after((3, 2), shown(role, 2, &[], 3));
        objection_after(&[(0, compacted(Leader)), (1, compacted(Follower)), (2, last)])
    };
    assert_eq!(all(shown(Follower, 2, &[(1, 10), (1, 99)], 2)), Some("log-matching"), "another payload");
    assert_eq!(all(shown(Follower, 3, &[(1, 10), (3, 99)], 2)), Some("commit-history"));
    assert_eq!(all(shown(Leader, 3, &[(1, 10), (3, 99)], 1)), Some("leader-completeness"));
    assert_eq!(all(after((1, 1), shown(Leader, 3, &[(1, 11)], 1))), Some("leader-completeness"));
    // openraft#559: the snapshot's end is called committed, and the log holds something else there.
    assert_eq!(all(shown(Follower, 2, &[(1, 10), (1, 11), (1, 98), (1, 99)], 3)), Some("commit-history"));
}

#[test]
fn a_leader_has_its_state() {
    let with_state = after((3, 2), shown(Leader, 3, &[], 3));
    let without = Shown { status: Status { lacks_state: true, ..with_state.status }, ..with_state.clone() };
    assert_eq!(objection_after(&[(1, with_state)]), None);
    assert_eq!(objection_after(&[(1, without)]), Some("leader-completeness"));
}

#[test]
fn states_at_one_index_are_equal() {
    let with = |digest| Shown { state: Some((LogIndex(1), digest)), ..shown(Follower, 1, &[(1, 10)], 1) };
    assert_eq!(objection(&[(0, with(5)), (1, with(5))]), None);
    assert_eq!(objection(&[(0, with(5)), (1, with(6))]), Some("digests"));
}

#[test]
fn a_state_is_lost_only_with_its_disk() {
    let whole = after((2, 1), shown(Role::Follower, 1, &[], 2));
    let lacking = Shown { status: Status { lacks_state: true, ..whole.status }, ..whole.clone() };
    let committed = shown(Role::Follower, 1, &[(1, 1), (1, 2)], 2);
    assert_eq!(objection(&[(1, committed), (0, lacking.clone())]), Some("state-kept"));
    let mut checker = ClusterChecker::new(&Cluster { nodes: 3, partitions: 0, workers: 1, spares: 0 });
    let checked = checker.after(0, 0, 0, true, &lacking, &mut Trace::new(0));
    assert!(checked.err().is_none_or(|violation| violation.checker != "state-kept"));
}

/// The member has this membership.
fn within(id: u64, voters: &[u32], outgoing: &[u32], member: Shown) -> Shown {
    let nodes = |of: &[u32]| of.iter().copied().map(NodeId).collect::<Vec<_>>();
    let membership = Membership { id, voters: nodes(voters), outgoing: nodes(outgoing), ..Membership::UNKNOWN };
    let (configuration, joint) = (id, membership.is_joint());
    let status = Status { configuration, joint, settled: !joint, ..member.status };
    Shown { status, membership, ..member }
}

#[test]
fn memberships_are_one_history() {
    let log = [(1, 10), (1, 11)];
    let settles = |voters: &[u32]| within(2, voters, &[], shown(Follower, 1, &log, 0));
    assert_eq!(objection(&[(0, settles(&[1, 2])), (1, settles(&[1, 2]))]), None);
    assert_eq!(objection(&[(0, settles(&[1, 2])), (1, settles(&[1, 3]))]), Some("membership"));
}

#[test]
fn a_voice_is_for_who_holds_the_log() {
    let log = [(1, 10), (1, 11)];
    let leads = |id, voters: &[u32], outgoing: &[u32]| (0, within(id, voters, outgoing, shown(Leader, 1, &log, 2)));
    let given = |third: Shown| objection(&[leads(1, &[1, 2], &[]), (2, third), leads(2, &[1, 2, 3], &[1, 2])]);
    assert_eq!(given(shown(Follower, 1, &log, 0)), None);
    assert_eq!(given(shown(Follower, 0, &[], 0)), Some("membership"));
}
