//! A replica's part in global commands ([`crate::partition::global`]): the queue of committed entries that stands still at an
//! undecided one, what the leader tells and asks the other participants, and what the cluster partition's leader does
//! to bring ordered commands to them.
//!
//! What is said between partitions is said by leaders, to the node that is believed to lead the other group; whoever gets it and
//! does not lead passes it on. All of it may be lost, doubled and late: everything is asked for again at each tick, and what
//! is said is a function of committed logs, so it does not matter when it was said, or by whom.

use super::{Origin, Replica};
use crate::consensus::{Committed, Payload, Role};
use crate::partition::command::Command;
use crate::partition::global::{
    DELIVERED_AT_ONCE, Exchange, Global, GlobalBody, HEARD_WITHIN, HELD, Heard, Report, Said, Values, Vote,
};
use crate::partition::message::{Prepare, ReplyBody, Request, RequestBody};
use crate::partition::parcel::Whole;
use crate::partition::slice::Slice;
use crate::partition::state_machine::{Executed, Position, Standing, values_of};
use crate::partition::tokens::KEPT_AGES;
use crate::types::{Duration, GlobalNumber, Instant, PartitionId, Timestamp};
use crate::{planted, sometimes};
use std::sync::Arc;

/// The cluster partition logs how far groups have come so often, while there is anything to forget.
const REPORT_EVERY: Duration = Duration::from_secs(1);

impl Replica {
    /// A turn of the worker begins: so much may be executed in it.
    pub const fn begin_turn(&mut self) {
        self.statements_before = self.statements();
        self.slice = Slice::of(self.statements_in_a_turn);
        self.groundwork = Slice::of(self.statements_in_a_turn.div_ceil(2));
    }

    /// How much it has executed so far, in statements.
    #[must_use]
    pub const fn statements(&self) -> u64 {
        self.statements_before + self.slice.spent() + self.groundwork.spent()
    }

    /// Is there anything to execute that the last turn has left?
    pub(super) fn has_work(&self) -> bool {
        self.machine.goes_on() || self.machine.has_groundwork() || (!self.backlog.is_empty() && !self.machine.stands())
    }

    /// Takes committed entries.
    pub(super) fn enqueue(&mut self, committed: Vec<Committed>) {
        let (own, decisions, backlog) = (self.partition, &mut self.decisions, &mut self.backlog);
        let mut take = |entry: Whole| {
            // A decision is looked up ahead of its place: the command that it ends stands before it (rules A3).
            if let Payload::Command(bytes) = &entry.payload
                && let Some((number, committed, values)) = Command::decision(bytes)
                && own != PartitionId::CLUSTER
                && !planted!(107)
            {
                decisions.insert(number, (committed, values));
            }
            backlog.push_back(entry);
        };
        for entry in committed {
            self.assembler.push(entry, &mut take);
        }
    }

    /// Executes what can be. Returns whether there was anything.
    pub(super) fn work(&mut self, now: Instant, wall: Timestamp) -> bool {
        let mut worked = false;
        loop {
            worked |= self.follow_reads(now);
            self.lay_groundwork();
            if self.machine.is_under_way() && !self.slice.is_spent() {
                worked = true;
                if let Some(executed) = self.machine.go_on_alone(&mut self.slice) {
                    self.executed(now, executed);
                    self.digest_passed();
                }
            }
            if self.machine.goes_on() && self.slice.is_spent() {
                sometimes!("partition.execution_goes_on_in_another_turn");
                // Planted 230: reads are answered all the same, from what is half done.
                if planted!(230) {
                    self.run_proved_reads(wall);
                }
                break;
            }
            if self.machine.stands() {
                if !self.settle(now) {
                    // Planted 102: reads are answered all the same, from what is not decided yet.
                    if planted!(102) {
                        self.run_proved_reads(wall);
                    }
                    break;
                }
                worked = true;
            }
            // Here too, not only behind an entry: a partition may have nothing to execute for a long time.
            self.run_proved_reads(wall);
            if self.slice.is_spent() {
                sometimes!("partition.execution_goes_on_in_another_turn", !self.backlog.is_empty());
                break;
            }
            let Some(entry) = self.backlog.pop_front() else { break };
            self.slice.spend(0);
            worked = true;
            self.execute(now, wall, entry);
        }
        worked | self.conclude_definition(now)
    }

