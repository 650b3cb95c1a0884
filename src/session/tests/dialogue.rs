//! Runs a script against a gateway and a stand-in cluster.

use super::cluster::{Cluster, Fault};
use super::render;
use crate::catalog::ReplicationMode;
use crate::cluster::facts::{
    About, Ask, EventFacts, Facts, FetchFacts, FollowerFacts, Recover, RecoveryFacts, ReplicaFacts, WorkerFacts,
};
use crate::consensus::Role;
use crate::env::ClientEvent;
use crate::partition::message::{Reply, Request};
use crate::session::{Gateway, GatewayConfig, GatewayOutput};
use crate::types::random::SeedableRng;
use crate::types::{
    ConnectionId, Duration, Era, Incarnation, Instant, LogIndex, NodeId, PartitionId, Rng, Timestamp, WorkerId,
};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(super) struct Dialogue {
    pub(super) gateway: Gateway,
    cluster: Cluster,
    now: Instant,
    /// Requests that the script holds back, and whether it does.
    held: VecDeque<(NodeId, PartitionId, Request)>,
    hold: bool,
    /// The last reply to each connection's requests, to be delivered again.
    last_reply: Option<(NodeId, Reply)>,
    keys: BTreeMap<u64, Vec<u8>>,
    opening: BTreeMap<u64, bool>,
    pending: BytesMut,
    out: String,
    show_requests: bool,
    /// Nodes that do not answer questions.
    silent: BTreeSet<NodeId>,
    /// The node whose replica of partition 1 is far behind.
    behind: Option<NodeId>,
}

pub(super) fn config() -> GatewayConfig {
    GatewayConfig {
        node: NodeId(1),
        worker: WorkerId(0),
        nodes: (1..=3).map(NodeId).collect(),
        partitions: 1,
        attempt_timeout: Duration::from_millis(100),
        statement_timeout: Duration::from_millis(1000),
        max_connections: 3,
        breaker: true,
        admission: true,
        slow_statement: Duration::from_millis(200),
        preparation_patience: Duration::from_secs(10),
        node_settings: vec![("heartbeat", "50ms".to_owned(), "Interval of a leader's heartbeats.")],
    }
}

/// The whole script, with what came of each line.
pub(super) fn play(script: &str) -> String {
    let (partitions, script) = match script.strip_prefix("partitions ").and_then(|rest| rest.split_once('\n')) {
        Some((partitions, rest)) => (partitions.parse().expect("a number"), rest),
        None => (1, script),
    };
    let mut dialogue = Dialogue::new(GatewayConfig { partitions, ..config() });
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        dialogue.line(line);
    }
    dialogue.out
}

impl Dialogue {
    pub(super) fn new(config: GatewayConfig) -> Self {
        let partitions = config.partitions;
        Self {
            gateway: Gateway::new(config, Rng::seed_from_u64(1)),
            cluster: Cluster::new(partitions),
            now: Instant(0),
            held: VecDeque::new(),
            hold: false,
            last_reply: None,
            keys: BTreeMap::new(),
            opening: BTreeMap::new(),
            pending: BytesMut::new(),
            out: String::new(),
            show_requests: true,
            silent: BTreeSet::new(),
            behind: None,
        }
    }

    /// Registered, with connection 1 past its startup; nothing of it shown.
    pub(super) fn ready(config: GatewayConfig) -> Self {
        let mut dialogue = Self::new(config);
        for line in ["start", "open", "startup user=ada"] {
            dialogue.line(line);
        }
        dialogue.out.clear();
        dialogue
    }

    pub(super) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    fn wall(&self) -> Timestamp {
        Timestamp((self.now.0 / 1000) as i64)
    }

    pub(super) fn line(&mut self, line: &str) {
        self.out += &format!("{line}\n");
        let (connection, command) = match line.split_once(": ") {
            Some((number, rest)) if number.parse::<u64>().is_ok() => (number.parse().expect("a number"), rest),
            _ => (1, line),
        };
        // `+` joins a message with those after it into one piece.
        let (command, last) = match command.strip_prefix("+ ") {
            Some(command) => (command, false),
            None => (command, true),
        };
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        if self.event(connection, verb, rest) {
            return self.settle();
        }
        message(verb, rest, &self.keys, &mut self.pending);
        if last {
            let bytes = self.pending.split().freeze();
            self.send(connection, bytes);
        }
    }

    pub(super) fn send(&mut self, connection: u64, bytes: Bytes) {
        let event = ClientEvent::Bytes(bytes);
        self.gateway.client_event(self.now, self.wall(), ConnectionId(connection), event);
        self.settle();
    }

