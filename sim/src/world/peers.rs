//! Messages between workers.

use super::{Pending, World};
use crate::env::dice::{Stream, mix};
use crate::env::network::Fate;
use crate::run::Violation;
use crate::trace;
use bytes::{Bytes, BytesMut};
use orrery::env::tokio::frame;
use orrery::env::{Endpoint, Event, Port};
use xxhash_rust::xxh3::xxh3_64;

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) port: Port,
    pub(super) payload: Bytes,
    /// Its number on its link.
    pub(super) number: u64,
    pub(super) copy: bool,
    /// When it was sent.
    pub(super) sent_ns: u64,
    /// A bit of it flips on its way: the fault, and the number that says which.
    flipped: Option<(u32, u64)>,
    /// Resets of its link before it was sent.
    resets: u32,
}

impl World {
    /// Puts a message on its link.
    pub(super) fn send(&mut self, from: usize, to: Endpoint, payload: Bytes) {
        let Some(at) = (to.node.0 as usize).checked_sub(1).filter(|&at| at < self.nodes.len()) else { return };
        if let Err(message) = self.silences.sent(from, at, self.now, &payload) {
            let kind = "a silent peer is asked again and again".to_owned();
            self.violate(Violation { checker: "left-alone", kind, at_ns: self.now, message });
        }
        if let Err(message) = self.hand_overs.sent(self.now, &payload) {
            let kind = "leadership is handed to and fro".to_owned();
            self.violate(Violation { checker: "leads-rest", kind, at_ns: self.now, message });
        }
        let directories = self.nodes[from].workers.iter().map(|slot| slot.machine.as_ref()?.directory());
        let rates = directories.map(|directory| directory.map_or(0, |directory| directory.recovery_rate));
        if let Err(message) = self.pace.sent(from, self.now, &payload, rates) {
            let kind = "states are sent faster than they may be".to_owned();
            self.violate(Violation { checker: "recovery-paced", kind, at_ns: self.now, message });
        }
        let (number, fate) = self.network.send(from, at);
        let resets = self.network.resets(from, at);
        let flipped = fate.flipped;
        let message =
            Message { from, to: at, port: to.port, payload, number, copy: false, sent_ns: self.now, flipped, resets };
        for fault in fate.by.into_iter().flatten() {
            self.had_effect(fault);
        }
        let Some(delay) = fate.delay_ns else {
            if fate.why_lost == "loss" {
                self.add("loss", 1, 1);
            }
            self.lost(&message, fate.why_lost);
            return;
        };
        if fate.held_back {
            self.add("reorder", 1, 0);
        }
        if let Some(delay) = fate.copy_delay_ns {
            self.add("duplicate", 1, 0);
            self.depart(Message { copy: true, flipped: None, ..message.clone() }, delay);
        }
        if fate.clogged {
            self.clogged.push((fate, message));
        } else {
            self.depart(message, delay);
        }
    }

    fn depart(&mut self, message: Message, delay: u64) {
        self.network.depart(message.from, message.to);
        let link = (message.from as u64) << 20 | message.to as u64;
        let id = crate::env::dice::mix(link << 1 | u64::from(message.copy)) ^ message.number;
        self.queue.push(self.now + delay, id, Pending::Message(Box::new(message)));
    }

    /// Messages whose link is no longer clogged go on, all at once.
    pub(crate) fn release_clogged(&mut self) {
        for (fate, message) in std::mem::take(&mut self.clogged) {
            if self.network.is_clogged(message.from, message.to) {
                self.clogged.push((fate, message));
            } else {
                self.depart(message, 0);
            }
        }
    }

    fn lost(&mut self, message: &Message, why: &'static str) {
        self.mark(message, Some(why));
        let (from, to) = (self.nodes[message.from].id, self.nodes[message.to].id);
        self.trace.record(self.now, trace::Event::Lost { from, to, why, digest: xxh3_64(&message.payload) });
    }

    /// Notes a flight that has ended.
    fn mark(&mut self, message: &Message, lost: Option<&'static str>) {
        let worker = message.port.worker(self.plan.cluster.workers);
        let (from, to) = (self.nodes[message.from].id, self.nodes[message.to].id);
        let (sent_ns, payload) = (message.sent_ns, &message.payload);
        self.trace.mark(self.now, || trace::Mark::Flight { from, to, worker, sent_ns, lost, payload: payload.clone() });
    }

