//! From a scenario and a seed to a plan: every number is drawn here, each kind of thing from a stream of its own.

use crate::operation::{Operation, PlannedOperation};
use crate::plan::{
    Buggify, Clock, Cluster, Cpu, Disk, Expect, Knobs, Network, PLAN_VERSION, Plan, PlannedClient, PlannedFault,
    SECOND, Workload,
};
use crate::scenario::settings::SETTINGS;
use crate::scenario::{FaultSpec, Scenario, WorkloadSpec, fault};
use crate::stream::{MILLION, RngCore, between, chance, stream};
use crate::workload::{GENERAL_CHECKERS, Place, find};

/// Unique numbers of a client: it has a million.
const UNIQUE_STRIDE: u64 = 1_000_000;

/// Faults of one `[[fault]]`: their numbers are its position times this, plus a counter.
const FAULT_STRIDE: u32 = 10_000;

/// Most operations of a client.
const OPERATIONS_MAX: u64 = UNIQUE_STRIDE - 1_000;

/// Draws a plan.
#[must_use]
pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
    let mut plan = empty(scenario, seed);
    for (setting, draw) in SETTINGS.iter().zip(&scenario.draws) {
        let label = format!("{}.{}", setting.section, setting.key);
        (setting.put)(&mut plan, draw.draw(&mut stream(seed, &label, 0)));
    }
    plan.network.latency_mean_ns = plan.network.latency_mean_ns.max(plan.network.latency_min_ns);
    plan.disk.latency_mean_ns = plan.disk.latency_mean_ns.max(plan.disk.latency_min_ns);
    plan.knobs.wal_segment_bytes = plan.knobs.wal_segment_bytes.next_multiple_of(4096);
    // A leader must have time to be heard of before others stand for election.
    plan.knobs.election_timeout_ns = plan.knobs.election_timeout_ns.max(plan.knobs.heartbeat_ns * 3);
    plan.clocks = (0..plan.cluster.nodes).map(|node| draw_clock(scenario, seed, node)).collect();
    for (position, spec) in scenario.workloads.iter().enumerate() {
        draw_workload(&mut plan, spec, seed, position as u32);
    }
    for (position, spec) in scenario.faults.iter().enumerate() {
        draw_faults(&mut plan, spec, seed, position as u32);
    }
    plan.faults.sort_by_key(|fault| (fault.at_ns, fault.id));
    plan.checks = match &scenario.checks {
        Some(checks) => checks.clone(),
        None => fitting_checks(&plan),
    };
    plan
}

fn empty(scenario: &Scenario, seed: u64) -> Plan {
    Plan {
        version: PLAN_VERSION,
        scenario: scenario.name.clone(),
        scenario_file: scenario.file.clone(),
        build: crate::build_id(),
        seed,
        planted: 0,
        chaos_ns: 0,
        liveness_ns: 0,
        stability_ns: 0,
        budget: scenario.budget,
        cluster: Cluster { nodes: 0, partitions: 0, workers: 0, spares: 0 },
        knobs: Knobs::default(),
        network: Network::default(),
        disk: Disk::default(),
        cpu: Cpu::default(),
        buggify: Buggify { site_ppm: 0, fire_ppm: 0 },
        expect: Expect {
            sometimes: scenario.sometimes.clone(),
            effective: scenario.effective.clone(),
            ..Expect::default()
        },
        checks: Vec::new(),
        clocks: Vec::new(),
        workloads: Vec::new(),
        faults: Vec::new(),
        clients: Vec::new(),
    }
}

fn draw_clock(scenario: &Scenario, seed: u64, node: u32) -> Clock {
    let mut rng = stream(seed, "clock", u64::from(node));
    let skew = scenario.skew.draw(&mut rng);
    let behind = chance(&mut rng, MILLION / 2);
    let drift = scenario.drift_ppm.draw(&mut rng);
    Clock { skew_ns: if behind { -skew } else { skew }, drift_ppm: drift.try_into().unwrap_or(0) }
}

