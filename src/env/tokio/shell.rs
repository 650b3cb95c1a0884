//! A worker's thread: one task that reads everything that is ready, drives the worker, and writes.
//!
//! Sockets are asked by the runtime between two turns. While a turn lasts (a long command), or the process is stopped,
//! nobody hears what arrives; so
//! - the worker is told first how long nobody listened ([`Event::Paused`]), then what has waited, then what is due;
//! - a timer is told only after the sockets were asked at or after the instant that it stood for, and never at the end of
//!   a turn that was long.

use super::client::{Client, Read};
use super::dice::Dice;
use super::disk::FileThread;
use super::frame::Hello;
use super::inbound::{Inbound, Received};
use super::link::Link;
use super::mailbox::{Mail, Mailbox};
use super::members::Members;
use super::ready::{ReadyList, Source, Token};
use super::slots::Slots;
use super::stats::Stats;
use super::{AbortOnPanic, clock};
use crate::env::{
    Buggify, ClientEvent, Clock, Control, Disk, DiskOp, Endpoint, Entropy, Env, Event, Network, OpId, Port, StopReason,
};
use crate::types::{ConnectionId, Duration, Instant, NodeId, Timestamp, WorkerId};
use ::tokio::net::TcpStream;
use ::tokio::time::Sleep;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

/// Read from a socket at a time.
const READ_SIZE: usize = 64 << 10;
/// Reads of one socket before the others have their turn.
const READS_IN_A_TURN: usize = 4;
/// Most messages of a worker to itself that may wait.
const MAX_LOCAL: usize = 65_536;
/// Messages of a worker to itself in one turn, so that sockets are not forgotten over them.
const LOCAL_IN_A_TURN: usize = 4096;
/// A turn that lasts as long, or a timer that is as late, is a pause worth telling.
const PAUSE: Duration = Duration::from_millis(20);
/// Events after which a turn is over for the worker, though more are ready.
const EVENTS_IN_A_TURN: u32 = 64;
/// How often closing connections are looked after.
const SWEEP: Duration = Duration::from_millis(250);

/// What is driven: a worker.
pub trait Driven {
    /// Takes an event. What follows from it may wait for the end of the turn.
    fn take(&mut self, env: &mut dyn Env, event: Event) -> Control;

    /// Everything that was ready has been taken, or much of it.
    fn turn_over(&mut self, env: &mut dyn Env) -> Control;
}

/// What is driven.
pub type Handler = Box<dyn Driven>;

/// Something that does at once what follows from an event.
struct AtOnce<F>(F);

impl<F: FnMut(&mut dyn Env, Event) -> Control> Driven for AtOnce<F> {
    fn take(&mut self, env: &mut dyn Env, event: Event) -> Control {
        (self.0)(env, event)
    }

    fn turn_over(&mut self, _: &mut dyn Env) -> Control {
        Control::Continue
    }
}

/// A handler that does at once what follows from an event.
pub fn at_once(handle: impl FnMut(&mut dyn Env, Event) -> Control + 'static) -> Handler {
    Box::new(AtOnce(handle))
}

/// What a worker's thread is told.
#[derive(Clone)]
pub struct WorkerSettings {
    /// This node.
    pub node: NodeId,
    /// This worker of it.
    pub worker: WorkerId,
    /// Workers of this node.
    pub workers: u16,
    /// Name of the cluster.
    pub cluster: String,
    /// This life of the process, random.
    pub life: u64,
    /// The worker's own directory, which exists.
    pub directory: PathBuf,
    /// The other nodes, and where they listen.
    pub peers: BTreeMap<NodeId, String>,
    /// Those of them whose address the operator has said at this start; that of others is what the cluster says.
    pub said: BTreeSet<NodeId>,
    /// Who belongs to the cluster.
    pub members: Arc<Members>,
    /// Mailboxes of all workers of this node, by number.
    pub mailboxes: Arc<[Arc<Mailbox>]>,
    /// Counters.
    pub stats: Arc<Stats>,
}

/// Stack of a worker's thread: four times what the deepest statement that SQL accepts needs in a debug build.
const WORKER_STACK: usize = 8 << 20;

