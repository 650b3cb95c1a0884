//! The configuration file.
//!
//! ```toml
//! [node]
//! id = 1                      # this node; from 1
//! zone = "a"                  # what fails together; with weight and priority, until the cluster is told otherwise
//! weight = 1                  # share of replicas
//! priority = 0                # of being leader
//! data = "orrery-data"
//! workers = 1
//!
//! [listen]
//! pg = "127.0.0.1:5433"
//! peer = "127.0.0.1:5434"
//! max_connections = 10000     # of clients
//! http = "127.0.0.1:8433"     # or "off"
//!
//! [cluster]
//! name = "orrery"
//! nodes = "1=10.0.0.1:5434,2=10.0.0.2:5434,3=10.0.0.3:5434"     # or { 1 = "10.0.0.1:5434", … }
//! partitions = 1
//! k = 1                       # the loss of how many nodes is survived; 2k+1 nodes
//! consensus = "raft"
//! lease_ms = 0                # length of leaders' leases; 0: none
//! in_sync_timeout_ms = 5000   # who lacks something for longer is not in sync
//!
//! [storage]
//! checkpoint_every = 500000
//! log_keep_entries = 10000
//! wal_bytes_before_checkpoint = "256MiB"
//! snapshot_chunk_bytes = "256KiB"
//! ```

use super::nodes;
use super::storage::{self, Storage};
use crate::consensus::detection::Detection;
use crate::types::NodeId;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What a file says; all of it optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileConfig {
    pub(super) id: Option<u32>,
    pub(super) data: Option<PathBuf>,
    pub(super) workers: Option<u16>,
    pub(super) zone: Option<String>,
    pub(super) weight: Option<u32>,
    pub(super) priority: Option<u32>,
    pub(super) max_connections: Option<u32>,
    pub(super) pg: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) http: Option<String>,
    pub(super) name: Option<String>,
    pub(super) nodes: Option<BTreeMap<NodeId, String>>,
    pub(super) partitions: Option<u32>,
    pub(super) k: Option<u32>,
    pub(super) storage: Storage,
    pub(super) detection: Option<Detection>,
    pub(super) lease_ms: Option<u64>,
    pub(super) in_sync_timeout_ms: Option<u64>,
}

/// Sections and their keys: what a misspelt one is compared with.
const SECTIONS: &[(&str, &[&str])] = &[
    ("node", &["id", "zone", "weight", "priority", "data", "workers"]),
    ("listen", &["pg", "peer", "http", "max_connections"]),
    (
        "cluster",
        &["name", "nodes", "partitions", "k", "consensus", "failure_detection", "lease_ms", "in_sync_timeout_ms"],
    ),
    ("storage", storage::KEYS),
];

/// Reads the file.
///
/// # Errors
/// One line: file, line, what is wrong.
pub(super) fn read(path: &Path) -> Result<FileConfig, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    parse(&text).map_err(|(offset, what)| {
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        format!("{shown}:{line}: {what}")
    })
}

/// Where, and what is wrong.
type Fault = (usize, String);

fn parse(text: &str) -> Result<FileConfig, Fault> {
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        (offset, error.message().replace('\n', ", "))
    })?;
    let mut config = FileConfig::default();
    for (section, content) in document.get_ref() {
        let at = section.span().start;
        let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        let Some((name, keys)) = SECTIONS.iter().find(|(name, _)| *name == section.get_ref().as_ref()) else {
            return Err((
                at,
                format!(
                    "unknown section [{}]: did you mean [{}]?",
                    section.get_ref(),
                    nearest(section.get_ref(), &known)
                ),
            ));
        };
        let DeValue::Table(content) = content.get_ref() else {
            return Err((at, format!("`{name}` is a section: write [{name}]")));
        };
        for (key, value) in content {
            if !keys.contains(&key.get_ref().as_ref()) {
                let nearest = nearest(key.get_ref(), keys);
                return Err((
                    key.span().start,
                    format!("unknown key `{}` in [{name}]: did you mean `{nearest}`?", key.get_ref()),
                ));
            }
            set(&mut config, name, key.get_ref(), value.get_ref()).map_err(|what| (value.span().start, what))?;
        }
    }
    Ok(config)
}

