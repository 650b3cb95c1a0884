//! The health port, the log and the demo of the real binary.

use crate::node::{BINARY, Node, free_address};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sends bytes and reads to the end.
fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

fn get(address: &str, path: &str) -> (u16, String) {
    let response = ask(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes());
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {response}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn until(what: &str, wanted: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !wanted() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_node_alone_is_ready_and_counts() {
    let (data, http) = (tempfile::tempdir().unwrap(), free_address());
    let mut node = Node::start(data.path(), &["--http", &http]);
    assert_eq!(get(&http, "/health"), (200, "alive\n".to_owned()));
    until("ready", || get(&http, "/ready").0 == 200);
    until("executed", || get(&http, "/metrics").1.contains("orrery_log_executed{node=\"1\",partition=\"0\"} "));
    let metrics = get(&http, "/metrics").1;
    assert!(metrics.contains("orrery_partition_leads{node=\"1\",partition=\"1\"} 1\n"), "{metrics}");
    assert_eq!(get(&http, "/nothing").0, 404);
    for garbage in
        [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], &[0xff; 4096], b"GET", b"GET / HTTP/9.9\r\n\r\n", &[b'a'; 20_000]]
    {
        let answer = ask(&http, garbage);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(node.is_alive() && get(&http, "/health").0 == 200);
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_node_without_a_quorum_is_alive_and_not_ready() {
    let (data, http) = (tempfile::tempdir().unwrap(), free_address());
    let nodes = format!("1={},2={},3={}", free_address(), free_address(), free_address());
    let node = Node::start(data.path(), &["--http", &http, "--nodes", &nodes]);
    assert_eq!(get(&http, "/health").0, 200);
    let (code, reason) = get(&http, "/ready");
    assert_eq!((code, &*reason), (503, "not ready: waiting for nodes 2, 3 to form the cluster\n"));
    node.kill();
}

#[test]
fn the_log_is_json_if_asked() {
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(BINARY)
        .args(["start", "--pg", "127.0.0.1:0", "--http", "off", "--log", "info", "--log-format", "json", "--data"])
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut kinds = Vec::new();
    // The startup line, and events: the start of the worker, and that it leads both partitions.
    while kinds.len() < 4 {
        let line = lines.next().unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        kinds.push(event["kind"].as_str().or(event["message"].as_str()).unwrap().to_owned());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    kinds.sort();
    assert_eq!(kinds, ["leader", "leader", "start", "started"]);
}

#[test]
fn the_demo_is_three_nodes_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child =
        Command::new(BINARY).arg("demo").env("TMPDIR", temporary.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ports = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(connect) = line.strip_prefix("connect:") {
            ports.push(connect.split_whitespace().nth(4).unwrap().to_owned());
        }
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    assert_eq!(ports.len(), 3);
    for port in &ports {
        let query = "SELECT count(*) AS planets FROM planet";
        let output = Command::new(BINARY).args(["sql", "--port", port, "-c", query]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("       8\n"), "{output:?}");
    }
    let status = Command::new(BINARY).args(["status", "--port", &ports[2]]).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the temporary directory is gone");
}
