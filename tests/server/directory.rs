//! Mistakes with the data directory: refused, and nothing changed.

use crate::node::{BINARY, Node, free_address};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names below a directory, and checksums of their contents.
fn content(directory: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            found.extend(content(&path));
            found.insert(name, 0);
        } else {
            found.insert(name, crc32c::crc32c(&std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// What a start on a directory that nobody uses is refused with.
fn refused(data: &Path, arguments: &[&str]) -> String {
    let before = content(data);
    let line = refusal(data, arguments);
    assert_eq!(before, content(data), "a refused start changes nothing");
    line
}

fn refusal(data: &Path, arguments: &[&str]) -> String {
    let mut process = Command::new(BINARY)
        .args(["start", "--pg", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("it has started, and was to be refused: {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = process.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.replace(&data.display().to_string(), "DIR")
}

#[test]
fn a_directory_serves_only_whom_it_was_made_for() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Node::start(data.path(), &["--partitions", "2", "--workers", "1"]).stop(), Some(0));
    let other = free_address();
    let three = format!("1={other},2={other},3={other}");
    let cases: &[&[&str]] =
        &[&["--id", "2"], &["--cluster", "other"], &["--partitions", "3"], &["--workers", "2"], &["--nodes", &three]];
    let mut table = String::new();
    for arguments in cases {
        let shown = arguments.join(" ").replace(&other, "ADDRESS");
        writeln!(table, "$ orrery start --data DIR {shown}\n{}", refused(data.path(), arguments)).unwrap();
    }

    let identity = data.path().join("orrery.identity");
    let text = std::fs::read_to_string(&identity).unwrap();
    let ours = text.lines().find_map(|line| line.strip_prefix("format ")).unwrap();
    let newer = ours.parse::<u32>().unwrap() + 1;
    std::fs::write(&identity, text.replace(&format!("format {ours}"), &format!("format {newer}"))).unwrap();
    let line = refused(data.path(), &[]).replace(&format!("is {newer},"), "is NEWER,");
    writeln!(table, "# a newer format\n{}", line.replace(&format!("up to {ours}:"), "up to OURS:")).unwrap();
    std::fs::write(&identity, text.replace("partitions 2", "partitions 3")).unwrap();
    writeln!(table, "# damaged\n{}", refused(data.path(), &[])).unwrap();
    std::fs::remove_dir_all(data.path().join("worker-0")).unwrap();
    std::fs::remove_file(&identity).unwrap();
    std::fs::write(data.path().join("thesis.txt"), "do not lose").unwrap();
    writeln!(table, "# somebody else's\n{}", refused(data.path(), &[])).unwrap();
    insta::assert_snapshot!(table);
}

#[test]
fn two_processes_do_not_share_a_directory() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    assert_eq!(
        refusal(data.path(), &[]),
        "orrery: cannot use the data directory DIR: another process uses it: stop that, or choose another with --data\n"
    );
    node.kill();
    // The lock went with the process.
    assert_eq!(Node::start(data.path(), &[]).stop(), Some(0));
}

#[test]
fn what_was_chosen_at_creation_is_remembered() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(Node::start(data.path(), &["--partitions", "3", "--workers", "2"]).stop(), Some(0));
    assert_eq!(Node::start(data.path(), &[]).stop(), Some(0));
}
