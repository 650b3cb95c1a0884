//! **The file thread**: a worker's disk operations, carried out in order by one thread beside it.
//!
//! The worker hands over everything it has submitted during a turn at once; the thread takes all that waits. Group
//! commit needs nothing more here: the log gathers what arrives while a flush is under way.
//!
//! # How a write becomes durable
//! A run of writes to one file that ends in a sync is one job: the bytes are gathered in an aligned buffer and written
//! with `O_DIRECT|O_DSYNC`, which flushes the device once and costs a third of the processor time of `write` +
//! `fdatasync`. That needs offsets and lengths that are multiples of 4096 and a file system that takes it; otherwise
//! (hard-state slots of another size, tmpfs) the run is written through the page cache, and `fdatasync` follows.
//!
//! `Create` reserves space, but the first write into reserved space must also journal that it now holds data, and that
//! doubles the flush. So created files are filled with zeros, a piece at a time whenever the thread has nothing to do,
//! always above everything written so far ([`file::OpenFile::fill`]).
//!
//! # Failures
//! Any error is reported as it is; after a failed sync the file is poisoned: every later sync of it fails too, since a
//! second `fdatasync` may succeed without the data (the worker ends its life at the first, this is the second wall).

mod file;
mod run;

use super::mailbox::{Mail, Mailbox};
use super::stats::Stats;
use super::{AbortOnPanic, lock};
use crate::env::{DiskOp, DiskResult, OpId};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use file::{Directory, list};

/// How often at most a piece of a new file is filled: keeps filling below a few per cent of the thread's time.
const FILL_EVERY: Duration = Duration::from_millis(4);

/// The worker's side of the file thread.
pub(super) struct FileThread {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ops: VecDeque<(OpId, DiskOp)>,
    stop: bool,
}

impl FileThread {
    /// Starts the thread on a directory that exists.
    pub(super) fn start(name: &str, directory: PathBuf, mailbox: Arc<Mailbox>, stats: Arc<Stats>) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut directory = Directory::open(directory, stats)?;
        let shared = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name(format!("{name}-files")).spawn(move || {
            let _guard = AbortOnPanic;
            while let Some(ops) = shared.next(&mut directory) {
                directory.carry_out(ops, &mut |results| mailbox.push(Mail::Disk(results)));
            }
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands operations over, in order, and leaves `ops` empty.
    pub(super) fn submit(&self, ops: &mut Vec<(OpId, DiskOp)>) {
        if ops.is_empty() {
            return;
        }
        let mut state = lock(&self.queue.state);
        let idle = state.ops.is_empty();
        state.ops.extend(ops.drain(..));
        drop(state);
        if idle {
            self.queue.changed.notify_one();
        }
    }

    /// Ends the thread when everything submitted is done.
    pub(super) fn stop(mut self) {
        lock(&self.queue.state).stop = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has already ended the process.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// Waits for work, filling files meanwhile. `None`: the end.
    fn next(&self, directory: &mut Directory) -> Option<VecDeque<(OpId, DiskOp)>> {
        let mut state = lock(&self.state);
        loop {
            if !state.ops.is_empty() {
                return Some(std::mem::take(&mut state.ops));
            }
            if state.stop {
                return None;
            }
            if directory.wants_filling() {
                let (woken, timeout) =
                    self.changed.wait_timeout(state, FILL_EVERY).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if timeout.timed_out() && state.ops.is_empty() {
                    drop(state);
                    directory.fill_piece();
                    state = lock(&self.state);
                }
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// What a batch of operations reports to.
pub type Report<'a> = &'a mut dyn FnMut(Vec<(OpId, DiskResult)>);
