//! A model of groups: what they would do with the steps that they are told.

use super::*;
use crate::cluster::placement::plan;
use crate::consensus;
use crate::directory::{Amendment, Change};
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_millis(100);

/// A group with its members, of whom some hold what was committed.
#[derive(Clone, Debug)]
struct ModelGroup {
    membership: Membership,
    leader: NodeId,
    era: u64,
    holds: BTreeSet<NodeId>,
    /// Replicas that there are, members or not, with the configuration that they know.
    replicas: BTreeMap<NodeId, u64>,
}

struct Model {
    now: Instant,
    directory: Directory,
    groups: BTreeMap<PartitionId, ModelGroup>,
    reconciler: Reconciler,
    /// Steps that were said and may yet arrive.
    late: Vec<Order>,
}

impl Model {
    fn new(nodes: u32, partitions: u32) -> Self {
        let mut directory = Directory::default();
        let founders: Vec<_> = (1..=nodes).map(|node| (NodeId(node), format!("host-{node}:1"))).collect();
        amend(&mut directory, Change::Form { nodes: founders, partitions });
        let group = |partition: &PartitionId| {
            let members: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
            let group = ModelGroup {
                membership: Membership::initial(members.clone()),
                leader: NodeId(1 + partition.0 % nodes),
                era: 1,
                holds: members.iter().copied().collect(),
                replicas: members.into_iter().map(|node| (node, 1)).collect(),
            };
            (*partition, group)
        };
        let groups = directory.placements.keys().map(group).collect();
        Self { now: Instant(0), directory, groups, reconciler: Reconciler::new(INTERVAL), late: Vec::new() }
    }

    fn plan(&mut self) {
        let changes = plan(&self.directory);
        if !changes.is_empty() {
            amend(&mut self.directory, Change::Place(changes));
        }
    }

    fn report(&mut self) {
        for node in self.directory.members().map(|(node, _)| node).collect::<Vec<_>>() {
            let held = |(partition, group): (&PartitionId, &ModelGroup)| {
                let configuration = *group.replicas.get(&node)?;
                let others = || group.holds.iter().copied().filter(|other| *other != node);
                let told = (group.leader == node).then(|| Group {
                    era: Era(group.era),
                    membership: group.membership.clone(),
                    settled: !group.membership.is_joint(),
                    caught_up: others().collect(),
                    lag: Vec::new(),
                });
                Some(Held { partition: *partition, configuration, last_era: Era(group.era), group: told })
            };
            let replicas = self.groups.iter().filter_map(held).collect();
            let (worker, directory) = (WorkerId(0), self.directory.version);
            self.reconciler.report(self.now, Report { node, worker, directory, replicas });
        }
    }

    /// What a group, or a node, does when it is told something. Returns whether it has done it.
    fn obey(&mut self, order: &Order) -> bool {
        let Some(group) = self.groups.get_mut(&order.partition) else { return false };
        match &order.step {
            Step::Change { expected, voters, learners, witnesses } => {
                let (voters, learners, witnesses) = (voters.clone(), learners.clone(), witnesses.clone());
                let change = consensus::Change { expected: *expected, voters, learners, witnesses };
                let unfit = |node: &NodeId| !group.membership.is_voter(*node) && !group.holds.contains(node);
                if order.node != group.leader
                    || *expected != group.membership.id
                    || group.membership.is_joint()
                    || change.voters.iter().any(unfit)
                {
                    return false;
                }
                let Ok(next) = group.membership.next(&change) else { return false };
                group.membership = next.completed();
                for node in group.membership.members() {
                    group.replicas.insert(node, group.membership.id);
                }
                group.holds.retain(|node| group.membership.contains(*node));
                if !group.membership.voters.contains(&group.leader) {
                    group.leader = *group.membership.voters.iter().find(|node| group.holds.contains(node)).unwrap();
                    group.era += 1;
                }
                true
            }
            Step::HandOver { expected, to } => {
                let fit = order.node == group.leader && *expected == group.membership.id && group.holds.contains(to);
                if fit {
                    group.leader = *to;
                    group.era += 1;
                }
                fit
            }
            Step::Drop { configuration, .. } => {
                let wanted = self.directory.placement(order.partition).unwrap().includes(order.node);
                let known = group.replicas.get(&order.node).copied();
                let drops = known.is_some_and(|known| known <= *configuration) && !wanted;
                if drops {
                    assert!(!group.membership.contains(order.node), "a member is told to drop what it has");
                    group.replicas.remove(&order.node);
                }
                drops
            }
        }
    }

