//! **The production side of the seam**: real sockets, timers, files and dice, and the loop that drives a worker with them.
//!
//! One OS thread for each worker, with a single-threaded tokio runtime that runs one task: the [`shell`]. It owns the
//! worker's client sockets and peer connections itself, so a client's request takes no hop between threads: the driver
//! says which sockets are ready, the task reads all of them, hands each piece to the worker, and only then passes on
//! what the worker wants: first disk operations (so that the flush begins), then messages to peers, then bytes to
//! clients, each socket in one write. A request costs one read, one write and its share of one `epoll_wait`.
//!
//! Threads beside it: one *file thread* for a worker ([`disk`]). They and other workers reach the worker through its
//! [`Mailbox`], the only thing shared.
//!
//! What is driven is a [`Handler`], not `node::Worker` itself: the seam lies below the node in the layers, and a test
//! drives this side with a handler of a few lines.
//!
//! # Invariants
//! - The handler is called by one thread, for one event at a time, never from inside a call it makes.
//! - After it has said stop, it is not called again, and its operations submitted so far are carried out.
//! - A panic on a worker's or file thread aborts the process: half a node must not go on promising things.
//! - Every queue has a bound: to a peer ([`link::MAX_QUEUED`], then messages are dropped and counted), to a client
//!   (above [`client::PAUSE_ABOVE`] nothing more is read from it, above [`client::CLOSE_ABOVE`] it is closed), a mailbox
//!   (messages dropped), files (what the worker submits, which the log bounds).
//!
//! # Caveats
//! - tokio's timers tick in milliseconds and stand still while the machine is suspended: a wake-up may be late, never
//!   early. `now` is right.
//! - A client that sends requests without pause and takes its answers is read as fast as the worker takes bytes; what a
//!   session keeps of them is the session's to bound.

mod client;
mod clock;
mod dice;
pub mod disk;
pub mod frame;
mod inbound;
mod link;
mod mailbox;
mod members;
mod out;
mod ready;
mod shell;
mod slots;
mod stats;

pub use dice::os_random;
pub use mailbox::Mailbox;
pub use members::Members;
pub use shell::{Driven, Handler, WorkerSettings, at_once, start_worker};
pub use stats::{Counter, Stats};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A poisoned lock cannot be met: the panic that poisons it ends the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process when its thread panics. The panic's message is on stderr by then.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
