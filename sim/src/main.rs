//! The simulator's command line: see `sim --help`.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(orrery_sim::cli::main() as u8)
}