    /// A message has come off its link.
    pub(super) fn arrive(&mut self, message: Box<Message>) {
        self.network.arrive(message.from, message.to);
        if let Some(fault) = self.network.cut_by(message.from, message.to) {
            self.had_effect(fault);
            self.lost(&message, "split");
            return;
        }
        if self.network.resets(message.from, message.to) != message.resets {
            self.lost(&message, "reset");
            return;
        }
        match message.flipped {
            None => self.receive(message),
            Some((fault, draw)) => self.receive_flipped(message, fault, draw),
        }
    }

    /// A bit of a message has flipped on the wire. Here the product's own framing decides: what it refuses ends the
    /// connection, and with it what else is under way; what it took for whole would be received.
    fn receive_flipped(&mut self, mut message: Box<Message>, fault: u32, draw: u64) {
        self.had_effect(fault);
        let mut bytes = BytesMut::from(frame::frame_header(message.port, &message.payload).as_slice());
        bytes.extend_from_slice(&message.payload);
        let bit = draw % (bytes.len() as u64 * 8);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        if let Ok(Some((port, payload))) = frame::next_frame(&mut bytes) {
            (message.port, message.payload) = (port, payload);
            self.receive(message);
        } else {
            self.network.reset(message.from, message.to);
            self.lost(&message, "bit flip");
        }
    }

    /// Where the node has listened nobody does, or seems to: the others' machines are told so when they connect again, each
    /// worker's after a moment of its own, and not all of them.
    pub(crate) fn refuse_peers(&mut self, at: usize, ppm: u32) {
        let peer = self.nodes[at].id;
        let mut dice = Stream::new(self.plan.seed, "refused").dice(mix(u64::from(peer.0)) ^ self.now);
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            let cut = [(at, other), (other, at)].iter().any(|(from, to)| self.network.cut_by(*from, *to).is_some());
            for worker in 0..self.nodes[other].workers.len() {
                let (told, delay) = (dice.chance(ppm), dice.exponential(self.plan.network.latency_mean_ns * 2));
                if told && !cut && self.nodes[other].up {
                    let (life, key) = (self.nodes[other].life, mix((at << 16 | other << 8 | worker) as u64) ^ self.now);
                    self.queue.push(self.now + delay, key, Pending::PeerGone { node: other, worker, life, peer });
                }
            }
        }
    }

    /// The network resets the connections between a node and its peers. Tells whether anything was under way.
    pub(crate) fn reset_links(&mut self, at: usize) -> bool {
        let mut under_way = false;
        // A listener whose queue is full refuses, too.
        self.refuse_peers(at, 100_000);
        for other in (0..self.nodes.len()).filter(|other| *other != at) {
            for (from, to) in [(at, other), (other, at)] {
                under_way |= self.network.in_flight(from, to) > 0;
                self.network.reset(from, to);
            }
        }
        under_way
    }

    /// A message is there; the node may be down or paused.
    pub(super) fn receive(&mut self, message: Box<Message>) {
        let node = &mut self.nodes[message.to];
        if !node.up {
            self.lost(&message, "down");
            return;
        }
        if node.paused {
            let fault = node.paused_by;
            node.held.push_back(Pending::Held(message));
            self.had_effect(fault);
            return;
        }
        self.silences.heard(message.to, message.from, self.now);
        let worker = message.port.worker(self.plan.cluster.workers);
        let link = message.from * self.nodes.len() + message.to;
        if message.copy {
            self.add("duplicate", 0, 1);
        } else if message.number < self.delivered[link] {
            self.add("reorder", 0, 1);
        } else {
            self.delivered[link] = message.number;
        }
        self.mark(&message, None);
        let event = trace::Event::Message {
            from: self.nodes[message.from].id,
            to: self.nodes[message.to].id,
            worker,
            length: u32::try_from(message.payload.len()).unwrap_or(u32::MAX),
            digest: xxh3_64(&message.payload),
        };
        self.trace.record(self.now, event);
        let Message { to, port, payload, .. } = *message;
        self.handle(to, usize::from(worker.0), Event::Message { to: port, payload });
    }
}

/// A clogged message with the fate that it had drawn.
pub(super) type Clogged = (Fate, Message);