fn draw_workload(plan: &mut Plan, spec: &WorkloadSpec, seed: u64, position: u32) {
    let mut rng = stream(seed, "workload", u64::from(position));
    let clients = spec.clients.draw_unsigned(&mut rng);
    let rate = spec.rate.draw_unsigned(&mut rng);
    let keys = u32::try_from(spec.keys.draw_unsigned(&mut rng)).unwrap_or(u32::MAX);
    let after_ns = spec.after.draw_unsigned(&mut rng);
    let until_ns = spec.until.as_ref().map_or(u64::MAX, |until| until.draw_unsigned(&mut rng)).min(plan.chaos_ns);
    plan.workloads.push(Workload { kind: spec.kind.to_owned(), keys });
    let period_ns = SECOND.saturating_mul(clients) / rate;
    for nth in 0..clients {
        let number = plan.clients.len() as u64;
        let mut rng = stream(seed, "client", number);
        let mut client = PlannedClient {
            workload: position,
            seed: rng.next_u64(),
            timeout_ns: spec.timeout.draw_unsigned(&mut rng),
            operations: Vec::new(),
            closing: Vec::new(),
        };
        let abandon_ppm = u32::try_from(spec.abandon.draw(&mut rng)).unwrap_or(0);
        draw_operations(
            &mut client,
            &mut rng,
            spec,
            keys,
            number,
            nth < 2,
            (after_ns, until_ns, period_ns, abandon_ppm),
        );
        plan.clients.push(client);
    }
}

fn draw_operations(
    client: &mut PlannedClient,
    rng: &mut orrery::types::Rng,
    spec: &WorkloadSpec,
    keys: u32,
    number: u64,
    reads: bool,
    (after_ns, until_ns, period_ns, abandon_ppm): (u64, u64, u64, u32),
) {
    let kind = find(spec.kind).expect("a scenario's workloads exist: checked when it was read");
    let place = Place { workload: client.workload, keys };
    let mut unique = (number + 1) * UNIQUE_STRIDE;
    let mut earlier: Vec<Operation> = Vec::new();
    let mut at_ns = after_ns;
    while (earlier.len() as u64) < OPERATIONS_MAX {
        at_ns += between(rng, (period_ns / 2) as i64, (period_ns + period_ns / 2) as i64).max(1) as u64;
        if at_ns >= until_ns {
            break;
        }
        unique += 1;
        let operation = kind.draw(rng, place, unique, &earlier);
        earlier.push(operation);
        client.operations.push(PlannedOperation { at_ns, operation, abandon: chance(rng, abandon_ppm) });
    }
    for operation in kind.closing(rng, place, unique + 1, reads) {
        let is_write = operation != operation.renewed();
        // Reads of everything wait until the closing writes of all clients have had their time.
        let at_ns = if is_write { SECOND / 2 } else { 3 * SECOND };
        client.closing.push(PlannedOperation { at_ns, operation, abandon: false });
    }
}

fn draw_faults(plan: &mut Plan, spec: &FaultSpec, seed: u64, position: u32) {
    let mut times = stream(seed, "fault-times", u64::from(position));
    let until_ns = spec.until.as_ref().map_or(u64::MAX, |until| until.draw_unsigned(&mut times)).min(plan.chaos_ns);
    let mut at_ns = spec.after.draw_unsigned(&mut times);
    for nth in 0..FAULT_STRIDE {
        if let Some(every) = &spec.every {
            at_ns += every.draw_unsigned(&mut times);
        } else if nth > 0 {
            break;
        }
        if at_ns >= until_ns {
            break;
        }
        let id = position * FAULT_STRIDE + nth;
        // Of its own, so that dropping one fault leaves all others as they are.
        let mut rng = stream(seed, "fault", u64::from(id));
        let what = &spec.what[between(&mut rng, 0, spec.what.len() as i64 - 1) as usize];
        let mut kind = what.draw(&mut rng);
        let hold_ns = match &spec.hold {
            Some(hold) => hold.draw_unsigned(&mut rng),
            None => fault::default_hold(&mut rng, plan.stability_ns),
        };
        let mut restart_ns = None;
        if let (Some(restart), true) = (&spec.then, what.is_crash()) {
            restart.mark(&mut kind);
            restart_ns = Some(restart.after.draw_unsigned(&mut rng));
        }
        let seed = rng.next_u64();
        let at =
            (!spec.at.is_empty()).then(|| spec.at[between(&mut rng, 0, spec.at.len() as i64 - 1) as usize].clone());
        let when = spec.when.clone();
        plan.faults.push(PlannedFault { id, at_ns, hold_ns, restart_ns, seed, kind, at, when });
    }
}

