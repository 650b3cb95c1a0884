//! What the edge counts. One set for a node, shared by its threads.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of a node's edge. They decide nothing.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl Stats {
            /// Names and values, in the order of declaration.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

stats! {
    /// Client connections accepted.
    clients_accepted,
    /// Client connections ended.
    clients_closed,
    /// Clients closed because they did not take what they had asked for.
    clients_too_slow,
    /// Bytes from clients.
    client_bytes_in,
    /// Bytes to clients.
    client_bytes_out,
    /// Reads of client sockets that brought bytes.
    client_reads,
    /// Writes to client sockets.
    client_writes,
    /// Incoming peer connections that said a good hello.
    peers_accepted,
    /// Incoming peer connections refused: another cluster, another node, another version.
    peers_refused,
    /// Outgoing peer connections that came up.
    peers_connected,
    /// Outgoing peer connections that broke or could not be made.
    peers_lost,
    /// Peer messages sent.
    messages_out,
    /// Peer messages received.
    messages_in,
    /// Peer messages dropped: the queue was full, or the connection was down.
    messages_dropped,
    /// Malformed bytes on the peer port: the connection was closed.
    malformed,
    /// Disk operations carried out.
    disk_ops,
    /// Syncs asked for.
    disk_syncs,
    /// Flushes of the device (fewer: several syncs can share one).
    disk_flushes,
    /// Bytes written to files.
    disk_bytes,
    /// Turns of the worker loops.
    turns,
    /// Events handed to workers.
    events,
}

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds some.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Stats {
    /// Those that are not zero, as `name=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.list().into_iter().filter(|(_, value)| *value > 0).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}