    /// One round in which everything arrives and learners catch up.
    fn round(&mut self) {
        self.now = self.now + INTERVAL;
        self.plan();
        self.report();
        for order in self.reconciler.steps(self.now, &self.directory) {
            self.obey(&order);
        }
        for group in self.groups.values_mut() {
            group.holds = group.membership.members().into_iter().collect();
        }
        for node in self.reconciler.drained(self.now, &self.directory) {
            amend(&mut self.directory, Change::Drained { node });
        }
    }

    fn is_done(&self) -> bool {
        self.groups.iter().all(|(partition, group)| {
            let wanted = self.directory.placement(*partition).unwrap();
            is_as_wanted(&group.membership, wanted)
                && wanted.leader == Some(group.leader)
                && group.replicas.keys().copied().eq(group.membership.members())
        })
    }

    fn settle(&mut self) {
        for _ in 0..400 {
            self.round();
            if self.is_done() {
                return;
            }
        }
        panic!("it does not come to an end: {:?}", self.reconciler.moves(self.now, &self.directory));
    }
}

fn amend(directory: &mut Directory, change: Change) {
    directory.amend(&Amendment { expected: None, change }).unwrap();
}

fn add(directory: &mut Directory, node: u32) {
    let address = format!("host-{node}:1");
    let change =
        Change::Register { node: Some(NodeId(node)), address, zone: String::new(), weight: 1, priority: 0, token: 0 };
    amend(directory, change);
    directory.heard(NodeId(node));
}

#[test]
fn three_nodes_five_nodes_three_nodes() {
    let mut model = Model::new(3, 8);
    add(&mut model.directory, 4);
    add(&mut model.directory, 5);
    model.settle();
    for node in [1, 2] {
        amend(&mut model.directory, Change::Drain { node: NodeId(node), force: false });
    }
    model.settle();
    model.round();
    let states: Vec<_> = model.directory.members().map(|(_, node)| node.state.name()).collect();
    assert_eq!(states, ["drained", "drained", "active", "active", "active"]);
    for node in [1, 2] {
        amend(&mut model.directory, Change::Remove { node: NodeId(node), force: false });
    }
}

#[test]
fn a_move_goes_by_learners_and_one_change() {
    let mut model = Model::new(3, 0);
    add(&mut model.directory, 4);
    amend(&mut model.directory, Change::Drain { node: NodeId(1), force: false });
    model.plan();
    model.report();
    let steps = model.reconciler.steps(model.now, &model.directory);
    let change = |expected, voters: &[u32], learners: &[u32]| Step::Change {
        expected,
        voters: voters.iter().copied().map(NodeId).collect(),
        learners: learners.iter().copied().map(NodeId).collect(),
        witnesses: Vec::new(),
    };
    assert_eq!(steps.iter().map(|order| order.step.clone()).collect::<Vec<_>>(), [change(1, &[1, 2, 3], &[4])]);
    assert!(model.obey(&steps[0]));
    model.report();
    assert!(model.reconciler.steps(model.now, &model.directory).is_empty(), "node 4 has not caught up");
    let group = model.groups.get_mut(&PartitionId(0)).unwrap();
    group.holds.insert(NodeId(4));
    model.report();
    let steps = model.reconciler.steps(model.now, &model.directory);
    assert_eq!(steps[0].step, change(2, &[2, 3, 4], &[]));
    assert!(model.reconciler.steps(model.now, &model.directory).is_empty(), "it is not said again at once");
    let later = model.now + INTERVAL * AGAIN_AFTER;
    assert_eq!(model.reconciler.steps(later, &model.directory), steps, "but after a while");
    assert!(model.obey(&steps[0]) && !model.obey(&steps[0]), "a second copy is nothing");
    model.report();
    let steps = model.reconciler.steps(model.now, &model.directory);
    assert!(steps.iter().any(|order| order.node == NodeId(1) && matches!(order.step, Step::Drop { .. })));
}

#[test]
fn so_many_are_on_the_move_as_may_be_and_nothing_while_it_is_paused() {
    let mut model = Model::new(3, 8);
    add(&mut model.directory, 4);
    amend(&mut model.directory, Change::Drain { node: NodeId(1), force: false });
    model.plan();
    model.report();
    amend(&mut model.directory, Change::Pause(true));
    assert!(model.reconciler.steps(model.now, &model.directory).is_empty());
    amend(&mut model.directory, Change::Pause(false));
    for _ in 0..3 {
        for order in model.reconciler.steps(model.now, &model.directory) {
            model.obey(&order);
        }
        model.report();
        let moving = model.groups.values().filter(|group| group.membership.learners.len() == 1).count();
        assert_eq!(moving, 2);
        model.now = model.now + INTERVAL;
    }
    let waiting = model.reconciler.moves(model.now, &model.directory);
    assert_eq!(waiting.iter().filter(|group| group.state == MoveState::Waiting).count(), 7);
    assert_eq!(waiting.iter().filter(|group| group.state == MoveState::CatchingUp).count(), 2);
}