    /// A definition is to be ordered soon: what it makes of the rows is made beforehand. Returns how many rows are still to be
    /// looked at.
    pub fn lay_for(&mut self, now: Instant, wall: Timestamp, order: &Prepare) -> u64 {
        if self.machine.lay_for(now, wall, order) == 0 {
            return 0;
        }
        // What is soon done needs no second question.
        self.lay_groundwork();
        self.machine.lay_for(now, wall, order)
    }

    /// Goes on with what definitions will need, once in a turn.
    fn lay_groundwork(&mut self) {
        if !self.groundwork.is_spent() && self.machine.has_groundwork() {
            self.machine.lay_groundwork(&mut self.groundwork);
        }
    }

    /// Ends standing if the decision is known. Returns whether it does not stand any more.
    fn settle(&mut self, now: Instant) -> bool {
        let Some(number) = self.machine.standing().map(|standing| standing.global.number) else { return true };
        let logged = self.decisions.get(&number);
        let exchanges = &self.exchanges;
        let values = |round, from| {
            let logged = logged.and_then(|(_, values)| {
                let (_, _, bytes) = values.iter().find(|(of, by, _)| (*of, *by) == (round, from))?;
                Some(bytes.clone())
            });
            logged.or_else(|| exchanges.value(number, round, from).cloned())
        };
        self.machine.go_on(&values, &mut self.slice);
        self.tell();
        let Some(standing) = self.machine.standing() else { return true };
        // What it votes must not depend on when it was asked.
        if standing.paused {
            return false;
        }
        let logged = self.decisions.get(&number).map(|(committed, _)| *committed);
        let Some(committed) = logged.or_else(|| self.verdict(standing)) else { return false };
        if committed && standing.vote.is_none() {
            // What it needs of the others to execute is still under way.
            return false;
        }
        let values = match self.decisions.remove(&number) {
            Some((_, values)) => values,
            None => {
                values_of(standing, self.partition, |round, from| self.exchanges.value(number, round, from).cloned())
            }
        };
        let open = self.machine.open();
        self.decisions.retain(|decided, _| *decided > number || open.contains_key(decided));
        sometimes!("global.decided_by_votes", logged.is_none());
        sometimes!("global.decided_by_the_log", logged.is_some());
        let executed = self.machine.settle(committed, values.clone());
        let asks = !executed.asked.is_nothing();
        self.exchanges.forget_through(number, |open| self.machine.open().contains_key(open));
        self.executed(now, executed);
        if self.leads && logged.is_none() {
            self.declare(now, number, committed, values);
            // Its answer waits until the decision is on disks.
            if asks {
                self.log_decisions(now);
            }
        }
        self.digest_passed();
        true
    }

