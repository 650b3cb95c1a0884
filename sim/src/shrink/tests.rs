use super::*;
use crate::draw::draw;
use crate::operation::Operation;
use crate::scenario::Scenario;

fn plan() -> Plan {
    let text = r#"
name = "x"
length = "20s"
[cluster]
nodes = 5
partitions = 3
[network]
loss = 0.1
duplicate = 0.1
[[workload]]
kind = "registers"
clients = 3
rate = 10
[[workload]]
kind = "bank"
clients = 2
rate = 10
[[fault]]
every = "500ms..2s"
do = ["crash(leader(any))", "split(random)", "pause(random)"]
"#;
    draw(&Scenario::from_text("x.toml", text).expect("a scenario"), 7)
}

fn shrunk(runs: u64, jobs: usize, oracle: &Oracle<'_>) -> Shrunk {
    let plan = plan();
    let at_ns = oracle(&plan).expect("the plan fails");
    shrink(&plan, at_ns, &Limits { runs, jobs }, oracle, &mut |_, _| {})
}

/// Fails at its end if a crash and a pause are there, and a read of row 1, on at least three nodes that lose messages.
fn fails(plan: &Plan) -> Option<u64> {
    let has = |name: &str| plan.faults.iter().any(|fault| fault.kind.name() == name);
    let reads = |planned: &crate::operation::PlannedOperation| planned.operation == Operation::Read { key: 1 };
    let read = plan.clients.iter().flat_map(|client| &client.operations).filter(|planned| reads(planned));
    let at_ns = read.map(|planned| planned.at_ns).min()?;
    (has("crash") && has("pause") && plan.cluster.nodes >= 3 && plan.network.loss_ppm > 0).then_some(at_ns)
}

#[test]
fn what_the_failure_does_not_need_is_left_out() {
    let small = shrunk(10_000, 2, &fails);
    assert!(!small.is_cut_short);
    assert!(fails(&small.plan).is_some());
    let size = Size::of(&small.plan);
    assert_eq!((size.faults, size.clients, size.operations), (2, 1, 1), "{:#?}", small.plan);
    assert_eq!((size.nodes, size.partitions), (3, 1));
    assert!(small.plan.network.loss_ppm > 0 && small.plan.network.duplicate_ppm == 0);
    assert_eq!(small.plan.workloads.len(), 1);
    assert!(small.plan.chaos_ns < 2 * SECOND, "{}", small.plan.chaos_ns);
    assert!(size.bytes * 4 < Size::of(&plan()).bytes);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_jobs() {
    let one = shrunk(10_000, 1, &fails);
    for jobs in [2, 5] {
        let more = shrunk(10_000, jobs, &fails);
        assert_eq!((more.plan, more.runs), (one.plan.clone(), one.runs));
    }
}

#[test]
fn the_budget_is_kept_and_the_best_so_far_still_fails() {
    for runs in [0, 1, 7, 50] {
        let small = shrunk(runs, 3, &fails);
        assert!(small.is_cut_short && small.runs <= runs);
        assert!(fails(&small.plan).is_some());
    }
}

#[test]
fn a_plan_whose_every_part_matters_stays() {
    let whole = plan();
    let mut wanted = whole.clone();
    wanted.expect = crate::plan::Expect::default();
    let small = shrunk(10_000, 2, &|plan| (*plan == wanted || *plan == whole).then_some(whole.chaos_ns));
    assert_eq!(small.plan, wanted);
}

#[test]
fn gaps_are_closed_and_order_is_kept() {
    let plan = plan();
    let closer = step::closer(&plan, 0).expect("gaps");
    let order = |plan: &Plan| plan.faults.iter().map(|fault| fault.id).collect::<Vec<_>>();
    assert_eq!(order(&plan), order(&closer));
    assert!(closer.faults.is_sorted_by_key(|fault| fault.at_ns));
    assert!(closer.chaos_ns < plan.chaos_ns);
    assert!(closer.faults.iter().all(|fault| fault.at_ns <= closer.chaos_ns));
}
