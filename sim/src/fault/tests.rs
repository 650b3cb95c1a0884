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
        FaultKind::Ring,
        FaultKind::Bridge,
        FaultKind::Lossy { target, loss_ppm: 300_000 },
        FaultKind::SlowLink { target, extra_ns: 50_000_000 },
        FaultKind::Clog { target },
        FaultKind::Reset { target: Selector::All },
        FaultKind::Crash { target, lossy: false },
        FaultKind::Crash { target: Selector::All, lossy: true },
        FaultKind::Pause { target },
        FaultKind::ClockJump { target, by_ns: -3_000_000_000 },
        FaultKind::ClockDrift { target, ppm: 400 },
        FaultKind::SlowDisk { target, extra_ns: 5_000_000 },
        FaultKind::FailSync { target },
        FaultKind::IoError { target },
        FaultKind::DiskFull { target },
        FaultKind::Rot { target },
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
fn each_kind_strikes_and_changes_something() {
    for kind in samples() {
        let mut plan = plan(11, 5);
        plan.faults = vec![fault(1, kind.clone())];
        if matches!(kind, FaultKind::Rot { .. } | FaultKind::DiskFull { .. }) {
            // Found at the next restart: the stub reads, and creates, only then.
            let mut crash = fault(2, FaultKind::Crash { target: Selector::All, lossy: false });
            crash.at_ns += 1_000_000;
            plan.faults.push(crash);
        }
        let quiet = run(&crate::world::stub::plan(11, 5));
        let run = run(&plan);
        let count = run.faults[kind.name()];
        assert_eq!((count.injected, count.skipped), (1, 0), "{}", kind.name());
        if matches!(kind, FaultKind::DiskFull { .. }) {
            continue; // the stub needs no space once its file is there; the disk's own tests prove it
        }
        assert_eq!(count.effective, 1, "{} changed nothing:\n{}", kind.name(), run.tail.join("\n"));
        assert_ne!(run.trace_hash, quiet.trace_hash, "{}", kind.name());
        assert!(run.violations.is_empty(), "{}: {:?}", kind.name(), run.violations);
    }
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
