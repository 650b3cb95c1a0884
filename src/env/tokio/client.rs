//! A client's socket.

use super::out::OutQueue;
use super::ready::{ReadyList, Source, Token};
use super::stats::Stats;
use crate::types::{Duration, Instant};
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::TcpStream;
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// While more than this waits for a client, nothing is read from it.
pub(super) const PAUSE_ABOVE: usize = 1 << 20;
/// Reading goes on below this.
const RESUME_BELOW: usize = PAUSE_ABOVE / 2;
/// A client for which more than this waits is closed.
pub(super) const CLOSE_ABOVE: usize = 256 << 20;
/// A connection being closed has this long to take what was sent.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// After our last byte, this long for the client to read it and hang up: closing a socket with unread input would reset
/// it, and the client might never see why.
const LINGER: Duration = Duration::from_secs(1);

/// A client connection.
pub(super) struct Client {
    stream: TcpStream,
    waker: Waker,
    out: OutQueue,
    paused: bool,
    /// Listed for the flush at the end of the turn.
    pub(super) dirty: bool,
    closing: Closing,
}

enum Closing {
    No,
    /// To be closed when all is sent, or then.
    Asked(Instant),
    /// All is sent and our side shut; what arrives is thrown away until the other side is, or then.
    Lingering(Instant),
}

/// What a read came to.
pub(super) enum Read {
    /// That many bytes.
    Bytes(usize),
    /// Nothing now; the waker knows.
    Nothing,
    /// The connection is over.
    Over,
}

impl Client {
    pub(super) fn new(stream: TcpStream, key: u64, ready: &Arc<ReadyList>) -> Self {
        let (_, waker) = Source::new(Token::Client(key), ready);
        Self { stream, waker, out: OutQueue::default(), paused: false, dirty: false, closing: Closing::No }
    }

    /// Has the worker asked to close it? Then it hears nothing of it any more.
    pub(super) fn is_closing(&self) -> bool {
        !matches!(self.closing, Closing::No)
    }

    /// Asks to be listed as ready again.
    pub(super) fn relist(&self) {
        self.waker.wake_by_ref();
    }

    /// Appends to what the client is to receive. `false`: it is too slow.
    pub(super) fn send(&mut self, bytes: Bytes) -> bool {
        if !self.is_closing() {
            self.out.push(bytes);
        }
        self.out.len() <= CLOSE_ABOVE
    }

    /// Closes after what has been sent.
    pub(super) fn close(&mut self, now: Instant) {
        if !self.is_closing() {
            self.closing = Closing::Asked(now + CLOSE_PATIENCE);
            // Reading goes on, to notice the other side hanging up.
            self.paused = false;
            self.relist();
        }
    }

    /// When a closing connection's patience ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.closing {
            Closing::No => None,
            Closing::Asked(deadline) | Closing::Lingering(deadline) => Some(deadline),
        }
    }

    /// Reads what there is, unless the client ought to read first.
    pub(super) fn read(&mut self, buffer: &mut [u8], stats: &Stats) -> Read {
        if self.out.len() > PAUSE_ABOVE && !self.is_closing() {
            self.paused = true;
            return Read::Nothing;
        }
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(&self.waker), &mut buffer) {
            Poll::Pending => Read::Nothing,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                stats.client_reads.one();
                stats.client_bytes_in.add(buffer.filled().len());
                Read::Bytes(buffer.filled().len())
            }
            Poll::Ready(_) => Read::Over,
        }
    }

    /// Writes what there is.
    ///
    /// # Errors
    /// The socket's: the connection is over.
    pub(super) fn flush(&mut self, now: Instant, stats: &Stats) -> io::Result<()> {
        self.dirty = false;
        let before = self.out.len();
        let mut cx = Context::from_waker(&self.waker);
        if before > 0 {
            let (writes, outcome) = self.out.write(&mut self.stream, &mut cx);
            stats.client_writes.add(writes);
            stats.client_bytes_out.add(before - self.out.len());
            if let Poll::Ready(Err(error)) = outcome {
                return Err(error);
            }
        }
        if self.paused && self.out.len() <= RESUME_BELOW {
            self.paused = false;
            self.waker.wake_by_ref();
        }
        if self.out.is_empty() && matches!(self.closing, Closing::Asked(_)) {
            // For a socket this is a plain system call, ready at once.
            let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
            self.closing = Closing::Lingering(now + LINGER);
        }
        Ok(())
    }

    /// Is there anything to write?
    pub(super) fn wants_flush(&self) -> bool {
        !self.out.is_empty() || matches!(self.closing, Closing::Asked(_))
    }
}