fn set(config: &mut FileConfig, section: &str, key: &str, value: &DeValue<'_>) -> Result<(), String> {
    match (section, key) {
        ("node", "id") => config.id = Some(number(key, value)?),
        ("node", "data") => config.data = Some(PathBuf::from(text(key, value)?)),
        ("node", "workers") => config.workers = Some(number(key, value)?),
        ("node", "zone") => config.zone = Some(text(key, value)?),
        ("node", "weight") => config.weight = Some(number(key, value)?),
        ("node", "priority") => config.priority = Some(number(key, value)?),
        ("listen", "pg") => config.pg = Some(text(key, value)?),
        ("listen", "peer") => config.peer = Some(text(key, value)?),
        ("listen", "max_connections") => config.max_connections = Some(number(key, value)?),
        ("listen", "http") => config.http = Some(text(key, value)?),
        ("cluster", "name") => config.name = Some(text(key, value)?),
        ("cluster", "nodes") => config.nodes = Some(node_list(value)?),
        ("cluster", "partitions") => config.partitions = Some(number(key, value)?),
        ("cluster", "k") => config.k = Some(number(key, value)?),
        ("cluster", "consensus") => match text(key, value)?.as_str() {
            "raft" => {}
            other => return Err(format!("consensus `{other}` is not there: write \"raft\"")),
        },
        ("cluster", "failure_detection") => config.detection = Some(super::start::detection(&text(key, value)?)?),
        ("cluster", "lease_ms") => config.lease_ms = Some(number(key, value)?),
        ("cluster", "in_sync_timeout_ms") => config.in_sync_timeout_ms = Some(number(key, value)?),
        ("storage", key) => config.storage.set(key, value)?,
        _ => unreachable!("the caller has looked the key up"),
    }
    Ok(())
}

fn text(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(format!("`{key}` is a text: write it in quotes")),
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &DeValue<'_>) -> Result<T, String> {
    let wrong = || format!("`{key}` is a whole number, and not so large or negative");
    match value {
        DeValue::Integer(number) => number.to_string().parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn node_list(value: &DeValue<'_>) -> Result<BTreeMap<NodeId, String>, String> {
    match value {
        DeValue::String(list) => nodes::parse(list),
        DeValue::Table(table) => {
            let mut list = BTreeMap::new();
            for (id, address) in table {
                nodes::add(&mut list, id.get_ref(), &text("nodes", address.get_ref())?)?;
            }
            if list.is_empty() { Err("the list of nodes is empty".to_owned()) } else { Ok(list) }
        }
        _ => Err("`nodes` is a text \"1=host:port,2=host:port\" or a table { 1 = \"host:port\" }".to_owned()),
    }
}

/// The candidate with the fewest letters changed.
fn nearest<'a>(word: &str, candidates: &[&'a str]) -> &'a str {
    candidates.iter().copied().min_by_key(|candidate| distance(word, candidate)).unwrap_or_default()
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_above_is_a_file() {
        let example = include_str!("file.rs")
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("//!").trim_start())
            .collect::<Vec<_>>()
            .join("\n");
        let config = parse(&example).unwrap();
        assert_eq!(config.id, Some(1));
        assert_eq!(config.nodes.unwrap().len(), 3);
        assert_eq!(config.k, Some(1));
        assert_eq!(config.storage.wal_bytes_before_checkpoint, Some(256 << 20));
    }

    #[test]
    fn nodes_may_be_a_table() {
        let config = parse("[cluster]\nnodes = { 1 = \"a:1\", 2 = \"b:2\" }").unwrap();
        assert_eq!(config.nodes.unwrap()[&NodeId(2)], "b:2");
    }

    #[test]
    fn the_nearest_key_is_near() {
        assert_eq!(nearest("partition", SECTIONS[2].1), "partitions");
        assert_eq!(nearest("priorty", SECTIONS[0].1), "priority");
        assert_eq!(nearest("clutser", &["node", "listen", "cluster"]), "cluster");
    }
}
