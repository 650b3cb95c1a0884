use super::*;
use crate::directory::{Alteration, Amendment, Change};
use proptest::prelude::*;

fn formed(nodes: u32, partitions: u32) -> Directory {
    let mut directory = Directory::default();
    let nodes = (1..=nodes).map(|node| (NodeId(node), format!("host-{node}:1"))).collect();
    amend(&mut directory, Change::Form { nodes, partitions });
    directory
}

fn amend(directory: &mut Directory, change: Change) {
    directory.amend(&Amendment { expected: None, change }).unwrap();
}

fn add(directory: &mut Directory, node: u32, zone: &str, weight: u32) {
    let (zone, address) = (zone.to_owned(), format!("host-{node}:1"));
    let change = Change::Register { node: Some(NodeId(node)), address, zone, weight, priority: 0, token: 0 };
    amend(directory, change);
    directory.heard(NodeId(node));
}

/// Adopts the plan, and returns how many groups it changes.
fn adopt(directory: &mut Directory) -> usize {
    let changed = plan(directory);
    let count = changed.len();
    if count > 0 {
        amend(directory, Change::Place(changed));
    }
    count
}

/// `node: replicas (leads)` of every node.
fn shares(directory: &Directory) -> String {
    let count = |node: NodeId| {
        let all = || directory.placements.values();
        let replicas = all().filter(|placement| placement.includes(node)).count();
        let leads = all().filter(|placement| placement.leader == Some(node)).count();
        format!("{}: {replicas} ({leads})", node.0)
    };
    directory.members().map(|(node, _)| count(node)).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_new_cluster_stays_as_it_is_but_for_its_leaders() {
    let mut directory = formed(3, 5);
    adopt(&mut directory);
    assert_eq!(shares(&directory), "1: 6 (2), 2: 6 (2), 3: 6 (2)");
    assert_eq!(adopt(&mut directory), 0);
}

#[test]
fn three_nodes_five_nodes_three_nodes() {
    let mut directory = formed(3, 9);
    adopt(&mut directory);
    add(&mut directory, 4, "", 1);
    add(&mut directory, 5, "", 1);
    adopt(&mut directory);
    assert_eq!(shares(&directory), "1: 6 (2), 2: 6 (2), 3: 6 (2), 4: 6 (2), 5: 6 (2)");
    for node in [2, 4] {
        amend(&mut directory, Change::Drain { node: NodeId(node), force: false });
    }
    adopt(&mut directory);
    let shown = shares(&directory);
    assert_eq!(shown, "1: 10 (4), 2: 0 (0), 3: 10 (3), 4: 0 (0), 5: 10 (3)");
    assert_eq!(adopt(&mut directory), 0);
}

#[test]
fn weight_decides_about_shares() {
    let mut directory = formed(1, 11);
    add(&mut directory, 2, "", 2);
    add(&mut directory, 3, "", 3);
    adopt(&mut directory);
    assert_eq!(shares(&directory), "1: 2 (2), 2: 4 (4), 3: 6 (6)");
}

#[test]
fn replicas_are_spread_over_zones() {
    let mut directory = formed(3, 5);
    for (node, zone) in [(1, "a"), (2, "a"), (3, "b")] {
        amend(&mut directory, Change::Alter { node: NodeId(node), to: Alteration::Zone(zone.to_owned()) });
    }
    add(&mut directory, 4, "b", 1);
    add(&mut directory, 5, "c", 1);
    adopt(&mut directory);
    for placement in directory.placements.values() {
        let zones: BTreeSet<&str> = placement.voters.iter().map(|node| directory.nodes[node].zone.as_str()).collect();
        assert_eq!(zones.len(), 3, "{placement:?}");
    }
    assert_eq!(adopt(&mut directory), 0);
}

#[test]
fn the_greatest_priority_is_to_lead() {
    let mut directory = formed(3, 3);
    amend(&mut directory, Change::Alter { node: NodeId(2), to: Alteration::Priority(20) });
    adopt(&mut directory);
    assert_eq!(shares(&directory), "1: 4 (0), 2: 4 (4), 3: 4 (0)");
    amend(&mut directory, Change::Alter { node: NodeId(2), to: Alteration::Priority(0) });
    adopt(&mut directory);
    assert_eq!(shares(&directory), "1: 4 (1), 2: 4 (2), 3: 4 (1)");
}

#[test]
fn with_fewer_nodes_than_voters_there_is_an_odd_number() {
    let mut directory = formed(3, 2);
    amend(&mut directory, Change::Drain { node: NodeId(3), force: true });
    adopt(&mut directory);
    assert!(directory.placements.values().all(|placement| placement.voters.len() == 1));
    amend(&mut directory, Change::Activate { node: NodeId(3) });
    adopt(&mut directory);
    assert!(directory.placements.values().all(|placement| placement.voters.len() == 3));
}

#[derive(Clone, Debug)]
enum Act {
    Add(u8, u32),
    Drain(u32),
    Activate(u32),
    Remove(u32),
    Zone(u32, u8),
    Weight(u32, u32),
    Priority(u32, u32),
    Safety(u32),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..4_u8, 1..4_u32).prop_map(|(zone, weight)| Act::Add(zone, weight)),
        (1..9_u32).prop_map(Act::Drain),
        (1..9_u32).prop_map(Act::Activate),
        (1..9_u32).prop_map(Act::Remove),
        (1..9_u32, 0..4_u8).prop_map(|(node, zone)| Act::Zone(node, zone)),
        (1..9_u32, 1..4_u32).prop_map(|(node, weight)| Act::Weight(node, weight)),
        (1..9_u32, 0..3_u32).prop_map(|(node, priority)| Act::Priority(node, priority)),
        (0..3_u32).prop_map(Act::Safety),
    ]
}

