//! `nodes`: an operator at work. Nodes are registered, drained, taken back and removed, and said to listen elsewhere, while others do
//! their work. `keys` is how many nodes there can be; the simulated network knows them by number, so that their addresses are
//! nothing but values that must not be lost.
//!
//! `priorities`: whoever changes his mind about which nodes are to lead, all the time.
//!
//! `recoveries`: whoever sets how fast states are sent to replicas that lack theirs, and looks how they come on.
//!
//! `spares`: the same, with a cluster that replaces who is silent; its operator only takes nodes in, and back.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::Operation;
use orrery::types::Rng;
use orrery::types::random::below;

/// See the module.
pub(super) struct Nodes;

impl Kind for Nodes {
    fn name(&self) -> &'static str {
        "nodes"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["directory-sound"]
    }

    fn setup(&self, _place: Place) -> Vec<String> {
        Vec::new()
    }

    fn ready(&self, _place: Place) -> String {
        "SELECT node FROM system.nodes WHERE membership IS NOT NULL".to_owned()
    }

    fn draw(&self, rng: &mut Rng, place: Place, unique: u64, _earlier: &[Operation]) -> Operation {
        let node = below(rng, u64::from(place.keys)) as u32 + 1;
        match below(rng, 100) {
            0..30 => Operation::Readdress { node, value: unique },
            30..45 => Operation::Directory,
            45..65 => Operation::Enlist { node },
            65..80 => Operation::Drain { node },
            80..95 => Operation::Activate { node },
            95..97 => Operation::Pace { moves: below(rng, 4) as u32 + 1 },
            _ => Operation::Expel { node },
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, _unique: u64, reads: bool) -> Vec<Operation> {
        // Who leads the cluster partition has just been there: what is read then is not old.
        if reads { vec![Operation::Pace { moves: 2 }, Operation::Directory] } else { Vec::new() }
    }

    fn exchange(&self, _place: Place, operation: Operation, _style: Style) -> Exchange {
        Exchange::Simple(match operation {
            Operation::Readdress { node, value } => format!("ALTER NODE {node} SET ADDRESS 'said-{value}:1'"),
            Operation::Directory => {
                "SELECT n.node, n.membership, n.peer_address, c.value FROM system.nodes AS n, system.cluster AS c \
                 WHERE n.membership IS NOT NULL AND c.name = 'voters'"
                    .to_owned()
            }
            Operation::Enlist { node } => format!("ADD NODE 'enlisted-{node}:1' ID {node}"),
            Operation::Drain { node } => format!("DRAIN NODE {node}"),
            Operation::Activate { node } => format!("ACTIVATE NODE {node}"),
            Operation::Expel { node } => format!("REMOVE NODE {node}"),
            Operation::Pace { moves } => format!("ALTER CLUSTER SET max_moves = {moves}"),
            Operation::Throttle { rate } => format!("ALTER CLUSTER SET recovery_rate = {rate}"),
            Operation::Prefer { node, priority } => format!("ALTER NODE {node} SET PRIORITY {priority}"),
            other => unreachable!("an operator never plans `{other}`"),
        })
    }

    fn interpret(&self, _operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        Seen::Rows(answer.results.iter().flat_map(|result| texts(&result.rows)).collect())
    }
}

/// See the module.
pub(super) struct Spares;

/// Seconds of silence after which the cluster replaces a node.
const REPLACE_AFTER: u32 = 3;

impl Kind for Spares {
    fn name(&self) -> &'static str {
        "spares"
    }

    fn checkers(&self) -> &'static [&'static str] {
        Nodes.checkers()
    }

    fn setup(&self, _place: Place) -> Vec<String> {
        vec![format!("ALTER CLUSTER SET replace_after = {REPLACE_AFTER}")]
    }

    fn ready(&self, _place: Place) -> String {
        format!("SELECT value FROM system.cluster WHERE name = 'replace_after' AND value = '{REPLACE_AFTER}'")
    }

    fn draw(&self, rng: &mut Rng, place: Place, _unique: u64, _earlier: &[Operation]) -> Operation {
        let node = below(rng, u64::from(place.keys)) as u32 + 1;
        match below(rng, 100) {
            0..50 => Operation::Directory,
            50..70 => Operation::Enlist { node },
            _ => Operation::Activate { node },
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        Nodes.closing(rng, place, unique, reads)
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        Nodes.exchange(place, operation, style)
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        Nodes.interpret(operation, answer, binary)
    }
}

/// See the module.
pub(super) struct Priorities;

impl Kind for Priorities {
    fn name(&self) -> &'static str {
        "priorities"
    }

    fn checkers(&self) -> &'static [&'static str] {
        Nodes.checkers()
    }

    fn setup(&self, place: Place) -> Vec<String> {
        Nodes.setup(place)
    }

    fn ready(&self, place: Place) -> String {
        Nodes.ready(place)
    }

    fn draw(&self, rng: &mut Rng, place: Place, _unique: u64, _earlier: &[Operation]) -> Operation {
        let node = below(rng, u64::from(place.keys)) as u32 + 1;
        match below(rng, 100) {
            0..70 => Operation::Directory,
            _ => Operation::Prefer { node, priority: below(rng, 4) as u32 },
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        Nodes.closing(rng, place, unique, reads)
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        Nodes.exchange(place, operation, style)
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        Nodes.interpret(operation, answer, binary)
    }
}

/// See the module.
pub(super) struct Recoveries;

/// KiB a second to begin with.
const FIRST_RATE: u32 = 12;

impl Kind for Recoveries {
    fn name(&self) -> &'static str {
        "recoveries"
    }

    fn checkers(&self) -> &'static [&'static str] {
        Nodes.checkers()
    }

    fn setup(&self, _place: Place) -> Vec<String> {
        vec![format!("ALTER CLUSTER SET recovery_rate = {FIRST_RATE}")]
    }

    fn ready(&self, _place: Place) -> String {
        "SELECT value FROM system.cluster WHERE name = 'recovery_rate' AND value <> '0'".to_owned()
    }

    fn draw(&self, rng: &mut Rng, _place: Place, _unique: u64, _earlier: &[Operation]) -> Operation {
        match below(rng, 100) {
            0..80 => Operation::Directory,
            _ => Operation::Throttle { rate: below(rng, 20) as u32 + 6 },
        }
    }

    fn closing(&self, rng: &mut Rng, place: Place, unique: u64, reads: bool) -> Vec<Operation> {
        Nodes.closing(rng, place, unique, reads)
    }

    fn exchange(&self, place: Place, operation: Operation, style: Style) -> Exchange {
        Nodes.exchange(place, operation, style)
    }

    fn interpret(&self, operation: Operation, answer: &Answer, binary: bool) -> Seen {
        Nodes.interpret(operation, answer, binary)
    }
}
