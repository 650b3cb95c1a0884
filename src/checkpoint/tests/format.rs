//! The format, byte by byte: a change of this golden is a change of the format and needs a new version.

use super::*;
use std::fmt::Write as _;

#[test]
fn format_v1() {
    let (mut life, ..) = Life::load(Disk::default());
    life.checkpoints.begin(P, header(77));
    life.run();
    life.checkpoints.append(P, Bytes::from_static(b"the first and only chunk"));
    life.run();
    life.checkpoints.finish(P);
    life.run();
    let mut text = String::new();
    for file in life.disk.files() {
        let content = life.disk.content(&file);
        let _ = writeln!(text, "{file}: {} bytes\n{}", content.len(), crate::wal::tests::format::dump(content));
    }
    insta::assert_snapshot!(text);
}