    /// What a command comes to, as far as it is known.
    ///
    /// Who waits for values of others does not end on another's refusal as long as they may come: whether it can finish, and so
    /// its vote, must not depend on what was heard first, but on what was sent at all.
    fn verdict(&self, standing: &Standing) -> Option<bool> {
        let number = standing.global.number;
        if self.is_silent() || standing.paused {
            return None;
        }
        let others = standing.global.others(self.partition).filter_map(|other| self.exchanges.heard(number, other));
        let others: Vec<&Heard> = others.collect();
        let refuses = |heard: &&&Heard| heard.vote.as_ref().is_some_and(|vote| !vote.is_yes());
        let Some(own) = &standing.vote else {
            let round = standing.sent.last().map(|(round, _)| *round);
            let never =
                others.iter().filter(refuses).any(|heard| round.is_none_or(|round| !heard.rounds.contains(&round)));
            sometimes!("global.value_never_comes", never);
            return never.then_some(false);
        };
        if let Some(committed) = others.iter().find_map(|heard| heard.committed) {
            sometimes!("global.decision_adopted");
            return Some(committed);
        }
        // Planted 101, 106: the own vote is enough, for a leader or for a follower.
        if !own.is_yes() || planted!(101) || (planted!(106) && !self.leads) {
            return Some(own.is_yes());
        }
        if others.iter().any(|heard| refuses(&heard)) {
            // Planted 110: what another one refuses is done here all the same.
            return Some(planted!(110));
        }
        let voted = others.iter().filter(|heard| heard.vote.is_some()).count();
        (voted + 1 == standing.global.participants.len()).then_some(true)
    }

    /// A decision is made: it goes into the log with the next entry. The cluster partition's is waited for: its catalog changes there.
    pub(super) fn declare(&mut self, now: Instant, number: GlobalNumber, committed: bool, values: Values) {
        let exchanges = &mut self.exchanges;
        exchanges.declared.insert(number);
        if exchanges.held.is_empty() {
            exchanges.held_since = now;
        }
        exchanges.held.push((number, committed, values));
        if self.partition == PartitionId::CLUSTER {
            self.log_decisions(now);
        }
    }

    /// Logs the decisions that are held. What a leader cannot log any more is declared by the next one.
    pub(super) fn log_decisions(&mut self, now: Instant) {
        let held = std::mem::take(&mut self.exchanges.held);
        sometimes!("global.decisions_logged_together", held.len() > 1);
        for (number, committed, values) in held {
            let command = Command::Decision { number, committed, values };
            if self.log_alone(now, &command).is_err() {
                self.exchanges.declared.remove(&number);
            }
        }
    }

    /// The cluster partition's leader logs the decision on a definition when it knows all votes. Returns whether it did.
    fn conclude_definition(&mut self, now: Instant) -> bool {
        if self.partition != PartitionId::CLUSTER || !self.leads {
            return false;
        }
        self.tell();
        let Some(standing) = self.machine.standing() else { return false };
        let number = standing.global.number;
        if self.exchanges.declared.contains(&number) {
            return false;
        }
        let verdict = self.verdict(standing);
        if let Some(committed) = verdict {
            self.declare(now, number, committed, Vec::new());
        }
        // Who leads and is handing over logs nothing: it is tried again when something happens, or by the next leader.
        self.exchanges.declared.contains(&number)
    }

    /// Tells the other participants what this one has to say and has not said yet.
    fn tell(&mut self) {
        if !self.leads || self.is_silent() {
            return;
        }
        let Some(standing) = self.machine.standing() else { return };
        let (number, from) = (standing.global.number, self.partition);
        if self.exchanges.told.0 != number {
            self.exchanges.told = (number, 0, false);
        }
        let (_, values, vote) = self.exchanges.told;
        let mut all = Vec::new();
        for (round, bytes) in standing.sent.iter().skip(values) {
            all.push(Said::Value { round: *round, bytes: bytes.clone() });
        }
        if !vote && let Some(vote) = &standing.vote {
            all.push(standing.said(vote));
        }
        if all.is_empty() {
            return;
        }
        for other in standing.global.others(from) {
            for said in &all {
                self.exchanges.out.push((other, Exchange::Said { number, from, said: said.clone() }));
            }
        }
        self.exchanges.told = (number, standing.sent.len(), standing.vote.is_some());
    }

