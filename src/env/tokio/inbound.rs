//! An incoming peer connection: its hello has been taken and answered; frames follow.

use super::frame::{self, Hello, Malformed};
use super::ready::{ReadyList, Source, Token};
use crate::env::Port;
use ::tokio::io::{AsyncRead, ReadBuf};
use ::tokio::net::TcpStream;
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A peer's connection to this worker.
pub(super) struct Inbound {
    stream: TcpStream,
    waker: Waker,
    buffer: BytesMut,
    pub(super) hello: Hello,
}

/// What reading came to.
pub(super) enum Received {
    /// Bytes, as many as asked for or fewer.
    Some,
    /// Nothing now; the waker knows.
    Nothing,
    /// The peer has gone.
    Over,
}

impl Inbound {
    pub(super) fn new(stream: TcpStream, hello: Hello, key: u64, ready: &Arc<ReadyList>) -> Self {
        let (_, waker) = Source::new(Token::Inbound(key), ready);
        Self { stream, waker, buffer: BytesMut::new(), hello }
    }

    pub(super) fn relist(&self) {
        self.waker.wake_by_ref();
    }

    /// Reads once, by way of `scratch`.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Received {
        let mut scratch = ReadBuf::new(scratch);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(&self.waker), &mut scratch) {
            Poll::Pending => Received::Nothing,
            Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {
                self.buffer.extend_from_slice(scratch.filled());
                Received::Some
            }
            Poll::Ready(_) => Received::Over,
        }
    }

    /// The next whole frame of what has been read.
    pub(super) fn next_frame(&mut self) -> Result<Option<(Port, Bytes)>, Malformed> {
        frame::next_frame(&mut self.buffer)
    }
}