#[test]
fn who_is_to_lead_is_given_the_lead_when_it_has_been_ready_for_a_while_and_not_twice_at_once() {
    let mut model = Model::new(3, 0);
    let to = crate::directory::Alteration::Priority(9);
    amend(&mut model.directory, Change::Alter { node: NodeId(3), to });
    let cluster = PartitionId(0);
    let led_after = |model: &mut Model, rounds: u32| {
        let mut hand_overs = 0;
        for _ in 0..rounds {
            let before = model.groups[&cluster].era;
            model.round();
            hand_overs += model.groups[&cluster].era - before;
        }
        (model.groups[&cluster].leader, hand_overs)
    };
    assert_eq!(led_after(&mut model, STEADY_FOR), (NodeId(1), 0), "it has just come to be wanted");
    assert_eq!(led_after(&mut model, 2), (NodeId(3), 1));
    // Its links are bad: whenever it has been given the lead, others elect another at once.
    for _ in 0..3 {
        let group = model.groups.get_mut(&cluster).unwrap();
        (group.leader, group.era) = (NodeId(1), group.era + 1);
        assert_eq!(led_after(&mut model, STEADY_FOR), (NodeId(1), 0), "not again at once");
        assert_eq!(led_after(&mut model, 2), (NodeId(3), 1));
    }
    // Elections in between begin the time anew.
    for _ in 0..10 {
        let group = model.groups.get_mut(&cluster).unwrap();
        (group.leader, group.era) = (NodeId(2), group.era + 1);
        assert_eq!(led_after(&mut model, STEADY_FOR / 2).0, NodeId(2));
    }
}

#[test]
fn who_has_been_silent_knows_nothing_any_more() {
    let mut model = Model::new(3, 1);
    model.report();
    let uninformed = |model: &Model| model.reconciler.uninformed(model.now, &model.directory).collect::<Vec<_>>();
    assert_eq!(uninformed(&model), []);
    // Node 1 does not know where to report in its new life: it has links to nobody who leads.
    for _ in 0..=BELIEVED_FOR {
        model.now = model.now + INTERVAL;
        for node in [2, 3].map(NodeId) {
            let (worker, directory) = (WorkerId(0), model.directory.version);
            let report = Report { node, worker, directory, replicas: Vec::new() };
            model.reconciler.report(model.now, report);
        }
    }
    assert_eq!(uninformed(&model), [NodeId(1)]);
    model.report();
    assert_eq!(uninformed(&model), []);
}

#[test]
fn nothing_is_said_about_a_group_that_nobody_has_told_of() {
    let mut model = Model::new(3, 2);
    add(&mut model.directory, 4);
    amend(&mut model.directory, Change::Drain { node: NodeId(1), force: false });
    model.plan();
    assert!(model.reconciler.steps(model.now, &model.directory).is_empty());
    model.report();
    model.now = model.now + INTERVAL * (BELIEVED_FOR + 1);
    assert!(model.reconciler.steps(model.now, &model.directory).is_empty(), "that was long ago");
    assert!(model.reconciler.drained(model.now, &model.directory).is_empty());
}

#[derive(Clone, Debug)]
enum Act {
    /// Rounds in which some steps are lost or late, and some learners do not catch up.
    Rounds(u8, u64),
    Add,
    Drain(u32),
    Activate(u32),
    /// A group has another leader.
    Elect(u32, u32),
    /// Another reconciler takes over.
    Forget,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1..6_u8, any::<u64>()).prop_map(|(rounds, dice)| Act::Rounds(rounds, dice)),
        Just(Act::Add),
        (1..8_u32).prop_map(Act::Drain),
        (1..8_u32).prop_map(Act::Activate),
        (0..4_u32, 0..8_u32).prop_map(|(partition, member)| Act::Elect(partition, member)),
        Just(Act::Forget),
    ]
}

