use super::*;
use orrery::consensus::Floor;
use orrery::env::{Control, Env, Event};

/// A member that shows what a test wants.
#[derive(Clone)]
struct Shown {
    status: Status,
    log: Vec<Entry>,
    state: Option<(LogIndex, u128)>,
}

impl Machine for Shown {
    fn handle(&mut self, _: &mut dyn Env, _: Event) -> Control {
        Control::Continue
    }
    fn consensus_status(&self, _: PartitionId) -> Option<Status> {
        Some(Status { last: LogIndex(self.log.len() as u64), ..self.status })
    }
    fn log_entry(&self, _: PartitionId, index: LogIndex) -> Option<Entry> {
        self.log.get(index.0 as usize - 1).copied()
    }
    fn state_digest(&self, _: PartitionId) -> Option<(LogIndex, u128)> {
        self.state
    }
}

fn shown(role: Role, era: u64, log: &[(u64, u64)], committed: u64) -> Shown {
    let log: Vec<Entry> = log.iter().map(|&(era, digest)| (Era(era), digest)).collect();
    let committed = LogIndex(committed);
    let status = Status {
        role,
        era: Era(era),
        leader: None,
        last: LogIndex(0),
        committed,
        floor: Floor::default(),
        lacks_state: false,
    };
    Shown { status, log, state: None }
}

/// Shows members one after another, as (node, member), and tells who objected.
fn objection(steps: &[(usize, Shown)]) -> Option<&'static str> {
    let mut checker = ClusterChecker::new(&Cluster { nodes: 3, partitions: 0, workers: 1 });
    let mut trace = Trace::new(0);
    steps.iter().find_map(|(node, member)| checker.after(0, *node, 0, member, &mut trace).err()).map(|v| v.checker)
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

#[test]
fn states_at_one_index_are_equal() {
    let with = |digest| Shown { state: Some((LogIndex(1), digest)), ..shown(Follower, 1, &[(1, 10)], 1) };
    assert_eq!(objection(&[(0, with(5)), (1, with(5))]), None);
    assert_eq!(objection(&[(0, with(5)), (1, with(6))]), Some("digests"));
}