    /// What is no message of a client.
    fn event(&mut self, connection: u64, verb: &str, rest: &str) -> bool {
        let id = ConnectionId(connection);
        match verb {
            "start" => self.gateway.start(self.now, self.wall(), Incarnation(3)),
            "open" => {
                self.opening.insert(connection, true);
                let event = ClientEvent::Opened { local: true };
                self.gateway.client_event(self.now, self.wall(), id, event);
            }
            "gone" => self.gateway.client_event(self.now, self.wall(), id, ClientEvent::Closed),
            "quiet" => self.show_requests = false,
            "silent" => {
                self.silent.insert(NodeId(rest.parse().expect("a node")));
            }
            "behind" => self.behind = Some(NodeId(rest.parse().expect("a node"))),
            // The gateway registered and a session open, without showing how.
            "session" => {
                if connection == 1 {
                    self.gateway.start(self.now, self.wall(), Incarnation(3));
                    self.settle();
                }
                for command in ["open", "startup user=ada"] {
                    self.line(&format!("{connection}: {command}"));
                }
                let hidden = self.out.rfind(&format!("{connection}: open\n")).unwrap_or(self.out.len());
                self.out.truncate(hidden);
                let request = self.out.rfind("    -> n1 p0 s0").unwrap_or(self.out.len());
                self.out.truncate(request);
            }
            "hold" => self.hold = true,
            "release" => {
                self.hold = false;
                while let Some((node, partition, request)) = self.held.pop_front() {
                    self.answer(node, partition, &request);
                }
            }
            "again" => {
                if let Some((node, reply)) = self.last_reply.clone() {
                    self.gateway.reply(self.now, self.wall(), node, reply);
                }
            }
            "fault" => self.cluster.faults.push_back(fault(rest)),
            "elsewhere" => self.cluster.define(self.now, self.wall(), rest),
            "stall" => self.cluster.stall(PartitionId(rest.parse().expect("a partition"))),
            "go" => {
                let replies = self.cluster.go_on(self.now, self.wall());
                self.replies(replies);
            }
            "lose-forks" => {
                let replies = self.cluster.lose_forks(self.now, self.wall());
                self.replies(replies);
            }
            "sleep" => self.sleep(Duration::from_millis(rest.parse().expect("milliseconds"))),
            "shutdown" => self.gateway.shutdown(self.now, Duration::from_secs(4)),
            "stats" => self.out += &format!("    {:?}\n", self.gateway.stats()),
            _ => return false,
        }
        true
    }

