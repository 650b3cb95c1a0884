//! A leader's part in keeping what was acknowledged ([`crate::partition::in_sync`], its invariants; rules A2): replies that wait until what was
//! written is where its tables ask for, and the set of replicas that are in sync.

use super::{Origin, Replica};
use crate::catalog::{Asked, ReplicationMode};
use crate::consensus::{FollowerStatus, Role};
use crate::partition::command::Command;
use crate::partition::in_sync::InSync;
use crate::partition::message::{ReplyBody, RequestBody};
use crate::types::{Duration, GlobalNumber, Instant, LogIndex, NodeId, RequestId, Sequence, SessionId};
use crate::{planted, sometimes};
use std::collections::BTreeMap;

/// The first of all identities.
const FIRST: RequestId = RequestId { session: SessionId { gateway: 0, counter: 0 }, sequence: Sequence(0) };

/// What the simulator's checkers and `system.replicas` are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InSyncFacts {
    /// The set, as executed here.
    pub set: InSync,
    /// The log is on disk here up to this.
    pub durable: LogIndex,
    /// A reply was released, in this life, that waited until everybody in sync had the log up to here.
    pub released: LogIndex,
}

/// A reply that waits.
struct Held {
    origin: Origin,
    attempt: u32,
    body: ReplyBody,
}

/// How a follower keeps up: what it is to have next, and since when.
#[derive(Clone, Copy, Debug)]
struct Pursuit {
    goal: LogIndex,
    /// When it last had all that it was to have, and was heard.
    at: Instant,
    /// It has had it once.
    caught: bool,
}

/// What a leader keeps; all of it volatile.
pub(super) struct Acknowledging {
    timeout: Duration,
    /// Nothing is released before this is executed.
    from: LogIndex,
    pursuits: BTreeMap<NodeId, Pursuit>,
    /// Who is to join: replies wait for it already. It is proposed when it has the log up to here.
    joining: BTreeMap<NodeId, LogIndex>,
    /// The change that is in the log and not executed yet.
    proposed: Option<InSync>,
    /// Replies by what they wait for, and by the place in the log.
    held: BTreeMap<Asked, BTreeMap<(LogIndex, RequestId), Held>>,
    /// Where each of them is.
    places: BTreeMap<RequestId, (Asked, LogIndex)>,
    /// Replies whose place in the log is the decision's, which is not known yet.
    undeclared: BTreeMap<GlobalNumber, BTreeMap<RequestId, (Asked, Held)>>,
    released: LogIndex,
}

impl Acknowledging {
    pub(super) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            from: LogIndex(0),
            pursuits: BTreeMap::new(),
            joining: BTreeMap::new(),
            proposed: None,
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            undeclared: BTreeMap::new(),
            released: LogIndex(0),
        }
    }

    /// How many replies wait.
    pub(super) fn holds(&self) -> usize {
        self.places.len() + self.undeclared.values().map(BTreeMap::len).sum::<usize>()
    }

    fn hold(&mut self, asked: Asked, index: LogIndex, id: RequestId, held: Held) {
        // A later attempt's takes the place of an earlier one's, and waits no longer than that.
        let (asked, index) = *self.places.entry(id).or_insert((asked, index));
        self.held.entry(asked).or_default().insert((index, id), held);
    }

    /// Nobody has listened for so long.
    pub(super) fn paused(&mut self, now: Instant, length: Duration) {
        for pursuit in self.pursuits.values_mut() {
            pursuit.at = (pursuit.at + length).min(now);
        }
    }
}

impl Pursuit {
    const fn begin(now: Instant, goal: LogIndex) -> Self {
        Self { goal, at: now, caught: false }
    }

    fn look(&mut self, now: Instant, last: LogIndex, follower: &FollowerStatus) {
        if follower.matched >= self.goal && follower.reachable && !follower.recovering {
            *self = Self { goal: last, at: now, caught: true };
        }
    }

    fn is_behind(&self, now: Instant, patience: Duration) -> bool {
        now.since(self.at) > patience
    }
}

impl Replica {
    /// Answers a write, when what was written is where it is asked for.
    pub(super) fn acknowledge(
        &mut self,
        asked: Asked,
        (origin, id, attempt): (Origin, RequestId, u32),
        body: ReplyBody,
    ) {
        // Planted 273: what is committed is acknowledged, whatever its tables ask for.
        if asked.is_nothing() || planted!(273) {
            return self.reply(origin, id, attempt, body);
        }
        if self.consensus.status().role != Role::Leader {
            // It was proved while this replica led. The one that leads now keeps the set.
            return self.reply(origin, id, attempt, ReplyBody::Lost);
        }
        let held = Held { origin, attempt, body };
        // It rests on every command over several partitions before it, and itself: what was decided on them must be found there, too.
        match self.machine.last_undeclared() {
            Some(number) => {
                self.acknowledging.undeclared.entry(number).or_default().insert(id, (asked, held));
            }
            None => self.acknowledging.hold(asked, self.machine.executed(), id, held),
        }
    }

