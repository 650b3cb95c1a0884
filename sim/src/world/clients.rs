//! Simulated clients and their connections: reliable, ordered streams with a delay, cut anywhere.

use super::{Pending, World};
use crate::client::{Client, ClientAction, ClientInput};
use crate::env::dice::{Dice, Stream, mix};
use crate::trace;
use bytes::Bytes;
use orrery::env::{ClientEvent, Event};
use orrery::types::ConnectionId;
use xxhash_rust::xxh3::xxh3_64;

/// A client's place in the world.
pub(super) struct Place {
    client: Box<dyn Client>,
    /// Its present connection.
    connection: Option<usize>,
    wake_wanted: Option<u64>,
    wake_queued: Option<u64>,
    pub(super) done: bool,
}

impl Place {
    pub(super) fn new(client: Box<dyn Client>) -> Self {
        Self { client, connection: None, wake_wanted: None, wake_queued: None, done: false }
    }
}

/// One connection, from the first packet to the last.
#[derive(Debug)]
pub(super) struct Connection {
    client: usize,
    pub(super) node: usize,
    pub(super) worker: usize,
    id: ConnectionId,
    life: u64,
    /// Does the node's worker know it?
    pub(super) node_open: bool,
    /// Does the client care?
    client_open: bool,
    /// The client's machine is gone: so many bytes of what it has sent still come, and no end.
    last_bytes: Option<usize>,
    /// This fault ends the client in the middle of its next message, at a place drawn from the number.
    doomed: Option<(u32, u64)>,
    /// Last arrival at the node: nothing overtakes.
    to_node: u64,
    to_client: u64,
    /// Pieces sent either way: keys of their delays.
    pieces: u64,
}

/// What travels on a connection.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// The client connects, or the node has accepted.
    Open,
    /// Bytes.
    Bytes(Bytes),
    /// The end.
    Close,
}

impl World {
    /// Gives a client an input and does what it wants.
    pub(super) fn client(&mut self, number: usize, input: ClientInput) {
        let now = self.now;
        let actions = self.clients[number].client.handle(now, input);
        for action in actions {
            match action {
                ClientAction::Connect(node) => self.connect(number, node.0),
                ClientAction::Send(bytes) => {
                    if let Some(connection) = self.clients[number].connection {
                        self.send_from_client(connection, bytes);
                    }
                }
                ClientAction::Disconnect => self.disconnect(number),
                ClientAction::WakeAt(at) => self.wake_client_at(number, at),
                ClientAction::Record(event) => {
                    let digest = xxh3_64(format!("{event:?}").as_bytes());
                    self.trace.record(now, trace::Event::Noted { client: client_number(number), digest });
                    self.history.push((now, event));
                }
                ClientAction::Done => self.clients[number].done = true,
            }
        }
    }

    fn connect(&mut self, number: usize, node: u32) {
        self.disconnect(number);
        let Some(node) = (node as usize).checked_sub(1).filter(|&at| at < self.nodes.len()) else { return };
        let connection = self.connections.len();
        self.connections.push(Connection {
            client: number,
            node,
            worker: 0,
            id: ConnectionId(0),
            life: 0,
            node_open: false,
            client_open: true,
            last_bytes: None,
            doomed: None,
            to_node: 0,
            to_client: 0,
            pieces: 0,
        });
        self.clients[number].connection = Some(connection);
        self.travel_to_node(connection, Piece::Open);
    }

    /// The client drops its connection; the node learns it after the delay.
    fn disconnect(&mut self, number: usize) {
        if let Some(connection) = self.clients[number].connection.take() {
            self.connections[connection].client_open = false;
            self.travel_to_node(connection, Piece::Close);
        }
    }

    /// The next delay and, rarely, where to cut the bytes in two.
    fn draw(&mut self, connection: usize, length: usize) -> (u64, Option<usize>, u64) {
        let c = &mut self.connections[connection];
        c.pieces += 1;
        let stream = Stream::new(self.plan.seed, "connection").at(connection as u64);
        let mut dice = stream.dice(c.pieces);
        let delay = 1_000 + dice.exponential(self.plan.network.client_latency_mean_ns);
        let cut = (dice.chance(60_000) && length > 1).then(|| 1 + dice.index(length - 1));
        (delay, cut, stream.at(c.pieces).0)
    }

    /// Sends, unless the client is to end in the middle of it.
    fn send_from_client(&mut self, connection: usize, mut bytes: Bytes) {
        let Some((fault, draw)) = self.connections[connection].doomed.take() else {
            self.send_to_node(connection, bytes);
            return;
        };
        bytes.truncate((draw % bytes.len().max(1) as u64) as usize);
        self.send_to_node(connection, bytes);
        self.had_effect(fault);
        self.end_client(connection, draw >> 63 == 0, usize::MAX);
    }

