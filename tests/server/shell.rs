//! The loop that drives a worker, with workers of a few lines.

use bytes::Bytes;
use orrery::env::tokio::frame::{self, HELLO_HEADER, Welcome};
use orrery::env::tokio::{Driven, Handler, Mailbox, Stats, WorkerSettings, at_once, start_worker};
use orrery::env::{ClientEvent, Control, DiskOp, DiskOutput, Endpoint, Env, Event, Port, StopReason};
use orrery::types::{ConnectionId, NodeId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// A worker's thread under test.
struct Running {
    mailbox: Arc<Mailbox>,
    stats: Arc<Stats>,
    stopped: Receiver<StopReason>,
    _data: tempfile::TempDir,
}

fn start(node: u32, peers: BTreeMap<NodeId, String>, make: impl FnOnce() -> Handler + Send + 'static) -> Running {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let stats = Arc::new(Stats::default());
    let mailbox = Arc::new(Mailbox::new(Arc::clone(&stats)));
    let settings = WorkerSettings {
        members: Arc::default(),
        node: NodeId(node),
        worker: WorkerId(0),
        workers: 1,
        cluster: "test".into(),
        life: 1,
        directory: data.path().to_owned(),
        peers,
        said: BTreeSet::new(),
        mailboxes: Arc::from([Arc::clone(&mailbox)]),
        stats: Arc::clone(&stats),
    };
    let (sender, stopped) = channel();
    start_worker(settings, make, move |reason| sender.send(reason).unwrap()).unwrap();
    Running { mailbox, stats, stopped, _data: data }
}

impl Running {
    /// A client of this worker.
    fn connect(&self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.mailbox.client(listener.accept().unwrap().0);
        client
    }

    fn stop(self) {
        self.mailbox.shutdown();
        assert_eq!(self.stopped.recv_timeout(Duration::from_secs(10)), Ok(StopReason::Shutdown));
    }
}

/// A worker from a closure; it stops when asked.
fn worker(mut handle: impl FnMut(&mut dyn Env, Event) + 'static) -> Handler {
    at_once(move |env, event| {
        if matches!(event, Event::Shutdown) {
            return Control::Stop(StopReason::Shutdown);
        }
        handle(env, event);
        Control::Continue
    })
}

fn echo() -> Handler {
    worker(|env, event| {
        if let Event::Client { connection, event: ClientEvent::Bytes(bytes) } = event {
            env.client_send(connection, bytes.clone());
            if bytes.ends_with(b"bye") {
                env.client_close(connection);
            }
        }
    })
}

#[test]
fn bytes_come_and_go() {
    let running = start(1, BTreeMap::new(), echo);
    let mut clients: Vec<TcpStream> = (0..20).map(|_| running.connect()).collect();
    for round in 0..50 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.write_all(&vec![index as u8; round * 100 + 1]).unwrap();
        }
        for (index, client) in clients.iter_mut().enumerate() {
            let mut answer = vec![0xff; round * 100 + 1];
            client.read_exact(&mut answer).unwrap();
            assert!(answer.iter().all(|byte| *byte == index as u8));
        }
    }
    let mut last = clients.pop().unwrap();
    last.write_all(b"good bye").unwrap();
    let mut rest = Vec::new();
    last.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"good bye");
    running.stop();
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    // Answers twentyfold.
    let running = start(1, BTreeMap::new(), || {
        worker(|env, event| {
            if let Event::Client { connection, event: ClientEvent::Bytes(bytes) } = event {
                env.client_send(connection, vec![7; bytes.len() * 20].into());
            }
        })
    });
    let mut client = running.connect();
    client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut stuck = 0;
    while stuck < 50 {
        match client.write(&[1; 1000]) {
            Ok(count) => (sent, stuck) = (sent + count, 0),
            Err(_) => {
                stuck += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert!(sent < 100 << 20, "the client is read although it does not read");
    }
    let read_by_now = running.stats.client_bytes_in.get();
    assert!((read_by_now as usize) < sent, "the rest waits in the kernel");
    client.set_nonblocking(false).unwrap();
    let mut left = sent * 20;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        left -= client.read(&mut buffer).unwrap();
    }
    assert_eq!(running.stats.client_bytes_in.get() as usize, sent);
    running.stop();
}

