//! How other threads reach a worker: one bounded mailbox, emptied whole.

use super::frame::Hello;
use super::lock;
use super::stats::Stats;
use crate::env::{DiskResult, OpId, Port};
use bytes::Bytes;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// Most messages that may wait in a mailbox.
const MAX_MESSAGES: usize = 65_536;
/// Most bytes of messages that may wait in a mailbox.
const MAX_BYTES: usize = 128 << 20;

/// A letter.
pub(super) enum Mail {
    /// Disk operations have ended.
    Disk(Vec<(OpId, DiskResult)>),
    /// A message from another worker of this node, or that another worker of this node received for this one.
    Message { to: Port, payload: Bytes },
    /// A client has connected.
    Client(TcpStream),
    /// A peer has connected and said who it is.
    Peer(TcpStream, Hello),
    /// The operator asks for a clean stop.
    Shutdown,
}

/// A worker's mailbox.
///
/// Bounded: messages by number and bytes, and beyond that dropped and counted, as the network's contract allows; disk
/// results by what the worker has submitted; sockets by the system's limit of open files.
pub struct Mailbox {
    state: Mutex<State>,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct State {
    mail: Vec<Mail>,
    messages: usize,
    bytes: usize,
    waker: Option<Waker>,
}

impl Mailbox {
    /// An empty mailbox.
    #[must_use]
    pub fn new(stats: Arc<Stats>) -> Self {
        Self { state: Mutex::default(), stats }
    }

    /// Hands a client's socket to the worker.
    pub fn client(&self, stream: TcpStream) {
        self.push(Mail::Client(stream));
    }

    /// Hands a peer's socket to the worker, its hello taken and answered.
    pub fn peer(&self, stream: TcpStream, hello: Hello) {
        self.push(Mail::Peer(stream, hello));
    }

    /// Asks the worker for a clean stop.
    pub fn shutdown(&self) {
        self.push(Mail::Shutdown);
    }

    /// Leaves a message; drops it if too many wait.
    pub(super) fn message(&self, to: Port, payload: Bytes) {
        let state = lock(&self.state);
        if state.messages >= MAX_MESSAGES || state.bytes + payload.len() > MAX_BYTES {
            self.stats.messages_dropped.one();
            return;
        }
        drop(state);
        self.push(Mail::Message { to, payload });
    }

    pub(super) fn push(&self, mail: Mail) {
        let mut state = lock(&self.state);
        if let Mail::Message { payload, .. } = &mail {
            state.messages += 1;
            state.bytes += payload.len();
        }
        state.mail.push(mail);
        // Whoever finds the box empty wakes; the others know that somebody has.
        let waker = if state.mail.len() == 1 { state.waker.clone() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Empties the box into `into` (which must be empty) and remembers whom to wake.
    pub(super) fn take(&self, waker: &Waker, into: &mut Vec<Mail>) {
        let mut state = lock(&self.state);
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        std::mem::swap(&mut state.mail, into);
        state.messages = 0;
        state.bytes = 0;
    }
}
