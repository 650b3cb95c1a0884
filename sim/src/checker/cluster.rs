//! The invariants of consensus and replication, checked on a worker after each of its events, over all of the run:
//!
//! - *election safety*: in one era of a group at most one member leads;
//! - *log matching*: entries of the same index and era are the same on all members, and so is what precedes them;
//! - *one commit history*: whatever any member, in any life, takes as committed at an index is the same entry;
//! - *commit monotony*: within a life, committed never goes back, nor beyond the log's end, nor executed beyond it;
//! - *leader completeness*: who leads in an era holds all that was committed in earlier ones;
//! - *compaction*: what a member has put a checkpoint in the place of ends at a committed entry, and never grows shorter;
//! - *state kept*: a member lacks its state only if something on its disk was destroyed, by rot or misdirection;
//! - *membership*: one history of configurations, and no voice for who lacks the log ([`membership`]);
//! - *in sync*: whoever is in sync has on disk what was acknowledged for that ([`in_sync`]);
//! - *equal digests*: replicas that have executed the same index have the same state.
//!
//! What a member no longer holds, or has only as the state of another, counts as what was seen committed there: that its log
//! begins at a committed entry proves it by log matching, and the state by its digest. What was seen committed is kept for
//! ever, so that whoever comes later with another entry is found out.
//!
//! Everything is seen through the worker's inspection methods. The work is incremental: a member whose status has not
//! moved costs one comparison; new log entries are found by walking back from the log's end to what is known.

mod in_sync;
mod membership;

use self::in_sync::InSyncs;
use self::membership::Memberships;
use crate::plan::Cluster;
use crate::run::Violation;
use crate::trace::{self, Trace};
use crate::world::Machine;
use orrery::consensus::{Membership, Role, Status};
use orrery::env::Port;
use orrery::types::collections::HashMap;
use orrery::types::{Era, LogIndex, NodeId, PartitionId};
use std::collections::BTreeMap;

/// Checks all groups.
#[derive(Debug)]
pub(crate) struct ClusterChecker {
    workers: u16,
    groups: Vec<Group>,
}

/// An entry as inspection shows it: era and digest of its payload.
type Entry = (Era, u64);

#[derive(Debug, Default)]
struct Group {
    /// Who led in each era.
    leaders: BTreeMap<Era, usize>,
    /// Every entry ever seen in any log, with the era of the one before it.
    entries: HashMap<(u64, u64), (u64, Era)>,
    /// What was committed at index 1, 2, …, with the era of the member that first said so.
    history: Vec<(Entry, Era)>,
    /// Digest of the state after index 1, 2, …, with who first showed it.
    digests: Vec<Option<(u128, usize)>>,
    members: Vec<Member>,
    memberships: Memberships,
    in_sync: InSyncs,
    last_leader: Option<usize>,
    leader_changes: u64,
}

/// What is known of a member's present life.
#[derive(Clone, Debug, Default)]
struct Member {
    status: Option<Status>,
    /// Its log as checked, from index 1. Up to `floor` it is what was committed.
    log: Vec<Entry>,
    floor: u64,
    committed: u64,
    executed: u64,
}

/// What an entry that cannot be inspected counts as: nothing is concluded from it.
const UNSEEN: Entry = (Era(0), 0);

