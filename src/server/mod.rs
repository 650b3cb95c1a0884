//! **Server**: a node as a process. Data directory, listeners, signals; everything else is the workers'.
//!
//! [`run`] binds what it needs before it changes anything, starts the workers and then only accepts: a client's socket
//! goes to the workers in turn, a peer's to the worker of the same number as the one it comes from. From then on bytes
//! move on the worker's own thread (`env::tokio`).
//!
//! # Invariants
//! - Every failure to start is one line that says what to do ([`Failure`]); exit code 2 for what the operator can mend,
//!   1 for what broke.
//! - One process uses a data directory, and only the node that it belongs to ([`directory`]).
//! - A worker that stops for any reason but a requested shutdown ends the process.
//! - What a worker notes as an event is in the log, too ([`health`]); the health port reads copies and disturbs nobody.
//!
//! # Caveats
//! - No TLS and no authentication yet: that is why only loopback is bound without `--insecure`.

pub mod directory;
mod handshake;
mod health;
mod http;
pub mod identity;
pub mod introduction;
pub mod join;

use crate::cluster::facts::About;
use crate::consensus::detection::Detection;
use crate::env::tokio::{Driven, Handler, Mailbox, Members, Stats, WorkerSettings, os_random, start_worker};
use crate::env::{Control, Env, Event, StopReason};
use crate::node::{Worker, WorkerConfig};
use crate::types::{Incarnation, NodeId, WorkerId};
use directory::DataDirectory;
use handshake::{Expected, Refusal};
use health::{Board, Watch};
use identity::Identity;
use introduction::Introduction;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A clean stop may take this long.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// Signals so close together are one.
const SAME_SIGNAL: Duration = Duration::from_millis(300);
/// Peer connections that have not said hello yet.
const MAX_HANDSHAKES: usize = 256;

/// What a node is started with. Everything is checked for form; nothing against the world.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Name of the cluster.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// All nodes and where they listen for peers; this one among them.
    pub nodes: BTreeMap<NodeId, String>,
    /// Data partitions; `None`: what the directory has, else 1.
    pub partitions: Option<u32>,
    /// Workers; `None`: what the directory has, else one for each core, but not more than there are partitions.
    pub workers: Option<u16>,
    /// Most clients. Each worker takes its share, and clients go to the workers in turn.
    pub max_connections: usize,
    /// Data directory.
    pub data: PathBuf,
    /// Where PostgreSQL clients connect.
    pub pg: String,
    /// Where peers connect; `None`: this node's entry of `nodes`, if there are others.
    pub peer: Option<String>,
    /// Where health and metrics are served, and whether somebody has said so: else it may be left out.
    pub http: Option<(String, bool)>,
    /// May it listen beyond loopback, although anybody who reaches it is trusted?
    pub insecure: bool,
    /// Checkpoints, log and snapshots.
    pub keeping: Keeping,
    /// How a failed leader is found out.
    pub detection: Detection,
    /// See [`WorkerConfig::lease`].
    pub lease: Duration,
    /// What the node says of itself when it comes in.
    pub introduction: Introduction,
    /// See [`WorkerConfig::in_sync_timeout`].
    pub in_sync_timeout: Duration,
    /// The cluster was there before this node: it has the replicas that are wanted on it.
    pub joined: bool,
    /// Under which it has registered itself, if it has just done so.
    pub token: Option<u128>,
}

/// How a node keeps what it has. May differ between nodes and between lives of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// See [`WorkerConfig::checkpoint_every`].
    pub checkpoint_every: u64,
    /// See [`WorkerConfig::log_keep_entries`].
    pub log_keep_entries: u64,
    /// See [`WorkerConfig::wal_bytes_before_checkpoint`].
    pub wal_bytes_before_checkpoint: u64,
    /// See [`WorkerConfig::snapshot_chunk_bytes`].
    pub snapshot_chunk_bytes: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        let worker = WorkerConfig::default();
        Self {
            checkpoint_every: worker.checkpoint_every,
            log_keep_entries: worker.log_keep_entries,
            wal_bytes_before_checkpoint: worker.wal_bytes_before_checkpoint,
            snapshot_chunk_bytes: worker.snapshot_chunk_bytes,
        }
    }
}

/// Why a node did not start or did not go on: one line, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What, and what to do.
    pub line: String,
}

impl Failure {
    /// Something the operator can mend.
    #[must_use]
    pub fn usage(line: impl Into<String>) -> Self {
        Self { code: 2, line: line.into() }
    }

    /// Something that broke.
    #[must_use]
    pub fn broken(line: impl Into<String>) -> Self {
        Self { code: 1, line: line.into() }
    }
}

