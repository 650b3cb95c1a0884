//! Bad input to the command line: one line that says what to do, exit code 2.

use crate::node::BINARY;
use std::fmt::Write as _;
use std::process::Command;

/// Runs the binary in an empty directory with this `node.toml`; exit code and stderr.
fn run(toml: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("node.toml"), toml).unwrap();
    let output = Command::new(BINARY).args(arguments).current_dir(directory.path()).output().unwrap();
    assert!(!directory.path().join("orrery-data").exists(), "a refused start leaves nothing behind");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(not(feature = "mutants"))]
fn each_mistake_is_one_line() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("", &["frob"]),
        ("", &["start", "--frob"]),
        ("", &["start", "--pg"]),
        ("", &["start", "--id", "x"]),
        ("", &["start", "--id", "0"]),
        ("", &["start", "--pg", "5433"]),
        ("", &["start", "--pg", "no.such.host.invalid:5433"]),
        ("", &["start", "--pg", "0.0.0.0:0"]),
        ("", &["start", "--pg", "127.0.0.1:0", "--peer", "0.0.0.0:0"]),
        ("", &["start", "--pg", "192.0.2.1:5433", "--insecure"]),
        ("", &["start", "--http", "8433"]),
        ("", &["start", "--pg", "127.0.0.1:0", "--http", "0.0.0.0:0"]),
        ("", &["start", "--log", "a=b=c"]),
        ("", &["start", "--log-format", "xml"]),
        ("", &["demo", "--port", "0"]),
        ("", &["sql", "--port", "x"]),
        ("", &["status", "--frob"]),
        ("", &["start", "--cluster", "a b"]),
        ("", &["start", "--nodes", "127.0.0.1:5434"]),
        ("", &["start", "--nodes", "2=127.0.0.1:5434,3=127.0.0.1:5435"]),
        ("", &["start", "--nodes", "1=127.0.0.1:5434,1=127.0.0.1:5435"]),
        ("", &["start", "--partitions", "0"]),
        ("", &["start", "--workers", "1000"]),
        ("", &["start", "--config", "missing.toml"]),
        ("[node\nid = 1", &["start", "--config", "node.toml"]),
        ("[node]\nid = 1\nprioritty = 2", &["start", "--config", "node.toml"]),
        ("[node]\n[clutser]", &["start", "--config", "node.toml"]),
        ("\n[node]\nid = \"one\"", &["start", "--config", "node.toml"]),
        ("[listen]\npg = 5433", &["start", "--config", "node.toml"]),
        ("[cluster]\nconsensus = \"zab\"", &["start", "--config", "node.toml"]),
        ("[cluster]\nnodes = \"1=a:1,2=b\"", &["start", "--config", "node.toml"]),
        ("[cluster]\nnodes = \"1=a:1,2=b:2\"\nk = 1", &["start", "--config", "node.toml"]),
        ("", &["start", "--checkpoint-every", "0"]),
        ("", &["start", "--wal-bytes-before-checkpoint", "256MB"]),
        ("[storage]\ncheckpoint_evry = 5", &["start", "--config", "node.toml"]),
        ("[storage]\ncheckpoint_every = \"5MiB\"", &["start", "--config", "node.toml"]),
        ("[storage]\n\nwal_bytes_before_checkpoint = \"5 megabytes\"", &["start", "--config", "node.toml"]),
        ("[storage]\nsnapshot_chunk_bytes = \"2MiB\"", &["start", "--config", "node.toml"]),
        ("[storage]\nlog_keep_entries = -1", &["start", "--config", "node.toml"]),
    ];
    let mut table = String::new();
    for (toml, arguments) in cases {
        let (code, stderr) = run(toml, arguments);
        assert_eq!(code, Some(2), "{arguments:?} {toml:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?} {toml:?}: {stderr}");
        let file = if toml.is_empty() { String::new() } else { format!("   with {toml:?}") };
        writeln!(table, "$ orrery {}{file}\n{stderr}", arguments.join(" ")).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = run("", &["start", "--pg", &address]);
    assert_eq!(code, Some(2));
    if cfg!(feature = "mutants") {
        return;
    }
    assert_eq!(
        stderr.replace(&address, "ADDRESS"),
        "orrery: ADDRESS is in use: stop what listens there, or choose another address with --pg\n"
    );
}

#[test]
#[cfg(feature = "mutants")]
fn planted_bugs_do_not_serve() {
    let (code, stderr) = run("", &["start", "--pg", "127.0.0.1:0"]);
    assert_eq!((code, stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("planted bugs"));
}

#[test]
fn the_version_is_printed() {
    for arguments in [["version"], ["--version"]] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("orrery 0."));
    }
}