struct Broken(&'static str, String, String);

impl ClusterChecker {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let member = || vec![Member::default(); cluster.nodes as usize];
        let group = |_| Group { members: member(), ..Group::default() };
        Self { workers: cluster.workers, groups: (0..=cluster.partitions).map(group).collect() }
    }

    /// A node's process has ended: what its next life shows is compared with history from the beginning.
    pub(crate) fn forget(&mut self, node: usize) {
        for group in &mut self.groups {
            group.members[node] = Member::default();
        }
    }

    /// A node has new disks.
    pub(crate) fn wiped(&mut self, node: usize) {
        for group in &mut self.groups {
            group.in_sync.wiped(node);
        }
    }

    /// Has this node all that it needs to be a cluster of its own, whatever becomes of the others: all of the order, and is it in sync
    /// wherever anybody is?
    pub(crate) fn may_survive(&self, node: usize) -> bool {
        let id = name(node);
        let order = self.groups.first().is_none_or(|order| order.in_sync.has(node, order.history.len() as u64));
        order && self.groups.iter().all(|group| group.in_sync.may_survive(id))
    }

    /// The up member that leads a partition, if any.
    pub(crate) fn leader(&self, partition: u32) -> Option<usize> {
        let group = self.groups.get(partition as usize)?;
        let leads = |(at, member): (usize, &Member)| {
            member.status.filter(|status| status.role == Role::Leader).map(|status| (status.era, at))
        };
        group.members.iter().enumerate().filter_map(leads).max().map(|(_, at)| at)
    }

    /// Changes of leaders after each group's first.
    pub(crate) fn leader_changes(&self) -> u64 {
        self.groups.iter().map(|group| group.leader_changes).sum()
    }

    /// Checks one worker after an event. `destroyed`: its disk has lost what it had synced.
    pub(crate) fn after(
        &mut self,
        now: u64,
        node: usize,
        worker: usize,
        destroyed: bool,
        machine: &dyn Machine,
        trace: &mut Trace,
    ) -> Result<(), Violation> {
        for (number, group) in self.groups.iter_mut().enumerate() {
            let partition = PartitionId(u32::try_from(number).unwrap_or(u32::MAX));
            if usize::from(Port::Partition(partition).worker(self.workers).0) != worker {
                continue;
            }
            let Some(status) = machine.consensus_status(partition) else {
                // It has none, or none any more: another one would be a new one.
                group.members[node] = Member::default();
                continue;
            };
            let era =
                (group.members[node].status.map(|before| (before.era, before.role))) != Some((status.era, status.role));
            if era {
                trace.mark(now, || trace::Mark::Role {
                    node: name(node),
                    partition: partition.0,
                    role: status.role,
                    era: status.era.0,
                    committed: status.committed.0,
                });
            }
            if era && status.role == Role::Leader {
                let event = trace::Event::Leader { node: name(node), partition: partition.0, era: status.era.0 };
                trace.record(now, event);
            }
            let checked = group.check(node, partition, status, machine);
            let checked = checked.and_then(|()| state_kept(node, status, destroyed));
            let facts = machine.in_sync(partition);
            let checked =
                checked.and_then(|()| facts.map_or(Ok(()), |facts| group.in_sync.check(node, destroyed, &facts)));
            if let Err(Broken(checker, kind, message)) = checked {
                return Err(Violation { checker, kind, at_ns: now, message: format!("{partition}: {message}") });
            }
        }
        Ok(())
    }
}

/// No crash and no error costs a member its state: a checkpoint stands for the log only when it is durable itself.
fn state_kept(at: usize, now: Status, destroyed: bool) -> Result<(), Broken> {
    if !now.lacks_state || destroyed {
        return Ok(());
    }
    let message = format!("{} has no state for its log, which begins after {}; its disk is sound", name(at), now.floor);
    Err(Broken("state-kept", "a sound disk has lost a state".to_owned(), message))
}

fn name(node: usize) -> NodeId {
    NodeId(u32::try_from(node + 1).unwrap_or(u32::MAX))
}

/// An entry in words.
fn shown((era, digest): Entry) -> String {
    format!("the entry of {era} with payload {:08x}", digest >> 32)
}