    /// The decision on a command over several partitions has been passed.
    pub(super) fn acknowledge_declared(&mut self) {
        let open = self.acknowledging.undeclared.split_off(&GlobalNumber(self.machine.settled().0 + 1));
        let declared = std::mem::replace(&mut self.acknowledging.undeclared, open);
        for (id, (asked, held)) in declared.into_values().flatten() {
            sometimes!("partition.answer_held_for_its_decision");
            self.acknowledging.hold(asked, self.machine.executed(), id, held);
        }
    }

    /// May this request be refused because many replies wait? Nothing is held for those that change nothing.
    pub(super) const fn may_be_held(body: &RequestBody) -> bool {
        matches!(body, RequestBody::Execute(_) | RequestBody::Commit(_))
    }

    /// A session has gone on, and waits no longer for what it had asked before.
    pub(super) fn let_go_of_held(&mut self, session: SessionId, below: Sequence) {
        let Acknowledging { held, places, undeclared, .. } = &mut self.acknowledging;
        let first = RequestId { session, sequence: Sequence(0) };
        let gone: Vec<RequestId> =
            places.range(first..RequestId { session, sequence: below }).map(|(id, _)| *id).collect();
        for id in gone {
            sometimes!("partition.held_answer_let_go");
            if let Some((asked, index)) = places.remove(&id)
                && let Some(waiting) = held.get_mut(&asked)
            {
                waiting.remove(&(index, id));
            }
        }
        undeclared
            .values_mut()
            .for_each(|waiting| waiting.retain(|id, _| id.session != session || id.sequence >= below));
    }

    /// Leadership has been won or lost: what is held is asked again.
    pub(super) fn acknowledging_begins(&mut self) {
        let Acknowledging { timeout, released, .. } = self.acknowledging;
        let last = self.consensus.status().last;
        let before = std::mem::replace(
            &mut self.acknowledging,
            Acknowledging { from: last, released, ..Acknowledging::new(timeout) },
        );
        let held = before.held.into_values().flatten().map(|((_, id), held)| (id, held));
        let undeclared = before.undeclared.into_values().flatten().map(|(id, (_, held))| (id, held));
        for (id, Held { origin, attempt, .. }) in held.chain(undeclared) {
            sometimes!("partition.held_answer_lost_with_leadership");
            self.reply(origin, id, attempt, ReplyBody::Lost);
        }
    }

    /// Releases replies whose entries are where they are asked for.
    pub(super) fn release_held(&mut self, now: Instant) {
        if !self.leads || self.acknowledging.held.is_empty() || !self.acknowledges() {
            return;
        }
        let backups = self.backups();
        let (everywhere, executed) = (self.everywhere_in_sync(now, &backups), self.machine.executed());
        // Nobody is made to wait for what no table asks for any more.
        let most = self.machine.asking().most();
        let own = self.consensus.durable();
        let mut released = Vec::new();
        for (asked, waiting) in &mut self.acknowledging.held {
            let count = (asked.backups.min(most.backups) as usize).checked_sub(1);
            let enough = count.map_or(executed, |at| backups.get(at).map_or(LogIndex(0), |(held, _)| *held)).min(own);
            let through = if asked.is_sync() && most.is_sync() { enough.min(everywhere) } else { enough };
            let still = waiting.split_off(&(through.next(), FIRST));
            for ((index, id), held) in std::mem::replace(waiting, still) {
                released.push((asked.is_sync(), index, id, held));
            }
        }
        self.acknowledging.held.retain(|_, waiting| !waiting.is_empty());
        for (sync, index, id, Held { origin, attempt, body }) in released {
            sometimes!("partition.held_answer_released");
            self.acknowledging.places.remove(&id);
            if sync {
                self.acknowledging.released = self.acknowledging.released.max(index);
            }
            self.reply(origin, id, attempt, body);
        }
    }

    /// Has it executed all that earlier leaders may have said of who is in sync?
    fn acknowledges(&self) -> bool {
        self.machine.executed() >= self.acknowledging.from
    }

    /// What each backup has on disk, the most first: followers that have a voice and keep rows.
    fn backups(&self) -> Vec<(LogIndex, NodeId)> {
        let followers = self.consensus.followers();
        let counts = |follower: &&FollowerStatus| self.is_backup(follower) && !follower.recovering;
        let mut backups: Vec<_> = followers.iter().filter(counts).map(|of| (of.matched, of.node)).collect();
        backups.sort_unstable_by(|one, other| other.cmp(one));
        backups
    }

    fn is_backup(&self, follower: &FollowerStatus) -> bool {
        !follower.learner && !self.consensus.membership().witnesses.contains(&follower.node)
    }

