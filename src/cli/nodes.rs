//! The list of nodes, as flags and file write it: `1=host:port,2=host:port`.

use crate::types::NodeId;
use std::collections::BTreeMap;

/// Reads the list.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(text: &str) -> Result<BTreeMap<NodeId, String>, String> {
    let mut nodes = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (id, address) =
            entry.split_once('=').ok_or_else(|| format!("`{entry}` is no node: write it as 1=host:port"))?;
        add(&mut nodes, id.trim(), address.trim())?;
    }
    if nodes.is_empty() {
        return Err("the list of nodes is empty: write it as 1=host:port,2=host:port".to_owned());
    }
    Ok(nodes)
}

/// Adds one node to the list.
///
/// # Errors
/// What is wrong with it.
pub(super) fn add(nodes: &mut BTreeMap<NodeId, String>, id: &str, address: &str) -> Result<(), String> {
    let id = id.parse().ok().filter(|id| *id > 0).map(NodeId);
    let id = id.ok_or_else(|| format!("a node's id is a number from 1: write `{address}` as 1={address}"))?;
    check_address(address)?;
    if nodes.insert(id, address.to_owned()).is_some() {
        return Err(format!("node {} is listed twice", id.0));
    }
    Ok(())
}

/// Is it `host:port`?
///
/// # Errors
/// When not.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let good = address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good { Ok(()) } else { Err(format!("`{address}` is no address: write it as host:port")) }
}
