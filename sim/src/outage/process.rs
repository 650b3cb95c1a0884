//! Real processes of peers.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A network of its own for each system of each run on a machine: 127.64.0.0 and up.
pub(super) fn network(salt: u32) -> String {
    let id = std::process::id().wrapping_add(salt.wrapping_mul(0x2a5b));
    format!("127.{}.{}", 64 + (id >> 8 & 0x7f), id & 0xff)
}

/// A program in one of the directories of `PATH`, or in the one that the variable names.
pub(super) fn find(program: &str, variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// First line of what a program says.
pub(super) fn version(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown version").to_owned()
}

/// Whom a child runs as, if not as this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A process that dies with this one.
pub(super) struct Process(Child);

impl Process {
    /// Starts a program, its output in a file.
    pub(super) fn start(program: &Path, arguments: &[String], user: Option<User>, log: &Path) -> Result<Self, String> {
        let told = |error| format!("{}: {error}", log.display());
        let log_file = File::options().create(true).append(true).open(log).map_err(told)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(log_file.try_clone().map_err(told)?).stderr(log_file);
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid).current_dir("/");
        }
        command.spawn().map(Self).map_err(|error| format!("{} does not start: {error}", program.display()))
    }

    pub(super) fn signal(&self, signal: Signal) {
        // One that is gone needs no signal.
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }

    /// Kills it and all its children, and theirs.
    pub(super) fn kill_tree(&mut self) {
        for pid in tree(self.0.id()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_tree();
    }
}

/// A process and its descendants, parents first.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in brackets may hold anything; the state and the parent follow it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    found
}

/// Runs a program to its end, beside everything else.
pub(super) async fn run(program: PathBuf, arguments: Vec<String>, user: Option<User>) -> Result<(), String> {
    let name = program.display().to_string();
    let work = move || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid).current_dir("/");
        }
        command.output()
    };
    let output = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    let output = output.map_err(|error| format!("{name} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} has failed: {}", String::from_utf8_lossy(&output.stderr)))
}