    /// What came of an entry goes to whoever waits for it.
    pub(super) fn executed(&mut self, now: Instant, executed: Executed) {
        let Executed { reply, asked, collected, ordered, catalog, directory, read, declared, let_go } = executed;
        if directory {
            self.output.directory = Some(Arc::clone(self.machine.directory()));
        }
        let_go.into_iter().for_each(|cut| self.cuts.let_go(cut));
        if let Some(number) = declared {
            self.acknowledge_declared();
            self.decisions.remove(&number);
            self.reads.forget(number);
            self.exchanges.forget(number);
        }
        if let Some(showing) = read {
            self.read_placed(now, *showing);
        }
        if let Some(catalog) = catalog
            && self.partition == PartitionId::CLUSTER
        {
            self.output.catalog = Some(catalog);
        }
        if let Some((id, body)) = reply
            && let Some(super::Pending { origin, attempt, orders, .. }) = self.pending.remove(&id)
        {
            self.ordering = self.ordering.saturating_sub(usize::from(orders));
            self.acknowledge(asked, (origin, id, attempt), body);
        }
        if let Some((id, body)) = collected
            && let Some((origin, attempt)) = self.exchanges.collectors.remove(&id)
        {
            self.acknowledge(asked, (origin, id, attempt), body);
        }
        if let Some(global) = ordered
            && self.leads
        {
            self.deliver(&global);
        }
    }

    fn deliver(&mut self, global: &Arc<Global>) {
        for other in global.others(PartitionId::CLUSTER) {
            self.exchanges.out.push((other, Exchange::Deliver(Arc::clone(global))));
        }
    }

    /// Takes what another partition has to say. What only a leader can take is returned by whoever is none.
    pub fn exchange(&mut self, now: Instant, exchange: Exchange) -> Option<Exchange> {
        let leads = self.consensus.status().role == Role::Leader;
        match exchange {
            Exchange::Ask { from, global } => return self.asked(now, from, global, leads),
            // What was said holds for everybody; but only a leader is sure to need it.
            Exchange::Said { number, from, said } if leads => {
                if number > self.machine.received() || self.stands_at(number) || !self.may_declare(number) {
                    self.exchanges.hear(number, from, said);
                }
            }
            Exchange::Deliver(global) if leads => self.delivered(now, global),
            Exchange::Pull { from, after } if leads => {
                sometimes!("global.pulled");
                self.deliver_after(from, after);
            }
            Exchange::Progress { from, received, settled, forgotten } if leads => {
                let before = self.exchanges.reports.get(&from).map_or(received, |report| report.before);
                self.exchanges.reports.insert(from, Report { at: now, received, settled, before });
                let below = self.machine.sequencer().forget_below();
                if forgotten < below && self.machine.sequencer().last(from) > GlobalNumber(0) {
                    self.exchanges.out.push((from, Exchange::Forget { below }));
                }
            }
            Exchange::Forget { below } if leads => {
                if below > self.exchanges.forgetting && self.machine.remembers_below(below) {
                    let command = Command::Tick { reports: Vec::new(), forget_below: below };
                    if self.log(now, &command).is_ok() {
                        self.exchanges.forgetting = below;
                    }
                }
            }
            other => return Some(other),
        }
        None
    }

    fn stands_at(&self, number: GlobalNumber) -> bool {
        self.machine.standing().is_some_and(|standing| standing.global.number == number)
    }

