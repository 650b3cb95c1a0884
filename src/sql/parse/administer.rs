//! Statements about the cluster's nodes: ADD, ALTER, DRAIN, ACTIVATE and REMOVE NODE, ALTER CLUSTER, PAUSE and RESUME REBALANCING.
//!
//! Whether such a change may be made is no business of the grammar: it says what is wanted, in the directory's words.

use super::utility::Words;
use crate::directory::{Alteration, Change};
use crate::types::{NodeId, SqlError};
use sqlparser::tokenizer::Token;

/// What ALTER CLUSTER says of all tables that say nothing themselves: a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) struct ClusterDefault {
    /// `replication`, `replication_mode`.
    pub(in crate::sql) name: String,
    pub(in crate::sql) value: String,
}

/// The statement of a text that is one of [`ClusterDefault`]; `None`: it is another.
pub(in crate::sql) fn cluster_default(text: &str) -> Result<Option<ClusterDefault>, SqlError> {
    let tokens = super::tokenize(text)?;
    let tokens = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut words = Words { text, tokens, at: 1 };
    if words.name_at(0).as_deref() != Some("alter") {
        return Ok(None);
    }
    words.cluster_default()
}

impl Words<'_> {
    /// `ALTER CLUSTER SET {replication = n | replication_mode = mode | … = DEFAULT}`; `None` if it is something else.
    pub(super) fn cluster_default(&mut self) -> Result<Option<ClusterDefault>, SqlError> {
        let start = self.at;
        if self.accept("cluster") && self.accept("set") {
            let name = self.name()?;
            if ["replication", "replication_mode"].contains(&name.as_str()) {
                self.to();
                let number = self.tokens.get(self.at).map(|token| &token.token);
                let value = if let Some(Token::Number(number, _)) = number {
                    self.at += 1;
                    number.clone()
                } else {
                    self.word_or_string()?
                };
                return Ok(Some(ClusterDefault { name, value }));
            }
        }
        self.at = start;
        Ok(None)
    }

    /// What follows the first word of such a statement; `None` if it is something else.
    pub(super) fn administer(&mut self, first: &str) -> Result<Option<Change>, SqlError> {
        let start = self.at;
        let change = match first {
            "add" if self.accept("node") => self.add_node()?,
            "alter" if self.accept("node") => self.alter_node()?,
            "alter" if self.accept("cluster") => self.alter_cluster()?,
            "drain" if self.accept("node") => Change::Drain { node: self.node()?, force: self.accept("force") },
            "activate" if self.accept("node") => Change::Activate { node: self.node()? },
            "remove" if self.accept("node") => Change::Remove { node: self.node()?, force: self.accept("force") },
            "pause" if self.accept("rebalancing") => Change::Pause(true),
            "resume" if self.accept("rebalancing") => Change::Pause(false),
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        Ok(Some(change))
    }

    /// `ADD NODE 'host:port' [ID n] [ZONE z] [WEIGHT n] [PRIORITY n] [TOKEN 'hex']`; a node that registers itself draws the token.
    fn add_node(&mut self) -> Result<Change, SqlError> {
        let address = self.literal()?;
        let (mut id, mut zone, mut weight, mut priority, mut token) = (None, None, None, None, None);
        while self.at < self.tokens.len() {
            if id.is_none() && self.accept("id") {
                id = Some(self.node()?);
            } else if zone.is_none() && self.accept("zone") {
                zone = Some(self.word_or_string()?);
            } else if weight.is_none() && self.accept("weight") {
                weight = Some(self.whole()?);
            } else if priority.is_none() && self.accept("priority") {
                priority = Some(self.whole()?);
            } else if token.is_none() && self.accept("token") {
                let text = self.literal()?;
                token = Some(u128::from_str_radix(&text, 16).map_err(|_| self.error())?);
            } else {
                return Err(self.error());
            }
        }
        Ok(Change::Register {
            node: id,
            address,
            zone: zone.unwrap_or_default(),
            weight: weight.unwrap_or(1),
            priority: priority.unwrap_or(0),
            token: token.unwrap_or(0),
        })
    }

    /// `ALTER NODE n SET {ADDRESS 'host:port' | ZONE z | WEIGHT n | PRIORITY n}`.
    fn alter_node(&mut self) -> Result<Change, SqlError> {
        let node = self.node()?;
        self.expect("set")?;
        let is = |words: &mut Self, name: &str| {
            let is = words.accept(name);
            if is {
                words.to();
            }
            is
        };
        let to = if is(self, "address") {
            Alteration::Address(self.literal()?)
        } else if is(self, "zone") {
            Alteration::Zone(self.word_or_string()?)
        } else if is(self, "weight") {
            Alteration::Weight(self.whole()?)
        } else if is(self, "priority") {
            Alteration::Priority(self.whole()?)
        } else {
            return Err(self.error());
        };
        Ok(Change::Alter { node, to })
    }

    /// `ALTER CLUSTER SET {k_safety = n [FORCE] | max_moves = n | replace_after = seconds | recovery_rate = KiB a second}`.
    fn alter_cluster(&mut self) -> Result<Change, SqlError> {
        self.expect("set")?;
        if self.accept("k_safety") {
            self.to();
            return Ok(Change::Safety { k: self.whole()?, force: self.accept("force") });
        }
        if self.accept("replace_after") {
            self.to();
            return Ok(Change::ReplaceAfter(self.whole()?));
        }
        if self.accept("recovery_rate") {
            self.to();
            return Ok(Change::RecoveryRate(self.whole()?));
        }
        self.expect("max_moves")?;
        self.to();
        Ok(Change::Moves(self.whole()?))
    }

    /// `=` or TO, if there is one.
    fn to(&mut self) {
        let _ = self.accept_sign(&Token::Eq) || self.accept("to");
    }

    pub(super) fn node(&mut self) -> Result<NodeId, SqlError> {
        self.whole().map(NodeId)
    }

    fn whole(&mut self) -> Result<u32, SqlError> {
        let number = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Number(number, _)) => number.parse().ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| self.error())?;
        self.at += 1;
        Ok(number)
    }

    fn literal(&mut self) -> Result<String, SqlError> {
        let text = self.string();
        let text = text.ok_or_else(|| self.error())?;
        self.at += 1;
        Ok(text)
    }

    fn word_or_string(&mut self) -> Result<String, SqlError> {
        if self.name_at(self.at).is_some() { self.name() } else { self.literal() }
    }
}