impl Group {
    fn check(&mut self, at: usize, partition: PartitionId, now: Status, machine: &dyn Machine) -> Result<(), Broken> {
        let before = self.members[at].status.replace(now);
        let unchanged = before == Some(now);
        if !unchanged && now.role == Role::Leader {
            self.election_safety(at, now)?;
        }
        let entry = |index: u64| machine.log_entry(partition, LogIndex(index));
        if !unchanged {
            self.membership(at, now, machine.membership(partition).as_ref())?;
        }
        self.compaction(at, now)?;
        self.log_matching(at, now, entry)?;
        if unchanged && self.members[at].executed == now.committed.0 {
            return Ok(());
        }
        self.commit_history(at, now)?;
        let took_office = before.is_none_or(|before| (before.role, before.era) != (now.role, now.era));
        if now.role == Role::Leader && now.lacks_state {
            let message = format!("{} leads in {} without the state that its log continues", name(at), now.era);
            return Err(Broken("leader-completeness", "a leader lacks its state".to_owned(), message));
        }
        if now.role == Role::Leader && took_office {
            self.leader_completeness(at, now)?;
        }
        self.equal_digests(at, now, machine.state_digest(partition))
    }

    fn membership(&mut self, at: usize, now: Status, membership: Option<&Membership>) -> Result<(), Broken> {
        let Self { members, memberships, .. } = self;
        let last = |node: NodeId| {
            let member = members.get(usize::try_from(node.0).ok()?.checked_sub(1)?)?;
            member.status.map(|status| status.last.0)
        };
        membership.map_or(Ok(()), |membership| memberships.check(at, now, membership, last))
    }

    fn election_safety(&mut self, at: usize, now: Status) -> Result<(), Broken> {
        let leader = *self.leaders.entry(now.era).or_insert(at);
        if leader != at {
            let message = format!("{} and {} both lead in {}", name(leader), name(at), now.era);
            return Err(Broken("election-safety", "two leaders in one era".to_owned(), message));
        }
        if self.last_leader != Some(at) {
            self.leader_changes += u64::from(self.last_leader.is_some());
            self.last_leader = Some(at);
        }
        Ok(())
    }

    /// Takes what a checkpoint stands for from the history.
    fn compaction(&mut self, at: usize, now: Status) -> Result<(), Broken> {
        let Self { history, members, .. } = self;
        let member = &mut members[at];
        let floor = now.floor.index.0;
        if floor == member.floor {
            return Ok(());
        }
        let broken = |kind: &str, message| Err(Broken("commit-history", kind.to_owned(), message));
        if floor < member.floor {
            let message = format!("{} begins after {} and began after @{}", name(at), now.floor, member.floor);
            return broken("a log grows at its beginning", message);
        }
        if floor > now.committed.0 {
            let message = format!("{} begins after {} and has committed {}", name(at), now.floor, now.committed);
            return broken("a checkpoint of what is not committed", message);
        }
        let Some(&((era, _), _)) = history.get(floor as usize - 1) else {
            let message = format!("{} begins after {} and @{} was committed", name(at), now.floor, history.len());
            return broken("a checkpoint of what nobody committed", message);
        };
        if era != now.floor.era && era != UNSEEN.0 {
            let message = format!("{} begins after {}, where an entry of {era} was committed", name(at), now.floor);
            return broken("a checkpoint of another history", message);
        }
        let log = &mut member.log;
        let kept = log.len().min(floor as usize);
        for (position, (entry, _)) in history.iter().enumerate().take(floor as usize).skip(member.floor as usize) {
            if position >= kept {
                log.push(*entry);
            } else if *entry != UNSEEN {
                log[position] = *entry;
            }
        }
        member.floor = floor;
        Ok(())
    }

