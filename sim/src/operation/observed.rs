//! System tables, as an observer reads them.

/// A system table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observed {
    /// Nodes.
    Nodes,
    /// Partition groups.
    Partitions,
    /// Replicas of them.
    Replicas,
    /// Client sessions.
    Sessions,
    /// Noteworthy events.
    Events,
    /// Settings of the session and of the node.
    Settings,
}

impl Observed {
    /// All of them: table, and how many of the columns that are read name a row.
    const ALL: [(Self, &'static str, usize); 6] = [
        (Self::Nodes, "nodes", 1),
        (Self::Partitions, "partitions", 1),
        (Self::Replicas, "replicas", 2),
        (Self::Sessions, "sessions", 3),
        (Self::Events, "events", 3),
        (Self::Settings, "settings", 2),
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    fn entry(self) -> &'static (Self, &'static str, usize) {
        Self::ALL.iter().find(|(known, ..)| *known == self).unwrap_or(&Self::ALL[0])
    }

    /// The one in this place.
    #[must_use]
    pub const fn nth(place: usize) -> Self {
        Self::ALL[place % Self::COUNT].0
    }

    /// Its name in the schema `system`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// The table of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(observed, ..)| *observed)
    }

    /// How many of the first columns that are read name a row.
    #[must_use]
    pub fn key(self) -> usize {
        self.entry().2
    }

    /// Has it the same rows in every answer, whoever is down?
    #[must_use]
    pub const fn is_fixed(self) -> bool {
        matches!(self, Self::Nodes | Self::Partitions | Self::Replicas)
    }
}