#[test]
fn a_client_that_is_owed_too_much_is_closed() {
    let (sender, closed) = channel();
    let running = start(1, BTreeMap::new(), move || {
        worker(move |env, event| match event {
            Event::Client { connection, event: ClientEvent::Bytes(_) } => {
                let piece = Bytes::from(vec![0; 32 << 20]);
                for _ in 0..10 {
                    env.client_send(connection, piece.clone());
                }
            }
            Event::Client { event: ClientEvent::Closed, .. } => sender.send(()).unwrap(),
            _ => {}
        })
    });
    let mut client = running.connect();
    client.write_all(b"all of it").unwrap();
    assert!(closed.recv_timeout(Duration::from_secs(10)).is_ok());
    assert_eq!(running.stats.clients_too_slow.get(), 1);
    running.stop();
}

#[test]
fn wake_ups_come_in_time_and_only_the_latest_counts() {
    let (sender, woken) = channel();
    let running = start(1, BTreeMap::new(), move || {
        worker(move |env, event| match event {
            Event::Start => {
                env.wake_at(env.now() + Duration::from_millis(5));
                env.wake_at(env.now() + Duration::from_secs(3600));
                env.wake_at(env.now() + Duration::from_millis(60));
            }
            Event::Wake => {
                sender.send(env.now()).unwrap();
                env.wake_at(env.now() + Duration::from_millis(20));
            }
            _ => {}
        })
    });
    let started = Instant::now();
    let first = woken.recv_timeout(Duration::from_secs(5)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50), "an earlier call does not count");
    let mut before = first;
    for _ in 0..5 {
        let now = woken.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(now.since(before) >= Duration::from_millis(20));
        before = now;
    }
    running.stop();
}

/// What waits while a worker does something long is heard before anything that became due meanwhile, and before both the
/// worker hears how long it was deaf.
#[test]
fn after_a_long_turn_the_pause_is_told_then_what_waited_then_what_is_due() {
    let (sender, told) = channel();
    let go = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&go);
    let running = start(1, BTreeMap::new(), move || {
        worker(move |env, event| match event {
            Event::Client { event: ClientEvent::Bytes(bytes), .. } if bytes == "long" => {
                env.wake_at(env.now() + Duration::from_millis(30));
                waiting.wait();
                std::thread::sleep(Duration::from_millis(200));
            }
            Event::Client { event: ClientEvent::Bytes(_), .. } => sender.send("heard".to_owned()).unwrap(),
            Event::Wake => sender.send("due".to_owned()).unwrap(),
            Event::Paused { length } => {
                assert!(length >= Duration::from_millis(200), "{length:?}");
                sender.send("paused".to_owned()).unwrap();
            }
            _ => {}
        })
    });
    let (mut long, mut other) = (running.connect(), running.connect());
    while running.stats.clients_accepted.get() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    long.write_all(b"long").unwrap();
    go.wait();
    other.write_all(b"x").unwrap();
    let order: Vec<String> = (0..3).map(|_| told.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
    assert_eq!(order, ["paused", "heard", "due"]);
    running.stop();
}

/// What a worker was told of a peer's address at its start, the cluster may know better.
#[test]
fn a_peer_that_has_moved_is_connected_to_where_it_listens_now() {
    let (before, now) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let peers = BTreeMap::from([(NodeId(2), before.local_addr().unwrap().to_string())]);
    let moved = now.local_addr().unwrap().to_string();
    let running = start(1, peers, move || {
        worker(move |env, event| {
            if let Event::Client { event: ClientEvent::Bytes(_), .. } = event {
                env.peers(&[(NodeId(2), moved.clone())], &[]);
            }
        })
    });
    drop(before.accept().unwrap());
    let (sender, accepted) = channel();
    std::thread::spawn(move || sender.send(now.accept().is_ok()));
    running.connect().write_all(b"go").unwrap();
    assert_eq!(accepted.recv_timeout(Duration::from_secs(10)), Ok(true));
    running.stop();
}