    /// Up to here everybody has the log on disk for whom replies wait.
    fn everywhere_in_sync(&self, now: Instant, backups: &[(LogIndex, NodeId)]) -> LogIndex {
        let set = self.machine.in_sync();
        if set.version == 0 {
            return LogIndex(0);
        }
        let own = self.consensus.status().leader;
        let has = |node: &NodeId| {
            let known = backups.iter().find(|(_, backup)| backup == node);
            if Some(*node) == own { LogIndex(u64::MAX) } else { known.map_or(LogIndex(0), |(held, _)| *held) }
        };
        let Acknowledging { joining, proposed, pursuits, timeout, .. } = &self.acknowledging;
        // Planted 272: who is to join is one of those that nobody waits for.
        let others = joining.keys().chain(proposed.iter().flat_map(|set| &set.members)).filter(|_| !planted!(272));
        // Planted 270: who has been silent for long is left out, and nothing is written down of it.
        let silent = |node: &NodeId| {
            planted!(270) && pursuits.get(node).is_none_or(|pursuit| pursuit.is_behind(now, *timeout / 4))
        };
        let members = set.members.iter().filter(|node| Some(**node) == own || !silent(node));
        let mut held: Vec<LogIndex> = members.chain(others).map(has).collect();
        held.push(self.consensus.durable());
        held.sort_unstable();
        // Planted 271: the slowest is not waited for.
        if planted!(271) { held.get(1).copied().unwrap_or_default() } else { held[0] }
    }

    /// Keeps the set of who is in sync, where it is needed.
    pub(super) fn keep_in_sync(&mut self, now: Instant) {
        // What was written while a table asked for it is waited for, though it may ask no more.
        let needed =
            self.machine.asking().most().is_sync() || self.acknowledging.held.keys().any(|asked| asked.is_sync());
        if !self.leads || !needed || !self.acknowledges() {
            return;
        }
        let wanted = self.wanted_in_sync(now);
        let set = self.machine.in_sync();
        if self.acknowledging.proposed.as_ref().is_some_and(|proposed| proposed.version == set.version) {
            return;
        }
        self.acknowledging.proposed = None;
        if wanted.is_empty() || wanted == set.members {
            return;
        }
        sometimes!("partition.in_sync_left", set.members.iter().any(|node| !wanted.contains(node)));
        sometimes!(
            "partition.in_sync_joined",
            set.version > 0 && wanted.iter().any(|node| !set.members.contains(node))
        );
        let (expected, members) = (set.version, wanted);
        if self.log(now, &Command::InSync { expected, members: members.clone() }).is_ok() {
            self.acknowledging.proposed = Some(InSync { version: expected, members });
        }
    }

    /// Who is to be in sync, as this leader sees its followers now.
    fn wanted_in_sync(&mut self, now: Instant) -> Vec<NodeId> {
        let status = self.consensus.status();
        let mut followers = self.consensus.followers();
        followers.retain(|follower| self.is_backup(follower));
        let members = &self.machine.in_sync().members;
        let executed = self.machine.executed();
        let Acknowledging { timeout, pursuits, joining, .. } = &mut self.acknowledging;
        pursuits.retain(|node, _| followers.iter().any(|follower| follower.node == *node));
        joining.retain(|node, _| pursuits.contains_key(node));
        let mut wanted: Vec<NodeId> = status.leader.filter(|_| status.voter).into_iter().collect();
        for follower in &followers {
            let node = follower.node;
            let pursuit = pursuits.entry(node).or_insert_with(|| Pursuit::begin(now, status.last));
            pursuit.look(now, status.last, follower);
            if members.contains(&node) {
                joining.remove(&node);
                if !pursuit.is_behind(now, *timeout) {
                    wanted.push(node);
                }
                continue;
            }
            // Planted 272: it joins as soon as it is heard.
            if planted!(272) && follower.reachable {
                wanted.push(node);
            }
            if !pursuit.caught || pursuit.is_behind(now, *timeout / 4) {
                joining.remove(&node);
                continue;
            }
            let released = *joining.entry(node).or_insert(executed);
            if follower.matched >= released && !follower.recovering {
                wanted.push(node);
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The strictest mode that a table asks for.
    #[must_use]
    pub const fn mode(&self) -> ReplicationMode {
        self.machine.asking().most().mode
    }

    /// Who is in sync.
    #[must_use]
    pub const fn in_sync_set(&self) -> &InSync {
        self.machine.in_sync()
    }

    /// Who is in sync, what was released, and how far the log is durable here.
    #[must_use]
    pub fn in_sync(&self) -> InSyncFacts {
        InSyncFacts {
            set: self.machine.in_sync().clone(),
            durable: self.consensus.durable(),
            released: self.acknowledging.released,
        }
    }
}