    fn asked(&mut self, now: Instant, to: PartitionId, global: Arc<Global>, leads: bool) -> Option<Exchange> {
        let (number, from, silent) = (global.number, self.partition, self.is_silent());
        let of_read = self.said_of_read(number);
        let mut answer = |said| self.exchanges.out.push((to, Exchange::Said { number, from, said }));
        match self.machine.position(number) {
            Position::Decided(outcome) => {
                sometimes!("global.asked_when_decided");
                answer(Said::Decided { vote: outcome.vote, committed: outcome.committed, sent: outcome.sent });
            }
            Position::Open if leads => of_read.into_iter().for_each(answer),
            // It is said when it may be.
            Position::Standing(_) if silent && leads => {}
            Position::Standing(standing) if !silent && (standing.vote.is_some() || leads) => {
                for (round, bytes) in &standing.sent {
                    answer(Said::Value { round: *round, bytes: bytes.clone() });
                }
                if let Some(vote) = &standing.vote {
                    answer(standing.said(vote));
                }
            }
            // Planted 153: who is asked about what it does not know says No; and takes it when it comes.
            Position::Ahead if leads && planted!(153) => {
                answer(Said::Vote { vote: Vote::Unfinished, rounds: Vec::new() });
            }
            Position::Ahead if leads => {
                sometimes!("global.learned_from_another_participant", number > self.exchanges.proposed);
                self.delivered(now, global);
            }
            // Whoever asks has not settled, so nobody forgets: an old question.
            Position::Forgotten => {}
            Position::Standing(_) | Position::Open | Position::Ahead => {
                return Some(Exchange::Ask { from: to, global });
            }
        }
        None
    }

    /// The cluster partition has ordered this; it goes into the log behind the one before it.
    fn delivered(&mut self, now: Instant, global: Arc<Global>) {
        if self.partition == PartitionId::CLUSTER || !global.involves(self.partition) {
            return;
        }
        if global.number <= self.exchanges.proposed || global.number <= self.machine.received() {
            return;
        }
        self.exchanges.waiting.insert(global.number, global);
        // What an earlier leader has proposed may have been committed since.
        self.exchanges.proposed = self.exchanges.proposed.max(self.machine.received());
        while let Some(first) = self.exchanges.waiting.first_entry() {
            let previous = first.get().previous(self.partition);
            if *first.key() <= self.exchanges.proposed {
                first.remove();
                continue;
            }
            if previous != Some(self.exchanges.proposed) && !planted!(104) {
                sometimes!("global.delivered_out_of_order");
                self.pull();
                break;
            }
            let global = first.remove();
            let number = global.number;
            if let GlobalBody::Commit { lists, only_validate: false, .. } | GlobalBody::Define { lists, .. } =
                &*global.body
                && let Some((_, list)) = lists.iter().find(|(partition, _)| *partition == self.partition)
            {
                // Whatever comes of it, the transaction is over.
                self.forks.forget(global.id.session, list.transaction);
            }
            // Planted 69: Yes is promised when a command comes, before it stands in the committed log.
            for other in global.others(self.partition).filter(|_| planted!(69)) {
                let said = Said::Vote { vote: Vote::Yes, rounds: Vec::new() };
                self.exchanges.out.push((other, Exchange::Said { number, from: self.partition, said }));
            }
            if self.log(now, &Command::Global(global)).is_err() {
                break;
            }
            self.exchanges.proposed = number;
        }
    }

    fn pull(&mut self) {
        // Once between two ticks: what is delivered for it comes in any order, and would ask again and again.
        if self.exchanges.pulled.replace(self.exchanges.proposed) == Some(self.exchanges.proposed) {
            return;
        }
        let pull = Exchange::Pull { from: self.partition, after: self.exchanges.proposed };
        self.exchanges.out.push((PartitionId::CLUSTER, pull));
    }

    fn deliver_after(&mut self, to: PartitionId, after: GlobalNumber) {
        // Planted 114: a body is dropped when it has been delivered once.
        if planted!(114) {
            return;
        }
        for global in self.machine.undelivered(to, after).take(DELIVERED_AT_ONCE) {
            self.exchanges.out.push((to, Exchange::Deliver(global)));
        }
    }

    /// A session wants to know what its command came to.
    pub(super) fn collect(&mut self, origin: Origin, request: &Request, number: GlobalNumber) {
        if self.answer_read(origin, request.id, request.attempt) || self.answer_cut(origin, request, number) {
            return;
        }
        if let Some(body) = self.machine.collect(request.id, number) {
            let asked = self.machine.asked(request.id);
            return self.acknowledge(asked, (origin, request.id, request.attempt), body);
        }
        if self.exchanges.collectors.len() >= self.max_pending && !self.exchanges.collectors.contains_key(&request.id) {
            sometimes!("partition.overloaded");
            return self.answer(origin, request, ReplyBody::Overloaded);
        }
        self.exchanges.collectors.insert(request.id, (origin, request.attempt));
    }

