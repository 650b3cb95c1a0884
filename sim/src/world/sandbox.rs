//! The sandbox around a world: a fresh thread, and in it a madsim runtime with one task.
//!
//! A fresh thread per run since the standard library and the runtime keep state per thread; madsim since inside it a
//! clock, a die or a thread that slipped into the product is simulated or forbidden instead of silently real.

use super::{Build, World, product};
use crate::client::Client;
use crate::plan::Plan;
use crate::run::Run;
use madsim::time::TimeHandle;
use std::time::Duration;

/// How to run, apart from what the plan says. Nothing here changes what happens, only how much of it is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many of the last trace events are put into [`Run::tail`].
    pub tail: usize,
    /// Stops at this simulated time.
    pub until_ns: Option<u64>,
    /// Keeps all of the trace in [`Run::recording`].
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { tail: 200, until_ns: None, record: false }
    }
}

/// Runs a plan in a fresh thread, inside a madsim runtime, and waits for its end. `clients` builds the simulated
/// clients inside that thread; client number i is `plan.clients[i]`. Call it from several threads for several worlds.
///
/// # Errors
/// A fault of the simulator itself, in words. A panic of the product is a violation in the [`Run`].
pub fn simulate<C>(plan: &Plan, options: &Options, clients: C) -> Result<Run, String>
where
    C: FnOnce(&Plan) -> Vec<Box<dyn Client>> + Send,
{
    simulate_with(plan, options, product, clients)
}

/// What the calling thread has worked so far. Asked of the kernel itself: the C library's clocks are the runtime's in here.
fn cpu_of_thread() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// As [`simulate`], with other machines than the real workers: for tests of the simulator.
///
/// # Errors
/// A fault of the simulator itself, in words.
pub fn simulate_with<C>(plan: &Plan, options: &Options, build: Build, clients: C) -> Result<Run, String>
where
    C: FnOnce(&Plan) -> Vec<Box<dyn Client>> + Send,
{
    if plan.planted != 0 && !orrery::env::buggify::MUTANTS {
        return Err(format!("the plan has planted bug {}, and this build has none (feature `mutants`)", plan.planted));
    }
    let inside = || {
        orrery::env::buggify::plant(plan.planted);
        orrery::env::probe::start();
        let runtime = madsim::runtime::Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
        let mut run = runtime.block_on(async {
            let mut world = World::new(plan, options, build, clients(plan));
            world.turn(Some(TimeHandle::current()));
            world.finish()
        });
        run.probes = orrery::env::probe::finish();
        run.cpu = cpu_of_thread();
        orrery::env::buggify::plant(0);
        run
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("world {:#x}", plan.seed)).stack_size(16 << 20);
        let handle = thread.spawn_scoped(scope, inside).map_err(|error| format!("no thread for the world: {error}"))?;
        handle.join().map_err(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("the simulator panicked: {}", words.unwrap_or("(no words)"))
        })
    })
}