/// Runs a node until it is told to stop. `ready` is called with the address for clients once they can connect.
///
/// # Errors
/// One line and an exit code.
pub fn run(options: &NodeOptions, ready: impl FnOnce(SocketAddr)) -> Result<(), Failure> {
    run_all(std::slice::from_ref(options), Vec::new(), |addresses| {
        if let Some(address) = addresses.first() {
            ready(*address);
        }
    })
}

/// Runs several nodes in this process, with listeners for their peers if there are some already. `ready` is called with
/// their addresses for clients once those can connect; it must not wait.
///
/// # Errors
/// One line and an exit code.
pub fn run_all(
    options: &[NodeOptions],
    peers: Vec<std::net::TcpListener>,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::broken(format!("the system gives no event queue: {error}")))?;
    runtime.block_on(serve(options, peers, ready))
}

async fn serve(
    options: &[NodeOptions],
    peers: Vec<std::net::TcpListener>,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failure> {
    raise_file_limit();
    let mut signals = Signals::new()?;
    let (stopped, mut stops) = mpsc::unbounded_channel();
    let mut peers = peers.into_iter();
    let mut nodes = Vec::with_capacity(options.len());
    for options in options {
        nodes.push(Running::start(options, peers.next(), &stopped).await?);
    }
    let mut reason = None;
    let mut recovering: usize = nodes.iter().map(|node| node.mailboxes.len()).sum();
    let mut ready = Some(ready);
    while reason.is_none() {
        match first(&mut signals, &mut stops).await {
            First::Recovered => recovering = recovering.saturating_sub(1),
            other => reason = Some(other),
        }
        if recovering == 0
            && reason.is_none()
            && let Some(ready) = ready.take()
        {
            ready(&nodes.iter().map(|node| node.address).collect::<Vec<_>>());
        }
    }
    nodes.iter().flat_map(|node| &node.tasks).for_each(JoinHandle::abort);
    let outcome = match reason {
        Some(First::Stopped(stop)) => Err(stop.failure(options)),
        _ => shut_down(&mut signals, &mut stops, &nodes, options).await,
    };
    for node in &nodes {
        tracing::info!(node = %node.node, stats = %node.stats, "stopped");
    }
    outcome
}

/// A node that has been started.
struct Running {
    node: NodeId,
    address: SocketAddr,
    mailboxes: Arc<[Arc<Mailbox>]>,
    stats: Arc<Stats>,
    tasks: Vec<JoinHandle<()>>,
    /// Held for as long as the node runs.
    _directory: DataDirectory,
}

impl Running {
    async fn start(
        options: &NodeOptions,
        peer: Option<std::net::TcpListener>,
        stopped: &mpsc::UnboundedSender<Told>,
    ) -> Result<Self, Failure> {
        let pg = listen(&options.pg, "--pg", options.insecure).await?;
        let peer = match (peer, peer_address(options)) {
            (Some(listener), _) => Some(adopt(listener)?),
            (None, Some(address)) => Some(listen(address, "--peer", options.insecure).await?),
            (None, None) => None,
        };
        let http = listen_http(options).await?;
        let directory = DataDirectory::open(&options.data)?;
        let identity = identity(options, &directory)?;
        directory.bind(&identity)?;
        // Only now: a start that is refused says one line, and that is why.
        if let (None, Some((address, _))) = (&http, &options.http) {
            tracing::warn!("{address} is in use: no health and metrics; choose an address with --http");
        }

        let stats = Arc::new(Stats::default());
        let mailboxes: Arc<[Arc<Mailbox>]> =
            (0..identity.workers).map(|_| Arc::new(Mailbox::new(Arc::clone(&stats)))).collect();
        let board = Arc::new(Board::new(identity.node, identity.workers, Arc::clone(&stats)));
        let address = pg.local_addr().map_err(|error| Failure::broken(error.to_string()))?;
        let http_address = http.as_ref().and_then(|http| http.local_addr().ok()).map(|address| address.to_string());
        let about = About {
            cluster: identity.cluster.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sql_address: address.to_string(),
            http_address: http_address.clone(),
        };
        let members = Arc::new(Members::new(options.nodes.keys().copied()));
        let parts =
            Parts { mailboxes: &mailboxes, members: &members, stats: &stats, board: &board, about: Arc::new(about) };
        start_workers(options, &identity, &directory, &parts, stopped)?;
        let expected =
            Expected { cluster: identity.cluster.clone(), node: identity.node, members: Arc::clone(&members) };
        tracing::info!(node = %identity.node, cluster = %identity.cluster, workers = identity.workers,
            partitions = identity.partitions, pg = %address, http = http_address,
            version = env!("CARGO_PKG_VERSION"), "started");
        let keeping = peer_address(options)
            .map(|address| join::keep(options.data.clone(), identity.node, address.to_owned(), Arc::clone(&members)));
        let accepting = Acceptor {
            mailboxes: Arc::clone(&mailboxes),
            stats: Arc::clone(&stats),
            expected,
            complaints: Arc::default(),
        };
        #[allow(clippy::disallowed_methods, reason = "the edge accepts beside waiting for signals")]
        let tasks = [
            Some(tokio::spawn(accepting.clone().clients(pg))),
            peer.map(|listener| tokio::spawn(accepting.clone().peers(listener))),
            http.map(|listener| tokio::spawn(http::serve(listener, board))),
            keeping.map(tokio::spawn),
        ];
        let tasks = tasks.into_iter().flatten().collect();
        if !options.joined {
            options.introduction.clone().tell(identity.node, address);
        }
        Ok(Self { node: identity.node, address, mailboxes, stats, tasks, _directory: directory })
    }
}

fn adopt(listener: std::net::TcpListener) -> Result<TcpListener, Failure> {
    let failed = |error: std::io::Error| Failure::broken(format!("cannot use a listener: {error}"));
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map_err(failed)
}

/// The health port. Nobody has asked for the default one: it is left out if somebody else has it.
async fn listen_http(options: &NodeOptions) -> Result<Option<TcpListener>, Failure> {
    let Some((address, asked)) = &options.http else { return Ok(None) };
    match listen(address, "--http", options.insecure).await {
        Ok(listener) => Ok(Some(listener)),
        Err(failure) if *asked => Err(failure),
        Err(_) => Ok(None),
    }
}

/// What happened first.
enum First {
    Signal,
    /// A worker has read its log.
    Recovered,
    Stopped(Stop),
}

/// A worker has ended.
struct Stop {
    node: NodeId,
    worker: WorkerId,
    reason: StopReason,
}

/// What workers tell: `None` when they have read their log, and how they ended.
type Told = Option<Stop>;
type Stops = mpsc::UnboundedReceiver<Told>;

async fn first(signals: &mut Signals, stops: &mut Stops) -> First {
    poll_fn(|cx| {
        if let Poll::Ready(Some(told)) = stops.poll_recv(cx) {
            return Poll::Ready(told.map_or(First::Recovered, First::Stopped));
        }
        signals.poll(cx).map(|()| First::Signal)
    })
    .await
}

/// Asks all workers to stop and waits, but not for ever; a second signal ends the waiting.
async fn shut_down(
    signals: &mut Signals,
    stops: &mut Stops,
    nodes: &[Running],
    options: &[NodeOptions],
) -> Result<(), Failure> {
    tracing::info!("stopping");
    let mailboxes = || nodes.iter().flat_map(|node| node.mailboxes.iter());
    for mailbox in mailboxes() {
        mailbox.shutdown();
    }
    let all = async {
        // `timeout` and some supervisors signal the process and then its group: that is one wish.
        let deaf_until = tokio::time::Instant::now() + SAME_SIGNAL;
        let mut running = mailboxes().count();
        while running > 0 {
            match first(signals, stops).await {
                First::Recovered => {}
                First::Signal if tokio::time::Instant::now() < deaf_until => {}
                First::Signal => return Err(Failure::broken("stopped at once by a second signal")),
                First::Stopped(Stop { reason: StopReason::Shutdown, .. }) => running -= 1,
                First::Stopped(stop) => return Err(stop.failure(options)),
            }
        }
        Ok(())
    };
    #[allow(clippy::disallowed_methods, reason = "an edge: a stop that hangs must end")]
    let outcome = tokio::time::timeout(SHUTDOWN_PATIENCE, all).await;
    // What was acknowledged is on disk; a worker that hangs loses nothing by ending with the process.
    outcome.unwrap_or_else(|_| {
        tracing::warn!("not all workers stopped in time");
        Ok(())
    })
}

impl Stop {
    fn failure(self, options: &[NodeOptions]) -> Failure {
        let worker = self.worker.0;
        match self.reason {
            StopReason::Disk(what) => {
                Failure::broken(format!("worker {worker} stopped because its disk failed: {what}; start again"))
            }
            StopReason::Diverged(what) => Failure::broken(format!(
                "worker {worker} stopped because its copy of the data is not its leader's: {what}"
            )),
            StopReason::Unusable(what) => {
                let own = options.iter().find(|options| options.node == self.node);
                let directory = own.map(|own| own.data.display().to_string()).unwrap_or_default();
                Failure::usage(format!(
                    "cannot use the data directory {directory}: {what}: restore it, or start with an empty directory"
                ))
            }
            StopReason::Shutdown => Failure::broken(format!("worker {worker} stopped without being asked")),
        }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::broken(format!("cannot take signals: {error}")));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let terminate = self.terminate.poll_recv(cx).is_ready();
        if terminate || self.interrupt.poll_recv(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Lets the process have as many sockets as the system's administrator allows: the usual default of 1024 is for programs
/// that use `select`, and would be the limit of client connections.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::debug!("the limit of open files stays: {error}");
    }
}

/// Where peers are listened for. A node alone has none.
fn peer_address(options: &NodeOptions) -> Option<&str> {
    if let Some(address) = &options.peer {
        return Some(address);
    }
    if options.nodes.len() > 1 { options.nodes.get(&options.node).map(String::as_str) } else { None }
}

async fn listen(address: &str, flag: &str, insecure: bool) -> Result<TcpListener, Failure> {
    let found = tokio::net::lookup_host(address).await;
    let Some(found) = found.ok().and_then(|mut addresses| addresses.next()) else {
        return Err(Failure::usage(format!("{flag}: the host of {address} is not known here: check its name")));
    };
    if !found.ip().is_loopback() && !insecure {
        return Err(Failure::usage(format!(
            "{flag}: {address} can be reached from other machines and nobody is asked for a password yet: add --insecure to allow it, or listen on 127.0.0.1"
        )));
    }
    TcpListener::bind(found).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("{address} is in use: stop what listens there, or choose another address with {flag}")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                format!("{address} is not an address of this machine: choose another with {flag}")
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("this user may not listen on {address}: choose a port above 1023 with {flag}")
            }
            _ => format!("cannot listen on {address} ({error}): choose another address with {flag}"),
        };
        Failure::usage(what)
    })
}

