//! `nodes`: an operator at work. Nodes are registered, drained, taken back and removed, and said to listen elsewhere, while others do
//! their work. `keys` is how many nodes there can be; the simulated network knows them by number, so that their addresses are
//! nothing but values that must not be lost.
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
            80..97 => Operation::Activate { node },
            _ => Operation::Expel { node },
        }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, _unique: u64, reads: bool) -> Vec<Operation> {
        if reads { vec![Operation::Directory] } else { Vec::new() }
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
