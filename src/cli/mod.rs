//! **The command line** of `orrery`. One subcommand a file.
//!
//! Bad input is answered with one line on stderr that says what to do, and exit code 2; what breaks later, with one
//! line and exit code 1. Normal output goes to stdout, logs to stderr (`--log`, else `RUST_LOG`, else `info`).

mod check;
mod connect;
mod demo;
mod dump;
mod file;
mod log;
mod node;
mod nodes;
mod offline;
mod recover;
mod shell;
mod start;
mod status;
mod storage;
mod table;

use crate::server::Failure;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// A deterministic, distributed, in-memory SQL database.
#[derive(Debug, Parser)]
#[command(name = "orrery", version = VERSION, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a node
    Start(Box<start::Start>),
    /// Try it: three nodes in this process, with a sample table
    Demo(Box<demo::Demo>),
    /// Type SQL at a node
    Sql(Box<shell::Sql>),
    /// Show nodes, partitions and replicas of the cluster
    Status(Box<status::Status>),
    /// List nodes of the cluster, and tell them to come and go
    Node(Box<node::Node>),
    /// Check the data directory of a node that does not run
    Check(check::Check),
    /// Show what the log of a data directory says, record by record
    DumpWal(dump::Dump),
    /// Make a cluster of what one node holds, when a majority is lost for good
    Recover(recover::Recover),
    /// Print the version
    Version,
}

/// Commands with flags of their own.
const COMMANDS: [&str; 8] = ["start", "sql", "status", "node", "demo", "check", "dump-wal", "recover"];

/// Version, with the commit when the build was told of it: `ORRERY_BUILD="0.1.0 ($(git describe --always))" cargo build`.
const VERSION: &str = match option_env!("ORRERY_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};

/// Runs the program with these arguments (the first is its name).
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let named = arguments.get(1).and_then(|word| word.to_str()).filter(|word| COMMANDS.contains(word));
    let arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error, named),
    };
    let outcome = match arguments.command {
        Command::Start(start) => start.log.start().and_then(|()| start::run(*start)),
        Command::Demo(demo) => {
            let demo = demo.quieted();
            demo.log.start().and_then(|()| demo::run(&demo))
        }
        Command::Sql(sql) => shell::run(*sql),
        Command::Status(status) => status::run(&status),
        Command::Node(node) => node::run(&node),
        Command::Check(check) => check::run(&check),
        Command::DumpWal(dump) => dump::run(&dump),
        Command::Recover(recover) => recover::run(&recover),
        Command::Version => {
            say(&format!("orrery {VERSION}"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, line }) => {
            complain(&line);
            ExitCode::from(code)
        }
    }
}

/// What clap has to say: help and version as they are, mistakes in one line.
fn answer(error: &clap::Error, command: Option<&str>) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            say(error.render().to_string().trim_end());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            complain("what to do? `orrery start` starts a node, `orrery --help` lists the rest");
            ExitCode::from(2)
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let command = command.map(|command| format!(" {command}")).unwrap_or_default();
            complain(&format!("{first}: see `orrery{command} --help`"));
            ExitCode::from(2)
        }
    }
}

/// To stdout. A closed pipe is not our business.
fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// One line to stderr.
fn complain(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "orrery: {}", line.replace('\n', " "));
}
