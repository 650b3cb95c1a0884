use super::*;
use crate::draw::draw;
use crate::history::{HistoryEvent, OperationId, Outcome, Seen};
use crate::operation::Operation;
use crate::run::{Run, Violation};
use crate::scenario::Scenario;
use crate::trace::{Event, Mark};
use bytes::Bytes;
use orrery::consensus::Role;
use orrery::types::{NodeId, WorkerId};
use std::collections::BTreeMap;

const MS: u64 = 1_000_000;

/// A small run, made by hand: a leader crashes, another takes over, a read sees what it may not.
fn report() -> Report {
    let text = "name = \"made\"\nlength = \"3s\"\n[[workload]]\nkind = \"registers\"\nclients = 2\nrate = 4\n";
    let plan = draw(&Scenario::from_text("made.toml", text).expect("a scenario"), 1);
    let node = NodeId;
    let mut recording = Recording::default();
    recording.events.extend([
        (0, Event::Restart { node: node(1), life: 1 }),
        (0, Event::Restart { node: node(2), life: 1 }),
        (400 * MS, Event::Fault { id: 7, name: "crash", node: node(1) }),
        (400 * MS, Event::Down { node: node(1), life: 1, why: "crash" }),
        (500 * MS, Event::Fault { id: 8, name: "split", node: node(2) }),
        (900 * MS, Event::Restart { node: node(1), life: 2 }),
        (1_000 * MS, Event::Lifted { id: 8, name: "split" }),
    ]);
    let role = |node, role, era| Mark::Role { node, partition: 1, role, era, committed: 3 };
    let flight = |lost| Mark::Flight {
        from: node(2),
        to: node(1),
        worker: WorkerId(0),
        sent_ns: 650 * MS,
        lost,
        payload: Bytes::from_static(b"nonsense"),
    };
    recording.marks.extend([
        (100 * MS, role(node(1), Role::Leader, 1)),
        (600 * MS, role(node(2), Role::Candidate, 2)),
        (700 * MS, role(node(2), Role::Leader, 2)),
        (710 * MS, flight(Some("down"))),
        (950 * MS, flight(None)),
    ]);
    let (id, operation) = (OperationId::new(1, 4), Operation::Read { key: 2 });
    let run = Run {
        simulated_ns: 1_200 * MS,
        events: 7,
        history: vec![
            (800 * MS, HistoryEvent::Invoke { id, operation }),
            (850 * MS, HistoryEvent::Return { id, outcome: Outcome::Done(Seen::Value(Some(9))) }),
        ],
        recording: Some(recording),
        ..Run::default()
    };
    Report {
        violations: vec![Violation {
            checker: "linearizable-registers",
            kind: "stale-read".to_owned(),
            at_ns: 850 * MS,
            message: "row 2: c1.4 `read 2` shows 9, </script> and no more".to_owned(),
        }],
        gave_up: BTreeMap::new(),
        acknowledged: 1,
        outcomes: BTreeMap::new(),
        reasons: BTreeMap::new(),
        unmet: Vec::new(),
        plan,
        run,
    }
}

fn shown(json: &Json) -> String {
    let mut out = String::new();
    json.write(&mut out);
    out.replace("],[", "],\n [")
}

#[test]
fn lanes_of_a_run_made_by_hand() {
    let report = report();
    let recording = report.run.recording.as_ref().expect("recorded");
    let history = History::new(&report.plan, &report.run.history);
    let parts = [
        ("lives", lanes::lives(&report, recording)),
        ("roles", lanes::roles(&report, recording)),
        ("faults", lanes::faults(&report, recording)),
        ("flights", lanes::flights(recording)),
        ("operations", lanes::operations(&history, report.violations.first())),
        ("story", story::tell(&report, recording, &history)),
    ];
    let text: Vec<String> = parts.iter().map(|(name, json)| format!("{name}\n{}\n", shown(json))).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn the_page_holds_its_data_and_needs_nothing_else() {
    let page = page(&report(), "cargo sim replay x.plan.toml");
    assert!(!page.contains(PLACE) && page.contains("\"fingerprint\":\"linearizable-registers/stale-read\""));
    // The only end of a script is the page's own.
    assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "the page speaks of {outside}");
    }
}

#[test]
fn operations_are_found_in_messages() {
    let found: Vec<&str> = lanes::named("c1.4 `read 2` (c12.0, 1.5 s), cat.7 and c3.").into_iter().collect();
    assert_eq!(found, ["c1.4", "c12.0"]);
}
