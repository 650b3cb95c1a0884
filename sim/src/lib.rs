//! The simulator: a scenario and a seed expand into a plan, a plan runs to a trace.

#[cfg(not(madsim))]
compile_error!(
    "the cfg `madsim` was dropped: RUSTFLAGS in the environment replaces .cargo/config.toml. Unset RUSTFLAGS, or add `--cfg madsim` to it."
);

pub mod client; // the seam between the world and simulated clients
pub mod env; // the virtual world's side of the seam
pub mod history; // what clients saw
pub mod operation; // what clients do, as data
pub mod plan; // everything a run will do, drawn before it begins
pub mod run; // what a run yields
pub mod trace; // what happened: typed events, rolling hash
pub mod world; // the virtual universe that the real workers live in
