//! `observer`: reads the system tables, as whoever is called because the cluster is in trouble does. It writes nothing and has no
//! tables of its own; what it is shown of the cluster must hold together (`system-tables-sound`), and it must be shown something
//! within the statement's time, whoever is down.

use super::wire::{Answer, Exchange, texts};
use super::{Kind, Place, Style};
use crate::history::Seen;
use crate::operation::{Observed, Operation};
use orrery::types::Rng;
use orrery::types::random::below;

/// See the module.
pub(super) struct Observer;

impl Kind for Observer {
    fn name(&self) -> &'static str {
        "observer"
    }

    fn checkers(&self) -> &'static [&'static str] {
        &["system-tables-sound"]
    }

    fn setup(&self, _place: Place) -> Vec<String> {
        Vec::new()
    }

    fn ready(&self, _place: Place) -> String {
        "SELECT node FROM system.nodes".to_owned()
    }

    fn draw(&self, rng: &mut Rng, _place: Place, _unique: u64, _earlier: &[Operation]) -> Operation {
        Operation::Observe { what: Observed::nth(below(rng, Observed::COUNT as u64) as usize) }
    }

    fn closing(&self, _rng: &mut Rng, _place: Place, _unique: u64, reads: bool) -> Vec<Operation> {
        let all = (0..Observed::COUNT).map(|place| Operation::Observe { what: Observed::nth(place) });
        if reads { all.collect() } else { Vec::new() }
    }

    fn exchange(&self, _place: Place, operation: Operation, style: Style) -> Exchange {
        let Operation::Observe { what } = operation else { unreachable!("an observer never plans `{operation}`") };
        let (name, text) = match what {
            Observed::Nodes => ("nodes", "SELECT node, state, leads FROM system.nodes ORDER BY node"),
            Observed::Partitions => {
                ("partitions", "SELECT partition, kind, leader, answering FROM system.partitions ORDER BY partition")
            }
            Observed::Replicas => {
                let text = "SELECT partition, node, role, era, executed, digest, durable, lag_bytes, lag_ms \
                            FROM system.replicas";
                ("replicas", text)
            }
            Observed::Sessions => ("sessions", "SELECT node, worker, pid, state FROM system.sessions"),
            Observed::Events => ("events", "SELECT node, worker, number, kind, text FROM system.events"),
            Observed::Settings => ("settings", "SELECT scope, name, value FROM system.settings"),
        };
        // Fields are compared as text.
        let read = if style == Style::Prepared { Style::Unnamed } else { style };
        read.exchange(name, text, &[])
    }

    fn interpret(&self, _operation: Operation, answer: &Answer, _binary: bool) -> Seen {
        Seen::Rows(answer.results.iter().flat_map(|result| texts(&result.rows)).collect())
    }
}
