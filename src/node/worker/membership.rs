//! A worker's part in membership: who is a peer, what it has, which replicas come and go while it runs, and, where the cluster
//! partition is led, the reconciler.
//!
//! The directory of nodes comes from the node's own replica of the cluster partition, or from the node that leads it: that one
//! sends it to every node that has not told of knowing it. A node has the replicas that its disk knows; those that the directory
//! wants here and that are not there it opens as outsiders, who wait until their group's leader teaches them. It drops one only
//! when it is told that its group has gone on without it.
//!
//! # Invariants
//! - A replica that is dropped leaves a mark in the log: the node does not take itself for one that has never had it.
//! - Who was removed from the cluster is not listened to.
//!
//! # Caveats
//! - Who is not known here is listened to: it may have come lately, and lead what this node has to hear to learn of it. A node that
//!   had slept through a joining took nothing from the newcomer, not even the directory that names it.

use super::{MAX_HOPS, Worker};
use crate::cluster::placement;
use crate::cluster::reconciler::{Group, Held, Reconciler, Report, Step};
use crate::consensus::{self, Role};
use crate::directory::{Change, Directory, NodeState};
use crate::env::{Endpoint, Env, Port};
use crate::node::durable::Found;
use crate::node::wire::Body;
use crate::partition::global::Exchange;
use crate::partition::message::{Reply, ReplyBody, Request};
use crate::partition::{Origin, Replica};
use crate::types::{Duration, Instant, NodeId, PartitionId, Timestamp, WorkerId};
use crate::{planted, sometimes};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a worker keeps of it.
#[derive(Default)]
pub(super) struct Membership {
    /// The newest directory of nodes that has come here.
    pub(super) directory: Arc<Directory>,
    /// Partitions of which this worker had a replica once, and dropped it.
    dropped: BTreeSet<PartitionId>,
    /// When to tell next what there is.
    next_report: Instant,
    /// There while the cluster partition is led here.
    reconciler: Option<Reconciler>,
    /// Version of the directory for which all placements are as they should be.
    planned: u64,
}

impl Worker {
    /// Was this node removed from the cluster, as far as is known?
    pub(super) fn was_removed(&self, node: NodeId) -> bool {
        self.membership.directory.nodes.get(&node).is_some_and(|known| known.state == NodeState::Removed)
    }

    /// How often is told what there is.
    fn report_interval(&self) -> Duration {
        self.config.election_timeout * 2
    }

    /// When [`Worker::membership_timeout`] wants to be called. A node that is alone has nobody to tell.
    pub(super) fn next_report(&self) -> Option<Instant> {
        let alone = self.config.nodes.len() == 1 && self.membership.directory.members().count() <= 1;
        (!alone && !self.replicas_unknown()).then_some(self.membership.next_report)
    }

    fn replicas_unknown(&self) -> bool {
        self.phase == super::Phase::Recovering
    }

    /// Tells what there is, and takes the next steps if the cluster partition is led here.
    pub(super) fn membership_timeout(&mut self, env: &mut dyn Env, now: Instant) {
        if self.next_report().is_none_or(|next| now < next) {
            return;
        }
        self.membership.next_report = now + self.report_interval();
        self.reconcile(env, now);
        self.tell_outsiders(env);
        let report = self.report();
        if let Some(node) = self.cluster_leader() {
            self.send_report(env, node, report, 0);
        }
    }

    fn cluster_leader(&self) -> Option<NodeId> {
        let own = self.replicas.get(&PartitionId::CLUSTER).and_then(|replica| replica.status().leader);
        let guess = || self.gateway.as_ref().map(|gateway| gateway.leader_of(PartitionId::CLUSTER));
        own.or_else(|| self.leaders.get(&PartitionId::CLUSTER).copied()).or_else(guess)
    }

    fn send_report(&mut self, env: &mut dyn Env, node: NodeId, report: Report, hops: u8) {
        if !env.buggify("node.report_lost") {
            let to = Endpoint { node, port: Port::Partition(PartitionId::CLUSTER) };
            self.send(env, to, Body::Report { report, hops });
        }
    }

