//! The format, byte by byte: blocks of version 1, hard state of version 2. A change of these goldens is a change of the format and needs a new version.

use super::*;
use std::fmt::Write as _;

/// Sixteen bytes a line; repeated lines of zeros are left out.
pub(crate) fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        if chunk.iter().all(|byte| *byte == 0) {
            continue;
        }
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            chunk.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        let _ = writeln!(out, "{:06x}  {:47}  {text}", line * 16, hex.join(" "));
    }
    out
}

#[test]
fn format_v2() {
    let (mut life, ..) = Life::recover(Disk::default(), config(4)).expect("a new log");
    life.append(1, &[record(1, 1, b"first record")], Some(b"term 1"));
    life.write(2, &[record(8, 3, b"another group's")], None);
    life.wal.release(PartitionId(2), crate::wal::Floor { index: LogIndex(8), era: Era(3) });
    life.wal.flush();
    life.run();
    let mut text = String::new();
    for file in life.disk.files() {
        let content = life.disk.content(&file);
        let _ = writeln!(text, "{file}: {} bytes\n{}", content.len(), dump(content));
    }
    insta::assert_snapshot!(text);
}
