//! Bytes on their way to a socket.

use ::tokio::io::AsyncWrite;
use ::tokio::net::TcpStream;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Pieces up to this size are copied together: a copy is cheaper than a slice of its own in `writev`.
const SMALL: usize = 2048;
/// Most slices in one `writev`.
const MAX_SLICES: usize = 64;

/// A queue of bytes that leaves in as few writes as the socket takes.
#[derive(Default)]
pub(super) struct OutQueue {
    /// Closed pieces, in order.
    pieces: VecDeque<Bytes>,
    /// Small pieces gathered after the last closed one.
    tail: BytesMut,
    /// All bytes in it.
    bytes: usize,
}

impl OutQueue {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Appends.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if bytes.len() <= SMALL {
            self.tail.extend_from_slice(&bytes);
        } else {
            self.close_tail();
            self.pieces.push_back(bytes);
        }
    }

    /// Appends by copy.
    pub(super) fn push_slice(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// Writes what the socket takes. Ready: all is gone. Returns how many writes it took beside.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> (usize, Poll<io::Result<()>>) {
        self.close_tail();
        let mut writes = 0;
        while !self.pieces.is_empty() {
            writes += 1;
            let written = if self.pieces.len() == 1 {
                Pin::new(&mut *stream).poll_write(cx, &self.pieces[0])
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let count = self.pieces.len().min(MAX_SLICES);
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    *slice = IoSlice::new(piece);
                }
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])
            };
            match written {
                Poll::Ready(Ok(0)) => return (writes, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => self.advance(count),
                Poll::Ready(Err(error)) => return (writes, Poll::Ready(Err(error))),
                Poll::Pending => return (writes, Poll::Pending),
            }
        }
        (writes, Poll::Ready(Ok(())))
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while count > 0 {
            let Some(first) = self.pieces.front_mut() else { return };
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}