    fn sleep(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            // The cluster has timers of its own.
            let next = (self.now + Duration::from_millis(50)).min(until);
            let next = self.gateway.next_timeout().map_or(next, |timeout| timeout.min(next));
            self.now = self.now.max(next);
            self.tick();
            self.gateway.handle_timeout(self.now, self.wall());
            self.settle();
        }
    }

    fn tick(&mut self) {
        let replies = self.cluster.pass(self.now, self.wall());
        self.replies(replies);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let outputs = self.gateway.drain();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                self.output(output);
            }
        }
    }

    fn output(&mut self, output: GatewayOutput) {
        match output {
            GatewayOutput::Client(connection, bytes) => {
                let opening = self.opening.get(&connection.0).copied().unwrap_or(false);
                let name = if connection.0 == 1 { String::new() } else { format!("{}: ", connection.0) };
                for line in render::messages(&bytes, opening) {
                    self.out += &format!("    {name}{line}\n");
                }
                if let Some(at) = bytes.windows(5).position(|window| matches!(window, [b'K', 0, 0, 0, 12 | 40])) {
                    self.keys.insert(connection.0, bytes[at + 5..at + 1 + usize::from(bytes[at + 4])].to_vec());
                    self.opening.insert(connection.0, false);
                }
            }
            GatewayOutput::Close(connection) => self.out += &format!("    {connection} closed\n"),
            GatewayOutput::Request { node, partition, request } => {
                if self.show_requests {
                    self.out += &format!("    -> {node} {partition} {}\n", render::request(&request));
                }
                if self.hold {
                    self.held.push_back((node, partition, request));
                } else {
                    self.answer(node, partition, &request);
                }
            }
            GatewayOutput::Ask(node, ask) => {
                if self.show_requests {
                    self.out += &format!("    -> {node} asked: {:?}{}\n", ask.wanted, orders(&ask));
                }
                if !self.silent.contains(&node) {
                    let worker = self.facts(node, &ask);
                    let facts =
                        Facts { incarnation: ask.incarnation, session: ask.session, number: ask.number, worker };
                    self.gateway.facts(self.now, self.wall(), facts);
                }
            }
            GatewayOutput::SlowStatement(text) => self.out += &format!("    slow: {text}\n"),
        }
    }

    /// What a node of the stand-in cluster tells of itself: node 2 leads.
    fn facts(&self, node: NodeId, ask: &Ask) -> WorkerFacts {
        let replica = |partition| ReplicaFacts {
            partition: PartitionId(partition),
            role: if node == NodeId(2) { Role::Leader } else { Role::Follower },
            leader: Some(NodeId(2)),
            era: Era(4),
            last: LogIndex(12),
            committed: LogIndex(if self.behind.is_some() { 2000 } else { 11 }),
            executed: match self.behind {
                Some(behind) if behind == node && partition == 1 => LogIndex(3),
                Some(_) => LogIndex(2000),
                None => LogIndex(12 - u64::from(node.0)),
            },
            recovery: RecoveryFacts {
                fetch: ask.recover.iter().find(|order| order.partition.0 == partition).map(|order| FetchFacts {
                    from: order.from,
                    index: order.at_least,
                    bytes: 4096,
                    percent: 40,
                }),
                fetched: (self.behind.is_none() && node == NodeId(2) && partition == 0).then_some(FetchFacts {
                    from: NodeId(1),
                    index: LogIndex(7),
                    bytes: 512,
                    percent: 100,
                }),
                ..RecoveryFacts::default()
            },
            digest: 0xabc,
            to_prepare: 0,
            in_sync: Some(vec![NodeId(2)]),
            mode: ReplicationMode::Sync,
            pending: 0,
            suspicion: (node != NodeId(2)).then_some(40),
            followers: match node {
                NodeId(2) => {
                    vec![FollowerFacts { node: NodeId(1), matched: LogIndex(9), bytes: Some(300), behind_ms: 7 }]
                }
                _ => Vec::new(),
            },
        };
        let event = EventFacts {
            number: 1,
            at: Timestamp(5),
            warning: false,
            kind: "leader".into(),
            partition: Some(PartitionId(1)),
            text: "node 2 leads partition 1 in era 4".to_owned(),
        };
        let about = About {
            cluster: "orrery".to_owned(),
            version: "1".to_owned(),
            sql_address: format!("h{node}:5433"),
            http_address: None,
        };
        WorkerFacts {
            node,
            worker: WorkerId(0),
            workers: 1,
            incarnation: Incarnation(3),
            started_at: Timestamp(1_000_000),
            clock: self.wall(),
            about: Arc::new(about),
            session_count: 1,
            replicas: vec![replica(0), replica(1)],
            moves: Vec::new(),
            directory: ask.wanted.directory.then(|| self.cluster.directory()),
            sessions: self.gateway.sessions().filter(|_| ask.wanted.sessions && node == NodeId(1)).collect(),
            events: if ask.wanted.events { vec![event] } else { Vec::new() },
        }
    }

    fn answer(&mut self, node: NodeId, partition: PartitionId, request: &Request) {
        let fault = self.cluster.faults.front().copied().unwrap_or(Fault::None);
        let replies = self.cluster.request(self.now, self.wall(), node, partition, request);
        if self.show_requests && fault != Fault::None {
            self.out += &format!("       {fault:?}\n");
        }
        self.replies(replies);
    }

    fn replies(&mut self, replies: Vec<(NodeId, Reply)>) {
        for (node, reply) in replies {
            self.last_reply = Some((node, reply.clone()));
            self.gateway.reply(self.now, self.wall(), node, reply);
        }
    }
}

/// What a node is asked to do.
fn orders(ask: &Ask) -> String {
    let order = |order: &Recover| format!(", to fetch {} at {} from {}", order.partition, order.at_least, order.from);
    let prepare = ask.prepare.iter().map(|prepare| format!(", to prepare {{{}}}", prepare.text));
    ask.recover.iter().map(order).chain(prepare).collect()
}

fn fault(text: &str) -> Fault {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("drop", _) => Fault::Drop,
        ("drop-reply", _) => Fault::DropReply,
        ("none", _) => Fault::None,
        ("lost", _) => Fault::Lost,
        ("overloaded", _) => Fault::Overloaded,
        ("replan", _) => Fault::Replan,
        ("not-kept", _) => Fault::NotKept,
        ("not-leader", node) => Fault::NotLeader(node.parse().ok().map(NodeId)),
        _ => panic!("no such fault: {text}"),
    }
}

