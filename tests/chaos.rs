//! Three real nodes, killed, stopped and restarted under load: the built binary, a real driver, and the judges of the
//! simulator (`sim/src/chaos`). `cargo sim chaos --kills 100` is the same at length, and prints the outages.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]
#![allow(clippy::print_stdout, reason = "what came of a run that cannot be replayed is told")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real processes live in the real world")]

use orrery_sim::chaos::{Settings, run};
use orrery_sim::outage;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Blows with `kill -9`, whole-cluster power losses in the middle and at the end among them.
const KILLS: u32 = 21;

#[test]
fn nothing_acknowledged_is_lost_however_often_nodes_are_killed() {
    survives(KILLS, 2, 1500, false);
}

/// Most rows lie apart, most transfers are between partitions, and every sum is over all of them.
#[test]
fn money_between_eight_partitions_is_all_there_however_often_nodes_are_killed() {
    survives(6, 8, 300, false);
}

/// Nodes on hosts of their own: cables are pulled, links lose packets both ways or one way, or are slow, and nodes are killed.
#[test]
fn nothing_acknowledged_is_lost_however_often_the_network_fails() {
    if let Err(why) = Settings::may_have_hosts() {
        println!("skipped: there can be no hosts here: {why}");
        return;
    }
    survives(5, 4, 300, true);
}

/// Every node is asked to end and started again, one after the other, while clients write through all of them.
#[test]
fn a_rolling_restart_fails_no_request() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let rolled = outage::roll(&outage::Settings {
        binary: env!("CARGO_BIN_EXE_orrery").into(),
        directory: directory.path().to_owned(),
        seed: 1,
        kills: 1,
        partitions: 3,
        workers: 1,
        cut: false,
        peers: Vec::new(),
        lease_ms: 0,
    })
    .unwrap();
    let mut text = Vec::new();
    rolled.write(&mut text).unwrap();
    println!("{}", String::from_utf8_lossy(&text));
    assert!(rolled.is_clean(), "requests failed: {:?}, or were cut off: {}", rolled.failed, rolled.cut_off);
    assert_eq!(rolled.silences.len(), 3);
    assert!(rolled.acknowledged > 100, "{} writes prove little", rolled.acknowledged);
}

fn survives(kills: u32, partitions: u32, least: u64, hosts: bool) {
    // Another each time: the operating system does not replay. It is printed with what came of it.
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    println!("seed {seed:#x}");
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let binary = env!("CARGO_BIN_EXE_orrery").into();
    let usual = Settings::new(binary, directory.path().to_owned(), seed, kills);
    // A debug build on a busy machine shall reach the end of its log between two power losses.
    let report = run(&Settings { period: Duration::from_millis(40), partitions, hosts, ..usual }).unwrap();
    let mut text = Vec::new();
    report.write(&mut text).unwrap();
    println!("{}", String::from_utf8_lossy(&text));
    if !report.violations.is_empty() {
        println!("kept: {}", directory.keep().display());
    }
    assert_eq!(report.violations, []);
    assert_eq!(report.kills(), kills as usize);
    assert!(report.gave_up.is_empty(), "every part of the history is decided: {:?}", report.gave_up);
    assert!(report.acknowledged > least, "{} operations prove little", report.acknowledged);
}