/// Starts a worker's thread. `make` builds the worker there; `stopped` hears why it has ended.
///
/// # Errors
/// When the system gives no thread, no event queue or no randomness.
pub fn start_worker(
    settings: WorkerSettings,
    make: impl FnOnce() -> Handler + Send + 'static,
    stopped: impl FnOnce(StopReason) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = format!("worker-{}", settings.worker.0);
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mailbox = Arc::clone(&settings.mailboxes[usize::from(settings.worker.0)]);
    let files = FileThread::start(&name, settings.directory.clone(), mailbox, Arc::clone(&settings.stats))?;
    let dice = Dice::new()?;
    std::thread::Builder::new().name(name).stack_size(WORKER_STACK).spawn(move || {
        let _guard = AbortOnPanic;
        let reason = runtime.block_on(async {
            let mut shell = Shell::new(settings, files, dice, make());
            // The shell takes care of fairness itself; tokio's budget would only make sockets look empty.
            let reason = ::tokio::task::unconstrained(poll_fn(|cx| shell.turn(cx))).await;
            shell.shore.files.stop();
            reason
        });
        stopped(reason);
    })
}

/// The worker, and what drives it.
struct Shell {
    shore: Shore,
    handler: Handler,
    inbound: Slots<Inbound>,
    timer: Timer,
    mail: Vec<Mail>,
    tokens: Vec<Token>,
    buffer: Box<[u8]>,
    started: bool,
    /// Events that the worker has taken since its turn was over.
    taken: u32,
    stop: Option<StopReason>,
    /// When the last turn ended: since then the sockets have been asked.
    ended: Instant,
    /// How long it took.
    lasted: Duration,
}

/// The environment that the worker sees.
struct Shore {
    settings: WorkerSettings,
    now: Instant,
    wake: Option<Instant>,
    sweep: Option<Instant>,
    dice: Dice,
    files: FileThread,
    next_op: u64,
    ops: Vec<(OpId, DiskOp)>,
    ready: Arc<ReadyList>,
    clients: Slots<Client>,
    dirty_clients: Vec<u64>,
    slow_clients: Vec<u64>,
    links: Vec<Link>,
    link_of: BTreeMap<NodeId, usize>,
    dirty_links: Vec<usize>,
    local: VecDeque<(Port, Bytes)>,
}

impl Network for Shore {
    fn send(&mut self, to: Endpoint, payload: Bytes) {
        if to.node == self.settings.node {
            self.deliver(to.port, payload);
        } else if let Some(&place) = self.link_of.get(&to.node) {
            let link = &mut self.links[place];
            link.send(to.port, payload);
            if !link.dirty {
                link.dirty = true;
                self.dirty_links.push(place);
            }
        } else {
            self.settings.stats.messages_dropped.one();
        }
    }

    fn peers(&mut self, others: &[(NodeId, String)], removed: &[NodeId]) {
        self.settings.members.set(others, removed);
        for (node, address) in others {
            // What the operator has said at the start is newer than what the cluster remembers.
            let said = self.settings.said.contains(node);
            match self.link_of.get(node) {
                Some(_) if said || address.is_empty() => {}
                Some(place) => self.links[*place].moved(address),
                None if address.is_empty() => {}
                None => self.link_to(*node, address.clone()),
            }
        }
        for node in removed {
            if let Some(place) = self.link_of.remove(node) {
                self.links[place].close();
            }
        }
    }

    fn flush(&mut self) {
        let mut links = std::mem::take(&mut self.dirty_links);
        for place in links.drain(..) {
            self.links[place].flush(&mut self.dice);
        }
        self.dirty_links = links;
    }

    fn client_send(&mut self, connection: ConnectionId, bytes: Bytes) {
        let Some(client) = self.clients.get_mut(connection.0) else { return };
        if !client.send(bytes) {
            self.slow_clients.push(connection.0);
        }
        self.mark_client(connection.0);
    }

    fn client_close(&mut self, connection: ConnectionId) {
        let Some(client) = self.clients.get_mut(connection.0) else { return };
        client.close(self.now);
        let sweep = self.now + SWEEP;
        self.sweep = Some(self.sweep.map_or(sweep, |known| known.min(sweep)));
        self.mark_client(connection.0);
    }
}

impl Clock for Shore {
    fn now(&self) -> Instant {
        self.now
    }

    fn wall(&self) -> Timestamp {
        clock::wall()
    }

    fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(instant);
    }
}

impl Disk for Shore {
    fn submit(&mut self, op: DiskOp) -> OpId {
        self.next_op += 1;
        let id = OpId(self.next_op);
        self.ops.push((id, op));
        id
    }
}

impl Entropy for Shore {
    fn seed(&mut self, _label: &'static str) -> [u8; 32] {
        self.dice.seed()
    }
}

impl Buggify for Shore {
    fn buggify(&mut self, _point: &'static str) -> bool {
        false
    }
}