/// What the directory is or will be bound to.
fn identity(options: &NodeOptions, directory: &DataDirectory) -> Result<Identity, Failure> {
    let known = directory.identity.as_ref();
    let partitions = options.partitions.or(known.map(|known| known.partitions)).unwrap_or(1);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let useful = u16::try_from(cores.min(partitions as usize)).unwrap_or(u16::MAX).max(1);
    let workers = options.workers.or(known.map(|known| known.workers)).unwrap_or(useful);
    let log = match (known, options.token) {
        (Some(known), _) => known.log,
        (None, Some(token)) => token,
        (None, None) => {
            let random = os_random().map_err(|error| Failure::broken(format!("the system gives no dice: {error}")))?;
            u128::from_le_bytes(random[..16].try_into().expect("half of 32 is 16"))
        }
    };
    let nodes = if options.joined { vec![options.node] } else { options.nodes.keys().copied().collect() };
    let (cluster, joined) = (options.cluster.clone(), options.joined);
    Ok(Identity { cluster, node: options.node, nodes, workers, partitions, log, joined })
}

/// What the workers of a node share.
struct Parts<'a> {
    mailboxes: &'a Arc<[Arc<Mailbox>]>,
    members: &'a Arc<Members>,
    stats: &'a Arc<Stats>,
    board: &'a Arc<Board>,
    about: Arc<About>,
}

