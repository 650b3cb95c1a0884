//! A worker's directory and its open files.

use super::super::stats::Stats;
use super::Report;
use super::run::Run;
use crate::env::{DiskError, DiskOp, DiskOutput, DiskResult, OpId};
use rustix::fs::{FallocateFlags, OFlags};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What direct writes must be multiples of.
pub(super) const ALIGNMENT: usize = 4096;
/// Filled at a time: short enough that a flush which has to wait for it does not suffer.
const FILL_PIECE: usize = 256 << 10;

/// The files of a flat directory and their lengths in bytes, by name.
///
/// # Errors
/// What the system says when it does not let them be read.
pub fn list(directory: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            files.push((name, metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// A worker's flat directory.
pub struct Directory {
    path: PathBuf,
    handle: File,
    files: BTreeMap<String, OpenFile>,
    stats: Arc<Stats>,
    /// An operation has failed: none behind it is carried out.
    failed: bool,
    /// Aligned memory for direct writes, grown as needed.
    pub(super) aligned: Aligned,
}

/// A file, open.
pub(super) struct OpenFile {
    buffered: File,
    direct: Direct,
    /// Written, cut or created through the page cache since the last `fdatasync`.
    dirty: bool,
    /// A sync has failed: no later one may be believed.
    poisoned: bool,
    fill: Option<Fill>,
}

enum Direct {
    Untried,
    /// The file system does not do it.
    Refused,
    Open(File),
}

/// How far a created file has been filled with zeros. Moves up only, and never below what has been written.
struct Fill {
    /// Handle with `O_DIRECT` alone: filling need not be durable piece by piece.
    file: File,
    next: u64,
    end: u64,
}

/// Memory at an address that is a multiple of [`ALIGNMENT`].
#[derive(Default)]
pub(super) struct Aligned(Vec<u8>);

impl Aligned {
    /// `length` bytes of it, content unspecified.
    pub(super) fn take(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length + ALIGNMENT {
            self.0 = vec![0; length.next_power_of_two() + ALIGNMENT];
        }
        let start = self.0.as_ptr().align_offset(ALIGNMENT);
        &mut self.0[start..start + length]
    }
}

impl Directory {
    /// Opens a directory that exists.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: PathBuf, stats: Arc<Stats>) -> io::Result<Self> {
        let handle = File::open(&path)?;
        Ok(Self { path, handle, files: BTreeMap::new(), stats, failed: false, aligned: Aligned::default() })
    }

    /// Carries operations out in order. Results are reported in the same order: at each sync, and at the end.
    pub fn carry_out(&mut self, mut ops: VecDeque<(OpId, DiskOp)>, report: Report<'_>) {
        let mut results = Vec::new();
        while let Some((id, op)) = ops.pop_front() {
            if self.failed {
                results.push((id, Err(DiskError::Io("an earlier operation failed".into()))));
                continue;
            }
            self.stats.disk_ops.one();
            let synced = match op {
                DiskOp::Write { file, offset, data } => {
                    let run = Run::gather(id, file, offset, data, &mut ops);
                    let synced = run.is_synced();
                    self.carry_out_run(run, &mut results);
                    synced
                }
                DiskOp::Sync { file } => {
                    self.stats.disk_syncs.one();
                    let result = self.file(&file).and_then(|(open, stats)| open.sync(stats));
                    results.push((id, result.map(|()| DiskOutput::Done)));
                    true
                }
                other => {
                    results.push((id, self.carry_out_one(other)));
                    false
                }
            };
            let fatal = |(_, result): &(OpId, DiskResult)| matches!(result, Err(DiskError::Io(_) | DiskError::Full));
            self.failed = results.iter().any(fatal);
            if synced {
                report(std::mem::take(&mut results));
            }
        }
        if !results.is_empty() {
            report(results);
        }
    }

    fn carry_out_one(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::List => return list(&self.path).map_err(|error| disk_error(&error)).map(DiskOutput::Files),
            DiskOp::Create { file, length } => self.create(&file, length)?,
            DiskOp::Read { file, offset, length } => return self.read(&file, offset, length),
            DiskOp::Truncate { file, length } => {
                let (open, _) = self.file(&file)?;
                open.dirty = true;
                open.fill = None;
                open.buffered.set_len(length).map_err(|error| disk_error(&error))?;
            }
            DiskOp::Rename { from, to } => {
                let (source, target) = (self.path_of(&from)?, self.path_of(&to)?);
                rustix::fs::rename(source, target).map_err(|error| disk_error(&error.into()))?;
                // The handles, and what they know of unsynced bytes, belong to the file, not to its name.
                self.files.remove(&to);
                if let Some(open) = self.files.remove(&from) {
                    self.files.insert(to, open);
                }
            }
            DiskOp::Remove { file } => {
                let path = self.path_of(&file)?;
                self.files.remove(&file);
                rustix::fs::unlink(path).map_err(|error| disk_error(&error.into()))?;
            }
            DiskOp::SyncDirectory => {
                self.stats.disk_flushes.one();
                rustix::fs::fsync(&self.handle).map_err(|error| disk_error(&error.into()))?;
            }
            DiskOp::Write { .. } | DiskOp::Sync { .. } => unreachable!("taken as runs by the caller"),
        }
        Ok(DiskOutput::Done)
    }

    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        let path = self.path_of(name)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|error| disk_error(&error))?;
        let reserved = match length {
            0 => Ok(()),
            _ => match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length) {
                Ok(()) => Ok(()),
                Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&file, length),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = reserved {
            // A file that is there but too short would be taken for a whole one later.
            let _ = std::fs::remove_file(&path);
            return Err(disk_error(&error));
        }
        let fill = open_direct(&path, OFlags::DIRECT).ok().filter(|_| length >= FILL_PIECE as u64);
        let fill = fill.map(|file| Fill { file, next: 0, end: length - length % ALIGNMENT as u64 });
        let open = OpenFile { buffered: file, direct: Direct::Untried, dirty: true, poisoned: false, fill };
        self.files.insert(name.to_owned(), open);
        Ok(())
    }

    fn read(&mut self, name: &str, offset: u64, length: u64) -> DiskResult {
        let (open, _) = self.file(name)?;
        let size = open.buffered.metadata().map_err(|error| disk_error(&error))?.len();
        let length = length.min(size.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(length).map_err(|_| DiskError::Io("a read that long".into()))?];
        let mut filled = 0;
        while filled < data.len() {
            match open.buffered.read_at(&mut data[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(disk_error(&error)),
            }
        }
        data.truncate(filled);
        Ok(DiskOutput::Data(data.into()))
    }

    /// Writes a run and, if it ends in a sync, makes it durable.
    fn carry_out_run(&mut self, run: Run, results: &mut Vec<(OpId, DiskResult)>) {
        self.stats.disk_bytes.add(run.bytes());
        self.stats.disk_syncs.add(run.syncs());
        self.stats.disk_ops.add(run.ops() - 1);
        let mut aligned = std::mem::take(&mut self.aligned);
        let path = self.path_of(run.file());
        let outcome = path.and_then(|path| {
            let (open, stats) = self.file(run.file())?;
            open.raise_fill(run.end());
            if run.is_synced() && run.is_aligned() && open.try_direct(&path) {
                match open.write_direct(&run, &mut aligned, stats) {
                    // Some file systems open with O_DIRECT and refuse the write; nothing has been written then.
                    Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
                        open.direct = Direct::Refused;
                    }
                    Err(error) => {
                        open.poisoned = true;
                        return Err(disk_error(&error));
                    }
                    Ok(()) => return if open.dirty || open.poisoned { open.sync(stats) } else { Ok(()) },
                }
            }
            open.write_buffered(&run)?;
            if run.is_synced() { open.sync(stats) } else { Ok(()) }
        });
        self.aligned = aligned;
        run.report(&outcome, results);
    }

    /// The open file of that name.
    fn file(&mut self, name: &str) -> Result<(&mut OpenFile, &Stats), DiskError> {
        if !self.files.contains_key(name) {
            let path = self.path_of(name)?;
            let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| disk_error(&error))?;
            // What an earlier life left unsynced is unknown: the first sync is a real one.
            let open = OpenFile { buffered: file, direct: Direct::Untried, dirty: true, poisoned: false, fill: None };
            self.files.insert(name.to_owned(), open);
        }
        let open = self.files.get_mut(name).expect("it was there, or has just been put there");
        Ok((open, &self.stats))
    }

    fn path_of(&self, name: &str) -> Result<PathBuf, DiskError> {
        if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
            return Err(DiskError::Io(format!("`{name}` is no file name")));
        }
        Ok(self.path.join(name))
    }

    /// Is a created file still to be filled?
    #[must_use]
    pub fn wants_filling(&self) -> bool {
        self.files.values().any(|open| open.fill.is_some())
    }

    /// Fills the next piece.
    pub fn fill_piece(&mut self) {
        if let Some(open) = self.files.values_mut().find(|open| open.fill.is_some()) {
            open.fill(self.aligned.take(FILL_PIECE));
        }
    }
}