    fn report(&self) -> Report {
        let held = |(partition, replica): (&PartitionId, &Replica)| Held {
            partition: *partition,
            configuration: replica.membership().id,
            last_era: replica.last_era(),
            group: self.group(replica),
        };
        Report {
            node: self.config.node,
            worker: self.config.worker,
            directory: self.membership.directory.version,
            replicas: self.replicas.iter().map(held).collect(),
        }
    }

    /// What the leader of a group knows of it.
    fn group(&self, replica: &Replica) -> Option<Group> {
        let status = replica.status();
        if status.role != Role::Leader {
            return None;
        }
        let followers = replica.followers();
        let reach = self.config.max_batch_entries as u64;
        let near = |follower: &&consensus::FollowerStatus| {
            follower.reachable && !follower.recovering && follower.matched.0 + reach >= status.committed.0
        };
        Some(Group {
            era: status.era,
            membership: replica.membership().clone(),
            // Systems that begin a change on top of another, or before they may, do not wait here either.
            settled: status.settled || planted!(53) || planted!(54),
            caught_up: followers.iter().filter(near).map(|follower| follower.node).collect(),
            lag: followers
                .iter()
                .map(|follower| (follower.node, status.last.0.saturating_sub(follower.matched.0)))
                .collect(),
        })
    }

    /// A worker has told what it has. Who does not lead the cluster partition passes it on.
    pub(super) fn reported(&mut self, env: &mut dyn Env, now: Instant, report: Report, hops: u8) {
        let status = self.replicas.get(&PartitionId::CLUSTER).map(Replica::status);
        if status.is_some_and(|status| status.role == Role::Leader) {
            let (interval, hysteresis) = (self.report_interval(), self.config.hysteresis);
            let make = || Reconciler::new(interval).with(hysteresis);
            self.membership.reconciler.get_or_insert_with(make).report(now, report);
        } else if let Some(leader) = self.cluster_leader().filter(|leader| *leader != self.config.node)
            && hops < MAX_HOPS
        {
            self.send_report(env, leader, report, hops + 1);
        }
    }

    /// Where the cluster partition is led: plans, says the next steps, and tells the directory to who does not know it.
    fn reconcile(&mut self, env: &mut dyn Env, now: Instant) {
        let (interval, hysteresis) = (self.report_interval(), self.config.hysteresis);
        let Some(replica) = self.replicas.get_mut(&PartitionId::CLUSTER) else { return };
        let status = replica.status();
        if status.role != Role::Leader {
            self.membership.reconciler = None;
            return;
        }
        let directory = Arc::clone(replica.directory());
        if !directory.is_formed() || replica.state_digest().0 < status.committed {
            return;
        }
        let make = || Reconciler::new(interval).with(hysteresis);
        let reconciler = self.membership.reconciler.get_or_insert_with(make);
        if !directory.paused && self.membership.planned != directory.version {
            let changes = placement::plan(&directory);
            if changes.is_empty() {
                self.membership.planned = directory.version;
            } else {
                sometimes!("node.placements_changed");
                replica.amend(now, directory.version, Change::Place(changes));
            }
        }
        if let Some(node) = reconciler.drained(now, &directory).first() {
            sometimes!("node.drained");
            replica.amend(now, directory.version, Change::Drained { node: *node });
        }
        let silent = reconciler.silent(now, &directory);
        if let Some(node) = silent {
            sometimes!("node.silent_node_replaced");
            replica.amend(now, directory.version, Change::Silent { node });
        }
        let orders = reconciler.steps(now, &directory);
        if let Some(node) = silent {
            let text =
                format!("node {} is silent for {} s or longer: others take its place", node.0, directory.replace_after);
            self.events.warning(env.wall(), "node_silent", None, text);
        }
        let own = self.config.node;
        let uninformed: Vec<NodeId> = reconciler.uninformed(now, &directory).filter(|node| *node != own).collect();
        for order in orders {
            // What is said may be lost: it is said again.
            if !env.buggify("node.order_lost") {
                let to = Endpoint { node: order.node, port: Port::Partition(order.partition) };
                self.send(env, to, Body::Step { partition: order.partition, step: order.step });
            }
        }
        for node in uninformed {
            let to = Endpoint { node, port: Port::Worker(WorkerId(0)) };
            self.send(env, to, Body::Directory(Arc::clone(&directory)));
        }
    }

