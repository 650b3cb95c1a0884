//! A node as a child process.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_orrery");

/// A port that nobody listens on (any more).
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    pub(crate) child: Child,
    pub(crate) pg: SocketAddr,
}

impl Node {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::try_start(data, arguments).expect("the node starts")
    }

    /// The same, `None` if it ends instead.
    pub(crate) fn try_start(data: &Path, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(BINARY);
        command.args(["start", "--pg", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
        Self::spawn(command)
    }

    /// Runs a command that becomes a node.
    pub(crate) fn spawn(mut command: Command) -> Option<Self> {
        let mut child = command.env("RUST_LOG", "warn").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(connect) = line.strip_prefix("connect:") {
                let words: Vec<&str> = connect.split_whitespace().collect();
                let pg = format!("{}:{}", words[2], words[4]).parse().unwrap();
                return Some(Self { child, pg });
            }
        }
        let _ = child.wait();
        None
    }

    /// Asks it to stop; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node did not stop");
    }

    /// Kills it as a power failure would, but for the page cache.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_node_starts_stops_and_starts_again() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let node = Node::start(data.path(), &[]);
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn garbage_from_a_client_ends_only_that_client() {
    use std::io::{Read, Write};
    let data = tempfile::tempdir().unwrap();
    let mut node = Node::start(data.path(), &[]);
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0; 64], &[0, 0, 0, 4], &[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]]
    {
        let mut stream = std::net::TcpStream::connect(node.pg).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = stream.write_all(garbage);
        let _ = stream.read(&mut [0; 100]);
    }
    assert!(node.is_alive());
    assert_eq!(node.stop(), Some(0));
}
