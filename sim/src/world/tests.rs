use super::stub::{fault, plan, run, run_with};
use super::{Options, product, simulate, simulate_with};
use crate::client::{Client, ClientAction, ClientInput};
use crate::plan::{Budget, Direction, FaultKind, Group, Plan, Selector};

/// A plan with a bit of everything.
fn eventful(seed: u64) -> Plan {
    let mut plan = plan(seed, 5);
    plan.network.loss_ppm = 50_000;
    plan.network.duplicate_ppm = 50_000;
    plan.network.reorder_ppm = 50_000;
    plan.network.reorder_ns = 20_000_000;
    plan.clocks.iter_mut().enumerate().for_each(|(i, clock)| clock.drift_ppm = i as i32 * 50 - 100);
    plan.faults = vec![
        fault(1, FaultKind::Split { side: Selector::Leader(Group::Any), direction: Direction::Outbound }),
        fault(2, FaultKind::Crash { target: Selector::Random, lossy: true }),
        fault(3, FaultKind::Pause { target: Selector::Random }),
    ];
    plan
}

#[test]
fn a_plan_runs_to_the_same_trace_also_beside_other_threads() {
    let plans: Vec<Plan> = (0..4).map(eventful).collect();
    let alone: Vec<u128> = plans.iter().map(|plan| run(plan).trace_hash).collect();
    let beside: Vec<u128> = std::thread::scope(|scope| {
        let threads: Vec<_> = plans.iter().map(|plan| scope.spawn(|| run(plan).trace_hash)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(alone, beside);
    assert_ne!(alone[0], alone[1]);
}

#[test]
fn keeping_less_of_the_tail_changes_nothing() {
    let plan = eventful(9);
    let clients = |_: &Plan| Vec::<Box<dyn Client>>::new();
    let hash = |tail| {
        simulate_with(&plan, &Options { tail, ..Options::default() }, super::stub::ticker, clients)
            .expect("sound")
            .trace_hash
    };
    assert_eq!(hash(0), hash(100));
}

#[test]
fn a_quiet_world_converges_and_serves() {
    let run = run(&plan(1, 3));
    assert!(run.violations.is_empty(), "{:?}", run.violations);
    assert!(run.events > 1_000);
    assert_eq!(run.restarts, 0);
    assert!(run.simulated_ns < 6_000_000_000, "{}", run.simulated_ns);
}

#[test]
fn a_panic_of_the_product_is_a_violation() {
    let run = run_with(&plan(1, 3), b"bomb");
    let violation = &run.violations[0];
    assert_eq!(violation.checker, "panic");
    assert!(violation.message.contains("a bomb was sent") && violation.message.contains("stub.rs"), "{violation:?}");
}

#[test]
fn what_a_client_leaves_behind_is_a_violation() {
    let run = run_with(&plan(1, 3), b"leak");
    let violation = &run.violations[0];
    assert_eq!(violation.checker, "liveness");
    assert!(violation.message.contains("connections"), "{violation:?}");
}

#[test]
fn a_core_that_does_not_serve_is_a_violation_unless_only_safety_is_judged() {
    struct Never;
    impl Client for Never {
        fn handle(&mut self, _: u64, _: ClientInput) -> Vec<ClientAction> {
            Vec::new()
        }
    }
    let mut plan = plan(1, 3);
    let run = |plan: &Plan| {
        let clients = |_: &Plan| -> Vec<Box<dyn Client>> { vec![Box::new(Never)] };
        simulate_with(plan, &Options::default(), super::stub::ticker, clients).expect("sound").violations
    };
    assert_eq!(run(&plan)[0].checker, "liveness");
    plan.budget = Budget::Unbounded;
    assert!(run(&plan).is_empty());
}

#[test]
fn the_core_is_healed_and_the_rest_stays_broken() {
    for seed in 0..20 {
        let mut plan = plan(seed, 5);
        let mut crash = fault(1, FaultKind::Crash { target: Selector::All, lossy: true });
        crash.restart_ns = None;
        plan.faults = vec![crash];
        let run = run(&plan);
        assert!(run.violations.is_empty(), "{:?}", run.violations);
        let healed = run.tail.iter().find(|line| line.contains("HEALED")).expect("it was healed");
        let core = healed.matches(" n").count() as u64;
        assert!((3..=5).contains(&core), "{healed}");
        assert_eq!(run.restarts, core, "only the core comes back");
    }
}

#[test]
fn the_real_worker_lives_here() {
    let clients = |_: &Plan| Vec::<Box<dyn Client>>::new();
    let run = simulate(&plan(3, 3), &Options::default(), clients).expect("sound");
    assert!(run.violations.is_empty(), "{:?}\n{}", run.violations, run.tail.join("\n"));
    let again = simulate_with(&plan(3, 3), &Options::default(), product, clients).expect("sound");
    assert_eq!(run.trace_hash, again.trace_hash);
}

/// All stand still at once, as a group does that executes a long command. Nobody has heard anybody; nobody takes that for
/// silence, and whoever led goes on.
#[test]
fn a_group_that_was_paused_keeps_its_leaders() {
    let clients = |_: &Plan| Vec::<Box<dyn Client>>::new();
    let leaders = |faults: Vec<crate::plan::PlannedFault>| {
        let mut plan = plan(3, 3);
        plan.faults = faults;
        let run = simulate(&plan, &Options::default(), clients).expect("sound");
        assert!(run.violations.is_empty(), "{:?}\n{}", run.violations, run.tail.join("\n"));
        (run.probes["raft.became_leader"], run.probes.get("node.paused").copied().unwrap_or(0))
    };
    let (elected, paused) = leaders(Vec::new());
    assert_eq!(paused, 0);
    let mut all = fault(1, FaultKind::Pause { target: Selector::All });
    all.at_ns = 2_000_000_000;
    let (again, paused) = leaders(vec![all]);
    assert_eq!(paused, 6, "each of the two workers of a node is told once");
    assert_eq!(again, elected, "no leader is elected anew");
}