/// The checkers that fit a plan's workloads.
fn fitting_checks(plan: &Plan) -> Vec<String> {
    let mut checks: Vec<String> = Vec::new();
    let kinds = plan.workloads.iter().filter_map(|workload| find(&workload.kind));
    for name in kinds.flat_map(|kind| kind.checkers()).chain(GENERAL_CHECKERS) {
        if !checks.iter().any(|known| known == name) {
            checks.push((*name).to_owned());
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "x"
[cluster]
nodes = "3..=5"
[clock]
skew = "0ms..500ms"
drift_ppm = "-200..=200"
[[workload]]
kind = "bank"
[[workload]]
kind = "registers"
[[workload]]
kind = "insert"
[[fault]]
every = "2s..10s"
do = ["crash(leader(any))", "power_loss(minority(any))"]
then = "restart after 1s..3s"
[[fault]]
every = "2s..10s"
hold = "300ms.."
do = "split(leader(any), one-way)"
"#;

    fn scenario(text: &str) -> Scenario {
        Scenario::from_text("x.toml", text).expect("a scenario")
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_text_carries_all_of_it() {
        let scenario = scenario(TEXT);
        for seed in [0, 42, u64::MAX] {
            let plan = draw(&scenario, seed);
            assert_eq!(plan, draw(&scenario, seed));
            let text = plan.to_text().expect("text");
            assert_eq!(Plan::from_text(&text).expect("a plan"), plan);
        }
        assert_ne!(draw(&scenario, 1).faults, draw(&scenario, 2).faults);
    }

    #[test]
    fn leaving_one_fault_out_moves_nothing_else() {
        let all = draw(&scenario(TEXT), 7);
        let cut = TEXT.rfind("[[fault]]").expect("the last fault");
        let fewer = draw(&scenario(&TEXT[..cut]), 7);
        let crashes: Vec<_> = all.faults.iter().filter(|fault| fault.id < FAULT_STRIDE).cloned().collect();
        assert_eq!(fewer.faults, crashes);
        assert_eq!(fewer.clients, all.clients);
        assert_eq!(fewer.clocks, all.clocks);
    }

    #[test]
    fn what_is_written_is_unique() {
        let plan = draw(&scenario(TEXT), 3);
        let mut seen = std::collections::BTreeSet::new();
        for client in &plan.clients {
            for planned in client.operations.iter().chain(&client.closing) {
                let unique = match planned.operation {
                    Operation::Write { value, .. }
                    | Operation::WriteRead { value, .. }
                    | Operation::Compare { value, .. } => value,
                    Operation::Transfer { id, .. } | Operation::Insert { id } => id,
                    _ => continue,
                };
                assert!(seen.insert(unique), "{unique} is written twice");
            }
        }
        assert!(seen.len() > 300, "{} writes", seen.len());
    }

    #[test]
    fn a_plan_of_another_format_is_refused() {
        let mut plan = draw(&scenario(TEXT), 3);
        plan.version = 99;
        let error = Plan::from_text(&plan.to_text().expect("text")).expect_err("another format");
        assert_eq!(error, "the plan has format 99, this build reads format 1");
    }
}