impl Shore {
    /// Begins to connect to a peer.
    fn link_to(&mut self, peer: NodeId, address: String) {
        let hello = Hello {
            cluster: self.settings.cluster.clone(),
            from: self.settings.node,
            worker: self.settings.worker,
            life: self.settings.life,
            to: peer,
        };
        let place = self.links.len();
        let link = Link::new(hello, address, place, &self.ready, Arc::clone(&self.settings.stats));
        self.link_of.insert(link.peer(), place);
        self.links.push(link);
    }

    /// Brings a message to a worker of this node.
    fn deliver(&mut self, port: Port, payload: Bytes) {
        let worker = port.worker(self.settings.workers);
        if worker == self.settings.worker {
            if self.local.len() < MAX_LOCAL {
                self.local.push_back((port, payload));
            } else {
                self.settings.stats.messages_dropped.one();
            }
        } else if let Some(mailbox) = self.settings.mailboxes.get(usize::from(worker.0)) {
            mailbox.message(port, payload);
        } else {
            self.settings.stats.messages_dropped.one();
        }
    }

    fn mark_client(&mut self, key: u64) {
        if let Some(client) = self.clients.get_mut(key)
            && !client.dirty
        {
            client.dirty = true;
            self.dirty_clients.push(key);
        }
    }

    /// Is there anything left that a further turn would do?
    fn is_busy(&self) -> bool {
        !(self.local.is_empty()
            && self.ops.is_empty()
            && self.dirty_clients.is_empty()
            && self.dirty_links.is_empty()
            && self.slow_clients.is_empty())
    }
}

impl Shell {
    fn new(settings: WorkerSettings, files: FileThread, dice: Dice, handler: Handler) -> Self {
        let ready = Arc::new(ReadyList::default());
        let timer = Timer::new(&ready);
        let peers = settings.peers.clone();
        let mut shore = Shore {
            settings,
            now: clock::boot_time(),
            wake: None,
            sweep: None,
            dice,
            files,
            next_op: 0,
            ops: Vec::new(),
            ready,
            clients: Slots::default(),
            dirty_clients: Vec::new(),
            slow_clients: Vec::new(),
            links: Vec::new(),
            link_of: BTreeMap::new(),
            dirty_links: Vec::new(),
            local: VecDeque::new(),
        };
        for (peer, address) in peers {
            shore.link_to(peer, address);
        }
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Self {
            shore,
            handler,
            inbound: Slots::default(),
            timer,
            mail: Vec::new(),
            tokens: Vec::new(),
            buffer,
            started: false,
            taken: 0,
            stop: None,
            ended: clock::boot_time(),
            lasted: Duration::ZERO,
        }
    }