    /// A participant that cannot be ordered for, if there is one.
    pub(super) fn unreachable(&self, now: Instant, body: &RequestBody) -> Option<PartitionId> {
        let RequestBody::Order { participants, .. } = body else { return None };
        let heard = |partition: &PartitionId| {
            *partition == PartitionId::CLUSTER
                || now.since(self.exchanges.reports.get(partition).map_or(self.led_since, |report| report.at))
                    <= HEARD_WITHIN
        };
        participants.iter().find(|partition| !heard(partition)).copied()
    }

    /// Leadership has been won or lost.
    pub(super) fn exchanges_begin(&mut self, now: Instant) {
        for (id, (origin, attempt)) in std::mem::take(&mut self.exchanges.collectors) {
            self.reply(origin, id, attempt, ReplyBody::Lost);
        }
        self.reads_begin();
        // Whatever of the order stands in the log already need not be proposed again; if it is, it is nothing.
        let logged = self.backlog.iter().filter_map(|entry| match &entry.payload {
            Payload::Command(bytes) => Command::global_number(bytes),
            _ => None,
        });
        let proposed = logged.max().unwrap_or_default().max(self.machine.received());
        self.exchanges.begin(proposed);
        self.led_since = now;
        self.age_since = None;
        if self.leads {
            sometimes!("global.leader_while_standing", self.machine.stands());
            if self.partition != PartitionId::CLUSTER {
                self.pull();
            }
            self.exchanges.next_tick = now;
        }
        // Planted 71: a member that loses the lead takes back what it had executed tentatively.
        if !self.leads && self.machine.standing().is_some() && planted!(71) {
            let executed = self.machine.settle(false, Vec::new());
            self.executed(now, executed);
        }
    }

    /// When the leader asks again.
    pub(super) fn next_exchange(&self) -> Option<Instant> {
        let held = !self.exchanges.held.is_empty();
        let tick = self.exchanges.next_tick;
        self.leads.then_some(if held { tick.min(self.exchanges.held_since + HELD) } else { tick })
    }

    /// It is time to ask again.
    pub(super) fn exchange_timeout(&mut self, now: Instant) {
        if self.leads && !self.exchanges.held.is_empty() && now >= self.exchanges.held_since + HELD {
            self.log_decisions(now);
        }
        if !self.leads || now < self.exchanges.next_tick {
            return;
        }
        self.exchanges.next_tick = now + self.exchange_every;
        if self.forks.is_empty() {
            self.machine.record_changes(false);
        }
        self.exchanges.pulled = None;
        self.ask_again();
        // Planted 155: who has waited for long gives up, whatever the others do.
        if planted!(155) && self.machine.standing().is_some() {
            let executed = self.machine.settle(false, Vec::new());
            self.executed(now, executed);
        }
        self.let_cuts_go(now);
        self.look_at_age(now);
        if self.partition == PartitionId::CLUSTER {
            self.fill_directory(now);
            // What was proposed in an earlier era may never be executed: nobody waits for it.
            let era = self.consensus.status().era;
            self.ordering = self.pending.values().filter(|pending| pending.orders && pending.era == era).count();
            self.order_again(now);
            return;
        }
        let progress = Exchange::Progress {
            from: self.partition,
            received: self.machine.received(),
            settled: self.machine.settled(),
            forgotten: self.machine.forgotten(),
        };
        self.exchanges.out.push((PartitionId::CLUSTER, progress));
        if !self.exchanges.waiting.is_empty() {
            self.pull();
        }
        let open: Vec<_> = self.machine.undeclared().collect();
        for (number, committed, values) in open {
            if !self.exchanges.declared.contains(&number) && self.may_declare(number) {
                sometimes!("global.decision_declared_by_another_leader");
                self.declare(now, number, committed, values);
            }
        }
    }

