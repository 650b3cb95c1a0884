//! The data directory: locked, checked, created.

use super::Failure;
use super::identity::{FILE, Identity};
use crate::types::WorkerId;
use rustix::fs::FlockOperation;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Held while a process uses a directory; the system lets go of it with the process.
const LOCK: &str = "orrery.lock";

/// A data directory in use.
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
    /// What it is bound to, if it is not new.
    pub identity: Option<Identity>,
}

impl DataDirectory {
    /// Locks the directory and reads whom it belongs to. Creates it if there is none; changes nothing in one that
    /// cannot be used.
    ///
    /// # Errors
    /// [`Failure::usage`] with what to do.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unusable = |what: String| Failure::usage(format!("cannot use the data directory {shown}: {what}"));
        if path.exists() && !path.is_dir() {
            return Err(unusable("it is not a directory: choose another with --data".into()));
        }
        let foreign = is_foreign(path).map_err(|error| unusable(advice(&error)))?;
        if foreign {
            return Err(unusable("it holds other files: choose an empty directory with --data".into()));
        }
        fs::create_dir_all(path).map_err(|error| unusable(advice(&error)))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(|error| unusable(advice(&error)))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(unusable("another process uses it: stop that, or choose another with --data".into()));
        }
        let identity = match fs::read(path.join(FILE)) {
            Ok(bytes) => {
                let identity = Identity::decode(&String::from_utf8_lossy(&bytes));
                Some(identity.map_err(|why| {
                    let advice = match why {
                        super::identity::Unreadable::Newer(_) => "start the newer Orrery that wrote it",
                        super::identity::Unreadable::Older(_) => {
                            "start the version that wrote it, or with an empty directory"
                        }
                        super::identity::Unreadable::Damaged => "restore it, or start with an empty directory",
                    };
                    unusable(format!("{why}: {advice}"))
                })?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(advice(&error))),
        };
        Ok(Self { path: path.to_owned(), _lock: lock, identity })
    }

    /// Binds the directory to `asked`, or checks that it is bound so already. Then the workers' directories exist.
    ///
    /// # Errors
    /// [`Failure::usage`] when it is bound otherwise; nothing has been changed then.
    pub fn bind(&self, asked: &Identity) -> Result<(), Failure> {
        let shown = self.path.display();
        let unusable = |what: String| Failure::usage(format!("cannot use the data directory {shown}: {what}"));
        if let Some(difference) = self.identity.as_ref().and_then(|identity| identity.difference(asked)) {
            return Err(unusable(difference));
        }
        let create = || -> io::Result<()> {
            for worker in 0..asked.workers {
                fs::create_dir_all(self.worker(WorkerId(worker)))?;
            }
            if self.identity.is_none() {
                write_atomically(&self.path, FILE, asked.encode().as_bytes())?;
            }
            Ok(())
        };
        create().map_err(|error| unusable(advice(&error)))
    }

    /// The text of a file of the node's own.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path.join(name)).ok()
    }

    /// Writes a file of the node's own, durably.
    ///
    /// # Errors
    /// [`Failure::broken`].
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        write_atomically(&self.path, name, text.as_bytes())
            .map_err(|error| Failure::broken(format!("{} cannot be written: {error}", self.path.join(name).display())))
    }

    /// A worker's own directory.
    #[must_use]
    pub fn worker(&self, worker: WorkerId) -> PathBuf {
        self.path.join(format!("worker-{}", worker.0))
    }
}

/// Does the directory hold something, and nothing of ours?
fn is_foreign(path: &Path) -> io::Result<bool> {
    if !path.exists() || path.join(FILE).exists() {
        return Ok(false);
    }
    // A start that was interrupted before the identity was written leaves these.
    let ours = |name: &str| {
        name == LOCK
            || name.starts_with("worker-")
            || name.starts_with(FILE)
            || name.starts_with(super::join::FILE)
            || name == "lost+found"
    };
    for entry in fs::read_dir(path)? {
        if !entry?.file_name().to_str().is_some_and(ours) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied: give this user the right, or choose another with --data".into()
        }
        io::ErrorKind::StorageFull => "no space left on the device: make room, or choose another with --data".into(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only: choose another with --data".into(),
        _ => format!("{error}: choose another with --data"),
    }
}

/// Writes a file so that it is there whole or not at all, and stays.
pub(super) fn write_atomically(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}