fn start_workers(
    options: &NodeOptions,
    identity: &Identity,
    directory: &DataDirectory,
    parts: &Parts<'_>,
    stopped: &mpsc::UnboundedSender<Told>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::broken(format!("cannot start a worker: {error}"));
    let random = os_random().map_err(failed)?;
    let life = u64::from_le_bytes(random[..8].try_into().expect("a quarter of 32 is 8"));
    // Of later comers a founder knows only what it has kept: without, it would answer none of them before one has found it.
    let mut peers = join::kept(directory);
    peers.extend(options.nodes.clone());
    peers.remove(&options.node);
    let said = if identity.joined { BTreeSet::new() } else { options.nodes.keys().copied().collect() };
    for number in 0..identity.workers {
        let worker = WorkerId(number);
        let recovered = stopped.clone();
        let config = WorkerConfig {
            node: identity.node,
            worker,
            workers: identity.workers,
            nodes: options.nodes.keys().copied().collect(),
            founder: !identity.joined,
            addresses: options.nodes.clone(),
            partitions: identity.partitions,
            max_connections: options.max_connections.div_ceil(usize::from(identity.workers)),
            checkpoint_every: options.keeping.checkpoint_every,
            log_keep_entries: options.keeping.log_keep_entries,
            wal_bytes_before_checkpoint: options.keeping.wal_bytes_before_checkpoint,
            snapshot_chunk_bytes: options.keeping.snapshot_chunk_bytes,
            detection: options.detection,
            lease: options.lease,
            in_sync_timeout: options.in_sync_timeout,
            about: Arc::clone(&parts.about),
            ..WorkerConfig::default()
        };
        let settings = WorkerSettings {
            node: identity.node,
            worker,
            workers: identity.workers,
            cluster: identity.cluster.clone(),
            life,
            directory: directory.worker(worker),
            peers: peers.clone(),
            said: said.clone(),
            members: Arc::clone(parts.members),
            mailboxes: Arc::clone(parts.mailboxes),
            stats: Arc::clone(parts.stats),
        };
        let watch = Watch::new(Arc::clone(parts.board), worker);
        let make =
            move || -> Handler { Box::new(Watched { worker: Worker::new(config), watch, recovered: Some(recovered) }) };
        let (stopped, node) = (stopped.clone(), identity.node);
        // The receiver goes only with the process.
        let tell = move |reason| drop(stopped.send(Some(Stop { node, worker, reason })));
        start_worker(settings, make, tell).map_err(failed)?;
    }
    Ok(())
}