fn perturbed(model: &mut Model, mut dice: u64) {
    let mut draw = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    model.now = model.now + INTERVAL;
    model.plan();
    if draw(4) > 0 {
        model.report();
    }
    let said = model.reconciler.steps(model.now, &model.directory);
    let mut arriving = std::mem::take(&mut model.late);
    for order in said {
        match draw(4) {
            0 => {}
            1 => model.late.push(order),
            2 => {
                model.late.push(order.clone());
                arriving.push(order);
            }
            _ => arriving.push(order),
        }
    }
    for order in arriving {
        let before = model.groups[&order.partition].clone();
        model.obey(&order);
        let after = &model.groups[&order.partition];
        let intact =
            |group: &ModelGroup| group.membership.voters.iter().filter(|node| group.holds.contains(node)).count();
        let least = intact(&before).min(after.membership.voters.len() / 2 + 1);
        assert!(intact(after) >= least, "fewer voters hold the data than make a majority: {before:?} {after:?}");
    }
    for group in model.groups.values_mut() {
        for node in group.membership.members() {
            if draw(3) == 0 {
                group.holds.insert(node);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_or_late_all_comes_to_be_as_it_is_wanted(
        nodes in prop_oneof![Just(1_u32), Just(3), Just(5)],
        partitions in 0..4_u32,
        acts in proptest::collection::vec(act(), 1..10),
    ) {
        let mut model = Model::new(nodes, partitions);
        for act in acts {
            match act {
                Act::Rounds(rounds, dice) => {
                    (0..rounds).for_each(|round| perturbed(&mut model, dice ^ u64::from(round)));
                }
                Act::Add => {
                    let next = model.directory.nodes.len() as u32 + 1;
                    add(&mut model.directory, next);
                }
                Act::Drain(node) | Act::Activate(node) => {
                    let node = NodeId(node);
                    let change = if matches!(act, Act::Drain(_)) { Change::Drain { node, force: true } } else { Change::Activate { node } };
                    let _may_be_refused = model.directory.amend(&Amendment { expected: None, change });
                }
                Act::Elect(partition, member) => {
                    if let Some(group) = model.groups.get_mut(&PartitionId(partition)) {
                        let able: Vec<_> = group.membership.voters.iter().filter(|node| group.holds.contains(node)).collect();
                        group.leader = *able[member as usize % able.len()];
                        group.era += 1;
                    }
                }
                Act::Forget => model.reconciler = Reconciler::new(INTERVAL),
            }
        }
        model.late.clear();
        model.settle();
    }
}

#[test]
fn who_is_silent_for_too_long_is_replaced_if_enough_others_are_heard() {
    let mut directory = Directory::default();
    let founders: Vec<_> = (1..=3).map(|node| (NodeId(node), format!("host-{node}:1"))).collect();
    amend(&mut directory, Change::Form { nodes: founders, partitions: 1 });
    add(&mut directory, 4);
    let mut reconciler = Reconciler::new(INTERVAL);
    let hear = |reconciler: &mut Reconciler, now: Instant, nodes: &[u32]| {
        for node in nodes.iter().copied().map(NodeId) {
            reconciler.report(now, Report { node, worker: WorkerId(0), directory: 1, replicas: Vec::new() });
        }
    };
    let second = |number: u64| Instant(number * 1_000_000_000);
    hear(&mut reconciler, second(100), &[1, 2, 3]);
    assert_eq!(reconciler.silent(second(100), &directory), None, "nobody has said that anybody is to be replaced");
    amend(&mut directory, Change::ReplaceAfter(60));
    hear(&mut reconciler, second(160), &[1, 2, 3]);
    assert_eq!(reconciler.silent(second(160), &directory), None, "it is waited for from the first report on");
    hear(&mut reconciler, second(161), &[1, 2, 3]);
    assert_eq!(reconciler.silent(second(161), &directory), Some(NodeId(4)), "it has never been heard here");
    hear(&mut reconciler, second(162), &[1, 2, 4]);
    assert_eq!(reconciler.silent(second(162), &directory), None);
    hear(&mut reconciler, second(240), &[1, 2, 4]);
    assert_eq!(reconciler.silent(second(240), &directory), Some(NodeId(3)));
    amend(&mut directory, Change::Pause(true));
    assert_eq!(reconciler.silent(second(240), &directory), None);
    amend(&mut directory, Change::Pause(false));
    hear(&mut reconciler, second(330), &[1, 2]);
    assert_eq!(reconciler.silent(second(330), &directory), None, "two are too few for three voters");
    hear(&mut reconciler, second(331), &[1, 2, 4]);
    amend(&mut directory, Change::Silent { node: NodeId(3) });
    assert_eq!(directory.nodes[&NodeId(3)].state, NodeState::Draining);
    assert_eq!(reconciler.silent(second(331), &directory), None, "once is enough");
}