    /// One turn: everything that is ready in, then everything that came of it out.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<StopReason> {
        self.shore.settings.stats.turns.one();
        let began = clock::boot_time();
        if !self.started {
            self.started = true;
            self.handle(Event::Start);
        }
        let length = self.lasted.max(self.timer.late(began).min(began.since(self.ended)));
        if length >= PAUSE {
            self.handle(Event::Paused { length });
        }
        self.read_mail(cx.waker());
        self.read_sockets(cx.waker());
        self.watch_time(began);
        self.read_local();
        self.turn_over();
        self.write();
        self.timer.arm(self.shore.wake, self.shore.sweep);
        if let Some(reason) = self.stop.take() {
            return Poll::Ready(reason);
        }
        if self.shore.is_busy() || self.taken > 0 {
            cx.waker().wake_by_ref();
        }
        self.ended = clock::boot_time();
        self.lasted = self.ended.since(began);
        Poll::Pending
    }

    /// Gives the worker an event, unless it has stopped.
    fn handle(&mut self, event: Event) {
        if self.stop.is_some() {
            return;
        }
        self.shore.settings.stats.events.one();
        self.shore.now = clock::boot_time();
        if let Control::Stop(reason) = self.handler.take(&mut self.shore, event) {
            self.stop = Some(reason);
        }
        self.taken += 1;
        if self.taken >= EVENTS_IN_A_TURN {
            self.turn_over();
        }
    }

    /// Lets the worker do what follows from the events that it has taken.
    fn turn_over(&mut self) {
        if self.stop.is_some() || std::mem::take(&mut self.taken) == 0 {
            return;
        }
        self.shore.now = clock::boot_time();
        if let Control::Stop(reason) = self.handler.turn_over(&mut self.shore) {
            self.stop = Some(reason);
        }
    }

    fn read_mail(&mut self, task: &Waker) {
        let mut mail = std::mem::take(&mut self.mail);
        let own = usize::from(self.shore.settings.worker.0);
        self.shore.settings.mailboxes[own].take(task, &mut mail);
        for letter in mail.drain(..) {
            match letter {
                Mail::Disk(results) => {
                    for (op, result) in results {
                        self.handle(Event::Disk { op, result });
                    }
                }
                Mail::Message { to, payload } => self.handle(Event::Message { to, payload }),
                Mail::Client(stream) => self.open_client(stream),
                Mail::Peer(stream, hello) => self.open_inbound(stream, hello),
                Mail::Shutdown => self.handle(Event::Shutdown),
            }
        }
        self.mail = mail;
    }

    fn read_sockets(&mut self, task: &Waker) {
        let mut tokens = std::mem::take(&mut self.tokens);
        self.shore.ready.take(task, &mut tokens);
        for token in tokens.drain(..) {
            match token {
                Token::Client(key) => self.client_ready(key),
                Token::Inbound(key) => self.inbound_ready(key),
                Token::Link(place) => self.link_ready(place),
                Token::Timer => self.timer.fired(),
            }
        }
        self.tokens = tokens;
    }

    fn link_ready(&mut self, place: usize) {
        let link = &mut self.shore.links[place];
        link.poll(&mut self.shore.dice);
        if link.take_gone() {
            let node = link.peer();
            self.handle(Event::PeerGone { node });
        }
    }

    fn open_client(&mut self, stream: std::net::TcpStream) {
        let local = stream.peer_addr().is_ok_and(|address| address.ip().is_loopback());
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        let Ok(stream) = stream else { return };
        // Answers are written whole; without it a second one would wait for the first's acknowledgement.
        let _ = stream.set_nodelay(true);
        let ready = Arc::clone(&self.shore.ready);
        let key = self.shore.clients.insert(|key| Client::new(stream, key, &ready));
        self.shore.settings.stats.clients_accepted.one();
        self.handle(Event::Client { connection: ConnectionId(key), event: ClientEvent::Opened { local } });
        self.client_ready(key);
    }

    fn client_ready(&mut self, key: u64) {
        for _ in 0..READS_IN_A_TURN {
            let Some(client) = self.shore.clients.get_mut(key) else { return };
            match client.read(&mut self.buffer, &self.shore.settings.stats) {
                // What comes after the worker's good-bye is not for it.
                Read::Bytes(_) if client.is_closing() => {}
                Read::Bytes(count) => {
                    let bytes = Bytes::copy_from_slice(&self.buffer[..count]);
                    self.handle(Event::Client { connection: ConnectionId(key), event: ClientEvent::Bytes(bytes) });
                }
                Read::Nothing => {
                    if client.wants_flush() {
                        self.shore.mark_client(key);
                    }
                    return;
                }
                Read::Over => return self.end_client(key),
            }
        }
        if let Some(client) = self.shore.clients.get_mut(key) {
            client.relist();
            self.shore.mark_client(key);
        }
    }

    /// The connection is over; the worker hears it unless it had asked for that.
    fn end_client(&mut self, key: u64) {
        let Some(client) = self.shore.clients.remove(key) else { return };
        self.shore.settings.stats.clients_closed.one();
        if !client.is_closing() {
            self.handle(Event::Client { connection: ConnectionId(key), event: ClientEvent::Closed });
        }
    }

    fn open_inbound(&mut self, stream: std::net::TcpStream, hello: Hello) {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        let Ok(stream) = stream else { return };
        // One connection for each worker of a peer: the newer one is of its present life.
        let same = |known: &Hello| known.from == hello.from && known.worker == hello.worker;
        let older: Vec<u64> = self.inbound.iter().filter(|(_, known)| same(&known.hello)).map(|(key, _)| key).collect();
        for key in older {
            self.inbound.remove(key);
        }
        if let Some(&place) = self.shore.link_of.get(&hello.from) {
            self.shore.links[place].peer_is_alive();
        }
        tracing::info!(peer = %hello.from, worker = %hello.worker, "the peer has connected");
        let ready = Arc::clone(&self.shore.ready);
        let key = self.inbound.insert(|key| Inbound::new(stream, hello, key, &ready));
        self.inbound_ready(key);
    }

    fn inbound_ready(&mut self, key: u64) {
        for _ in 0..READS_IN_A_TURN {
            let Some(inbound) = self.inbound.get_mut(key) else { return };
            match inbound.read(&mut self.buffer) {
                Received::Some => {}
                Received::Nothing => return,
                Received::Over => {
                    self.inbound.remove(key);
                    return;
                }
            }
            loop {
                let Some(inbound) = self.inbound.get_mut(key) else { return };
                match inbound.next_frame() {
                    Ok(Some((port, payload))) => self.receive(port, payload),
                    Ok(None) => break,
                    Err(malformed) => {
                        tracing::warn!(peer = %inbound.hello.from, "connection closed: {malformed}");
                        self.shore.settings.stats.malformed.one();
                        self.inbound.remove(key);
                        return;
                    }
                }
            }
        }
        if let Some(inbound) = self.inbound.get_mut(key) {
            inbound.relist();
        }
    }

    fn receive(&mut self, port: Port, payload: Bytes) {
        self.shore.settings.stats.messages_in.one();
        if port.worker(self.shore.settings.workers) == self.shore.settings.worker {
            self.handle(Event::Message { to: port, payload });
        } else {
            self.shore.deliver(port, payload);
        }
    }

    /// Tells what is due. Whatever is not told now is due at once, and the timer brings the next turn.
    fn watch_time(&mut self, began: Instant) {
        if !self.timer.is_due() {
            return;
        }
        let now = clock::boot_time();
        let listened = now.since(began) < PAUSE;
        if listened && self.shore.wake.is_some_and(|wake| wake <= self.ended) {
            self.shore.wake = None;
            self.handle(Event::Wake);
        }
        if self.shore.sweep.is_some_and(|sweep| sweep <= now) {
            self.sweep(now);
        }
    }

    /// Ends closing connections whose patience is over.
    fn sweep(&mut self, now: Instant) {
        let closing = |(key, client): (u64, &Client)| client.deadline().map(|deadline| (key, deadline));
        let closing: Vec<(u64, Instant)> = self.shore.clients.iter().filter_map(closing).collect();
        self.shore.sweep = if closing.is_empty() { None } else { Some(now + SWEEP) };
        for (key, deadline) in closing {
            if deadline <= now {
                self.end_client(key);
            }
        }
    }

    fn read_local(&mut self) {
        for _ in 0..LOCAL_IN_A_TURN {
            let Some((to, payload)) = self.shore.local.pop_front() else { return };
            self.handle(Event::Message { to, payload });
        }
    }

    /// Passes on what the turn brought: files first, because a flush takes longest.
    fn write(&mut self) {
        self.shore.files.submit(&mut self.shore.ops);
        self.shore.flush();
        for key in std::mem::take(&mut self.shore.slow_clients) {
            if self.shore.clients.get_mut(key).is_some() {
                tracing::warn!(connection = key, "client closed: it does not take what it asked for");
                self.shore.settings.stats.clients_too_slow.one();
                self.end_client(key);
            }
        }
        let now = self.shore.now;
        // Taken whole: what ends here may bring new ones, which are the next turn's.
        for key in std::mem::take(&mut self.shore.dirty_clients) {
            let Some(client) = self.shore.clients.get_mut(key) else { continue };
            if client.flush(now, &self.shore.settings.stats).is_err() {
                self.end_client(key);
            }
        }
    }
}

