//! What a node keeps: when it makes checkpoints, how much of its log it holds on to, and how states travel.
//!
//! The same names and the same bounds as flags, in the section `[storage]` of the file, and in `system.settings`. A value is
//! judged where it stands, so that a complaint names its line.

use crate::server::Keeping;
use toml::de::DeValue;

/// Flags; and, with the same fields, what a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Storage {
    /// Make a checkpoint of a partition after so many log entries [default: 500000]
    #[arg(long, value_name = "N", value_parser = |text: &str| CHECKPOINT_EVERY.of_text(text))]
    pub(super) checkpoint_every: Option<u64>,
    /// Keep so many log entries before a checkpoint in memory, for replicas a little behind [default: 10000]
    #[arg(long, value_name = "N", value_parser = |text: &str| LOG_KEEP_ENTRIES.of_text(text))]
    pub(super) log_keep_entries: Option<u64>,
    /// Shorten a worker's log by checkpoints beyond this size [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| WAL_BYTES.of_text(text))]
    pub(super) wal_bytes_before_checkpoint: Option<u64>,
    /// Cut states for checkpoints and for other replicas into chunks of this size [default: 256KiB]
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| CHUNK_BYTES.of_text(text))]
    pub(super) snapshot_chunk_bytes: Option<u64>,
}

/// One of them.
struct Setting {
    name: &'static str,
    least: u64,
    most: u64,
    /// In bytes, and so with units?
    size: bool,
}

const CHECKPOINT_EVERY: Setting = Setting { name: "checkpoint_every", least: 1, most: 1_000_000_000_000, size: false };
const LOG_KEEP_ENTRIES: Setting = Setting { name: "log_keep_entries", least: 0, most: 1_000_000_000, size: false };
const WAL_BYTES: Setting = Setting { name: "wal_bytes_before_checkpoint", least: 1 << 20, most: 1 << 50, size: true };
const CHUNK_BYTES: Setting = Setting { name: "snapshot_chunk_bytes", least: 1 << 10, most: 1 << 20, size: true };

/// Keys of the section in the file.
pub(super) const KEYS: &[&str] = &[CHECKPOINT_EVERY.name, LOG_KEEP_ENTRIES.name, WAL_BYTES.name, CHUNK_BYTES.name];

const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Storage {
    /// Takes what a file says of one of [`KEYS`].
    pub(super) fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        let (setting, field) = match key {
            "checkpoint_every" => (&CHECKPOINT_EVERY, &mut self.checkpoint_every),
            "log_keep_entries" => (&LOG_KEEP_ENTRIES, &mut self.log_keep_entries),
            "wal_bytes_before_checkpoint" => (&WAL_BYTES, &mut self.wal_bytes_before_checkpoint),
            "snapshot_chunk_bytes" => (&CHUNK_BYTES, &mut self.snapshot_chunk_bytes),
            _ => return Err(format!("`{key}` is no setting of storage")),
        };
        *field = Some(setting.of_value(value)?);
        Ok(())
    }

    /// These, and where nothing is said `file`'s, and else what a node does by itself.
    pub(super) fn over(self, file: Self) -> Keeping {
        let default = Keeping::default();
        let chunk = self.snapshot_chunk_bytes.or(file.snapshot_chunk_bytes);
        Keeping {
            checkpoint_every: self.checkpoint_every.or(file.checkpoint_every).unwrap_or(default.checkpoint_every),
            log_keep_entries: self.log_keep_entries.or(file.log_keep_entries).unwrap_or(default.log_keep_entries),
            wal_bytes_before_checkpoint: self
                .wal_bytes_before_checkpoint
                .or(file.wal_bytes_before_checkpoint)
                .unwrap_or(default.wal_bytes_before_checkpoint),
            snapshot_chunk_bytes: chunk
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.snapshot_chunk_bytes),
        }
    }
}

impl Setting {
    fn of_value(&self, value: &DeValue<'_>) -> Result<u64, String> {
        match value {
            DeValue::Integer(number) => self.of_text(&number.to_string()),
            DeValue::String(text) if self.size => self.of_text(text),
            _ => Err(self.expected()),
        }
    }

    fn of_text(&self, text: &str) -> Result<u64, String> {
        let number = if self.size { bytes(text) } else { text.parse().ok() };
        number.filter(|number| (self.least..=self.most).contains(number)).ok_or_else(|| self.expected())
    }

    fn expected(&self) -> String {
        let Self { name, least, most, size } = self;
        if *size {
            let (least, most) = (shown(*least), shown(*most));
            format!("`{name}` is a size from {least} to {most}, with B, KiB, MiB, GiB or TiB, or a number of bytes")
        } else {
            format!("`{name}` is a whole number from {least} to {most}")
        }
    }
}

/// A size as people write it: digits, perhaps a space, perhaps a unit.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let number = number.trim_end_matches(' ');
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A size in the largest unit that it is a whole number of.
fn shown(bytes: u64) -> String {
    let (unit, size) = UNITS.iter().find(|(_, size)| bytes.is_multiple_of(*size)).copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, size) in [
            ("4096", 4096),
            ("4096B", 4096),
            ("256KiB", 256 << 10),
            ("256 MiB", 256 << 20),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
            ("0", 0),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "MiB", "256MB", "256mib", "1.5GiB", "-1", "+1KiB", "1_000", "16777216TiB", " 1", "1KiB "] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_as_it_can_be_written() {
        for size in [0, 1, 1000, 1 << 10, 1 << 20, 3 << 20, 256 << 20, 1 << 30, 1 << 50] {
            assert_eq!(bytes(&shown(size)), Some(size));
        }
        assert_eq!(shown(256 << 20), "256MiB");
        assert_eq!(shown(1 << 50), "1024TiB");
    }

    #[test]
    fn the_bounds_are_taken_and_nothing_beyond() {
        for setting in [&CHECKPOINT_EVERY, &LOG_KEEP_ENTRIES, &WAL_BYTES, &CHUNK_BYTES] {
            assert_eq!(setting.of_text(&setting.least.to_string()), Ok(setting.least));
            assert_eq!(setting.of_text(&setting.most.to_string()), Ok(setting.most));
            assert!(setting.of_text(&(setting.most + 1).to_string()).is_err(), "{}", setting.name);
            assert!(setting.least == 0 || setting.of_text(&(setting.least - 1).to_string()).is_err());
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = Storage { checkpoint_every: Some(7), ..Storage::default() };
        let file = Storage { checkpoint_every: Some(8), log_keep_entries: Some(9), ..Storage::default() };
        let keeping = flags.over(file);
        assert_eq!((keeping.checkpoint_every, keeping.log_keep_entries), (7, 9));
        let default = Keeping::default();
        assert_eq!(keeping.wal_bytes_before_checkpoint, default.wal_bytes_before_checkpoint);
        assert_eq!(keeping.snapshot_chunk_bytes, default.snapshot_chunk_bytes);
    }
}
