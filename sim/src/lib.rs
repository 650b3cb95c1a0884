//! The simulator: a scenario and a seed expand into a plan, a plan runs to a trace.

#[cfg(not(madsim))]
compile_error!(
    "the cfg `madsim` was dropped: RUSTFLAGS in the environment replaces .cargo/config.toml. Unset RUSTFLAGS, or add `--cfg madsim` to it."
);