impl OpenFile {
    fn try_direct(&mut self, path: &std::path::Path) -> bool {
        if matches!(self.direct, Direct::Untried) {
            self.direct = match open_direct(path, OFlags::DIRECT | OFlags::DSYNC) {
                Ok(file) => Direct::Open(file),
                Err(_) => Direct::Refused,
            };
        }
        matches!(self.direct, Direct::Open(_))
    }

    fn write_direct(&mut self, run: &Run, aligned: &mut Aligned, stats: &Stats) -> io::Result<()> {
        let Direct::Open(file) = &self.direct else { unreachable!("asked just before") };
        run.contiguous(aligned, |offset, bytes| {
            stats.disk_flushes.one();
            file.write_all_at(bytes, offset)
        })
    }

    fn write_buffered(&mut self, run: &Run) -> Result<(), DiskError> {
        self.dirty = true;
        for (offset, data) in run.writes() {
            self.buffered.write_all_at(data, offset).map_err(|error| disk_error(&error))?;
        }
        Ok(())
    }

    fn sync(&mut self, stats: &Stats) -> Result<(), DiskError> {
        if self.poisoned {
            return Err(DiskError::Io("an earlier sync of this file failed".into()));
        }
        if !self.dirty {
            return Ok(());
        }
        stats.disk_flushes.one();
        match rustix::fs::fdatasync(&self.buffered) {
            Ok(()) => {
                self.dirty = false;
                Ok(())
            }
            Err(error) => {
                self.poisoned = true;
                Err(disk_error(&error.into()))
            }
        }
    }

