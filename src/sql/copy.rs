//! COPY data on their way: bytes cut anywhere become pieces of whole lines.
//!
//! A session cuts so that a piece can be executed by itself; what the lines mean is the executor's business
//! (`execute::copy`). Only as much of the format is understood here as says where a line ends: in text a newline behind
//! a backslash is data, in CSV one between quotes is.

use super::parse::CopyFormat;
use bytes::{Bytes, BytesMut};

/// Cuts COPY data into pieces of whole lines.
#[derive(Debug)]
pub struct Splitter {
    format: CopyFormat,
    buffer: BytesMut,
    /// How far the buffer has been looked at.
    scanned: usize,
    /// Where the line being looked at begins.
    line: usize,
    ends: LineEnds,
    /// Line breaks before the buffer, and those before `line` in it.
    lines_taken: u64,
    lines_here: u64,
    /// `\.` has come: the rest is nothing.
    ended: bool,
}

/// Where lines end, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineEnds {
    /// Inside quotes (CSV).
    inside: bool,
    /// Behind a backslash (text) or an escape sign that is not the quote (CSV).
    escaped: bool,
}

impl LineEnds {
    /// Does a line end with this byte?
    pub(super) fn step(&mut self, format: &CopyFormat, byte: u8) -> bool {
        let escaped = std::mem::replace(&mut self.escaped, false);
        if !format.csv {
            self.escaped = byte == b'\\' && !escaped;
            return byte == b'\n' && !escaped;
        }
        if format.escape != format.quote && byte == format.escape && self.inside && !escaped {
            self.escaped = true;
        } else if byte == format.quote && !escaped {
            self.inside = !self.inside;
        }
        byte == b'\n' && !self.inside
    }
}

/// A piece of whole lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The lines.
    pub bytes: Bytes,
    /// Number of the first one, from 1.
    pub first_line: u64,
}

impl Splitter {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(format: CopyFormat) -> Self {
        Self {
            format,
            buffer: BytesMut::new(),
            scanned: 0,
            line: 0,
            ends: LineEnds::default(),
            lines_taken: 0,
            lines_here: 0,
            ended: false,
        }
    }

    /// Takes data.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        while self.scanned < self.buffer.len() && !self.ended {
            let byte = self.buffer[self.scanned];
            self.scanned += 1;
            let ends = self.ends.step(&self.format, byte);
            if byte == b'\n' {
                self.line_break(ends);
            }
        }
    }

    fn line_break(&mut self, ends: bool) {
        self.lines_here += 1;
        if !ends {
            return;
        }
        let line = &self.buffer[self.line..self.scanned - 1];
        if matches!(line, b"\\." | b"\\.\r") {
            self.ended = true;
            self.buffer.truncate(self.line);
            self.scanned = self.line;
        } else {
            self.line = self.scanned;
        }
    }

    /// How much has come and not been taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Is there nothing to take?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes the whole lines that there are, once they are at least `least` bytes.
    pub fn take(&mut self, least: usize) -> Option<Piece> {
        if self.line == 0 || self.line < least {
            return None;
        }
        let bytes = self.buffer.split_to(self.line).freeze();
        self.scanned -= self.line;
        self.line = 0;
        // Breaks inside the line that is not whole belong to it.
        let open = self.buffer[..self.scanned].iter().filter(|byte| **byte == b'\n').count() as u64;
        let first_line = self.lines_taken + 1;
        self.lines_taken += self.lines_here - open;
        self.lines_here = open;
        Some(Piece { bytes, first_line })
    }

    /// All data have come: takes what is left, its last line whole or not.
    pub fn finish(&mut self) -> Option<Piece> {
        self.line = self.buffer.len();
        self.scanned = self.line;
        // A last line without a break.
        if matches!(self.buffer.as_ref(), b"\\.") || self.buffer.ends_with(b"\n\\.") {
            self.buffer.truncate(self.line - 2);
        }
        let bytes = std::mem::take(&mut self.buffer).freeze();
        (!bytes.is_empty()).then_some(Piece { bytes, first_line: self.lines_taken + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Kind, parse};

    fn splitter(options: &str) -> Splitter {
        let parsed = parse(&format!("COPY t FROM STDIN {options}")).expect("the options are sound");
        let Kind::Copy(copy) = &parsed[0].kind else { panic!("COPY is a COPY") };
        Splitter::new(copy.format.clone())
    }

    /// Pieces of at least four bytes when the data come in pieces of `cut`.
    fn pieces(options: &str, data: &str, cut: usize) -> Vec<(u64, String)> {
        let mut splitter = splitter(options);
        let mut pieces = Vec::new();
        for bytes in data.as_bytes().chunks(cut) {
            splitter.push(bytes);
            pieces.extend(splitter.take(4));
        }
        pieces.extend(splitter.finish());
        let text = |piece: Piece| (piece.first_line, String::from_utf8_lossy(&piece.bytes).into_owned());
        pieces.into_iter().map(text).collect()
    }

    #[test]
    fn pieces_are_whole_lines_however_the_data_are_cut() {
        for cut in 1..20 {
            let cases = [
                ("", "1\ta\\\nb\n2\tc\\\\\n3\td\n\\.\nignored\n"),
                ("CSV", "1,\"a\nb\"\n2,\"c\"\"\n\"\n3,d\n"),
                ("", "1\n2\n\\."),
            ];
            for (options, data) in cases {
                let found = pieces(options, data, cut);
                let whole: String = found.iter().map(|(_, text)| text.as_str()).collect();
                let wanted = data.split("\\.").next().expect("a split has a first part");
                assert_eq!(whole, wanted, "cut by {cut}");
                let mut line = 1;
                for (first, text) in &found {
                    assert_eq!(*first, line, "{found:?}");
                    line += text.matches('\n').count() as u64;
                    let starts = text.starts_with(|c: char| c.is_ascii_digit());
                    assert!(starts && text.ends_with('\n'), "a piece is whole lines: {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_last_line_needs_no_break() {
        assert_eq!(pieces("", "1\n2", 1), [(1, "1\n2".to_owned())]);
        assert!(pieces("", "", 1).is_empty());
    }
}