    /// Clients connected to a node disappear, at least one: now, whatever they were about, or in the middle of the next
    /// message that they send.
    pub(crate) fn crash_clients(&mut self, at: usize, fault: u32, dice: &mut Dice) {
        let mut victims: Vec<usize> = self.nodes[at].connections.values().copied().collect();
        victims.retain(|&connection| self.connections[connection].client_open);
        dice.shuffle(&mut victims);
        victims.truncate(1 + dice.index(victims.len()));
        for connection in victims {
            let (now, silent, last_bytes) = (dice.chance(500_000), dice.chance(500_000), dice.index(100));
            if now {
                self.had_effect(fault);
                self.end_client(connection, silent, last_bytes);
            } else {
                self.connections[connection].doomed = Some((fault, dice.draw()));
            }
        }
    }

    /// A client ends and begins anew, without its connection. Its process's end is told to the node; that of its machine is
    /// not, and the node's keep-alive finds out much later.
    fn end_client(&mut self, connection: usize, silent: bool, last_bytes: usize) {
        let key = self.now ^ mix(connection as u64);
        let c = &mut self.connections[connection];
        if !c.client_open {
            return;
        }
        let number = c.client;
        c.client_open = false;
        if silent {
            c.last_bytes = Some(last_bytes);
            let keep_alive = Stream::new(self.plan.seed, "keep-alive").dice(key).between(5_000_000_000, 30_000_000_000);
            self.queue.push(self.now + keep_alive, key, Pending::ToNode { connection, piece: Piece::Close });
        } else {
            self.travel_to_node(connection, Piece::Close);
        }
        self.clients[number].connection = None;
        // It learns of it as if the connection had broken: what became of its operation it does not know.
        self.queue.push(self.now, key ^ 1, Pending::ClientEnded { client: number });
    }

    fn send_to_node(&mut self, connection: usize, bytes: Bytes) {
        let (_, cut, _) = self.draw(connection, bytes.len());
        let mut rest = bytes;
        if let Some(cut) = cut {
            self.travel_to_node(connection, Piece::Bytes(rest.split_to(cut)));
        }
        self.travel_to_node(connection, Piece::Bytes(rest));
    }

    fn travel_to_node(&mut self, connection: usize, piece: Piece) {
        let (delay, _, key) = self.draw(connection, 0);
        let c = &mut self.connections[connection];
        c.to_node = (self.now + delay).max(c.to_node + 1);
        let at = c.to_node;
        self.queue.push(at, key, Pending::ToNode { connection, piece });
    }

    fn travel_to_client(&mut self, connection: usize, piece: Piece, extra: u64) {
        let (delay, _, key) = self.draw(connection, 0);
        let c = &mut self.connections[connection];
        c.to_client = (self.now + delay + extra).max(c.to_client + 1);
        let at = c.to_client;
        self.queue.push(at, key, Pending::ToClient { connection, piece });
    }

    /// Something has come to a node on a connection.
    pub(super) fn at_node(&mut self, connection: usize, piece: Piece) {
        let at = self.connections[connection].node;
        if matches!(piece, Piece::Open) {
            self.accept(connection);
        } else if self.connections[connection].node_open {
            let Some(piece) = self.what_still_comes(connection, piece) else { return };
            if self.nodes[at].paused {
                let fault = self.nodes[at].paused_by;
                self.nodes[at].held.push_back(Pending::ToNode { connection, piece });
                self.had_effect(fault);
                return;
            }
            self.tell_worker(connection, piece);
        }
    }

    /// Of a machine that is gone only the first bytes come that it had sent.
    fn what_still_comes(&mut self, connection: usize, piece: Piece) -> Option<Piece> {
        match (piece, &mut self.connections[connection].last_bytes) {
            (Piece::Bytes(mut bytes), Some(left)) => {
                bytes.truncate(*left);
                *left -= bytes.len();
                (!bytes.is_empty()).then_some(Piece::Bytes(bytes))
            }
            (piece, _) => Some(piece),
        }
    }

    /// The node's kernel accepts, also while the process stands still; a node that is down, or outside the core once
    /// that is healed, refuses.
    fn accept(&mut self, connection: usize) {
        let at = self.connections[connection].node;
        let reachable = self.core.as_ref().is_none_or(|core| core[at]);
        let node = &mut self.nodes[at];
        if !node.up || !reachable {
            self.travel_to_client(connection, Piece::Close, 0);
            return;
        }
        let id = node.next_connection;
        node.next_connection += 1;
        node.connections.insert(id, connection);
        let worker = (mix(id) % u64::from(self.plan.cluster.workers)) as usize;
        let c = &mut self.connections[connection];
        (c.worker, c.id, c.life, c.node_open) = (worker, ConnectionId(id), node.life, true);
        self.travel_to_client(connection, Piece::Open, 0);
        if self.nodes[at].paused {
            self.nodes[at].held.push_back(Pending::Accepted { connection });
        } else {
            self.accepted(connection);
        }
    }

    /// The worker learns of the connection.
    pub(super) fn accepted(&mut self, connection: usize) {
        let c = &self.connections[connection];
        if !c.node_open {
            return;
        }
        let event = trace::Event::Connected {
            client: client_number(c.client),
            node: self.nodes[c.node].id,
            worker: orrery::types::WorkerId(u16::try_from(c.worker).unwrap_or(0)),
            connection: c.id.0,
        };
        let (at, worker, id) = (c.node, c.worker, c.id);
        self.trace.record(self.now, event);
        self.handle(at, worker, Event::Client { connection: id, event: ClientEvent::Opened { local: true } });
    }