    /// A session asks for a partition that has no replica here.
    pub(super) fn not_here(&mut self, env: &mut dyn Env, from: Origin, partition: PartitionId, request: &Request) {
        sometimes!("node.asked_for_a_partition_elsewhere");
        let leader = self.leaders.get(&partition).copied().filter(|leader| *leader != self.config.node);
        let body = ReplyBody::NotLeader { leader };
        self.send_reply(env, from, Reply { id: request.id, attempt: request.attempt, partition, body });
    }

    /// An exchange has come for a partition that has no replica here.
    pub(super) fn pass_on(&mut self, env: &mut dyn Env, partition: PartitionId, exchange: Exchange, hops: u8) {
        let leader = self.leaders.get(&partition).copied().filter(|leader| *leader != self.config.node);
        if let Some(node) = leader.filter(|_| hops < MAX_HOPS) {
            sometimes!("node.exchange_passed_on_by_an_outsider");
            let to = Endpoint { node, port: Port::Partition(partition) };
            self.send(env, to, Body::Exchange { partition, exchange, hops: hops + 1 });
        }
    }

    /// Nodes without a replica of a partition that is led here hear who leads it: other partitions are led there, and have something
    /// to say. Who leads the cluster partition all nodes hear: a member of it that was restarted may have dropped its replica, and
    /// learns only there that one is wanted again.
    fn tell_outsiders(&mut self, env: &mut dyn Env) {
        let own = self.config.node;
        let led = self.replicas.iter().filter(|(_, replica)| replica.status().role == Role::Leader);
        let mut told = Vec::new();
        for (partition, replica) in led {
            let members = replica.membership();
            let all_hear = *partition == PartitionId::CLUSTER;
            let outside = |node: &NodeId| *node != own && (all_hear || !members.contains(*node));
            let all = self.membership.directory.members().map(|(node, _)| node);
            told.extend(all.filter(outside).map(|node| (node, *partition)));
        }
        for (node, partition) in told {
            let to = Endpoint { node, port: Port::Worker(WorkerId(0)) };
            self.send(env, to, Body::Leader { partition, leader: own });
        }
    }

    /// The reconciler says what to do.
    pub(super) fn step(&mut self, now: Instant, wall: Timestamp, partition: PartitionId, step: Step) {
        let Some(replica) = self.replicas.get_mut(&partition) else { return };
        match step {
            Step::Change { expected, voters, learners, witnesses } => {
                let text = format!(
                    "partition {}: voters {}, learners {}",
                    partition.0,
                    super::observe::list(&voters),
                    super::observe::list(&learners)
                );
                match replica.change(now, consensus::Change { expected, voters, learners, witnesses }) {
                    Ok(()) => self.events.info(wall, "membership", Some(partition), text),
                    Err(refused) => {
                        tracing::debug!(partition = partition.0, %refused, "a change of members is refused")
                    }
                }
            }
            Step::HandOver { expected, to } => {
                if replica.membership().id == expected
                    && let Some(to) = replica.hand_over_to(now, to)
                {
                    let text =
                        format!("leadership of partition {} goes to node {}, who is to lead it", partition.0, to.0);
                    self.events.info(wall, "hand_over", Some(partition), text);
                }
            }
            Step::Drop { configuration, era } => {
                let wanted = self.membership.directory.placement(partition);
                let wanted = wanted.is_some_and(|placement| placement.includes(self.config.node));
                let leads = replica.status().role == Role::Leader;
                // What it holds of a later one was cut off everywhere else: an entry of that leader's era is chosen.
                let overtaken = replica.membership().id <= configuration || replica.last_era() < era;
                if overtaken && !wanted && !leads {
                    let text = format!("partition {} has moved elsewhere: its replica here is dropped", partition.0);
                    self.events.info(wall, "replica_dropped", Some(partition), text);
                    self.drop_replica(partition);
                }
            }
        }
    }