    /// Begins the next age of idempotency tokens when the present one has lasted long enough under this leader.
    fn look_at_age(&mut self, now: Instant) {
        let Some(age) = self.machine.age() else { return };
        // Planted 251: who comes to lead knows of no token.
        if planted!(251) && self.age_since.is_none() {
            for later in 0..=u64::from(KEPT_AGES) {
                let _not_now = self.log(now, &Command::Age(age + later));
            }
        }
        let since = *self.age_since.get_or_insert(now);
        if now.since(since) >= self.token_lifetime / KEPT_AGES && self.log(now, &Command::Age(age)).is_ok() {
            self.age_since = Some(now);
        }
    }

    /// Asks the participants that have not voted, if this one stands.
    fn ask_again(&mut self) {
        self.ask_for_reads();
        let Some(standing) = self.machine.standing() else { return };
        let (global, from) = (Arc::clone(&standing.global), self.partition);
        let awaited = standing.sent.last().map(|(round, _)| *round).filter(|_| standing.vote.is_none());
        for other in global.others(from) {
            let heard = self.exchanges.heard(global.number, other);
            // Who waits for values asks those who have sent none: they may be large.
            let missing = heard.is_none_or(|heard| match awaited {
                Some(round) => !heard.values.contains_key(&round),
                None => heard.vote.is_none(),
            });
            if missing {
                sometimes!("global.asked_again");
                self.exchanges.out.push((other, Exchange::Ask { from, global: Arc::clone(&global) }));
            }
        }
    }

    /// The cluster partition's leader: what groups have not received is delivered again; what they have reported is logged.
    fn order_again(&mut self, now: Instant) {
        let groups: Vec<PartitionId> = self.machine.sequencer().groups().collect();
        let mut news = Vec::new();
        for group in groups.into_iter().filter(|group| *group != PartitionId::CLUSTER) {
            let logged = self.machine.sequencer().reported(group);
            let last = self.machine.sequencer().last(group);
            let report = self.exchanges.reports.get_mut(&group);
            let (received, settled, before) = report.as_ref().map_or((logged.0, logged.1, logged.0), |report| {
                (report.received.max(logged.0), report.settled.max(logged.1), report.before)
            });
            if let Some(report) = report {
                report.before = received;
            }
            if received < last && received == before {
                sometimes!("global.delivered_again");
                self.deliver_after(group, received);
            }
            if (received, settled) > logged {
                news.push((group, received, settled));
            }
        }
        let due = now.since(self.exchanges.reported) >= REPORT_EVERY || !self.machine.sequencer().has_room();
        if !news.is_empty() && due {
            self.exchanges.reported = now;
            let command = Command::Tick { reports: news, forget_below: GlobalNumber(0) };
            let _not_now = self.log(now, &command);
        }
    }

    /// Takes what is to be told to other partitions.
    pub(super) fn take_exchanges(&mut self) -> Vec<(PartitionId, Exchange)> {
        std::mem::take(&mut self.exchanges.out)
    }

    /// For tests: everything volatile that what comes next depends on.
    #[cfg(test)]
    pub(in crate::partition) fn volatile_for_test(&self) -> String {
        let pending: Vec<_> = self.pending.keys().collect();
        let (exchanges, reads) = (self.exchanges.fingerprint(), self.reads.fingerprint());
        let orders: Vec<_> = self.orders.iter().map(|(_, request)| (request.id, request.attempt)).collect();
        format!("{pending:?} {orders:?} {exchanges} {reads} {} {}", self.backlog.len(), self.proved_reads.len())
    }

    /// For tests: the state.
    #[cfg(test)]
    pub(in crate::partition) const fn machine(&self) -> &crate::partition::StateMachine {
        &self.machine
    }
}