/// What is sent before something long leaves before it, if the worker says so.
#[test]
fn a_flush_does_not_wait_for_the_end_of_the_event() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = BTreeMap::from([(NodeId(2), listener.local_addr().unwrap().to_string())]);
    let go = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&go);
    let running = start(1, peers, move || {
        worker(move |env, event| {
            if let Event::Client { event: ClientEvent::Bytes(_), .. } = event {
                let to = Endpoint { node: NodeId(2), port: Port::Worker(WorkerId(0)) };
                env.send(to, Bytes::from_static(b"begin, too"));
                env.flush();
                // As long as the other side takes to read it.
                waiting.wait();
            }
        })
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut header = [0; HELLO_HEADER];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; frame::hello_length(&header).unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.write_all(&frame::encode_welcome(&Welcome::Accepted)).unwrap();
    while running.stats.peers_connected.get() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut client = running.connect();
    client.write_all(b"x").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut frame = Vec::new();
    while !frame.ends_with(b"begin, too") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        frame.push(byte[0]);
    }
    go.wait();
    running.stop();
}

#[test]
fn files_end_in_the_order_submitted() {
    let (sender, ended) = channel();
    let running = start(1, BTreeMap::new(), move || {
        let mut submitted = Vec::new();
        worker(move |env, event| match event {
            Event::Start => {
                let file = || "log".to_owned();
                submitted.push(env.submit(DiskOp::Create { file: file(), length: 1 << 20 }));
                for index in 0..10 {
                    let data = Bytes::from(vec![index as u8; 4096]);
                    submitted.push(env.submit(DiskOp::Write { file: file(), offset: index * 4096, data }));
                    submitted.push(env.submit(DiskOp::Sync { file: file() }));
                }
                submitted.push(env.submit(DiskOp::Read { file: file(), offset: 9 * 4096, length: 4096 }));
                submitted.reverse();
            }
            Event::Disk { op, result } => {
                assert_eq!(submitted.pop(), Some(op));
                if submitted.is_empty() {
                    sender.send(result).unwrap();
                }
            }
            _ => {}
        })
    });
    let last = ended.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(last, Ok(DiskOutput::Data(vec![9; 4096].into())));
    running.stop();
}

#[test]
fn two_nodes_talk_and_find_each_other_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = BTreeMap::from([(NodeId(2), listener.local_addr().unwrap().to_string())]);
    // Node 1 sends a number every few milliseconds, and never hears whether it arrived.
    let running = start(1, peers, || {
        let mut number = 0_u32;
        worker(move |env, event| {
            if matches!(event, Event::Start | Event::Wake) {
                number += 1;
                let to = Endpoint { node: NodeId(2), port: Port::Worker(WorkerId(0)) };
                env.send(to, Bytes::copy_from_slice(&number.to_le_bytes()));
                env.wake_at(env.now() + Duration::from_millis(2));
            }
        })
    });
    let (sender, received) = channel();
    let receiver = start(2, BTreeMap::new(), move || {
        worker(move |_, event| {
            if let Event::Message { payload, .. } = event {
                let number = u32::from_le_bytes(payload[..].try_into().unwrap());
                sender.send(number).unwrap();
            }
        })
    });
    let mut last = 0;
    for round in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = [0; HELLO_HEADER];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; frame::hello_length(&header).unwrap()];
        stream.read_exact(&mut body).unwrap();
        let hello = frame::decode_hello(&header, &body).unwrap();
        assert_eq!((hello.from, hello.to), (NodeId(1), NodeId(2)));
        stream.write_all(&frame::encode_welcome(&Welcome::Accepted)).unwrap();
        let cut = stream.try_clone().unwrap();
        receiver.mailbox.peer(stream, hello);
        for _ in 0..20 {
            let number = received.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(number > last, "in order, and nothing twice");
            last = number;
        }
        if round < 2 {
            cut.shutdown(std::net::Shutdown::Both).unwrap();
            while received.try_recv().is_ok_and(|number| number > last) {}
        }
    }
    assert!(running.stats.peers_connected.get() >= 3);
    running.stop();
    receiver.stop();
}

