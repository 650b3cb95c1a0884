//! Each kind of fault is proved to change something.

use super::*;
use crate::plan::{Direction, Group, Plan, Selector, When};
use crate::run::FaultCount;
use crate::world::stub::{fault, plan, run};

/// A fault of each kind.
fn samples() -> Vec<FaultKind> {
    let target = Selector::Random;
    vec![
        FaultKind::Split { side: Selector::Minority(Group::Partition(1)), direction: Direction::Both },
        FaultKind::Flap { side: Selector::Leader(Group::Any), direction: Direction::Both, period_ns: 50_000_000 },
        FaultKind::Ring,
        FaultKind::Bridge,
        FaultKind::Lossy { target, loss_ppm: 300_000 },
        FaultKind::SlowLink { target, extra_ns: 50_000_000 },
        FaultKind::Clog { target },
        FaultKind::Reset { target: Selector::All },
        FaultKind::BitFlip { target, flip_ppm: 100_000 },
        FaultKind::ClientCrash { target: Selector::All },
        FaultKind::Crash { target, lossy: false },
        FaultKind::Crash { target: Selector::All, lossy: true },
        FaultKind::Stop { target },
        FaultKind::Pause { target },
        FaultKind::ClockJump { target, by_ns: -3_000_000_000 },
        FaultKind::ClockDrift { target, ppm: 400 },
        FaultKind::SlowDisk { target, extra_ns: 5_000_000 },
        FaultKind::FailSync { target },
        FaultKind::IoError { target },
        FaultKind::ShortWrite { target },
        FaultKind::DiskFull { target },
        FaultKind::Rot { target },
        FaultKind::Wipe { target },
        FaultKind::Misdirect { target },
        FaultKind::Disaster,
    ]
}

#[test]
fn the_registry_has_every_kind_once_in_the_plans_order() {
    let registered: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(registered, FaultKind::NAMES);
    let sampled: Vec<&str> = samples().iter().map(FaultKind::name).collect();
    assert_eq!(sampled, registered);
    assert!(FAULTS.iter().all(|fault| !fault.what.is_empty()));
}

#[test]
fn every_kind_is_documented_and_expected_of_a_scenario() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("readable");
    let guide = read(&root.join("docs/simulator.md"));
    let folders = ["smoke", "chaos", "replication"].map(|folder| root.join("scenarios").join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder of scenarios"));
    let scenarios: Vec<String> = files.map(|entry| read(&entry.expect("an entry").path())).collect();
    for name in FaultKind::NAMES {
        let row = |line: &str| line.starts_with(&format!("| `{name}(")) || line.starts_with(&format!("| `{name}`"));
        assert!(guide.lines().any(row), "docs/simulator.md has no row for {name}");
        let expects = |text: &&String| {
            text.lines().any(|line| line.starts_with("effective = [") && line.contains(&format!("\"{name}\"")))
        };
        assert!(scenarios.iter().any(|text| expects(&text)), "no scenario expects {name} to change anything");
    }
}

#[test]
fn each_kind_strikes_and_changes_something() {
    for kind in samples() {
        let mut plan = plan(11, 5);
        plan.faults = vec![fault(1, kind.clone())];
        if matches!(kind, FaultKind::Rot { .. } | FaultKind::Misdirect { .. } | FaultKind::DiskFull { .. }) {
            // Found at the next restart: the stub reads, and creates, only then.
            let mut crash = fault(2, FaultKind::Crash { target: Selector::All, lossy: false });
            crash.at_ns += if matches!(kind, FaultKind::Misdirect { .. }) { 50_000_000 } else { 1_000_000 };
            plan.faults.push(crash);
        }
        let quiet = run(&crate::world::stub::plan(11, 5));
        let run = run(&plan);
        let count = run.faults[kind.name()];
        assert_eq!((count.injected, count.skipped), (1, 0), "{}", kind.name());
        if matches!(kind, FaultKind::DiskFull { .. }) {
            continue; // the stub needs no space once its file is there; the disk's own tests prove it
        }
        assert_eq!(count.effective, 1, "{} changed nothing", kind.name());
        assert_ne!(run.trace_hash, quiet.trace_hash, "{}", kind.name());
        assert!(run.violations.is_empty(), "{}: {:?}", kind.name(), run.violations);
    }
}