    fn tell_worker(&mut self, connection: usize, piece: Piece) {
        let c = &mut self.connections[connection];
        let (at, worker, id, client) = (c.node, c.worker, c.id, client_number(c.client));
        let node = self.nodes[at].id;
        let event = match piece {
            Piece::Open => return,
            Piece::Bytes(bytes) => {
                let (length, digest) = (u32::try_from(bytes.len()).unwrap_or(u32::MAX), xxh3_64(&bytes));
                self.trace.record(self.now, trace::Event::ClientBytes { client, node, length, digest });
                ClientEvent::Bytes(bytes)
            }
            Piece::Close => {
                c.node_open = false;
                self.nodes[at].connections.remove(&id.0);
                self.trace.record(self.now, trace::Event::Closed { client, node, at_client: false });
                ClientEvent::Closed
            }
        };
        self.handle(at, worker, Event::Client { connection: id, event });
    }

    /// A worker sends bytes to a client.
    pub(super) fn client_send(&mut self, at: usize, id: ConnectionId, bytes: Bytes) {
        let Some(&connection) = self.nodes[at].connections.get(&id.0) else { return };
        let (_, cut, _) = self.draw(connection, bytes.len());
        let mut rest = bytes;
        if let Some(cut) = cut {
            self.travel_to_client(connection, Piece::Bytes(rest.split_to(cut)), 0);
        }
        self.travel_to_client(connection, Piece::Bytes(rest), 0);
    }

    /// A worker closes a connection.
    pub(super) fn client_close(&mut self, at: usize, id: ConnectionId) {
        if let Some(connection) = self.nodes[at].connections.remove(&id.0) {
            self.connections[connection].node_open = false;
            self.travel_to_client(connection, Piece::Close, 0);
        }
    }

    /// A node has gone down: its clients learn it, after a power loss late.
    pub(super) fn close_connections(&mut self, at: usize, silently: bool) {
        for connection in std::mem::take(&mut self.nodes[at].connections).into_values() {
            self.connections[connection].node_open = false;
            let stream = Stream::new(self.plan.seed, "silence").at(connection as u64);
            let extra = if silently { stream.dice(self.now).below(2_000_000_000) } else { 0 };
            self.travel_to_client(connection, Piece::Close, extra);
        }
    }

    /// The network resets a node's connections: both sides learn it. Tells whether there were any.
    pub(crate) fn reset_connections(&mut self, at: usize) -> bool {
        let connections: Vec<usize> = self.nodes[at].connections.values().copied().collect();
        for &connection in &connections {
            self.travel_to_client(connection, Piece::Close, 0);
            self.at_node(connection, Piece::Close);
        }
        !connections.is_empty()
    }

    /// Something has come to a client.
    pub(super) fn at_client(&mut self, connection: usize, piece: Piece) {
        let c = &mut self.connections[connection];
        if !c.client_open {
            return;
        }
        let (number, node) = (c.client, self.nodes[c.node].id);
        let client = client_number(number);
        let input = match piece {
            Piece::Open => ClientInput::Connected,
            Piece::Bytes(bytes) => {
                let (length, digest) = (u32::try_from(bytes.len()).unwrap_or(u32::MAX), xxh3_64(&bytes));
                self.trace.record(self.now, trace::Event::ServerBytes { client, node, length, digest });
                ClientInput::Bytes(bytes)
            }
            Piece::Close => {
                c.client_open = false;
                self.clients[number].connection = None;
                self.trace.record(self.now, trace::Event::Closed { client, node, at_client: true });
                ClientInput::Closed
            }
        };
        self.client(number, input);
    }

    /// A client that had disappeared begins anew.
    pub(super) fn client_ended(&mut self, number: usize) {
        if self.clients[number].connection.is_none() {
            self.client(number, ClientInput::Closed);
        }
    }

    fn wake_client_at(&mut self, number: usize, at: u64) {
        let at = at.max(self.now);
        let place = &mut self.clients[number];
        place.wake_wanted = Some(at);
        if place.wake_queued.is_none_or(|queued| queued > at) {
            place.wake_queued = Some(at);
            self.queue.push(at, mix(2 << 60 | number as u64) ^ at, Pending::ClientWake { client: number });
        }
    }

    /// A client's wake-up in the queue has come.
    pub(super) fn client_wake(&mut self, number: usize) {
        let now = self.now;
        let place = &mut self.clients[number];
        if place.wake_queued != Some(now) {
            return;
        }
        place.wake_queued = None;
        match place.wake_wanted {
            Some(wanted) if wanted <= now => {
                place.wake_wanted = None;
                self.trace.record(now, trace::Event::ClientWake { client: client_number(number) });
                self.client(number, ClientInput::Wake);
            }
            Some(wanted) => self.wake_client_at(number, wanted),
            None => {}
        }
    }
}

fn client_number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
