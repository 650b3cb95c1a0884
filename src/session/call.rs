//! One request and its attempts: whom to ask, whom to ask next, when to stop, and what is known then.
//!
//! A request keeps its identity over all its attempts; the partition executes a logged one once, however many attempts
//! arrive. What the call must never do is claim more than it knows:
//!
//! - **Any attempt that was sent may be executed**, now or later: it may be in a log already, or a copy of the message may
//!   still be under way. A refusal (`NotLeader`, `Overloaded`) speaks for the copy that was answered; the network may
//!   deliver another one (see `env::Network`). So a logged request that was ever sent and has not been answered `Done`
//!   ends *in doubt*, and its client is told 40003.
//! - **`Replan` with a higher version is the exception**: a partition's catalog version never goes back, so no copy of any
//!   attempt that was planned under a lower one can be executed any more; and none was executed before the version
//!   rose, because a partition looks for the identity first and would have answered with the outcome.
//! - A request is bound to its route (rules A9): it may be planned again for another partition only while nothing is
//!   in doubt. Within the route the identity protects, whatever is sent again.
//!
//! Reads are not logged; they use the number that the next logged request will have. What keeps answers apart is the
//! attempt's number, which the session never uses twice.

use crate::cluster::admission::Ticket;
use crate::cluster::{Route, Router};
use crate::partition::global::GlobalBody;
use crate::partition::message::{Action, Commitment, Outcome, Reply, ReplyBody, Request, RequestBody, Statement};
use crate::types::random::below;
use crate::types::{CatalogVersion, Duration, Instant, NodeId, PartitionId, RequestId, Rng, Sequence, Value};
use crate::{planted, sometimes};

/// First pause before asking again.
const BACK_OFF_FIRST: Duration = Duration::from_millis(10);
/// Longest pause before asking again.
const BACK_OFF_MAX: Duration = Duration::from_millis(400);

/// Milliseconds that an attempt is given for each megabyte of its parameters.
const MEGABYTE_MS: u64 = 500;

/// What a call needs of its surroundings, lent for one step.
pub(super) struct Surroundings<'a> {
    /// The time.
    pub(super) now: Instant,
    /// Leader guesses, asked and taught.
    pub(super) router: &'a mut Router,
    /// Dice for back-off.
    pub(super) rng: &'a mut Rng,
    /// The session's last attempt number.
    pub(super) attempts: &'a mut u32,
    /// How long an attempt may take.
    pub(super) attempt_timeout: Duration,
}

/// What is to be done after a step.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Wait.
    Wait,
    /// Send this attempt.
    Send(NodeId, Request),
    /// The call has ended, or is paused until [`Call::resume`].
    End(End),
}

/// How a call ends or pauses.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// Answered.
    Done(Outcome),
    /// Paused: the partition's catalog is newer than the plan. Refresh, plan again, [`Call::resume`].
    PlanIsOld(CatalogVersion),
    /// The deadline has passed.
    TimedOut,
    /// The partition calls the request's number outdated. A bug of the asker.
    Stale,
    /// Nothing was sent: the partition has too much to do.
    Shed,
}