/// Appends a message of a client.
pub(super) fn message(verb: &str, rest: &str, keys: &BTreeMap<u64, Vec<u8>>, out: &mut BytesMut) {
    let name = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    let words: Vec<_> = rest.split(' ').collect();
    let mut body = BytesMut::new();
    let kind = match verb {
        "ssl" => return out.put_slice(&[0, 0, 0, 8, 4, 210, 22, 47]),
        "gss" => return out.put_slice(&[0, 0, 0, 8, 4, 210, 22, 48]),
        "raw" => return out.put_slice(&unhex(rest)),
        "startup" => return startup(&words, out),
        "cancel" => {
            let key = &keys[&rest.parse().expect("a connection")];
            out.put_u32(8 + key.len() as u32);
            out.put_u32(80_877_102);
            return out.put_slice(key);
        }
        "query" => {
            put_text(&mut body, rest);
            b'Q'
        }
        "parse" => {
            let mut parts = rest.splitn(3, ' ');
            put_text(&mut body, &name(parts.next().unwrap_or_default()));
            let types = parts.next().unwrap_or_default();
            put_text(&mut body, parts.next().unwrap_or_default());
            let types: Vec<u32> = types.split(',').filter_map(|oid| oid.parse().ok()).collect();
            body.put_u16(types.len() as u16);
            types.iter().for_each(|oid| body.put_u32(*oid));
            b'P'
        }
        "bind" => {
            bind(&words, &mut body);
            b'B'
        }
        "describe" | "close" => {
            body.put_slice(words[0].as_bytes());
            put_text(&mut body, &name(words[1]));
            if verb == "close" { b'C' } else { b'D' }
        }
        "execute" => {
            put_text(&mut body, &name(words[0]));
            body.put_i32(words.get(1).map_or(0, |rows| rows.parse().expect("rows")));
            b'E'
        }
        // `\\n`, `\\t` and `\\\\` stand for what they do in Rust.
        "data" => {
            let text = rest.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace('\0', "\\");
            body.put_slice(text.as_bytes());
            b'd'
        }
        // `rows from to`: so many lines of COPY data, of 100 bytes each.
        "rows" => {
            let [from, to] = [words[0], words[1]].map(|word| word.parse::<u64>().expect("a number"));
            (from..to).for_each(|row| body.put_slice(format!("{row:08}\t{}\n", "x".repeat(90)).as_bytes()));
            b'd'
        }
        "done" => b'c',
        "copyfail" => {
            put_text(&mut body, rest);
            b'f'
        }
        "sync" => b'S',
        "flush" => b'H',
        "terminate" => b'X',
        "function" => b'F',
        _ => panic!("no such event: {verb}"),
    };
    out.put_u8(kind);
    out.put_u32(4 + body.len() as u32);
    out.put_slice(&body);
}

/// `bind portal statement value … => format …`; a value is `text`, `0xhex` (binary) or `null`, a format `t` or `b`.
fn bind(words: &[&str], body: &mut BytesMut) {
    let name = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    put_text(body, &name(words[0]));
    put_text(body, &name(words[1]));
    let arrow = words.iter().position(|word| *word == "=>").unwrap_or(words.len());
    let values = &words[2..arrow];
    body.put_u16(values.len() as u16);
    values.iter().for_each(|value| body.put_i16(i16::from(value.starts_with("0x"))));
    body.put_u16(values.len() as u16);
    for value in values {
        let bytes = match value.strip_prefix("0x") {
            _ if *value == "null" => {
                body.put_i32(-1);
                continue;
            }
            Some(hex) => unhex(hex),
            None => value.as_bytes().to_vec(),
        };
        body.put_i32(bytes.len() as i32);
        body.put_slice(&bytes);
    }
    let formats = words.get(arrow + 1..).unwrap_or_default();
    body.put_u16(formats.len() as u16);
    formats.iter().for_each(|format| body.put_i16(i16::from(*format == "b")));
}

/// `startup [3.2] name=value …`; `~` in a value stands for a blank.
fn startup(words: &[&str], out: &mut BytesMut) {
    let mut body = BytesMut::new();
    let (version, pairs) = match words[0].split_once('.') {
        Some((major, minor)) if major.len() == 1 => {
            ((major.parse().expect("major"), minor.parse().expect("minor")), &words[1..])
        }
        _ => ((3_u16, 0_u16), words),
    };
    body.put_u16(version.0);
    body.put_u16(version.1);
    for pair in pairs {
        let (name, value) = pair.split_once('=').expect("name=value");
        put_text(&mut body, name);
        put_text(&mut body, &value.replace('~', " "));
    }
    body.put_u8(0);
    out.put_u32(4 + body.len() as u32);
    out.put_slice(&body);
}

fn put_text(body: &mut BytesMut, text: &str) {
    body.put_slice(text.as_bytes());
    body.put_u8(0);
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex")).collect()
}
