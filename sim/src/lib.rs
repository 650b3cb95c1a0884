//! The simulator: a scenario and a seed expand into a plan, a plan runs to a trace.

#[cfg(not(madsim))]
compile_error!(
    "the cfg `madsim` was dropped: RUSTFLAGS in the environment replaces .cargo/config.toml. Unset RUSTFLAGS, or add `--cfg madsim` to it."
);

pub mod chaos; // real processes under the same workloads and judges
pub mod checker; // judges
pub mod cli; // the command line
pub mod client; // the seam between the world and simulated clients
pub mod draw; // from a scenario and a seed to a plan
pub mod env; // the virtual world's side of the seam
pub mod fault; // what goes wrong on purpose
pub mod history; // what clients saw
pub mod judge; // runs a plan and judges it
pub mod operation; // what clients do, as data
pub mod outage; // how long nobody can write after a kill, with others beside
pub mod plan; // everything a run will do, drawn before it begins
pub mod planted; // the planted bugs, and who must catch each
pub mod report; // a run as one page
pub mod run; // what a run yields
pub mod scenario; // what to attack and how hard, written by hand
pub mod shrink; // a failing plan made smaller
pub mod stream; // labelled random streams
pub mod trace; // what happened: typed events, rolling hash
pub mod verdict; // what is said of a run
pub mod workload; // who asks for what
pub mod world; // the virtual universe that the real workers live in

/// Names this build: version, profile and features. A seed draws the same plan only with the same one; a plan file does
/// not depend on it.
#[must_use]
pub fn build_id() -> String {
    let profile = if cfg!(debug_assertions) { "debug-assertions" } else { "release" };
    let mutants = if orrery::env::buggify::MUTANTS { " mutants" } else { "" };
    format!("{} {profile}{mutants}", env!("CARGO_PKG_VERSION"))
}