    /// A directory of nodes has come: from this node's replica of the cluster partition, or from who leads it.
    pub(super) fn learn_directory(&mut self, env: &mut dyn Env, from: NodeId, directory: Arc<Directory>) {
        if from != self.config.node {
            return self.announce_directory(env, &directory);
        }
        if directory.version > self.membership.directory.version {
            self.membership.directory = directory;
            self.meet(env);
            self.open_wanted(env);
        }
    }

    /// The environment and the sessions learn who belongs to the cluster.
    fn meet(&mut self, env: &mut dyn Env) {
        let directory = &self.membership.directory;
        let others = directory.members().filter(|(node, _)| *node != self.config.node);
        let others: Vec<(NodeId, String)> = others.map(|(node, known)| (node, known.address.clone())).collect();
        let removed = directory.nodes.iter().filter(|(_, known)| known.state == NodeState::Removed);
        let removed: Vec<NodeId> = removed.map(|(node, _)| *node).collect();
        env.peers(&others, &removed);
        if let Some(gateway) = &mut self.gateway {
            gateway.directory(directory);
        }
    }

    /// Opens the replicas that are wanted here and are not here. They wait to be taught.
    fn open_wanted(&mut self, env: &mut dyn Env) {
        let directory = Arc::clone(&self.membership.directory);
        for (partition, placement) in &directory.placements {
            let here = Port::Partition(*partition).worker(self.config.workers) == self.config.worker;
            if here && placement.includes(self.config.node) && !self.replicas.contains_key(partition) {
                sometimes!("node.replica_opened");
                sometimes!("node.replica_opened_again", self.membership.dropped.contains(partition));
                self.membership.dropped.remove(partition);
                let text = format!("partition {} is to have a replica here", partition.0);
                self.events.info(env.wall(), "replica_opened", Some(*partition), text);
                if let Err(stop) = self.open(env, *partition, Found::nothing(*partition, false), Vec::new()) {
                    tracing::error!(partition = partition.0, ?stop, "an empty replica cannot be opened");
                }
            }
        }
    }

    /// At the beginning of a life: partitions of which a replica was dropped here.
    pub(super) fn note_dropped(&mut self, dropped: BTreeSet<PartitionId>) {
        self.membership.dropped = dropped;
    }

    /// Was a replica of this partition here, and dropped?
    pub(super) fn has_dropped(&self, partition: PartitionId) -> bool {
        self.membership.dropped.contains(&partition)
    }

    fn drop_replica(&mut self, partition: PartitionId) {
        sometimes!("node.replica_dropped");
        self.replicas.remove(&partition);
        self.membership.dropped.insert(partition);
        self.last_ticket.remove(&partition);
        // What was to be promised once it is durable is not promised by anybody any more.
        for ticket in self.tickets.values_mut() {
            ticket.persisted.retain(|(of, _)| *of != partition);
            ticket.messages.retain(|(of, _)| *of != partition);
        }
        if self.saving == Some(partition) {
            self.saving = None;
        }
        self.observed.forget(partition);
        let number = self.next_ticket;
        self.next_ticket += 1;
        if let Some(durable) = &mut self.durable {
            durable.forget(number, partition);
        }
    }

    /// What is on the move, if the cluster partition is led here.
    pub(super) fn moves(&self, now: Instant) -> Vec<crate::cluster::reconciler::Move> {
        let reconciler = self.membership.reconciler.as_ref();
        reconciler.map(|reconciler| reconciler.moves(now, &self.membership.directory)).unwrap_or_default()
    }
}
