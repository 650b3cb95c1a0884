//! The outgoing connection of this worker to a peer node.

use super::clock;
use super::dice::Dice;
use super::frame::{self, Hello, MAX_FRAME, Welcome};
use super::out::OutQueue;
use super::ready::{ReadyList, Source, Token};
use super::stats::Stats;
use crate::env::Port;
use crate::types::{Duration, Instant, NodeId};
use ::tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::time::Sleep;
use bytes::Bytes;
use rustix::net::sockopt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Most bytes that wait for a peer; beyond it messages are dropped and counted. (Small frames are copied together, so
/// bytes bound their number as well: a frame has at least [`frame::FRAME_HEADER`] of them.)
pub(super) const MAX_QUEUED: usize = 2 * MAX_FRAME;
/// First pause before connecting again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that has lasted so long and breaks is made again without a pause.
const LASTING: Duration = Duration::from_secs(1);
/// Connecting and the exchange of hellos may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that the peer's machine has not acknowledged for this long end the connection: otherwise the kernel would
/// go on repeating them at ever longer intervals, and notice a healed network much later than a new connection does.
const USER_TIMEOUT: Duration = Duration::from_secs(3);

type Connecting = Pin<Box<dyn Future<Output = Result<TcpStream, Trouble>> + Send>>;

/// Why there is no connection.
struct Trouble {
    what: String,
    /// The peer's machine says that nobody listens there.
    refused: bool,
}

impl Trouble {
    fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), refused: false }
    }

    fn io(error: &std::io::Error) -> Self {
        Self { what: error.to_string(), refused: error.kind() == std::io::ErrorKind::ConnectionRefused }
    }
}

/// The link to one peer.
pub(super) struct Link {
    hello: Hello,
    address: String,
    waker: Waker,
    state: State,
    out: OutQueue,
    failures: u32,
    /// It was connected, and has not been found to be gone since.
    was_up: bool,
    up_since: Instant,
    /// To be told: its machine refuses connections.
    gone: bool,
    /// Listed for the flush at the end of the turn.
    pub(super) dirty: bool,
    stats: Arc<Stats>,
}

enum State {
    /// To be connected at the next poll.
    Idle,
    Pausing(Pin<Box<Sleep>>),
    Connecting(Connecting),
    Up(TcpStream),
    /// The peer does not belong to the cluster any more.
    Closed,
}

impl Link {
    pub(super) fn new(hello: Hello, address: String, place: usize, ready: &Arc<ReadyList>, stats: Arc<Stats>) -> Self {
        let (_, waker) = Source::new(Token::Link(place), ready);
        waker.wake_by_ref();
        let out = OutQueue::default();
        Self {
            hello,
            address,
            waker,
            state: State::Idle,
            out,
            failures: 0,
            was_up: false,
            up_since: Instant::default(),
            gone: false,
            dirty: false,
            stats,
        }
    }

    pub(super) fn peer(&self) -> NodeId {
        self.hello.to
    }

    /// Queues a message, or drops it.
    pub(super) fn send(&mut self, port: Port, payload: Bytes) {
        let down = matches!(self.state, State::Pausing(_) | State::Closed);
        if down || payload.len() > MAX_FRAME || self.out.len() + payload.len() > MAX_QUEUED {
            self.stats.messages_dropped.one();
            return;
        }
        self.stats.messages_out.one();
        self.out.push_slice(&frame::frame_header(port, &payload));
        self.out.push(payload);
    }

    /// The peer listens elsewhere now: the next connection goes there.
    pub(super) fn moved(&mut self, address: &str) {
        if self.address != address {
            address.clone_into(&mut self.address);
            self.peer_is_alive();
        }
    }

    /// The peer does not belong to the cluster any more.
    pub(super) fn close(&mut self) {
        self.out.clear();
        self.state = State::Closed;
    }

    /// The peer has just been heard: a pause makes no sense any more.
    pub(super) fn peer_is_alive(&mut self) {
        if matches!(self.state, State::Pausing(_)) {
            self.state = State::Idle;
            self.waker.wake_by_ref();
        }
    }

    /// Has it been found out since the last call that nobody listens any more where the peer has listened?
    pub(super) fn take_gone(&mut self) -> bool {
        std::mem::take(&mut self.gone)
    }