#[test]
fn requests_that_arrive_together_are_one_turn() {
    let go = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&go);
    let running = start(1, BTreeMap::new(), move || {
        let mut held = false;
        worker(move |env, event| {
            if let Event::Client { connection, event: ClientEvent::Bytes(bytes) } = event {
                // The first holds the worker up until all the others have sent theirs.
                if !std::mem::replace(&mut held, true) {
                    waiting.wait();
                    waiting.wait();
                }
                env.client_send(connection, bytes);
            }
        })
    });
    let mut clients: Vec<TcpStream> = (0..32).map(|_| running.connect()).collect();
    while running.stats.clients_accepted.get() < 32 {
        std::thread::sleep(Duration::from_millis(1));
    }
    clients[0].write_all(b"!").unwrap();
    go.wait();
    let turns = running.stats.turns.get();
    for client in &mut clients[1..] {
        client.write_all(b"?").unwrap();
    }
    go.wait();
    for client in &mut clients {
        client.read_exact(&mut [0; 1]).unwrap();
    }
    assert!(running.stats.turns.get() - turns <= 4, "31 requests are read together, not one by one");
    // A write is counted behind it: the client may have its byte first. Who has stopped has counted.
    let stats = Arc::clone(&running.stats);
    running.stop();
    assert_eq!(stats.client_reads.get(), 32, "one read a request");
    assert_eq!(stats.client_writes.get(), 32, "one write a request");
}

/// Counts the events of each turn, and tells when one was of several.
struct Counting {
    taken: u32,
    first: Option<Arc<Barrier>>,
    turns: Sender<u32>,
}

impl Driven for Counting {
    fn take(&mut self, _: &mut dyn Env, event: Event) -> Control {
        self.taken += 1;
        if matches!(event, Event::Client { event: ClientEvent::Bytes(_), .. })
            && let Some(held) = self.first.take()
        {
            held.wait();
            held.wait();
        }
        if matches!(event, Event::Shutdown) { Control::Stop(StopReason::Shutdown) } else { Control::Continue }
    }

    fn turn_over(&mut self, _: &mut dyn Env) -> Control {
        self.turns.send(std::mem::take(&mut self.taken)).unwrap();
        Control::Continue
    }
}

#[test]
fn events_that_are_ready_share_a_turn_and_a_turn_has_an_end() {
    const CLIENTS: u32 = 150;
    let (turns, told) = channel();
    let go = Arc::new(Barrier::new(2));
    let first = Some(Arc::clone(&go));
    let running = start(1, BTreeMap::new(), move || Box::new(Counting { taken: 0, first, turns }));
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| running.connect()).collect();
    while running.stats.clients_accepted.get() < u64::from(CLIENTS) {
        std::thread::sleep(Duration::from_millis(1));
    }
    clients[0].write_all(b"!").unwrap();
    go.wait();
    for client in &mut clients[1..] {
        client.write_all(b"?").unwrap();
    }
    go.wait();
    let (mut events, mut longest) = (0, 0);
    // Opened and heard, each of them; and the worker's start.
    while events < 2 * CLIENTS + 1 {
        let taken = told.recv_timeout(Duration::from_secs(10)).expect("each event is followed by the end of a turn");
        events += taken;
        longest = longest.max(taken);
    }
    assert_eq!(longest, 64, "many share a turn, and no more than allowed");
    running.stop();
}

#[test]
fn a_worker_that_stops_is_not_called_again() {
    let running = start(1, BTreeMap::new(), || {
        let mut over = false;
        at_once(move |env, event| {
            assert!(!over, "an event after the end");
            match event {
                Event::Client { connection: ConnectionId(_), event: ClientEvent::Bytes(_) } => {
                    env.submit(DiskOp::List);
                    env.wake_at(env.now());
                    over = true;
                    Control::Stop(StopReason::Disk("gone".into()))
                }
                _ => Control::Continue,
            }
        })
    });
    let mut client = running.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(running.stopped.recv_timeout(Duration::from_secs(10)), Ok(StopReason::Disk("gone".into())));
}

/// Set for the process that is to panic.
const PANIC: &str = "ORRERY_TEST_PANIC";

/// Not a test: what [`a_panic_ends_the_process`] runs in a process of its own.
#[test]
fn panicking_worker() {
    if std::env::var_os(PANIC).is_none() {
        return;
    }
    let running = start(1, BTreeMap::new(), || worker(|_, _| panic!("a bug")));
    let _ = running.stopped.recv_timeout(Duration::from_secs(10));
    println!("still alive");
}

#[test]
fn a_panic_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shell::panicking_worker", "--nocapture"])
        .env(PANIC, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(6), "half a node must not go on");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("still alive"));
}
