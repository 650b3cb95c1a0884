//! **Hosts**: a network namespace for each node, with an address of its own, and one between them that routes. What happens on
//! the way between two nodes, or between a node and the clients, is then ours to say, and the nodes cannot tell it from a network.
//!
//! Links are cut by rules of the router, which throw packets away and tell nobody: the sender's connection stays, and hears nothing. They
//! are slowed down by `tc`: with `netem` (delay, loss) where the kernel has it, with a narrow token bucket (delay by queueing, loss
//! by overflow) where it has not.
//!
//! # Invariants
//! - What was made is removed when it is dropped; what a run left that was killed is removed by the next one.
//! - Nothing of the machine's own network is changed but for one interface and one route, to 198.18.0.0/15, which is set
//!   aside for such (RFC 2544).
//!
//! # Caveats
//! - It needs Linux, `ip` and `tc` (iproute2), and the right to make namespaces: [`Hosts::new`] says what is missing.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What namespaces are called, before the process that made them and its run.
const PREFIX: &str = "orrery-";
/// Networks that are tried before it is given up.
const ATTEMPTS: u32 = 8;

/// Hosts, numbered from 0, and the router between them.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// `orrery-<process>-<run>`.
    name: String,
    /// The clients' end of the link to the router.
    link: String,
    /// The first three bytes of all addresses.
    network: String,
    count: usize,
}

/// Which way packets of a host get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From it to the others.
    Out,
    /// From the others to it.
    In,
    /// Both.
    Both,
}

impl Hosts {
    /// Makes them.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub(crate) fn new(count: usize) -> Result<Self, String> {
        assert!((1..=30).contains(&count), "a network has room for 30 hosts");
        sweep();
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let mut failed = String::new();
        for _ in 0..ATTEMPTS {
            let (process, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
            let place = process.wrapping_add(run.wrapping_mul(0x2a5b)) & 0x1ff;
            let name = format!("{PREFIX}{process}-{run}");
            let network = format!("198.{}.{}", 18 + (place >> 8), place & 0xff);
            let hosts = Self { name, link: format!("orr{process:x}-{run:x}"), network, count };
            match hosts.make() {
                Ok(()) => return Ok(hosts),
                // Somebody else's run may have the same network. What was made of it goes.
                Err(why) => failed = why,
            }
        }
        Err(failed)
    }

    fn make(&self) -> Result<(), String> {
        let Self { link, network, .. } = self;
        let router = self.router();
        ip(&format!("netns add {router}"))?;
        inside(&router, "sysctl -q -w net.ipv4.ip_forward=1")?;
        ip(&format!("link add {link} type veth peer name clients netns {router}"))?;
        ip(&format!("addr add {network}.1/30 dev {link}"))?;
        ip(&format!("link set {link} up"))?;
        ip(&format!("-n {router} addr add {network}.2/30 dev clients"))?;
        ip(&format!("-n {router} link set clients up"))?;
        ip(&format!("route add {network}.0/24 via {network}.2"))?;
        for place in 0..self.count {
            let (host, interface) = (self.host(place), interface(place));
            let (own, other) = (self.address(place), self.gateway(place));
            ip(&format!("netns add {host}"))?;
            ip(&format!("-n {router} link add {interface} type veth peer name eth0 netns {host}"))?;
            ip(&format!("-n {router} addr add {other}/30 dev {interface}"))?;
            ip(&format!("-n {router} link set {interface} up"))?;
            ip(&format!("-n {host} addr add {own}/30 dev eth0"))?;
            ip(&format!("-n {host} link set lo up"))?;
            ip(&format!("-n {host} link set eth0 up"))?;
            ip(&format!("-n {host} route add default via {other}"))?;
        }
        Ok(())
    }

    fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    fn host(&self, place: usize) -> String {
        format!("{}-{}", self.name, place + 1)
    }

    /// A host's address.
    pub(crate) fn address(&self, place: usize) -> String {
        format!("{}.{}", self.network, place * 8 + 10)
    }

    fn gateway(&self, place: usize) -> String {
        format!("{}.{}", self.network, place * 8 + 9)
    }

    /// What starts a program on a host: a program and its first arguments, behind which it stands with its own.
    pub(crate) fn enter(&self, place: usize) -> [String; 4] {
        ["ip".to_owned(), "netns".to_owned(), "exec".to_owned(), self.host(place)]
    }

    /// Packets between a host and all others get lost; those of clients do not.
    pub(super) fn cut(&self, place: usize, way: Way) -> Result<(), String> {
        self.rules("add", place, way)
    }

    /// The end of that.
    pub(super) fn join(&self, place: usize, way: Way) -> Result<(), String> {
        self.rules("del", place, way)
    }

    fn rules(&self, verb: &str, place: usize, way: Way) -> Result<(), String> {
        let router = self.router();
        let lost = |from: usize, to: usize| {
            let (interface, address) = (interface(from), self.address(to));
            ip(&format!("-n {router} rule {verb} iif {interface} to {address} blackhole"))
        };
        for other in (0..self.count).filter(|other| *other != place) {
            if way != Way::In {
                lost(place, other)?;
            }
            if way != Way::Out {
                lost(other, place)?;
            }
        }
        Ok(())
    }

    /// A host's cable is pulled: nobody hears it, clients neither.
    pub(super) fn unplug(&self, place: usize) -> Result<(), String> {
        ip(&format!("-n {} link set {} down", self.router(), interface(place)))
    }

    /// It is put in again.
    pub(super) fn plug(&self, place: usize) -> Result<(), String> {
        ip(&format!("-n {} link set {} up", self.router(), interface(place)))
    }

    /// What a host sends and is sent takes long, and some of it gets lost.
    pub(super) fn slow(&self, place: usize) -> Result<(), String> {
        self.ends(place).into_iter().try_for_each(|(namespace, interface)| {
            let add = format!("tc qdisc add dev {interface} root");
            inside(&namespace, &format!("{add} netem delay 20ms 10ms loss 2%"))
                .or_else(|_| inside(&namespace, &format!("{add} tbf rate 1mbit burst 4kb latency 60ms")))
        })
    }

    /// The end of that.
    pub(super) fn quick(&self, place: usize) -> Result<(), String> {
        let delete = |(namespace, interface): (String, String)| {
            inside(&namespace, &format!("tc qdisc del dev {interface} root"))
        };
        self.ends(place).into_iter().try_for_each(delete)
    }

    /// Both ends of a host's cable.
    fn ends(&self, place: usize) -> [(String, String); 2] {
        [(self.router(), interface(place)), (self.host(place), "eth0".to_owned())]
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // Interfaces and routes go with them.
        for place in 0..self.count {
            let _ = ip(&format!("netns del {}", self.host(place)));
        }
        let _ = ip(&format!("netns del {}", self.router()));
        // It goes with its other end, but a little later.
        let _ = ip(&format!("link del {}", self.link));
    }
}

/// The router's end of a host's cable.
fn interface(place: usize) -> String {
    format!("host{}", place + 1)
}

/// Removes what runs have left whose process is gone.
fn sweep() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    for name in names.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn inside(namespace: &str, command: &str) -> Result<(), String> {
    ip(&format!("netns exec {namespace} {command}"))
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.map_err(|error| format!("ip (of iproute2) does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
