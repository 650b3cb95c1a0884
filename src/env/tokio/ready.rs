//! Which sockets have something to do.
//!
//! A worker polls hundreds of sockets from one task. With the task's own waker each arrival would mean asking them all;
//! so every source has a waker of its own that notes its token in a list. The runtime's driver wakes all that are ready
//! before the task runs again, and the task takes the list whole: that is what makes a batch.

use super::lock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

/// Something that can become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A client connection, by its number.
    Client(u64),
    /// An incoming peer connection, by its place.
    Inbound(u64),
    /// The outgoing connection to a peer, by its place.
    Link(usize),
    /// The timer.
    Timer,
}

/// The list of what is ready.
#[derive(Default)]
pub(super) struct ReadyList(Mutex<State>);

#[derive(Default)]
struct State {
    tokens: Vec<Arc<Source>>,
    task: Option<Waker>,
}

/// One source's waker.
pub(super) struct Source {
    token: Token,
    /// In the list already.
    listed: AtomicBool,
    list: Arc<ReadyList>,
}

impl Source {
    /// A source, and its waker.
    pub(super) fn new(token: Token, list: &Arc<ReadyList>) -> (Arc<Self>, Waker) {
        let source = Arc::new(Self { token, listed: AtomicBool::new(false), list: Arc::clone(list) });
        let waker = Waker::from(Arc::clone(&source));
        (source, waker)
    }
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = lock(&self.list.0);
        state.tokens.push(Arc::clone(self));
        if state.tokens.len() == 1
            && let Some(task) = &state.task
        {
            task.wake_by_ref();
        }
    }
}

impl ReadyList {
    /// Takes what is ready and remembers the task to wake. A source may be listed again from here on.
    pub(super) fn take(&self, task: &Waker, into: &mut Vec<Token>) {
        let mut state = lock(&self.0);
        if state.task.as_ref().is_none_or(|known| !known.will_wake(task)) {
            state.task = Some(task.clone());
        }
        for source in state.tokens.drain(..) {
            source.listed.store(false, Ordering::Release);
            into.push(source.token);
        }
    }
}
