use bytes::Bytes;
use std::fmt;

/// Number of a submitted operation, unique in a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A disk operation. Files are named within the worker's own flat directory; `/` does not occur in names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Names and lengths of all files, sorted by name.
    List,
    /// Creates a file of `length` zero bytes, its space reserved; fails if it exists. The name is durable only after
    /// [`DiskOp::SyncDirectory`], the length after [`DiskOp::Sync`].
    Create {
        /// File.
        file: String,
        /// Length in bytes.
        length: u64,
    },
    /// Writes at an offset of an existing file, extending it if needed. Not durable before a sync.
    Write {
        /// File.
        file: String,
        /// Offset in bytes.
        offset: u64,
        /// What to write.
        data: Bytes,
    },
    /// Makes all earlier completed writes and truncations of a file durable.
    Sync {
        /// File.
        file: String,
    },
    /// Reads up to `length` bytes; fewer at the end of the file.
    Read {
        /// File.
        file: String,
        /// Offset in bytes.
        offset: u64,
        /// Most bytes to read.
        length: u64,
    },
    /// Cuts or extends a file with zeros. Not durable before a sync.
    Truncate {
        /// File.
        file: String,
        /// New length in bytes.
        length: u64,
    },
    /// Renames, replacing the target atomically. Durable after [`DiskOp::SyncDirectory`].
    Rename {
        /// Old name.
        from: String,
        /// New name.
        to: String,
    },
    /// Removes a file. Durable after [`DiskOp::SyncDirectory`].
    Remove {
        /// File.
        file: String,
    },
    /// Makes creations, renames and removals durable.
    SyncDirectory,
}

/// What a successful operation yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOutput {
    /// Nothing but its success.
    Done,
    /// Bytes read.
    Data(Bytes),
    /// Names and lengths.
    Files(Vec<(String, u64)>),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No such file.
    NotFound,
    /// The file exists.
    Exists,
    /// No space left.
    Full,
    /// The device reports an error.
    Io(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such file"),
            Self::Exists => f.write_str("file exists"),
            Self::Full => f.write_str("no space left on device"),
            Self::Io(what) => f.write_str(what),
        }
    }
}

/// How an operation ended.
pub type DiskResult = Result<DiskOutput, DiskError>;

/// The worker's directory.
///
/// Operations of one worker are carried out and completed in the order submitted. A crash keeps what was synced; of
/// what was not, any part may be there, in any order, at the grain of 512-byte sectors: a write may be torn, a later one
/// kept and an earlier one lost; an unsynced name may be missing. A failed write may have stored some of its first
/// sectors. A failed [`DiskOp::Sync`] leaves unknown what is durable, and a later successful one proves nothing about it:
/// the worker ends its life (rules A12). After an operation has failed with [`DiskError::Io`] or [`DiskError::Full`], none
/// is carried out that was submitted behind it before the failure was reported: whoever submits "write, sync, rename" at
/// once never renames what was not synced. Later ones may be. What reads back may have been damaged since, or belong to
/// another place (a misdirected write): whoever reads checks.
pub trait Disk {
    /// Submits an operation; its end comes back as [`super::Event::Disk`].
    fn submit(&mut self, op: DiskOp) -> OpId;
}
