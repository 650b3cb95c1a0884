//! What partitions tell each other about global commands, and what a leader keeps of it. All of it is volatile: a new leader
//! executes again what is undecided and asks again.

use super::{Global, GlobalBody, Values, Vote};
use crate::partition::Origin;
use crate::types::{Duration, GlobalNumber, Instant, PartitionId, RequestId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The cluster partition orders nothing for a group whose leader it has not heard for so long (rules B2).
pub const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// A decision waits so long for another entry with which it goes into the log. All that it saves is followers' asking, should they
/// come to lead; on its own it costs as much as a command does.
pub(in crate::partition) const HELD: Duration = Duration::from_millis(50);

/// Most bodies delivered again at once.
pub(in crate::partition) const DELIVERED_AT_ONCE: usize = 64;

/// From one partition's leader to another partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Exchange {
    /// The cluster partition has ordered this.
    Deliver(Arc<Global>),
    /// Something that a participant has to say to a command at which it stands.
    Said {
        /// Which command.
        number: GlobalNumber,
        /// Who.
        from: PartitionId,
        /// What.
        said: Said,
    },
    /// What does the receiver have to say to this command? If it does not know it yet, it does now.
    Ask {
        /// Who wants to know.
        from: PartitionId,
        /// The command.
        global: Arc<Global>,
    },
    /// To the cluster partition: what comes after this for the sender?
    Pull {
        /// Who.
        from: PartitionId,
        /// The last one that it has.
        after: GlobalNumber,
    },
    /// To the cluster partition: how far the sender has come. Sent from time to time: it also says that it has a leader.
    Progress {
        /// Who.
        from: PartitionId,
        /// The last one in its committed log.
        received: GlobalNumber,
        /// It has the decisions on everything up to here in its committed log.
        settled: GlobalNumber,
        /// It remembers nothing below.
        forgotten: GlobalNumber,
    },
    /// From the cluster partition: what lies below may be forgotten.
    Forget {
        /// This.
        below: GlobalNumber,
    },
}

/// What a participant has to say to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Said {
    /// What the others need of it to go on executing.
    Value {
        /// For which statement.
        round: u32,
        /// This.
        bytes: Bytes,
    },
    /// Its vote.
    Vote {
        /// This.
        vote: Vote,
        /// The rounds that it has sent its value for.
        rounds: Vec<u32>,
    },
    /// Everything: it has been decided there.
    Decided {
        /// Its vote.
        vote: Vote,
        /// What was decided.
        committed: bool,
        /// Its values, each with its round.
        sent: Vec<(u32, Bytes)>,
    },
}

/// What has been heard of one participant about one command.
#[derive(Clone, Debug, Default)]
pub(in crate::partition) struct Heard {
    pub(in crate::partition) vote: Option<Vote>,
    /// With its vote: the rounds that it has sent its value for.
    pub(in crate::partition) rounds: Vec<u32>,
    /// Its decision, if it has one.
    pub(in crate::partition) committed: Option<bool>,
    pub(in crate::partition) values: BTreeMap<u32, Bytes>,
}

/// What a leader keeps.
#[derive(Default)]
pub(in crate::partition) struct Exchanges {
    /// Delivered and not yet proposed: a command before them is missing.
    pub(in crate::partition) waiting: BTreeMap<GlobalNumber, Arc<Global>>,
    /// The last one proposed or found in the log.
    pub(in crate::partition) proposed: GlobalNumber,
    /// What comes after this has been pulled since the last tick: once is enough.
    pub(in crate::partition) pulled: Option<GlobalNumber>,
    /// What others have said to commands that are undecided here, or not even known yet.
    heard: BTreeMap<GlobalNumber, BTreeMap<PartitionId, Heard>>,
    /// How much of what this participant has to say to the command at which it stands has been sent: values, vote.
    pub(in crate::partition) told: (GlobalNumber, usize, bool),
    /// Decisions proposed or held in this leadership and not yet executed.
    pub(in crate::partition) declared: BTreeSet<GlobalNumber>,
    /// Of these the ones that go into the log with the next entry, and since when the first of them has been held.
    pub(in crate::partition) held: Vec<(GlobalNumber, bool, Values)>,
    pub(in crate::partition) held_since: Instant,
    /// Sessions that wait for what a command comes to here.
    pub(in crate::partition) collectors: BTreeMap<RequestId, (Origin, u32)>,
    /// To be sent.
    pub(in crate::partition) out: Vec<(PartitionId, Exchange)>,
    /// When it is time to ask again.
    pub(in crate::partition) next_tick: Instant,
    /// The cluster partition's leader: how far each group has come, by its last report, and when that came.
    pub(in crate::partition) reports: BTreeMap<PartitionId, Report>,
    /// When the reports were last proposed for the log.
    pub(in crate::partition) reported: Instant,
    /// Forgetting was proposed up to here.
    pub(in crate::partition) forgetting: GlobalNumber,
}

