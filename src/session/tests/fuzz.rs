//! Whatever bytes come, and however they are cut.

use super::dialogue::{Dialogue, config, message};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A conversation after startup, as one piece of bytes.
fn conversation(lines: &[&str]) -> Bytes {
    let mut bytes = BytesMut::new();
    for line in lines {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        message(verb, rest, &BTreeMap::new(), &mut bytes);
    }
    bytes.freeze()
}

fn played(pieces: impl Iterator<Item = Bytes>) -> String {
    let mut dialogue = Dialogue::ready(config());
    // Requests are not shown: whether a partition is asked before or after the last answer has left is no matter.
    dialogue.line("quiet");
    for piece in pieces {
        dialogue.send(1, piece);
    }
    dialogue.take_output()
}

fn cut(bytes: &Bytes, mut cuts: Vec<usize>) -> impl Iterator<Item = Bytes> {
    for cut in &mut cuts {
        *cut %= bytes.len() + 1;
    }
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let bytes = bytes.clone();
    (1..cuts.len()).map(move |index| bytes.slice(cuts[index - 1]..cuts[index])).collect::<Vec<_>>().into_iter()
}

const LINES: [&str; 24] = [
    "query CREATE TABLE t (id int PRIMARY KEY, name text)",
    "query INSERT INTO t VALUES (1, 'one'); SELECT * FROM t",
    "query SELECT * FROM nowhere",
    "query SELEC",
    "parse s - SELECT id, name FROM t WHERE id = $1",
    "parse - 23,25 INSERT INTO t VALUES ($1, $2)",
    "bind - s 1 => b",
    "bind p s 0x00000001",
    "bind - - 7 seven",
    "bind - - null",
    "describe S s",
    "describe P -",
    "describe P p",
    "execute - 0",
    "execute p 1",
    "close S s",
    "close P p",
    "flush",
    "sync",
    "sync",
    "query SET application_name = 'x'",
    "query SHOW application_name",
    "parse e -",
    "bind - e",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn cutting_does_not_change_the_answer(
        picks in proptest::collection::vec(0..LINES.len(), 1..20),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        // At the end everything is asked to be sent: until then it is no matter when answers leave.
        let lines: Vec<_> = picks.into_iter().map(|pick| LINES[pick]).chain(["sync"]).collect();
        let bytes = conversation(&lines);
        let whole = played(std::iter::once(bytes.clone()));
        prop_assert_eq!(played(cut(&bytes, cuts)), whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        startup in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(any::<usize>(), 0..5),
    ) {
        let mut dialogue = if startup { Dialogue::ready(config()) } else { Dialogue::new(config()) };
        if !startup {
            dialogue.line("open");
        }
        for piece in cut(&Bytes::from(bytes), cuts) {
            dialogue.send(1, piece);
        }
    }

    #[test]
    fn broken_messages_never_panic(
        picks in proptest::collection::vec(0..LINES.len(), 1..8),
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let lines: Vec<_> = picks.into_iter().map(|pick| LINES[pick]).collect();
        let mut bytes = conversation(&lines).to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let mut dialogue = Dialogue::ready(config());
        dialogue.send(1, Bytes::from(bytes));
    }
}
