//! To whom a data directory belongs: the content of `orrery.identity`. Pure: text in, values out.
//!
//! A few lines that a person can read, the last of them the checksum of those before:
//!
//! ```text
//! orrery data directory
//! format 6
//! cluster orrery
//! node 1
//! nodes 1,2,3
//! workers 1
//! partitions 1
//! log 8c6f…            128 random bits, drawn once: tells a wiped and re-made directory from the one before
//! joined yes           only of a node that has joined a cluster
//! crc32c 1f2e3d4c
//! ```

use crate::types::NodeId;
use std::fmt::Write as _;
use thiserror::Error;

/// Version of the data directory's layout, and of what stands in its logs and checkpoints. 2: commands over several partitions.
/// 3: foreign keys, owners of keys and sequences in the catalog, columns that came later than rows, and that were dropped; reads
/// over several partitions. 4: membership in hard states, logs and checkpoints; databases in the catalog. 5: promises in hard
/// states, and marks of replicas that were dropped; what is deferred travels with statements; nodes that have joined; digests in
/// which a tree's number comes in last. 6: a rate of recovery among the settings of the cluster; who is in sync, and what answers wait for;
/// definitions in a list, behind what a transaction has done with rows. What was written before is not read.
pub const FORMAT: u32 = 6;
/// Name of the file.
pub const FILE: &str = "orrery.identity";

const TITLE: &str = "orrery data directory";

/// What a data directory is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the cluster.
    pub cluster: String,
    /// Whose directory.
    pub node: NodeId,
    /// All nodes, sorted. (Their addresses may change.) Of a node that has joined: itself.
    pub nodes: Vec<NodeId>,
    /// Workers of this node: each has a log of its own.
    pub workers: u16,
    /// Data partitions of the cluster.
    pub partitions: u32,
    /// Drawn once.
    pub log: u128,
    /// The cluster was there before this node.
    pub joined: bool,
}

/// Why a file is no identity of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Written by a later Orrery.
    #[error("its format is {0}, and this Orrery knows up to {FORMAT}")]
    Newer(u32),
    /// Written by an earlier Orrery, in a format that is not read any more.
    #[error("its format is {0}, and this Orrery reads {FORMAT}")]
    Older(u32),
    /// Not such a file, or damaged.
    #[error("its file {FILE} is damaged")]
    Damaged,
}

impl Identity {
    /// As text.
    #[must_use]
    pub fn encode(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|node| node.0.to_string()).collect();
        let mut text = format!(
            "{TITLE}\nformat {FORMAT}\ncluster {}\nnode {}\nnodes {}\nworkers {}\npartitions {}\nlog {:032x}\n",
            self.cluster,
            self.node.0,
            nodes.join(","),
            self.workers,
            self.partitions,
            self.log
        );
        if self.joined {
            text.push_str("joined yes\n");
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc32c {checksum:08x}").expect("a string takes everything");
        text
    }

    /// From text.
    ///
    /// # Errors
    /// When it is not an identity that this version can read.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        // The version first: what a later one has changed may well be the checksum.
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(Unreadable::Damaged);
        }
        let format = lines.next().and_then(|line| line.strip_prefix("format ")).and_then(|format| format.parse().ok());
        match format {
            Some(FORMAT) => Self::decode_v2(text).ok_or(Unreadable::Damaged),
            Some(newer) if newer > FORMAT => Err(Unreadable::Newer(newer)),
            Some(older) if older > 0 => Err(Unreadable::Older(older)),
            _ => Err(Unreadable::Damaged),
        }
    }

    fn decode_v2(text: &str) -> Option<Self> {
        let end = text.find("crc32c ")?;
        let (body, last) = text.split_at(end);
        let checksum = u32::from_str_radix(last.strip_prefix("crc32c ")?.trim_end(), 16).ok()?;
        if crc32c::crc32c(body.as_bytes()) != checksum {
            return None;
        }
        let field =
            |name: &str| body.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
        let nodes: Option<Vec<NodeId>> = field("nodes")?.split(',').map(|node| node.parse().ok().map(NodeId)).collect();
        Some(Self {
            cluster: field("cluster")?.to_owned(),
            node: NodeId(field("node")?.parse().ok()?),
            nodes: nodes?,
            workers: field("workers")?.parse().ok()?,
            partitions: field("partitions")?.parse().ok()?,
            log: u128::from_str_radix(field("log")?, 16).ok()?,
            joined: field("joined").is_some(),
        })
    }

    /// Compares what a start asks for with what the directory is bound to: what differs, and what to do about it.
    #[must_use]
    pub fn difference(&self, asked: &Self) -> Option<String> {
        if self.cluster != asked.cluster {
            return Some(format!(
                "it belongs to cluster `{}`, not `{}`: choose another directory with --data, or --cluster {}",
                self.cluster, asked.cluster, self.cluster
            ));
        }
        if self.node != asked.node {
            return Some(format!(
                "it belongs to node {}, not node {}: choose another directory with --data, or --id {}",
                self.node.0, asked.node.0, self.node.0
            ));
        }
        if self.joined && !asked.joined {
            return Some("it is of a node that has joined its cluster: start it with --join and --peer".to_owned());
        }
        if self.nodes != asked.nodes {
            let list = |nodes: &[NodeId]| nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(",");
            return Some(format!(
                "it was created for nodes {}, not {}: start it with the nodes it was created for",
                list(&self.nodes),
                list(&asked.nodes)
            ));
        }
        if self.partitions != asked.partitions {
            return Some(format!(
                "it was created with --partitions {}, not {}: start it with --partitions {}",
                self.partitions, asked.partitions, self.partitions
            ));
        }
        if self.workers != asked.workers {
            return Some(format!(
                "it was created with --workers {}, not {}: start it with --workers {}",
                self.workers, asked.workers, self.workers
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: "orrery".into(),
            node: NodeId(2),
            nodes: vec![NodeId(1), NodeId(2), NodeId(3)],
            workers: 1,
            partitions: 4,
            log: 0x0123_4567_89ab_cdef,
            joined: false,
        }
    }

    #[test]
    fn the_file_reads_so_for_ever() {
        insta::assert_snapshot!(identity().encode(), @r"
        orrery data directory
        format 6
        cluster orrery
        node 2
        nodes 1,2,3
        workers 1
        partitions 4
        log 00000000000000000123456789abcdef
        crc32c 6393a496
        ");
        assert_eq!(Identity::decode(&identity().encode()), Ok(identity()));
        let joined = Identity { joined: true, ..identity() };
        assert_eq!(Identity::decode(&joined.encode()), Ok(joined));
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let text = identity().encode();
        assert_eq!(Identity::decode(&text.replace("format 6", "format 7")), Err(Unreadable::Newer(7)));
        assert_eq!(Identity::decode(&text.replace("format 6", "format 5")), Err(Unreadable::Older(5)));
        assert_eq!(Identity::decode(""), Err(Unreadable::Damaged));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let damaged = String::from_utf8(bytes).unwrap();
            // The line's end after the checksum is the one byte that carries nothing.
            let harmless = at == text.len() - 1;
            assert!(harmless || Identity::decode(&damaged) != Ok(identity()), "byte {at} can change unnoticed");
        }
    }
}