/// The one timer of a worker. Moving tokio's timer costs more than a spurious look at the clock, so it is only moved
/// to an earlier instant; a later one is found out when it fires.
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    waker: Waker,
}

impl Timer {
    fn new(ready: &Arc<ReadyList>) -> Self {
        let (_, waker) = Source::new(Token::Timer, ready);
        Self { sleep: None, armed: None, waker }
    }

    /// tokio's timer has fired. Its clock and ours may differ by a little, so this proves nothing about the instant: it
    /// is looked at, and armed again if need be.
    fn fired(&mut self) {
        self.armed = Some(Instant(0));
    }

    /// How late is it with what it was armed for?
    fn late(&self, now: Instant) -> Duration {
        self.armed.filter(|armed| *armed > Instant(0)).map_or(Duration::ZERO, |armed| now.since(armed))
    }

    /// Is it time to look at what it was armed for?
    fn is_due(&mut self) -> bool {
        let due = self.armed.is_some_and(|armed| armed <= clock::boot_time());
        if due {
            self.armed = None;
        }
        due
    }

    fn arm(&mut self, wake: Option<Instant>, sweep: Option<Instant>) {
        let Some(at) = wake.into_iter().chain(sweep).min() else { return };
        if self.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        self.armed = Some(at);
        let now = clock::boot_time();
        if at <= now {
            // tokio would wait for its next tick.
            return self.waker.wake_by_ref();
        }
        let target = ::tokio::time::Instant::now() + at.since(now);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(target),
            None => self.sleep = Some(Box::pin(::tokio::time::sleep_until(target))),
        }
        let mut cx = Context::from_waker(&self.waker);
        if let Some(sleep) = &mut self.sleep
            && sleep.as_mut().poll(&mut cx).is_ready()
        {
            self.waker.wake_by_ref();
        }
    }
}
