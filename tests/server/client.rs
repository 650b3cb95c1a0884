//! `orrery sql` and `orrery status` against real nodes.

use crate::node::{BINARY, Node, free_address};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command of the binary with this input; exit code, stdout, stderr.
fn orrery(node: &Node, command: &str, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(BINARY)
        .arg(command)
        .args(["--host", &node.pg.ip().to_string(), "--port", &node.pg.port().to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shell_runs_statements_and_describes_tables() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let script = "\
CREATE TABLE planet (id int PRIMARY KEY, name text UNIQUE NOT NULL,
                     moons int DEFAULT 0 CHECK (moons >= 0)); -- a comment; with a semicolon
CREATE INDEX ON planet (moons DESC);
INSERT INTO planet VALUES (3, 'Earth; or Terra', 1) RETURNING id;
COPY planet FROM STDIN;
4\tMars\t2
5\tJupiter\t95
\\.
SELECT * FROM planet ORDER BY id;
\\d
\\d PLANET
\\x
SELECT name, moons FROM planet WHERE id > 4;
\\frob
";
    let cases: &[(&[&str], &str)] = &[
        (&[], script),
        (&["-c", "SELECT 1 AS one; SELECT 'two' AS two", "-c", "SELECT count(*) FROM planet"], ""),
        (&["-c", "SELECT id,\n  moon FROM planet", "-c", "SELECT 'not reached'"], ""),
        (&["-c", "SELECT 1; SELECT 1/0; SELECT 2"], ""),
        (&["-f", "-"], "INSERT INTO planet VALUES (3, 'again', 0);\nSELECT 'not reached';"),
        (&["-f", "/no/such/file.sql"], ""),
        (&["-d", "nowhere", "-c", "SELECT 1"], ""),
        (&["-c", "\\d nothing"], ""),
        (&["-c", "\\d system.settings"], ""),
        (&["-c", "SELECT node, state, leads, replicas FROM system.nodes"], ""),
    ];
    let mut shown = String::new();
    for (arguments, input) in cases {
        let (code, out, err) = orrery(&node, "sql", arguments, input);
        writeln!(
            shown,
            "$ orrery sql {}\n{out}--- stderr\n{err}--- exit code {}\n",
            arguments.join(" "),
            code.unwrap()
        )
        .unwrap();
    }
    insta::assert_snapshot!(shown);
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn nobody_there_is_one_line() {
    let address = free_address();
    let port = address.rsplit_once(':').unwrap().1;
    for (command, code) in [("sql", 2), ("status", 1)] {
        let output = Command::new(BINARY).args([command, "--port", port]).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(code), 1), "{stderr}");
        assert!(stderr.contains("nobody listens on"), "{stderr}");
    }
}

/// Three nodes with data directories below `data`.
fn three(data: &std::path::Path) -> Vec<Node> {
    let peers: Vec<String> = (0..3).map(|_| free_address()).collect();
    let list = peers.iter().enumerate().map(|(place, peer)| format!("{}={peer}", place + 1)).collect::<Vec<_>>();
    let list = list.join(",");
    let start = |id: usize| {
        let id = id.to_string();
        let data = data.join(&id);
        Node::start(&data, &["--id", &id, "--nodes", &list])
    };
    (1..=3).map(start).collect()
}

fn status(node: &Node) -> (Option<i32>, serde_json::Value) {
    let (code, out, err) = orrery(node, "status", &["--json"], "");
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
}

/// Asks until the status is as wanted.
fn until(node: &Node, what: &str, wanted: impl Fn(Option<i32>, &serde_json::Value) -> bool) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (code, status) = status(node);
        if wanted(code, &status) {
            return status;
        }
        assert!(Instant::now() < deadline, "not in time: {what}; at last {status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn status_shows_the_dead_and_the_leaderless() {
    let data = tempfile::tempdir().unwrap();
    let mut nodes = three(data.path());
    let healthy = until(&nodes[0], "three nodes up", |code, status| {
        code == Some(0) && status["nodes"].as_array().unwrap().iter().all(|node| node["state"] == "up")
    });
    assert_eq!(healthy["healthy"], true);
    assert_eq!(healthy["nodes"].as_array().unwrap().len(), 3);
    // A session that is open sees the cluster even when that has lost its quorum.
    orrery(&nodes[0], "sql", &["-c", "CREATE TABLE t (a int)"], "");
    nodes.pop().unwrap().kill();
    let wounded = until(&nodes[0], "two of three", |code, status| {
        code == Some(0) && status["nodes"][2]["state"] == "unreachable"
    });
    assert_eq!(wounded["healthy"], true, "two of three are a quorum");
    assert_eq!(wounded["nodes"][1]["state"], "up");
    nodes.pop().unwrap().kill();
    let leaderless = until(&nodes[0], "no quorum", |code, _| code == Some(1));
    assert_eq!(leaderless["healthy"], false);
    assert_eq!(leaderless["nodes"][0]["state"], "up");
    let (code, out, err) = orrery(&nodes[0], "status", &[], "");
    assert_eq!(code, Some(1));
    assert!(out.contains("unreachable") && err.contains("no leader of partitions 0, 1"), "{out}{err}");
    // Without a quorum the system's tables still answer, definitions apart.
    let (code, out, _) =
        orrery(&nodes[0], "sql", &["-c", "SELECT kind FROM system.events WHERE kind = 'no_leader'"], "");
    assert_eq!(code, Some(0));
    assert!(out.contains("no_leader"), "{out}");
}