#[test]
fn a_flapping_split_cuts_and_heals_again_and_again() {
    let mut plan = plan(4, 3);
    let side = Selector::Leader(Group::Any);
    plan.faults = vec![fault(1, FaultKind::Flap { side, direction: Direction::Both, period_ns: 100_000_000 })];
    let run = run(&plan);
    // Node 1 leads: what it is told by node 2, in order, is a row of deliveries and losses.
    let link: Vec<bool> = run
        .tail
        .iter()
        .filter(|line| line.contains("n2 → n1 lost") || (line.contains(" n1.w") && line.contains("← n2")))
        .map(|line| line.contains("lost"))
        .collect();
    let changes = link.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((6..=30).contains(&changes), "{changes} changes in {} messages", link.len());
}

#[test]
fn a_flipped_bit_is_noticed_by_the_products_own_framing_and_ends_the_connection() {
    let mut plan = plan(6, 3);
    plan.network.latency_mean_ns = 40_000_000;
    plan.faults = vec![fault(1, FaultKind::BitFlip { target: Selector::All, flip_ppm: 50_000 })];
    let run = run(&plan);
    let lost = |why: &str| run.tail.iter().filter(|line| line.contains("lost") && line.contains(why)).count();
    assert!(lost("bit flip") > 10, "{} flips", lost("bit flip"));
    assert!(lost("reset") > 10, "what was under way behind it: {}", lost("reset"));
    assert!(run.violations.is_empty(), "{:?}", run.violations);
}

#[test]
fn a_client_that_disappears_ends_in_every_way_and_comes_back() {
    let (mut told, mut silent) = (0, 0);
    for seed in 0..12 {
        let mut plan = plan(seed, 3);
        plan.faults = (1..=3)
            .map(|id| {
                let mut crash = fault(id, FaultKind::ClientCrash { target: Selector::All });
                crash.at_ns += u64::from(id) * 700_000_000;
                crash
            })
            .collect();
        let run = run(&plan);
        assert!(run.violations.is_empty(), "{:?}", run.violations);
        let count = run.faults["client_crash"];
        let ends = run.tail.iter().filter(|line| line.contains("sees client 0 close")).count() as u64;
        told += ends;
        silent += count.effective.saturating_sub(ends);
    }
    assert!(told > 5 && silent > 5, "{told} ends told, {silent} not (within the run)");
}

#[test]
fn a_short_write_ends_the_process_that_gets_it() {
    let mut plan = plan(8, 3);
    plan.faults = vec![fault(1, FaultKind::ShortWrite { target: Selector::Random })];
    let run = run(&plan);
    assert_eq!(run.faults["short_write"].effective, 1);
    assert!(run.restarts >= 1, "each of its workers gets one");
}

#[test]
fn a_fault_whose_point_nobody_passes_is_counted_as_skipped() {
    let mut plan = plan(5, 3);
    let mut crash = fault(1, FaultKind::Crash { target: Selector::All, lossy: true });
    crash.at = Some("stub.never".to_owned());
    plan.faults = vec![crash];
    assert_eq!(run(&plan).faults["power_loss"], FaultCount { injected: 0, skipped: 1, effective: 0 });
}

#[test]
fn a_point_that_is_passed_after_the_healing_takes_nothing_away() {
    let mut plan = plan(5, 3);
    let quiet = run(&plan);
    let mut crash = fault(1, FaultKind::Crash { target: Selector::All, lossy: true });
    crash.at = Some("stub.written".to_owned());
    crash.at_ns = plan.chaos_ns - 1;
    plan.faults = vec![crash];
    let run = run(&plan);
    assert_eq!(run.faults["power_loss"], FaultCount { injected: 0, skipped: 1, effective: 0 });
    assert_eq!(run.trace_hash, quiet.trace_hash);
}

#[test]
fn a_crash_at_a_point_comes_between_any_two_of_what_the_worker_wanted() {
    let mut sent = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let mut plan = plan(seed, 3);
        let mut crash = fault(1, FaultKind::Crash { target: Selector::All, lossy: false });
        crash.seed = seed;
        crash.restart_ns = None;
        crash.at = Some("stub.written".to_owned());
        plan.faults = vec![crash];
        let run = run(&plan);
        let at = run.tail.iter().position(|line| line.contains("crash strikes")).expect("it passes the point");
        assert_eq!(run.tail.iter().filter(|line| line.contains("crash strikes")).count(), 1, "only who passes it");
        let node = run.tail[at].split("strikes ").nth(1).expect("names the node");
        let from = format!("← {node}:");
        sent.insert(run.tail[at..].iter().filter(|line| line.contains(&from)).count());
    }
    assert!(sent.len() >= 3, "the crash came after {sent:?} messages");
}

