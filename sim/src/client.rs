//! The seam between the world and simulated clients: a client is a machine too, fed with what a real one would see.
//!
//! A client has at most one connection at a time. The world carries its bytes as a reliable, ordered stream with delay;
//! a crash of the node, a reset or a close by the node ends it with [`ClientInput::Closed`].

use crate::history::HistoryEvent;
use bytes::Bytes;
use orrery::types::NodeId;

/// A simulated client.
pub trait Client {
    /// Takes an input at a simulated time, and says what to do, in order.
    fn handle(&mut self, now_ns: u64, input: ClientInput) -> Vec<ClientAction>;
}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// The run begins. The first input.
    Start,
    /// A time asked for has come. May be spurious.
    Wake,
    /// The connection asked for stands.
    Connected,
    /// Bytes have come, cut anywhere.
    Bytes(Bytes),
    /// The connection has ended or was refused (the node is down). Also comes when it was being made. It does not come
    /// after the client's own [`ClientAction::Disconnect`].
    Closed,
    /// The chaos is over and the core is healed; the client shall connect only to these nodes from now on. Once a run.
    /// Its closing operations count from now.
    Healed(Vec<NodeId>),
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// Connects to a node; an earlier connection is dropped.
    Connect(NodeId),
    /// Sends bytes on the connection.
    Send(Bytes),
    /// Drops the connection: nothing of it comes any more.
    Disconnect,
    /// Wants [`ClientInput::Wake`] then. Only the latest call counts.
    WakeAt(u64),
    /// Notes in the history.
    Record(HistoryEvent),
    /// All closing operations have ended well. The run may end when every client has said so.
    Done,
}