    /// Nothing below `end` is filled from here on.
    fn raise_fill(&mut self, end: u64) {
        if let Some(fill) = &mut self.fill {
            fill.next = fill.next.max(end.next_multiple_of(ALIGNMENT as u64));
            if fill.next >= fill.end {
                self.fill = None;
            }
        }
    }

    /// Fills one piece with zeros. A failure only means that the file stays as it was reserved: slower, not wrong.
    fn fill(&mut self, zeros: &mut [u8]) {
        let Some(fill) = &mut self.fill else { return };
        zeros.fill(0);
        let length = usize::try_from(fill.end - fill.next).map_or(zeros.len(), |left| left.min(zeros.len()));
        let done = fill.file.write_all_at(&zeros[..length], fill.next);
        fill.next += length as u64;
        if fill.next >= fill.end || done.is_err() {
            self.fill = None;
            // Takes the journal's work for the fill now, rather than in the first flush after it. Its result says
            // nothing about data that anybody was promised, except that a failure here must not hide a later one.
            if rustix::fs::fdatasync(&self.buffered).is_err() {
                self.poisoned = true;
            }
        }
    }
}

fn open_direct(path: &std::path::Path, flags: OFlags) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path)
}

fn write_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < length {
        let piece = usize::try_from(length - offset).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_all_at(&zeros[..piece], offset)?;
        offset += piece as u64;
    }
    Ok(())
}

/// The system's error as the seam knows it.
pub(super) fn disk_error(error: &io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotFound,
        io::ErrorKind::AlreadyExists => DiskError::Exists,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full,
        _ => DiskError::Io(error.to_string()),
    }
}