/// Why the last attempt has not succeeded, for the client's detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No answer came.
    Silence,
    /// Nobody leads, as far as those asked know.
    NoLeader,
    /// Leadership was lost under way.
    LeaderLost,
    /// Too much is waiting there.
    Overloaded,
    /// Its catalog is an older one: a definition is on its way there.
    Behind,
    /// A command over several partitions cannot be ordered while this one has no leader that is known.
    Unreachable(PartitionId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The current attempt is out; the next node is asked at the instant.
    Asked(Instant),
    /// A pause until the instant.
    BackOff(Instant),
    /// The owner has something to do first.
    Paused,
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Call {
    id: RequestId,
    acked_below: Sequence,
    partition: PartitionId,
    body: RequestBody,
    deadline: Option<Instant>,
    /// The attempts of this call are these numbers.
    first_attempt: u32,
    attempt: u32,
    node: NodeId,
    phase: Phase,
    /// When the present attempt was sent.
    asked: Instant,
    /// Does it change something if it is executed?
    changes: bool,
    /// An attempt was sent that may be, or yet come to be, executed. Stays false for what changes nothing.
    in_doubt: bool,
    /// Pauses since progress was last made: the exponent of the next one.
    pauses: u32,
    /// Attempts in a row that were not answered: each is given longer, so that copies do not pile up where work is slow.
    silences: u32,
    /// Hints followed without a pause.
    hops: usize,
    obstacle: Obstacle,
    /// It is counted as long as it is under way. `None`: it was not admitted.
    ticket: Option<Ticket>,
}

/// Time that a body of this size is given beyond what any other is: a large COPY takes its time to travel, to be
/// written and to be executed, and another copy of it helps nobody.
fn allowance(body: &RequestBody) -> Duration {
    let size = |statement: &Statement| -> usize {
        let bytes = |value: &Value| if let Value::Bytea(bytes) = value { bytes.len() } else { 0 };
        statement.parameters.iter().map(bytes).sum()
    };
    let of_action = |action: &Action| match action {
        Action::Settle(settle) => settle.said.iter().map(|(_, bytes)| bytes.len()).sum(),
        other => other.piece().map_or(0, |piece| size(&piece.statement)) + other.contributed(),
    };
    let list = |commitment: &Commitment| -> usize {
        let actions = commitment.parts.iter().flat_map(|part| &part.actions).map(|(action, _)| action);
        actions.map(of_action).sum()
    };
    let bytes: usize = match body {
        RequestBody::Execute(batch) => batch.statements.iter().map(size).sum(),
        RequestBody::Commit(commitment) | RequestBody::Validate(commitment) => list(commitment),
        RequestBody::Step(step) => {
            step.actions.iter().map(of_action).sum::<usize>()
                + step.before.iter().map(|before| list(before)).sum::<usize>()
        }
        RequestBody::Order { body, .. } => match &**body {
            GlobalBody::Execute { statements, .. } | GlobalBody::Read { statements, .. } => {
                statements.iter().map(|placed| size(&placed.statement)).sum()
            }
            GlobalBody::Commit { lists, .. } | GlobalBody::Define { lists, .. } => {
                lists.iter().map(|(_, commitment)| list(commitment)).sum()
            }
            GlobalBody::Cut { .. } => 0,
        },
        _ => return Duration::ZERO,
    };
    Duration::from_millis((bytes >> 20) as u64 * MEGABYTE_MS)
}

/// Is a request of this kind logged, and so deduplicated?
pub(super) const fn is_logged(body: &RequestBody) -> bool {
    match body {
        RequestBody::Query(_)
        | RequestBody::ReadCatalog { .. }
        | RequestBody::AskToken { .. }
        | RequestBody::Collect { .. }
        | RequestBody::Step(_)
        | RequestBody::Validate(_)
        | RequestBody::Look { .. }
        | RequestBody::LetGo { .. }
        | RequestBody::Abandon { .. } => false,
        RequestBody::Execute(_)
        | RequestBody::Commit(_)
        | RequestBody::Order { .. }
        | RequestBody::Reserve { .. }
        | RequestBody::Amend(_)
        | RequestBody::RegisterGateway { .. } => true,
    }
}

impl Call {
    /// A call and its first attempt. `new`: it may be refused without being sent.
    pub(super) fn start(
        id: RequestId,
        acked_below: Sequence,
        partition: PartitionId,
        body: RequestBody,
        deadline: Option<Instant>,
        new: bool,
        around: &mut Surroundings<'_>,
    ) -> (Self, Step) {
        let first_attempt = around.attempts.wrapping_add(1);
        let mut call = Self {
            id,
            acked_below,
            partition,
            deadline,
            first_attempt,
            attempt: first_attempt,
            node: around.router.leader(partition),
            phase: Phase::Paused,
            asked: around.now,
            changes: is_logged(&body),
            in_doubt: false,
            body,
            pauses: 0,
            silences: 0,
            hops: 0,
            obstacle: Obstacle::Silence,
            ticket: around.router.admit(partition, new, around.now),
        };
        if call.ticket.is_none() {
            // Said at once, but when whoever asks has noted that it waits.
            call.phase = Phase::BackOff(around.now);
            return (call, Step::Wait);
        }
        let step = call.send(around);
        (call, step)
    }

    /// Where the kind of the request does not say whether it, or the command that it asks about, changes anything.
    pub(super) const fn changing(mut self, changes: bool) -> Self {
        self.changes = changes;
        // What is still held back was sent by nobody. What is asked of a command that has its place does not matter: in doubt is the
        // command.
        let sent = matches!(self.phase, Phase::Asked(_)) || matches!(self.body, RequestBody::Collect { .. });
        self.in_doubt = changes && sent;
        self
    }

    /// What is asked.
    pub(super) const fn body(&self) -> &RequestBody {
        &self.body
    }

    /// Identity of the request.
    pub(super) const fn id(&self) -> RequestId {
        self.id
    }

    /// Which partition is asked.
    pub(super) const fn partition(&self) -> PartitionId {
        self.partition
    }

    /// Is the request one that is logged?
    pub(super) const fn is_logged(&self) -> bool {
        is_logged(&self.body)
    }

    /// Why the last attempt has not succeeded.
    pub(super) const fn obstacle(&self) -> Obstacle {
        self.obstacle
    }

    /// May the request have been executed, or be executed yet?
    pub(super) const fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Must the client be told that the outcome is unknown?
    pub(super) fn is_doubtful_to_client(&self) -> bool {
        // Planted 25: what may yet be executed is reported as a failure.
        self.is_in_doubt() && !planted!(25)
    }

    /// Ends the call at `deadline` if it would go on longer.
    pub(super) fn hasten(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |old| old.min(deadline)));
    }

    /// When [`Call::timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Asked(until) | Phase::BackOff(until) => Some(until),
            Phase::Paused => None,
        };
        match (phase, self.deadline) {
            (Some(phase), Some(deadline)) => Some(phase.min(deadline)),
            (phase, deadline) => phase.or(deadline),
        }
    }

    /// Time has come.
    pub(super) fn timeout(&mut self, around: &mut Surroundings<'_>) -> Step {
        if self.ticket.is_none() {
            sometimes!("session.shed");
            return Step::End(End::Shed);
        }
        if self.deadline.is_some_and(|deadline| deadline <= around.now) {
            sometimes!("session.statement_timed_out");
            sometimes!("session.statement_timed_out_in_doubt", self.is_in_doubt());
            return Step::End(End::TimedOut);
        }
        match self.phase {
            Phase::Asked(until) if until <= around.now => {
                sometimes!("session.attempt_timed_out");
                self.obstacle = Obstacle::Silence;
                self.silences += 1;
                around.router.suspect(self.partition, self.node);
                around.router.silent(self.node, self.asked, around.now, around.rng);
                // Planted 60: the retry is a new request.
                if planted!(60) && self.is_logged() {
                    self.id.sequence = self.id.sequence.next();
                }
                // Planted 146: an order that is not answered is given again, as another one.
                if planted!(146) && matches!(self.body, RequestBody::Order { .. }) {
                    self.id.sequence.0 += 1 << 32;
                }
                self.send(around)
            }
            Phase::BackOff(until) if until <= around.now => self.send(around),
            Phase::Asked(_) | Phase::BackOff(_) | Phase::Paused => Step::Wait,
        }
    }

    /// A replica beside the gateway has found a leader: an attempt that went elsewhere, or waits for there to be one, is
    /// repeated there at once. Otherwise a dead leader costs every statement the rest of an attempt's time.
    pub(super) fn leader_found(&mut self, leader: NodeId, around: &mut Surroundings<'_>) -> Step {
        if self.ticket.is_none() {
            return Step::Wait;
        }
        let elsewhere = matches!(self.phase, Phase::Asked(_)) && self.node != leader;
        let waits = matches!(self.phase, Phase::BackOff(_)) && self.obstacle != Obstacle::Overloaded;
        if !elsewhere && !waits {
            return Step::Wait;
        }
        sometimes!("session.leader_found");
        self.send(around)
    }

    /// Nobody listens any more at the node that was asked: its answer will not come, another is asked in its place.
    pub(super) fn peer_gone(&mut self, node: NodeId, around: &mut Surroundings<'_>) -> Step {
        if self.node != node || !matches!(self.phase, Phase::Asked(_)) {
            return Step::Wait;
        }
        sometimes!("session.asked_one_that_has_gone");
        self.obstacle = Obstacle::Silence;
        around.router.suspect(self.partition, node);
        self.back_off(around)
    }

    /// Is this an answer to one of this call's attempts?
    pub(super) fn is_answered_by(&self, reply: &Reply) -> bool {
        // Planted 86: whatever the session is answered is the answer to what it last asked.
        if planted!(86) {
            return reply.id.session == self.id.session && reply.partition == self.partition;
        }
        // Several partitions may be asked about one request at a time.
        reply.id == self.id
            && reply.partition == self.partition
            && (self.first_attempt..=self.attempt).contains(&reply.attempt)
    }

    /// Takes an answer for which [`Call::is_answered_by`] holds.
    pub(super) fn reply(&mut self, from: NodeId, reply: Reply, around: &mut Surroundings<'_>) -> Step {
        around.router.answered(from);
        match &reply.body {
            ReplyBody::Done(_) => around.router.took(self.partition, false, self.asked, around.now),
            // When an earlier attempt was sent is not known any more; it was before the limit was lowered for the first time.
            ReplyBody::Overloaded if reply.attempt == self.attempt => {
                around.router.took(self.partition, true, self.asked, around.now);
            }
            _ => {}
        }
        if let ReplyBody::Done(outcome) = reply.body {
            // From whichever attempt: a logged request has one outcome, and any attempt of a read lies within it.
            sometimes!("session.answered_by_earlier_attempt", reply.attempt != self.attempt);
            around.router.learn(self.partition, from);
            return Step::End(End::Done(outcome));
        }
        if let ReplyBody::NotLeader { leader: Some(leader) } = reply.body
            && leader != from
        {
            around.router.learn(self.partition, leader);
        }
        if reply.attempt != self.attempt || matches!(self.phase, Phase::Paused | Phase::BackOff(_)) {
            return Step::Wait; // The current attempt decides what is done next.
        }
        self.silences = 0;
        match reply.body {
            ReplyBody::NotLeader { leader } => self.not_leader(from, leader, around),
            ReplyBody::Lost => {
                sometimes!("session.leader_lost");
                self.obstacle = Obstacle::LeaderLost;
                around.router.suspect(self.partition, from);
                self.back_off(around)
            }
            ReplyBody::Overloaded => {
                sometimes!("session.overloaded");
                self.obstacle = Obstacle::Overloaded;
                self.back_off(around)
            }
            ReplyBody::Unreachable { partition } => {
                sometimes!("session.participant_unreachable");
                self.obstacle = Obstacle::Unreachable(partition);
                self.back_off(around)
            }
            ReplyBody::Replan { version } => self.replan(from, version, around),
            ReplyBody::Stale => {
                self.phase = Phase::Paused;
                Step::End(End::Stale)
            }
            ReplyBody::Done(_) => Step::Wait,
        }
    }

    /// Goes on after a pause, planned again for the same partition.
    pub(super) fn resume(&mut self, body: RequestBody, around: &mut Surroundings<'_>) -> Step {
        assert_eq!(is_logged(&body), self.is_logged(), "a request does not change its kind when it is planned again");
        self.body = body;
        self.send(around)
    }

    /// Makes a pause, then asks again: the answer made no sense.
    pub(super) fn ask_later(&mut self, around: &mut Surroundings<'_>) -> Step {
        self.back_off(around)
    }

    fn not_leader(&mut self, from: NodeId, leader: Option<NodeId>, around: &mut Surroundings<'_>) -> Step {
        self.obstacle = Obstacle::NoLeader;
        // Hints may lead in a circle while an election is on: a few are followed at once, then one at a time.
        if leader.is_some_and(|leader| leader != from) && self.hops < 3 {
            sometimes!("session.hint_followed");
            self.hops += 1;
            return self.send(around);
        }
        if leader.is_none_or(|leader| leader == from) {
            around.router.suspect(self.partition, from);
        }
        self.back_off(around)
    }

    fn replan(&mut self, from: NodeId, version: CatalogVersion, around: &mut Surroundings<'_>) -> Step {
        around.router.learn(self.partition, from);
        let planned = match &self.body {
            RequestBody::Execute(batch) | RequestBody::Query(batch) => Some(batch.catalog_version),
            RequestBody::Step(step) => Some(step.catalog_version),
            RequestBody::Commit(list) | RequestBody::Validate(list) => Some(list.catalog_version),
            RequestBody::Order { body, .. } => Some(body.catalog_version()),
            RequestBody::Reserve { catalog_version, .. } => Some(*catalog_version),
            RequestBody::Collect { .. }
            | RequestBody::ReadCatalog { .. }
            | RequestBody::AskToken { .. }
            | RequestBody::RegisterGateway { .. }
            | RequestBody::Amend(_)
            | RequestBody::Look { .. }
            | RequestBody::LetGo { .. }
            | RequestBody::Abandon { .. } => None,
        };
        match planned {
            Some(planned) if planned < version => {
                sometimes!("session.replan");
                // All attempts so far were planned under this version or a lower one.
                self.in_doubt = false;
                self.phase = Phase::Paused;
                Step::End(End::PlanIsOld(version))
            }
            // It is on its way there, or the answer makes no sense: ask again.
            _ => {
                sometimes!("session.partition_is_old", planned.is_some_and(|planned| version < planned));
                self.obstacle = Obstacle::Behind;
                self.back_off(around)
            }
        }
    }

    fn back_off(&mut self, around: &mut Surroundings<'_>) -> Step {
        let pause = (BACK_OFF_FIRST * (1 << self.pauses.min(10))).min(BACK_OFF_MAX);
        self.pauses += 1;
        self.hops = 0;
        let nanos = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        // Half fixed, half drawn: sessions that failed together do not come back together.
        let drawn = Duration::from_nanos(nanos / 2 + below(around.rng, nanos / 2 + 1));
        self.phase = Phase::BackOff(around.now + drawn);
        Step::Wait
    }

    fn send(&mut self, around: &mut Surroundings<'_>) -> Step {
        match around.router.route(self.partition, around.now) {
            Route::Ask(node) => self.node = node,
            Route::Wait(until) => {
                // Drawn, so that not all that wait come in that moment; one is let through, the others wait on.
                let spread = Duration::from_nanos(below(around.rng, 20_000_000));
                self.phase = Phase::BackOff(until.max(around.now) + spread);
                return Step::Wait;
            }
        }
        *around.attempts = around.attempts.wrapping_add(1);
        self.attempt = *around.attempts;
        let patience = around.attempt_timeout * (1 << self.silences.min(2)) + allowance(&self.body);
        (self.phase, self.asked) = (Phase::Asked(around.now + patience), around.now);
        self.in_doubt |= self.changes;
        let request =
            Request { id: self.id, acked_below: self.acked_below, attempt: self.attempt, body: self.body.clone() };
        Step::Send(self.node, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::message::{Batch, Settings};
    use crate::types::Timestamp;
    use crate::types::random::SeedableRng;
    use crate::types::{GlobalNumber, SessionId};
    use std::sync::Arc;

    const P: PartitionId = PartitionId(1);
    const ID: RequestId = RequestId { session: SessionId { gateway: 4, counter: 2 }, sequence: Sequence(7) };

    /// A call with its surroundings and a clock, told as a story.
    struct Story {
        call: Call,
        router: Router,
        rng: Rng,
        attempts: u32,
        now: Instant,
    }

    fn batch(version: u64) -> Batch {
        Batch {
            catalog_version: CatalogVersion(version),
            statements: Vec::new(),
            settings: Arc::new(Settings::default()),
            wall: Timestamp(0),
        }
    }

    fn write() -> RequestBody {
        RequestBody::Execute(batch(5))
    }

    fn read() -> RequestBody {
        RequestBody::Query(batch(5))
    }

    impl Story {
        fn of(body: RequestBody) -> (Self, String) {
            let mut router = Router::new((1..=3).map(NodeId).collect());
            router.learn(P, NodeId(1));
            let mut rng = Rng::seed_from_u64(1);
            let mut attempts = 10;
            let now = Instant(0);
            let mut around = Surroundings {
                now,
                router: &mut router,
                rng: &mut rng,
                attempts: &mut attempts,
                attempt_timeout: Duration::from_millis(100),
            };
            let deadline = Some(now + Duration::from_millis(1000));
            let (call, step) = Call::start(ID, Sequence(6), P, body, deadline, true, &mut around);
            (Self { call, router, rng, attempts, now }, told(&step))
        }

        fn with(&mut self, f: impl FnOnce(&mut Call, &mut Surroundings<'_>) -> Step) -> String {
            let mut around = Surroundings {
                now: self.now,
                router: &mut self.router,
                rng: &mut self.rng,
                attempts: &mut self.attempts,
                attempt_timeout: Duration::from_millis(100),
            };
            told(&f(&mut self.call, &mut around))
        }

        fn reply(&mut self, from: u32, attempt: u32, body: ReplyBody) -> String {
            let reply = Reply { id: ID, attempt, partition: P, body };
            assert!(self.call.is_answered_by(&reply), "the reply is to this call");
            self.with(|call, around| call.reply(NodeId(from), reply, around))
        }

        /// To the next time-out.
        fn sleep(&mut self) -> String {
            self.now = self.call.next_timeout().expect("something is waited for");
            self.with(Call::timeout)
        }

        fn doubt(&self) -> bool {
            self.call.is_in_doubt()
        }
    }

    fn told(step: &Step) -> String {
        match step {
            Step::Wait => "wait".to_owned(),
            Step::Send(node, request) => format!("send {node} {} attempt {}", request.id, request.attempt),
            Step::End(End::Done(_)) => "done".to_owned(),
            Step::End(end) => format!("{end:?}"),
        }
    }

    impl Story {
        fn find_leader(&mut self, leader: u32) -> String {
            self.router.learn(P, NodeId(leader));
            self.with(|call, around| call.leader_found(NodeId(leader), around))
        }
    }

    #[test]
    fn a_leader_that_is_found_is_asked_at_once() {
        let (mut story, first) = Story::of(write());
        assert_eq!(first, "send n1 s4.2#7 attempt 11");
        assert_eq!(story.find_leader(1), "wait", "it is being asked");
        assert_eq!(story.find_leader(2), "send n2 s4.2#7 attempt 12");
        assert_eq!(story.reply(2, 12, not_leader(None)), "wait");
        assert_eq!(story.find_leader(2), "send n2 s4.2#7 attempt 13", "it leads after all");
        assert_eq!(story.reply(2, 13, ReplyBody::Overloaded), "wait");
        assert_eq!(story.find_leader(3), "wait", "who has too much to do is given the pause");
        assert!(story.doubt(), "any of the attempts may be executed");
    }

    #[test]
    fn what_is_held_back_is_not_in_doubt_but_a_command_that_has_its_place_is() {
        let held_back = |body: RequestBody| {
            let (mut story, _) = Story::of(read());
            for node in 1..=3 {
                story.router.gone(NodeId(node), story.now, &mut story.rng);
            }
            let mut step = Step::Wait;
            let started = story.with(|call, around| {
                let deadline = Some(around.now + Duration::from_millis(20));
                let (started, first) = Call::start(ID, Sequence(6), P, body, deadline, false, around);
                *call = started.changing(true);
                std::mem::replace(&mut step, first)
            });
            assert_eq!((started.as_str(), step), ("wait", Step::Wait), "nobody may be asked");
            story
        };
        let mut story = held_back(write());
        assert!(!story.doubt(), "nobody has it");
        assert_eq!(story.sleep(), "TimedOut");
        assert!(!story.doubt());
        let mut story = held_back(write());
        assert_eq!(story.find_leader(2), "wait", "held back still");
        story.router.answered(NodeId(2));
        assert_eq!(story.find_leader(2), "send n2 s4.2#7 attempt 12");
        assert!(story.doubt(), "now somebody may have it");
        let story = held_back(RequestBody::Collect { number: GlobalNumber(3) });
        assert!(story.doubt(), "the command will be executed, whoever asks what it has come to");
    }

    fn not_leader(leader: Option<u32>) -> ReplyBody {
        ReplyBody::NotLeader { leader: leader.map(NodeId) }
    }

    fn done() -> ReplyBody {
        ReplyBody::Done(Outcome::Results(Vec::new()))
    }

    #[test]
    fn hints_are_followed_at_once_but_not_in_circles() {
        let (mut story, first) = Story::of(write());
        assert_eq!(first, "send n1 s4.2#7 attempt 11");
        assert_eq!(story.reply(1, 11, not_leader(Some(2))), "send n2 s4.2#7 attempt 12");
        assert_eq!(story.reply(2, 12, not_leader(Some(1))), "send n1 s4.2#7 attempt 13");
        assert_eq!(story.reply(1, 13, not_leader(Some(2))), "send n2 s4.2#7 attempt 14");
        assert_eq!(story.reply(2, 14, not_leader(Some(1))), "wait", "the third circle is left to time");
        assert_eq!(story.sleep(), "send n1 s4.2#7 attempt 15");
        assert_eq!(story.reply(1, 15, done()), "done");
    }

    #[test]
    fn without_a_hint_the_next_node_is_asked_after_a_pause() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.reply(1, 11, not_leader(None)), "wait");
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 12");
        assert_eq!(story.reply(2, 12, not_leader(Some(2))), "wait", "a hint to itself is none");
        assert_eq!(story.sleep(), "send n3 s4.2#7 attempt 13");
        let before = story.now;
        assert!(before < Instant(100_000_000), "pauses are short at first");
    }

    #[test]
    fn silence_leads_to_the_next_node_under_the_same_identity() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 12");
        assert_eq!(story.now, Instant(100_000_000));
        assert_eq!(story.reply(1, 11, done()), "done", "the earlier attempt's answer is as good");
        assert_eq!(story.router.leader(P), NodeId(1), "and tells who leads");
    }

    #[test]
    fn a_refusal_of_an_earlier_attempt_changes_nothing() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 12");
        for body in [not_leader(None), ReplyBody::Lost, ReplyBody::Replan { version: CatalogVersion(9) }] {
            assert_eq!(story.reply(1, 11, body), "wait");
        }
        assert_eq!(story.call.next_timeout(), Some(Instant(300_000_000)), "after silence, twice the time");
    }

    #[test]
    fn lost_and_overloaded_are_asked_again_after_a_pause() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.reply(1, 11, ReplyBody::Lost), "wait");
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 12");
        assert_eq!(story.reply(2, 12, ReplyBody::Overloaded), "wait");
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 13", "who has too much to do still leads");
    }

    #[test]
    fn a_write_that_was_sent_and_not_answered_ends_in_doubt_whatever_refused_it() {
        for refusal in [not_leader(None), ReplyBody::Lost, ReplyBody::Overloaded] {
            let (mut story, _) = Story::of(write());
            story.reply(1, 11, refusal);
            story.call.hasten(story.now);
            assert_eq!(story.sleep(), "TimedOut");
            assert!(story.doubt(), "a copy may still be under way");
        }
    }

    #[test]
    fn a_read_never_ends_in_doubt() {
        let (mut story, _) = Story::of(read());
        story.call.hasten(Instant(50_000_000));
        assert_eq!(story.sleep(), "TimedOut");
        assert!(!story.doubt());
    }

    #[test]
    fn a_newer_catalog_ends_all_doubt_and_the_identity_stays() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.sleep(), "send n2 s4.2#7 attempt 12");
        assert!(story.doubt());
        assert_eq!(
            story.reply(2, 12, ReplyBody::Replan { version: CatalogVersion(6) }),
            "PlanIsOld(CatalogVersion(6))"
        );
        assert!(!story.doubt(), "no copy planned under version 5 can be executed at version 6");
        let again = story.with(|call, around| call.resume(RequestBody::Execute(batch(6)), around));
        assert_eq!(again, "send n2 s4.2#7 attempt 13");
        assert!(story.doubt());
    }

    #[test]
    fn an_older_catalog_leaves_the_doubt_of_earlier_attempts() {
        let (mut story, _) = Story::of(write());
        assert_eq!(story.reply(1, 11, ReplyBody::Replan { version: CatalogVersion(4) }), "wait");
        assert!(story.doubt(), "a second copy may arrive after the catalog");
        assert_eq!(story.sleep(), "send n1 s4.2#7 attempt 12", "it will get there by itself");
    }

    #[test]
    fn the_partitions_own_version_is_asked_again() {
        // The answer to an attempt may carry a refusal meant for an earlier copy.
        let (mut story, _) = Story::of(write());
        assert_eq!(story.reply(1, 11, ReplyBody::Replan { version: CatalogVersion(5) }), "wait");
        assert_eq!(story.sleep(), "send n1 s4.2#7 attempt 12");
    }

    #[test]
    fn answers_to_other_requests_and_attempts_are_nobodys() {
        let (story, _) = Story::of(read());
        let reply = |sequence, attempt| Reply {
            id: RequestId { sequence: Sequence(sequence), ..ID },
            attempt,
            partition: P,
            body: done(),
        };
        assert!(story.call.is_answered_by(&reply(7, 11)));
        assert!(!story.call.is_answered_by(&reply(6, 11)), "another request");
        assert!(!story.call.is_answered_by(&reply(7, 10)), "an earlier read under the same number");
        assert!(!story.call.is_answered_by(&reply(7, 12)), "an attempt that was never made");
    }
}
