use super::*;
use crate::types::{SqlError, SqlState};

fn formed(nodes: u32) -> Directory {
    let mut directory = Directory::default();
    let nodes = (1..=nodes).map(|node| (NodeId(node), format!("host-{node}:5434"))).collect();
    make(&mut directory, Change::Form { nodes, partitions: 2 }).unwrap();
    directory
}

fn make(directory: &mut Directory, change: Change) -> Result<Applied, SqlError> {
    directory.amend(&Amendment { expected: None, change })
}

fn join(address: &str, token: u128) -> Change {
    Change::Register { node: None, address: address.to_owned(), zone: String::new(), weight: 1, priority: 0, token }
}

fn state(directory: &Directory, node: u32) -> &'static str {
    directory.nodes[&NodeId(node)].state.name()
}

#[test]
fn a_cluster_is_formed_once_with_everything_everywhere() {
    let mut directory = formed(3);
    assert_eq!((directory.version, directory.voters, directory.k_safety()), (1, 3, 1));
    assert_eq!(directory.placements.len(), 3);
    assert!(directory.placements.values().all(|placement| placement.voters.len() == 3));
    let again = Change::Form { nodes: vec![(NodeId(9), String::new())], partitions: 2 };
    assert_eq!(make(&mut directory, again).unwrap_err().state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert_eq!(directory, formed(3));
}

#[test]
fn nothing_is_changed_before_the_cluster_is_formed() {
    let mut directory = Directory::default();
    assert!(make(&mut directory, Change::Pause(true)).is_err());
    assert!(!directory.is_formed());
}

#[test]
fn what_was_made_for_another_directory_is_refused() {
    let mut directory = formed(3);
    let mut amend = |expected, paused| directory.amend(&Amendment { expected, change: Change::Pause(paused) });
    assert!(amend(Some(1), true).is_ok());
    assert_eq!(amend(Some(1), false).unwrap_err().state, SqlState::SERIALIZATION_FAILURE);
    assert!(amend(Some(2), true).is_ok(), "what changes nothing is no change");
    assert!(amend(Some(2), false).is_ok());
}

#[test]
fn a_node_that_asks_again_is_told_the_same_number() {
    let mut directory = formed(3);
    assert_eq!(make(&mut directory, join("new:1", 77)).unwrap().node, Some(NodeId(4)));
    let version = directory.version;
    assert_eq!(make(&mut directory, join("new:1", 77)).unwrap().node, Some(NodeId(4)));
    assert_eq!(directory.version, version);
    assert_eq!(make(&mut directory, join("moved:1", 77)).unwrap().node, Some(NodeId(4)));
    assert_eq!(directory.nodes[&NodeId(4)].address, "moved:1");
    assert_eq!(make(&mut directory, join("new:1", 78)).unwrap().node, Some(NodeId(5)));
}

#[test]
fn a_node_that_was_announced_takes_its_entry_by_its_address() {
    let mut directory = formed(3);
    assert_eq!(make(&mut directory, join("new:1", 0)).unwrap().node, Some(NodeId(4)));
    assert_eq!(make(&mut directory, join("new:1", 0)).unwrap_err().state, SqlState::DUPLICATE_OBJECT);
    assert_eq!(make(&mut directory, join("new:1", 5)).unwrap().node, Some(NodeId(4)));
    assert_eq!(make(&mut directory, join("new:1", 6)).unwrap().node, Some(NodeId(4)), "it has lost its token");
    directory.heard(NodeId(4));
    assert_eq!(
        make(&mut directory, join("new:1", 7)).unwrap_err().state,
        SqlState::DUPLICATE_OBJECT,
        "it has lost its data"
    );
    assert_eq!(make(&mut directory, join("host-1:5434", 6)).unwrap_err().state, SqlState::DUPLICATE_OBJECT);
}

#[test]
fn a_node_takes_replicas_when_it_has_been_heard() {
    let mut directory = formed(3);
    make(&mut directory, join("new:1", 0)).unwrap();
    assert_eq!(state(&directory, 4), "joining");
    assert!(directory.heard(NodeId(4)));
    assert_eq!(state(&directory, 4), "active");
    let version = directory.version;
    assert!(!directory.heard(NodeId(4)) && !directory.heard(NodeId(9)));
    assert_eq!(directory.version, version);
}

#[test]
fn what_would_break_k_safety_is_refused_unless_forced() {
    let mut directory = formed(3);
    let error = make(&mut directory, Change::Drain { node: NodeId(3), force: false }).unwrap_err();
    assert_eq!(error.state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(error.hint.unwrap().contains("FORCE"));
    assert_eq!(directory, formed(3), "a refusal changes nothing");
    let error = make(&mut directory, Change::Safety { k: 2, force: false }).unwrap_err();
    assert_eq!(error.message, "k_safety 2 needs 5 nodes, and there are 3");
    let applied = make(&mut directory, Change::Drain { node: NodeId(3), force: true }).unwrap();
    assert_eq!(applied.notice.unwrap(), "without node 3 there are 2 nodes for 3 voters of each group");
    assert_eq!(state(&directory, 3), "draining");
    make(&mut directory, Change::Drain { node: NodeId(2), force: true }).unwrap();
    let error = make(&mut directory, Change::Drain { node: NodeId(1), force: true }).unwrap_err();
    assert_eq!(error.message, "node 1 is the last that replicas can be on");
}

#[test]
fn a_node_is_drained_then_removed_and_never_comes_back() {
    let mut directory = formed(3);
    make(&mut directory, join("new:1", 7)).unwrap();
    directory.heard(NodeId(4));
    let remove = |force| Change::Remove { node: NodeId(2), force };
    assert!(make(&mut directory, remove(false)).unwrap_err().hint.unwrap().starts_with("DRAIN NODE"));
    make(&mut directory, Change::Drain { node: NodeId(2), force: false }).unwrap();
    assert!(make(&mut directory, remove(false)).unwrap_err().hint.unwrap().starts_with("Wait"));
    make(&mut directory, Change::Drained { node: NodeId(2) }).unwrap();
    make(&mut directory, remove(false)).unwrap();
    assert!(directory.member(NodeId(2)).is_none());
    assert!(directory.placements.values().all(|placement| !placement.includes(NodeId(2))));
    let back = Change::Register {
        node: Some(NodeId(2)),
        address: "host-2:5434".to_owned(),
        zone: String::new(),
        weight: 1,
        priority: 0,
        token: 0,
    };
    assert_eq!(make(&mut directory, back).unwrap_err().message, "node 2 has been removed");
    for change in [
        Change::Activate { node: NodeId(2) },
        Change::Drain { node: NodeId(2), force: true },
        Change::Drained { node: NodeId(2) },
        Change::Alter { node: NodeId(2), to: Alteration::Weight(2) },
    ] {
        assert!(make(&mut directory, change).is_err());
    }
    assert_eq!(make(&mut directory, join("host-2:5434", 0)).unwrap().node, Some(NodeId(5)), "its address is free");
    make(&mut directory, Change::Remove { node: NodeId(4), force: true }).unwrap();
    let error = make(&mut directory, join("new:1", 7)).unwrap_err();
    assert_eq!(error.message, "node 4 has been removed", "nor under the token that it was known by");
}

#[test]
fn the_only_voter_of_a_group_is_not_removed_while_the_group_may_still_be_there() {
    let mut directory = formed(1);
    make(&mut directory, join("new:1", 7)).unwrap();
    directory.heard(NodeId(2));
    let force = || Change::Remove { node: NodeId(1), force: true };
    assert!(make(&mut directory, force()).is_err());
    make(&mut directory, Change::Drain { node: NodeId(1), force: false }).unwrap();
    // Wanted elsewhere, and not there yet.
    let elsewhere = Placement { voters: vec![NodeId(2)], ..Placement::default() };
    let all = directory.placements.keys().map(|partition| (*partition, elsewhere.clone())).collect();
    make(&mut directory, Change::Place(all)).unwrap();
    let error = make(&mut directory, force()).unwrap_err();
    assert_eq!(error.state, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(error.hint.unwrap().contains("system.moves"));
    assert_eq!(state(&directory, 1), "draining");
    make(&mut directory, Change::Drained { node: NodeId(1) }).unwrap();
    make(&mut directory, force()).unwrap();
}

#[test]
fn who_has_never_come_is_not_drained_and_so_never_taken_back() {
    let mut directory = formed(3);
    make(&mut directory, join("new:1", 0)).unwrap();
    let error = make(&mut directory, Change::Drain { node: NodeId(4), force: true }).unwrap_err();
    assert_eq!(
        (error.state, error.message.as_str()),
        (SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "node 4 has not come yet")
    );
    make(&mut directory, Change::Activate { node: NodeId(4) }).unwrap();
    assert_eq!(state(&directory, 4), "joining", "replicas wait for it to be heard");
    make(&mut directory, Change::Remove { node: NodeId(4), force: false }).unwrap();
}

#[test]
fn draining_can_be_taken_back() {
    let mut directory = formed(3);
    make(&mut directory, Change::Drain { node: NodeId(3), force: true }).unwrap();
    make(&mut directory, Change::Activate { node: NodeId(3) }).unwrap();
    assert_eq!(state(&directory, 3), "active");
    make(&mut directory, Change::Drained { node: NodeId(3) }).unwrap();
    assert_eq!(state(&directory, 3), "active", "an answer to what is not asked any more");
}

#[test]
fn values_that_cannot_be_are_refused() {
    let mut directory = formed(3);
    let alter = |to| Change::Alter { node: NodeId(1), to };
    for change in [
        alter(Alteration::Weight(0)),
        alter(Alteration::Weight(1001)),
        alter(Alteration::Priority(1001)),
        alter(Alteration::Zone("x".repeat(65))),
        alter(Alteration::Address("nowhere".to_owned())),
        alter(Alteration::Address("host:70000".to_owned())),
        Change::Safety { k: 16, force: true },
        Change::Moves(0),
    ] {
        assert_eq!(make(&mut directory, change).unwrap_err().state, SqlState::INVALID_PARAMETER_VALUE);
    }
    let taken = alter(Alteration::Address("host-2:5434".to_owned()));
    assert_eq!(make(&mut directory, taken).unwrap_err().state, SqlState::DUPLICATE_OBJECT);
    let nobody = Change::Alter { node: NodeId(9), to: Alteration::Weight(2) };
    assert_eq!(make(&mut directory, nobody).unwrap_err().state, SqlState::UNDEFINED_OBJECT);
    assert_eq!(directory, formed(3));
}

#[test]
fn a_placement_names_nodes_that_there_are_each_once() {
    let mut directory = formed(3);
    let place = |voters: &[u32], leader: Option<u32>| {
        let voters = voters.iter().copied().map(NodeId).collect();
        Change::Place(vec![(PartitionId(1), Placement { voters, leader: leader.map(NodeId), ..Placement::default() })])
    };
    for wrong in
        [place(&[], None), place(&[1, 1], None), place(&[2, 1], None), place(&[1, 9], None), place(&[1], Some(2))]
    {
        assert!(make(&mut directory, wrong).is_err());
    }
    make(&mut directory, place(&[1, 3], Some(3))).unwrap();
    assert_eq!(directory.placement(PartitionId(1)).unwrap().role(NodeId(3)), Some("voter"));
    assert_eq!(directory.placement(PartitionId(1)).unwrap().role(NodeId(2)), None);
    let nowhere = Change::Place(vec![(PartitionId(9), Placement { voters: vec![NodeId(1)], ..Placement::default() })]);
    assert!(make(&mut directory, nowhere).is_err());
}