#[test]
fn background_knobs_change_something() {
    let mut plan = plan(3, 3);
    plan.network.loss_ppm = 50_000;
    plan.network.duplicate_ppm = 50_000;
    plan.network.reorder_ppm = 50_000;
    plan.network.reorder_ns = 30_000_000;
    plan.disk.slow_ppm = 10_000;
    plan.disk.slow_ns = 100_000_000;
    plan.clocks[0].drift_ppm = 100;
    plan.clocks[1].skew_ns = 1_000_000_000;
    let run = run(&plan);
    for name in ["loss", "duplicate", "reorder", "slow_operation", "clock_skew", "clock_drift"] {
        assert!(run.faults[name].effective > 0, "{name}: {:?}", run.faults[name]);
    }
    assert!(run.violations.is_empty(), "{:?}", run.violations);
}

#[test]
fn a_power_loss_of_all_loses_and_tears_unsynced_writes() {
    let mut total = FaultCount::default();
    for seed in 0..10 {
        let mut plan = plan(seed, 3);
        let mut crash = fault(1, FaultKind::Crash { target: Selector::All, lossy: true });
        crash.at_ns += 2_000_000; // just after the stub's tick: its writes wait for their sync
        plan.faults = vec![crash];
        let run = run(&plan);
        assert_eq!(run.restarts, 3);
        total.effective += run.faults["lost_write"].effective;
        total.injected += run.faults["torn_write"].effective;
    }
    assert!(total.effective > 0 && total.injected > 0, "{total:?}");
}

#[test]
fn the_budget_spares_a_quorum_of_intact_disks() {
    let rot = |budget| {
        let mut plan = plan(5, 3);
        plan.budget = budget;
        plan.faults = (1..=3).map(|id| fault(id, FaultKind::Rot { target: Selector::All })).collect();
        let run = run(&plan);
        run.tail.iter().filter(|line| line.contains("rot strikes")).count()
    };
    // Of three nodes one may be destroyed, again and again.
    assert_eq!(rot(Budget::Recoverable), 3);
    assert_eq!(rot(Budget::Unbounded), 9);
}

#[test]
fn a_selector_that_means_nobody_is_counted() {
    let mut plan = plan(5, 1);
    plan.faults = vec![fault(1, FaultKind::Pause { target: Selector::Follower(Group::Any) })];
    assert_eq!(run(&plan).faults["pause"], FaultCount { injected: 0, skipped: 1, effective: 0 });
}

#[test]
fn removing_one_fault_moves_no_other() {
    let mut plan = plan(5, 3);
    let mut later = fault(2, FaultKind::Pause { target: Selector::Random });
    later.at_ns *= 3;
    plan.faults = vec![fault(1, FaultKind::SlowLink { target: Selector::All, extra_ns: 1_000 }), later];
    let line = |plan: &Plan| {
        let run = run(plan);
        run.tail.into_iter().find(|line| line.contains("pause strikes"))
    };
    let both = line(&plan);
    plan.faults.remove(0);
    assert_eq!(both, line(&plan));
}

#[test]
fn a_crash_at_a_named_point_comes_when_its_target_passes_it() {
    for point in ["stub.before_send", "stub.written"] {
        let mut plan = plan(5, 3);
        let mut crash = fault(1, FaultKind::Crash { target: Selector::Leader(Group::Any), lossy: true });
        crash.at = Some(point.to_owned());
        let mut pause = fault(2, FaultKind::Pause { target: Selector::Random });
        pause.when = Some(When { point: point.to_owned(), on: Selector::All });
        plan.faults = vec![crash, pause];
        let run = run(&plan);
        assert_eq!(run.faults["power_loss"].effective, 1, "{point}");
        assert_eq!(run.faults["pause"].injected, 1, "{point}");
        let down = run.tail.iter().find(|line| line.contains("n1 DOWN")).expect("node 1 leads and crashes");
        let earlier = run.tail.iter().take_while(|line| *line != down).last().expect("something was before");
        assert!(earlier.contains("power_loss strikes n1"), "{earlier}");
    }
}