fn zone(number: u8) -> String {
    if number == 0 { String::new() } else { format!("zone-{number}") }
}

fn change(act: Act, directory: &Directory) -> Change {
    match act {
        Act::Add(number, weight) => {
            let address = format!("new-{}:1", directory.nodes.len());
            Change::Register { node: None, address, zone: zone(number), weight, priority: 0, token: 0 }
        }
        Act::Drain(node) => Change::Drain { node: NodeId(node), force: true },
        Act::Activate(node) => Change::Activate { node: NodeId(node) },
        Act::Remove(node) => Change::Remove { node: NodeId(node), force: true },
        Act::Zone(node, number) => Change::Alter { node: NodeId(node), to: Alteration::Zone(zone(number)) },
        Act::Weight(node, weight) => Change::Alter { node: NodeId(node), to: Alteration::Weight(weight) },
        Act::Priority(node, priority) => Change::Alter { node: NodeId(node), to: Alteration::Priority(priority) },
        Act::Safety(k) => Change::Safety { k, force: true },
    }
}

proptest! {
    #[test]
    fn plans_are_whole_even_and_stay(
        nodes in 1..6_u32,
        partitions in 1..12_u32,
        acts in proptest::collection::vec(act(), 1..12),
    ) {
        let mut directory = formed(nodes, partitions);
        for act in acts {
            let change = change(act, &directory);
            let Ok(applied) = directory.amend(&Amendment { expected: None, change }) else { continue };
            if let Some(node) = applied.node {
                directory.heard(node);
            }
            adopt(&mut directory);
            prop_assert_eq!(adopt(&mut directory), 0, "a plan made again changes nothing");
            let active: BTreeMap<NodeId, _> = directory.active().collect();
            let wanted = directory.voters as usize;
            for placement in directory.placements.values() {
                let size = placement.voters.len();
                prop_assert!(placement.voters.iter().all(|node| active.contains_key(node)));
                prop_assert!(size == wanted || active.len() < wanted && size % 2 == 1);
                let greatest = placement.voters.iter().map(|node| active[node].priority).max();
                prop_assert_eq!(placement.leader.map(|leader| active[&leader].priority), greatest);
            }
            if active.values().all(|node| node.zone.is_empty() && node.weight == 1) {
                let replicas = |node: &NodeId| directory.placements.values().filter(|placement| placement.includes(*node)).count();
                let (least, most) = (active.keys().map(replicas).min(), active.keys().map(replicas).max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1, "{}", shares(&directory));
            }
        }
    }
}
