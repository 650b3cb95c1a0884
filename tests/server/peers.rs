//! The peer port of a running node, approached wrongly and rightly.

use crate::node::{Node, free_address};
use orrery::env::tokio::frame::{self, HELLO_HEADER, Hello, MAX_FRAME, Welcome};
use orrery::env::{Endpoint, Port};
use orrery::types::{NodeId, PartitionId, WorkerId};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

struct Target {
    node: Node,
    peer: String,
    _data: tempfile::TempDir,
}

/// Node 1 of three; the others are not there.
fn target() -> Target {
    let data = tempfile::tempdir().unwrap();
    let (peer, absent) = (free_address(), free_address());
    let nodes = format!("1={peer},2={absent},3={absent}");
    let node = Node::start(data.path(), &["--nodes", &nodes]);
    Target { node, peer, _data: data }
}

fn hello() -> Hello {
    Hello { cluster: "orrery".into(), from: NodeId(2), worker: WorkerId(0), life: 7, to: NodeId(1) }
}

impl Target {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.peer).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    /// Says hello and returns the answer.
    fn greet(&self, hello: &Hello) -> (TcpStream, Welcome) {
        let mut stream = self.connect();
        stream.write_all(&frame::encode_hello(hello)).unwrap();
        let mut header = [0; HELLO_HEADER];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; frame::hello_length(&header).unwrap()];
        stream.read_exact(&mut body).unwrap();
        let welcome = frame::decode_welcome(&header, &body).unwrap();
        (stream, welcome)
    }
}

/// Has the other side closed (or reset) the connection, without another byte?
fn is_closed(mut stream: TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn message(payload: &[u8]) -> Vec<u8> {
    let to = Endpoint { node: NodeId(1), port: Port::Partition(PartitionId(1)) };
    [&frame::frame_header(to.port, payload)[..], payload].concat()
}

#[test]
fn bytes_that_are_no_hello_are_refused() {
    let mut target = target();
    let good = frame::encode_hello(&hello());
    let with = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 100],
        with(4, 99),               // version
        with(7, 0xff),             // length
        with(8, good[8] ^ 1),      // checksum
        with(14, good[14] ^ 0x20), // body
    ] {
        let mut stream = target.connect();
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(stream), "{bytes:?}");
    }
    assert!(target.node.is_alive());
    assert_eq!(target.node.stop(), Some(0));
}

#[test]
fn a_wrong_hello_is_told_why() {
    let target = target();
    for (wrong, why) in [
        (Hello { cluster: "other".into(), ..hello() }, "this is cluster `orrery`, not `other`"),
        (Hello { to: NodeId(3), ..hello() }, "this is node 1, not node 3"),
        (Hello { from: NodeId(1), ..hello() }, "node 1 is this node: two nodes have the same id"),
    ] {
        let (stream, welcome) = target.greet(&wrong);
        assert_eq!(welcome, Welcome::Refused(why.to_owned()));
        assert!(is_closed(stream));
    }
    assert_eq!(target.node.stop(), Some(0));
}

#[test]
fn malformed_frames_end_the_connection_and_nothing_else() {
    let mut target = target();
    let mut damaged = message(b"payload");
    damaged[20] ^= 1;
    let huge = [&(MAX_FRAME as u32 + 1).to_le_bytes()[..], &[0; 12]].concat();
    let mut unknown_port = message(b"payload");
    unknown_port[8] = 77;
    for bytes in [damaged, huge, vec![0xff; 64], unknown_port] {
        let (mut stream, welcome) = target.greet(&hello());
        assert_eq!(welcome, Welcome::Accepted);
        // A whole frame with a payload that means nothing is the worker's business: it stays.
        stream.write_all(&message(b"not a message")).unwrap();
        stream.write_all(&bytes).unwrap();
        assert!(is_closed(stream), "{bytes:?}");
    }
    assert!(target.node.is_alive());
    assert_eq!(target.node.stop(), Some(0));
}

#[test]
fn a_newer_connection_ends_the_older() {
    let target = target();
    let (older, _) = target.greet(&hello());
    let (newer, _) = target.greet(&Hello { life: 8, ..hello() });
    assert!(is_closed(older));
    newer.set_nonblocking(true).unwrap();
    assert_eq!((&newer).read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(target.node.stop(), Some(0));
}
