//! What a node says of itself when it first comes into a cluster: where it stands, how much it carries, whether it should lead.
//!
//! A node that joins says so in the statement by which it registers. The nodes that a cluster is formed of register nobody: each
//! sees, once it serves, whether the cluster knows more of it than of any node, and says it if not. From then on the cluster's
//! word counts (`ALTER NODE`), whatever the file says.
//!
//! # Caveats
//! - A setting that somebody has put back to its default cannot be told from one that nobody has touched: the next start of a
//!   founding node says it again.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge: it waits in real time, beside the workers"
)]

use crate::client::{Client, Failure, Target};
use crate::types::NodeId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// It is tried for so long; the next start tries again.
const PATIENCE: Duration = Duration::from_secs(600);
/// A statement is given this long.
const ONE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// What is said; `None`: what any node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// See [`crate::directory::Node::zone`].
    pub zone: Option<String>,
    /// See [`crate::directory::Node::weight`].
    pub weight: Option<u32>,
    /// See [`crate::directory::Node::priority`].
    pub priority: Option<u32>,
}

/// A property in SQL: its name, what any node has, and what is said.
type Said = (&'static str, &'static str, Option<String>);

impl Introduction {
    fn said(&self) -> [Said; 3] {
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        [
            ("zone", "", self.zone.clone()),
            ("weight", "1", number(self.weight)),
            ("priority", "0", number(self.priority)),
        ]
    }

    /// As clauses of `ADD NODE`, each behind a space.
    pub(super) fn clauses(&self) -> String {
        let clause =
            |(name, _, value): Said| value.map(|value| format!(" {} {}", name.to_uppercase(), literal(name, &value)));
        self.said().into_iter().filter_map(clause).collect()
    }

    /// What a founding node has to say, when the cluster has this `known` of it (zone, weight, priority).
    fn alterations(&self, node: NodeId, known: &[Option<String>]) -> Vec<String> {
        let known = known.iter().map(|value| value.as_deref().unwrap_or_default());
        let open = self.said().into_iter().zip(known);
        open.filter_map(|((name, default, value), known)| {
            let value = value.filter(|value| known == default && value != default)?;
            Some(format!("ALTER NODE {} SET {} {}", node.0, name.to_uppercase(), literal(name, &value)))
        })
        .collect()
    }

    /// Tells the cluster of a founding node, from a thread of its own, over the address at which the node serves clients.
    pub(super) fn tell(self, node: NodeId, address: SocketAddr) {
        if self == Self::default() {
            return;
        }
        let telling = move || {
            let until = Instant::now() + PATIENCE;
            loop {
                match self.tell_once(node, address) {
                    Ok(()) => return,
                    Err(why) if Instant::now() >= until => {
                        return tracing::warn!(%node, "what the node says of itself has not been taken: {why}");
                    }
                    Err(_) => std::thread::sleep(PAUSE),
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("introduction".to_owned()).spawn(telling) {
            tracing::warn!(%node, "what the node says of itself is not told: {error}");
        }
    }

    fn tell_once(&self, node: NodeId, address: SocketAddr) -> Result<(), Failure> {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let mut client = Client::connect(&Target::at(host.to_string(), address.port(), "orrery start"), ONE)?;
        let text = format!("SELECT zone, weight, priority FROM system.nodes WHERE node = {}", node.0);
        let known = client.rows(&text, ONE)?;
        let Some(known) = known.rows.first().filter(|row| row.iter().skip(1).all(Option::is_some)) else {
            return Err(Failure::Lost("the cluster is being formed".to_owned()));
        };
        for alteration in self.alterations(node, known) {
            client.rows(&alteration, ONE)?;
            tracing::info!(%node, "{alteration}");
        }
        Ok(())
    }
}

fn literal(name: &str, value: &str) -> String {
    if name == "zone" { format!("'{}'", value.replace('\'', "''")) } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rack() -> Introduction {
        Introduction { zone: Some("rack o'b".to_owned()), weight: Some(1), priority: Some(20) }
    }

    #[test]
    fn who_joins_says_it_in_one_statement() {
        assert_eq!(rack().clauses(), " ZONE 'rack o''b' WEIGHT 1 PRIORITY 20");
        assert_eq!(Introduction::default().clauses(), "");
    }

    #[test]
    fn a_founder_says_what_nobody_else_has_said() {
        let known = |words: [&str; 3]| words.map(|word| Some(word.to_owned()));
        let say = |words| rack().alterations(NodeId(2), &known(words));
        assert_eq!(say(["", "1", "0"]), ["ALTER NODE 2 SET ZONE 'rack o''b'", "ALTER NODE 2 SET PRIORITY 20"]);
        assert_eq!(say(["a", "3", "0"]), ["ALTER NODE 2 SET PRIORITY 20"]);
        assert!(say(["a", "3", "7"]).is_empty());
    }
}
