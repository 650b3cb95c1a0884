//! A node of several workers under load: many clients, many connections, nonsense on every port.

use crate::node::{Node, free_address};
use crate::sql::connect;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENTS: i64 = 12;
const ROWS: i64 = 40;

/// Each client writes rows of its own, over all partitions, and reads each back.
async fn work(node: &Node) {
    connect(node)
        .await
        .batch_execute("CREATE TABLE IF NOT EXISTS load (id bigint PRIMARY KEY, n bigint)")
        .await
        .unwrap();
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        clients.push((client, connect(node).await));
    }
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|(client, connection)| {
            tokio::spawn(async move {
                let insert = connection.prepare("INSERT INTO load VALUES ($1, 1)").await.unwrap();
                let add = connection.prepare("UPDATE load SET n = n + 1 WHERE id = $1").await.unwrap();
                let read = connection.prepare("SELECT n FROM load WHERE id = $1").await.unwrap();
                for row in 0..ROWS {
                    let id = client * ROWS + row;
                    assert_eq!(connection.execute(&insert, &[&id]).await.unwrap(), 1);
                    assert_eq!(connection.execute(&add, &[&id]).await.unwrap(), 1);
                    assert_eq!(connection.query_one(&read, &[&id]).await.unwrap().get::<_, i64>(0), 2);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Is every row there?
async fn check(node: &Node) {
    let client = connect(node).await;
    let read = client.prepare("SELECT n FROM load WHERE id = $1").await.unwrap();
    for id in 0..CLIENTS * ROWS {
        assert_eq!(client.query_one(&read, &[&id]).await.unwrap().get::<_, i64>(0), 2, "row {id}");
    }
}

#[tokio::test]
async fn several_workers_share_partitions_and_clients() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &["--workers", "3", "--partitions", "8"]);
    work(&node).await;
    node.kill();
    let node = Node::start(data.path(), &[]);
    check(&node).await;
    assert_eq!(node.stop(), Some(0));
}

/// A small generator: what it brings up need only differ.
fn nonsense(state: &mut u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..length {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.push((*state >> 33) as u8);
    }
    bytes
}

/// Beginnings that lead a reader some way in.
fn openings() -> Vec<Vec<u8>> {
    let startup = startup("ada");
    let in_session = |rest: &[u8]| [&startup[..], rest].concat();
    vec![
        Vec::new(),
        vec![0, 0, 0, 8, 4, 210, 22, 47],
        vec![0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2],
        b"ORRY".to_vec(),
        startup[..9].to_vec(),
        in_session(b"Q\0\0\0\x05"),
        in_session(b"P\x7f\xff\xff\xff"),
        in_session(b"B\0\0\0\x10\0\0\xff\xff"),
        in_session(b"X\0\0\0\x04"),
        in_session(b"d\0\0\0\x04"),
    ]
}

/// A startup packet of protocol 3.0.
fn startup(user: &str) -> Vec<u8> {
    let parameters = format!("user\0{user}\0database\0orrery\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap();
    [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters.as_bytes()].concat()
}

/// Ends the talkers, also when what they were to disturb has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nonsense_on_every_port_disturbs_nobody() {
    let data = tempfile::tempdir().unwrap();
    let peer = free_address();
    let node = Node::start(data.path(), &["--workers", "2", "--partitions", "4", "--peer", &peer]);
    let ports = [node.pg.to_string(), peer];
    let over = AtomicBool::new(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let talked = std::thread::scope(|scope| {
        let talkers: Vec<_> = ports
            .iter()
            .map(|port| {
                let over = &over;
                scope.spawn(move || {
                    let mut state = 42;
                    let mut talked = 0;
                    for opening in openings().iter().cycle() {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        let mut stream = TcpStream::connect(port).unwrap();
                        stream.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
                        let rest = nonsense(&mut state, talked * 7 % 5000);
                        // The other end may have had enough of it.
                        let _ = stream.write_all(opening).and_then(|()| stream.write_all(&rest));
                        let _ = stream.read(&mut [0; 4096]);
                        talked += 1;
                    }
                    talked
                })
            })
            .collect();
        let end = Over(&over);
        runtime.block_on(work(&node));
        drop(end);
        talkers.into_iter().map(|talker| talker.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(talked.iter().all(|talked| *talked >= openings().len()), "every opening was tried: {talked:?}");
    runtime.block_on(check(&node));
    assert_eq!(node.stop(), Some(0));
}

/// Connects and starts a session; the state that it is refused with, if it is.
pub(crate) fn open_session(node: &Node) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(node.pg).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&startup("ada")).unwrap();
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).unwrap();
        match header[0] {
            b'Z' => return Ok(stream),
            b'E' => {
                let fields = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                return Err(fields.filter_map(|field| field.strip_prefix('C').map(str::to_owned)).next().unwrap());
            }
            _ => {}
        }
    }
}

/// Memory of a process that is in use, in KiB.
fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_connections_are_served_and_one_more_is_refused() {
    const LIMIT: usize = 1000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let data = tempfile::tempdir().unwrap();
    let most = LIMIT.to_string();
    let node = Node::start(data.path(), &["--workers", "2", "--partitions", "2", "--max-connections", &most]);
    drop(open_session(&node).unwrap());
    let before = resident_kib(&node);
    let mut sessions: Vec<TcpStream> = (0..LIMIT).map(|_| open_session(&node).unwrap()).collect();
    for _ in 0..4 {
        assert_eq!(open_session(&node).unwrap_err(), "53300");
    }
    // All ask at once.
    for (index, session) in sessions.iter_mut().enumerate() {
        let text = format!("SELECT {index} + 1\0");
        let length = u32::try_from(text.len() + 4).unwrap();
        session.write_all(&[b"Q", &length.to_be_bytes()[..], text.as_bytes()].concat()).unwrap();
    }
    for (index, session) in sessions.iter_mut().enumerate() {
        let expected = (index + 1).to_string();
        let mut answer = Vec::new();
        while !answer.ends_with(b"Z\0\0\0\x05I") {
            let mut piece = [0; 512];
            let count = session.read(&mut piece).unwrap();
            assert_ne!(count, 0, "session {index} is closed");
            answer.extend_from_slice(&piece[..count]);
        }
        let shown = answer.windows(expected.len()).any(|bytes| bytes == expected.as_bytes());
        assert!(shown, "session {index} is answered what it asked");
    }
    let used = resident_kib(&node).saturating_sub(before);
    assert!(used < 64 * LIMIT as u64, "{used} KiB for {LIMIT} sessions");
    // Those of one turn over the workers go: as many may come.
    sessions.truncate(LIMIT - 10);
    let mut again = Vec::new();
    for _ in 0..200 {
        match open_session(&node) {
            Ok(session) => again.push(session),
            // The worker has not yet heard of those who have gone, or it is the other one's turn.
            Err(state) => assert_eq!(state, "53300"),
        }
        if again.len() == 10 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(again.len(), 10);
    drop((sessions, again));
    assert_eq!(node.stop(), Some(0));
}