/// A group's last report.
#[derive(Clone, Copy, Debug)]
pub(in crate::partition) struct Report {
    pub(in crate::partition) at: Instant,
    pub(in crate::partition) received: GlobalNumber,
    pub(in crate::partition) settled: GlobalNumber,
    /// `received` of the report at the last tick: what has not come since then is delivered again.
    pub(in crate::partition) before: GlobalNumber,
}

impl Exchanges {
    /// Takes what another participant has said.
    pub(in crate::partition) fn hear(&mut self, number: GlobalNumber, from: PartitionId, said: Said) {
        let heard = self.heard.entry(number).or_default().entry(from).or_default();
        match said {
            Said::Value { round, bytes } => drop(heard.values.insert(round, bytes)),
            Said::Vote { vote, rounds } => (heard.vote, heard.rounds) = (Some(vote), rounds),
            Said::Decided { vote, committed, sent } => {
                heard.vote = Some(vote);
                heard.committed = Some(committed);
                heard.rounds = sent.iter().map(|(round, _)| *round).collect();
                heard.values = sent.into_iter().collect();
            }
        }
    }

    /// What has been heard about a command.
    pub(in crate::partition) fn heard(&self, number: GlobalNumber, from: PartitionId) -> Option<&Heard> {
        self.heard.get(&number)?.get(&from)
    }

    /// What was said about decided commands is of no more use, but for reads that are `open`.
    pub(in crate::partition) fn forget_through(&mut self, number: GlobalNumber, open: impl Fn(&GlobalNumber) -> bool) {
        self.heard.retain(|about, _| *about > number || open(about));
        self.waiting = self.waiting.split_off(&number.next());
    }

    /// What was said about this one is of no more use.
    pub(in crate::partition) fn forget(&mut self, number: GlobalNumber) {
        self.heard.remove(&number);
    }

    /// For tests: everything but the times.
    #[cfg(test)]
    pub(in crate::partition) fn fingerprint(&self) -> String {
        let Self { waiting, proposed, pulled, heard, told, declared, held, collectors, forgetting, .. } = self;
        let waiting: Vec<_> = waiting.keys().collect();
        format!(
            "{waiting:?} {proposed} {pulled:?} {heard:?} {told:?} {declared:?} {held:?} {collectors:?} {forgetting}"
        )
    }

    /// Another participant's value of a round.
    pub(in crate::partition) fn value(&self, number: GlobalNumber, round: u32, from: PartitionId) -> Option<&Bytes> {
        self.heard(number, from)?.values.get(&round)
    }

    /// Leadership is lost or won: what was kept for the last one is void. What others have said holds.
    pub(in crate::partition) fn begin(&mut self, proposed: GlobalNumber) {
        *self = Self {
            heard: std::mem::take(&mut self.heard),
            waiting: std::mem::take(&mut self.waiting),
            out: std::mem::take(&mut self.out),
            proposed,
            ..Self::default()
        };
    }
}

impl Global {
    /// Is it a definition?
    #[must_use]
    pub fn defines(&self) -> bool {
        matches!(*self.body, GlobalBody::Define { .. })
    }
}