/// A worker, looked at after each of its turns.
struct Watched {
    worker: Worker,
    watch: Watch,
    /// Who is to be told that it has read its log.
    recovered: Option<mpsc::UnboundedSender<Told>>,
}

impl Driven for Watched {
    fn take(&mut self, env: &mut dyn Env, event: Event) -> Control {
        self.worker.take(env, event);
        Control::Continue
    }

    fn turn_over(&mut self, env: &mut dyn Env) -> Control {
        let control = self.worker.turn_over(env);
        // Before anybody is told that the node is ready, its health says so too.
        self.watch.look(&self.worker, env.now());
        if self.worker.incarnation() != Incarnation(0)
            && let Some(recovered) = self.recovered.take()
        {
            drop(recovered.send(None));
        }
        control
    }
}

/// Takes connections and hands them out.
#[derive(Clone)]
struct Acceptor {
    mailboxes: Arc<[Arc<Mailbox>]>,
    stats: Arc<Stats>,
    expected: Expected,
    complaints: Arc<Complaints>,
}

/// Lets through one complaint a second: whoever talks nonsense to the peer port must not be able to fill the disk with
/// what is said of him. All are counted.
#[derive(Default)]
struct Complaints(std::sync::Mutex<Option<tokio::time::Instant>>);

impl Complaints {
    fn may_be_said(&self) -> bool {
        let now = tokio::time::Instant::now();
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let may = last.is_none_or(|last| now - last >= Duration::from_secs(1));
        if may {
            *last = Some(now);
        }
        may
    }
}

impl Acceptor {
    async fn clients(self, listener: TcpListener) {
        for turn in 0_usize.. {
            let stream = accept(&listener).await;
            if let Ok(stream) = stream.into_std() {
                self.mailboxes[turn % self.mailboxes.len()].client(stream);
            }
        }
    }

    async fn peers(self, listener: TcpListener) {
        let places = Arc::new(tokio::sync::Semaphore::new(MAX_HANDSHAKES));
        loop {
            let stream = accept(&listener).await;
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.stats.peers_refused.one();
                continue;
            };
            let this = self.clone();
            #[allow(clippy::disallowed_methods, reason = "the edge waits for several hellos at once")]
            tokio::spawn(async move {
                this.greet(stream).await;
                drop(place);
            });
        }
    }

    async fn greet(self, mut stream: TcpStream) {
        let address = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
        match handshake::shake(&mut stream, &self.expected).await {
            Ok(hello) => {
                self.stats.peers_accepted.one();
                let workers = u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX);
                if let Ok(stream) = stream.into_std() {
                    self.mailboxes[handshake::receiver(hello.worker, workers)].peer(stream, hello);
                }
            }
            Err(Refusal::Silent) => self.stats.peers_refused.one(),
            Err(Refusal::Malformed(malformed)) => {
                self.stats.malformed.one();
                if self.complaints.may_be_said() {
                    tracing::warn!(%address, "peer connection closed: {malformed}");
                }
            }
            Err(Refusal::Wrong(objection)) => {
                self.stats.peers_refused.one();
                if self.complaints.may_be_said() {
                    tracing::warn!(%address, "peer refused: {objection}");
                }
            }
        }
    }
}

/// The next connection. Running out of file descriptors passes: wait a little rather than spin or die.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                let pause = tokio::time::Instant::now() + Duration::from_millis(100);
                tokio::time::sleep_until(pause).await;
            }
        }
    }
}