    /// Something is ready: a pause is over, a connection is up, broken or writable.
    pub(super) fn poll(&mut self, dice: &mut Dice) {
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            match &mut self.state {
                State::Idle => {
                    self.state = State::Connecting(Box::pin(connect(self.address.clone(), self.hello.clone())));
                }
                State::Closed => return,
                State::Pausing(sleep) => match sleep.as_mut().poll(&mut cx) {
                    Poll::Ready(()) => self.state = State::Idle,
                    Poll::Pending => return,
                },
                State::Connecting(connecting) => match connecting.as_mut().poll(&mut cx) {
                    Poll::Ready(Ok(stream)) => {
                        tracing::info!(peer = %self.hello.to, address = %self.address, "connected");
                        self.stats.peers_connected.one();
                        (self.failures, self.was_up, self.up_since) = (0, true, clock::boot_time());
                        self.state = State::Up(stream);
                    }
                    Poll::Ready(Err(trouble)) => {
                        self.gone |= trouble.refused && std::mem::take(&mut self.was_up);
                        self.fail(&trouble.what, dice);
                    }
                    Poll::Pending => return,
                },
                State::Up(stream) => {
                    // Nothing is ever sent this way: whatever comes is the end.
                    let mut byte = [0];
                    let mut byte = ReadBuf::new(&mut byte);
                    if Pin::new(stream).poll_read(&mut cx, &mut byte).is_ready() {
                        self.fail("the peer closed the connection", dice);
                    } else {
                        self.flush(dice);
                        if matches!(self.state, State::Up(_)) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Writes what waits, if the connection is up.
    pub(super) fn flush(&mut self, dice: &mut Dice) {
        self.dirty = false;
        let State::Up(stream) = &mut self.state else { return };
        let (_, outcome) = self.out.write(stream, &mut Context::from_waker(&self.waker));
        if let Poll::Ready(Err(error)) = outcome {
            self.fail(&error.to_string(), dice);
            self.waker.wake_by_ref();
        }
    }

    fn fail(&mut self, why: &str, dice: &mut Dice) {
        if self.failures == 0 {
            tracing::warn!(peer = %self.hello.to, address = %self.address, "no connection to the peer: {why}; trying again");
        } else {
            tracing::debug!(peer = %self.hello.to, address = %self.address, "no connection to the peer: {why}");
        }
        self.stats.peers_lost.one();
        // A message cut in the middle cannot be continued, and what has waited that long is stale.
        self.out.clear();
        if matches!(self.state, State::Up(_)) && clock::boot_time().since(self.up_since) >= LASTING {
            // At once: whether its machine still listens tells a broken connection from a process that has ended.
            self.state = State::Idle;
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // Between half and all of it, so that nodes do not meet in step.
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(0);
        let pause = Duration::from_micros(half + dice.below(half));
        self.state = State::Pausing(Box::pin(::tokio::time::sleep_until(::tokio::time::Instant::now() + pause)));
    }
}

/// Connects and exchanges hellos.
async fn connect(address: String, hello: Hello) -> Result<TcpStream, Trouble> {
    #[allow(clippy::disallowed_methods, reason = "the production side of the seam")]
    let outcome = ::tokio::time::timeout(CONNECT_TIMEOUT, greet(&address, &hello)).await;
    outcome.unwrap_or_else(|_| Err(Trouble::of("no answer")))
}

async fn greet(address: &str, hello: &Hello) -> Result<TcpStream, Trouble> {
    let text = |error: std::io::Error| Trouble::io(&error);
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let timeout = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&stream, timeout).map_err(|error| Trouble::of(error.to_string()))?;
    stream.write_all(&frame::encode_hello(hello)).await.map_err(text)?;
    let mut header = [0; frame::HELLO_HEADER];
    stream.read_exact(&mut header).await.map_err(text)?;
    let length = frame::hello_length(&header).map_err(|error| Trouble::of(error.to_string()))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(text)?;
    match frame::decode_welcome(&header, &body).map_err(|error| Trouble::of(error.to_string()))? {
        Welcome::Accepted => Ok(stream),
        Welcome::Refused(why) => Err(Trouble::of(format!("refused: {why}"))),
    }
}