#[cfg(test)]
mod tests {
    use crate::sql::{Kind, parse};

    fn read(text: &str) -> String {
        match parse(text) {
            Ok(statements) => match &statements[0].kind {
                Kind::Administer(change) => format!("{change:?}"),
                other => format!("{other:?}"),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn statements_about_nodes_say_what_is_wanted() {
        let all = [
            "ADD NODE 'db4:5434'",
            "add node 'db4:5434' zone 'rack 2' weight 3 priority 20 id 7",
            "ADD NODE 'db4:5434' ZONE b",
            "ALTER NODE 2 SET PRIORITY 20",
            "ALTER NODE 2 SET ZONE = 'b'",
            "ALTER NODE 2 SET WEIGHT TO 2",
            "ALTER NODE 2 SET ADDRESS 'db2:5434'",
            "DRAIN NODE 2",
            "DRAIN NODE 2 FORCE",
            "ACTIVATE NODE 2",
            "REMOVE NODE 2",
            "REMOVE NODE 2 FORCE",
            "ALTER CLUSTER SET k_safety = 2",
            "ALTER CLUSTER SET k_safety = 2 FORCE",
            "ALTER CLUSTER SET max_moves = 4",
            "ALTER CLUSTER SET replace_after = 600",
            "ALTER CLUSTER SET recovery_rate = 4096",
            "PAUSE REBALANCING",
            "RESUME REBALANCING",
            "ADD NODE",
            "ADD NODE db4",
            "ADD NODE 'db4:5434' WEIGHT 1 WEIGHT 2",
            "DRAIN NODE 2 NOW",
            "DRAIN NODE -1",
            "ALTER NODE 2 SET COLOUR 3",
            "ALTER CLUSTER SET colour = 3",
            "PAUSE",
        ];
        let told: String = all.iter().map(|text| format!("{text}\n  {}\n", read(text))).collect();
        insta::assert_snapshot!(told);
    }
}