    /// Brings the known log of a member up to date, and every new entry into the book of all entries.
    fn log_matching(&mut self, at: usize, now: Status, entry: impl Fn(u64) -> Option<Entry>) -> Result<(), Broken> {
        let Self { entries, members, history, .. } = self;
        let (committed, floor) = (members[at].committed as usize, members[at].floor as usize);
        let log = &mut members[at].log;
        let last = now.last.0 as usize;
        log.truncate(last);
        let mut fresh = Vec::new();
        let mut index = last;
        while index > floor {
            let here = entry(index as u64).unwrap_or(UNSEEN);
            if index <= log.len() && log[index - 1] == here {
                break;
            }
            fresh.push(here);
            index -= 1;
        }
        log.truncate(index);
        for here in fresh.into_iter().rev() {
            index += 1;
            let previous = log.last().map_or(Era(0), |&(era, _)| era);
            log.push(here);
            if here == UNSEEN {
                continue;
            }
            if index <= committed && history[index - 1].0 != here && history[index - 1].0 != UNSEEN {
                let message = format!("{} replaces committed @{index} by {}", name(at), shown(here));
                return Err(Broken("commit-history", "a committed entry is replaced".to_owned(), message));
            }
            let (digest, era) = *entries.entry((index as u64, here.0.0)).or_insert((here.1, previous));
            let unseen = index > 1 && (previous == Era(0) || era == Era(0));
            if digest != here.1 || (era != previous && !unseen) {
                let what = if digest == here.1 { "follow different eras" } else { "have different payloads" };
                let message = format!("entries @{index} {} of {} and of another member {what}", here.0, name(at));
                return Err(Broken("log-matching", format!("entries of one index and era {what}"), message));
            }
        }
        Ok(())
    }

    fn commit_history(&mut self, at: usize, now: Status) -> Result<(), Broken> {
        let Self { history, members, .. } = self;
        let member = &mut members[at];
        let broken = |kind: &str, message| Err(Broken("commit-history", kind.to_owned(), message));
        if now.committed.0 < member.committed {
            let message = format!("{} takes back {} … {}", name(at), now.committed, LogIndex(member.committed));
            return broken("committed goes back", message);
        }
        if now.committed > now.last {
            let message = format!("{} has committed {} and its log ends at {}", name(at), now.committed, now.last);
            return broken("committed beyond the log", message);
        }
        for index in member.committed + 1..=now.committed.0 {
            let here = member.log[index as usize - 1];
            match history.get(index as usize - 1) {
                None => history.push((here, now.era)),
                Some(&(UNSEEN, era)) => history[index as usize - 1] = (here, era),
                Some(&(there, _)) if there == here || here == UNSEEN || there == UNSEEN => {}
                Some((there, _)) => {
                    let (here, there) = (shown(here), shown(*there));
                    let message = format!("{} commits {here} at @{index}, where {there} was committed", name(at));
                    return broken("two entries committed at one index", message);
                }
            }
        }
        member.committed = now.committed.0;
        Ok(())
    }

    fn leader_completeness(&self, at: usize, now: Status) -> Result<(), Broken> {
        let log = &self.members[at].log;
        for (position, &(entry, era)) in self.history.iter().enumerate() {
            let held = log.get(position).copied();
            if era < now.era && entry != UNSEEN && held != Some(UNSEEN) && held != Some(entry) {
                let message = format!(
                    "{} leads in {} and has {} at @{}, where {} was committed in {era}",
                    name(at),
                    now.era,
                    held.map_or_else(|| "nothing".to_owned(), shown),
                    position + 1,
                    shown(entry),
                );
                return Err(Broken("leader-completeness", "a leader lacks a committed entry".to_owned(), message));
            }
        }
        Ok(())
    }

    fn equal_digests(&mut self, at: usize, now: Status, state: Option<(LogIndex, u128)>) -> Result<(), Broken> {
        let Some((executed, digest)) = state else { return Ok(()) };
        if executed > now.committed {
            let message = format!("{} has executed {executed} and committed {}", name(at), now.committed);
            return Err(Broken("digests", "executed beyond committed".to_owned(), message));
        }
        if executed.0 == self.members[at].executed || executed.0 == 0 {
            return Ok(());
        }
        self.members[at].executed = executed.0;
        let position = executed.0 as usize - 1;
        if self.digests.len() <= position {
            self.digests.resize(position + 1, None);
        }
        let (known, by) = *self.digests[position].get_or_insert((digest, at));
        if known != digest {
            let message = format!("at {executed} {} has {digest:032x} and {} had {known:032x}", name(at), name(by));
            return Err(Broken("digests", "states differ at one index".to_owned(), message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
