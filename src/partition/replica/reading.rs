//! A leader's part in reads over several partitions ([`crate::partition::global`], its invariants; rules A10): its silence.
//!
//! An open read is *known* when all its participants are known to have come to it. Until then whatever this replica has to say of
//! what lies behind it is held back: answers (all of them: to tell which do not speak of it would spare nobody much), votes on
//! later commands, and with them the decisions. In their order open reads become known; the vote on the second is not said
//! before the first is known.
//!
//! # Invariants
//! - What is answered while a read is unknown is held behind the newest unknown one, and goes out when that and all before it
//!   are known. A read's own answer is held only behind those before it: its participants are asked one by one, and its
//!   session waits for all of them itself.
//! - A new leader knows nothing but what its log decides: it is silent from its first moment, and asks.
//! - Who is asked about a read that it knows to be everywhere says so, however it has come to know: a new leader that had found
//!   the decision ahead in its log had never said its vote, stood at the next command, and waited for the asker, who waited
//!   for it (`regressions/known_unsaid.toml`).
//! - What is held back is bounded by the bound on what may be pending; when it is full, requests are refused.

use super::{Origin, Replica};
use crate::partition::command::Command;
use crate::partition::global::{Exchange, Global, GlobalBody, GlobalOutcome, Said, Showing, Vote};
use crate::partition::message::{Outcome, Reply, ReplyBody, Request, RequestBody};
use crate::types::{GlobalNumber, Instant, RequestId};
use crate::{planted, sometimes};
use std::sync::Arc;

impl Replica {
    /// Have all participants come to this open read, as far as is known?
    fn is_known(&self, number: GlobalNumber) -> bool {
        // Planted 130: nobody waits for anybody.
        self.reads.known.contains(&number) || self.decisions.contains_key(&number) || planted!(130)
    }

    /// The first open read that is not known.
    pub(super) fn first_unknown(&self) -> Option<GlobalNumber> {
        self.machine.open().keys().copied().find(|number| !self.is_known(*number))
    }

    /// The last one; before this number, if there is one.
    fn last_unknown(&self, before: Option<GlobalNumber>) -> Option<GlobalNumber> {
        let mut open = self.machine.open().keys().rev().copied();
        open.find(|number| before.is_none_or(|before| *number < before) && !self.is_known(*number))
    }

    /// Must this replica be silent about the command at which it stands?
    pub(super) fn is_silent(&self) -> bool {
        // Planted 131: it goes on, and says what it likes.
        self.first_unknown().is_some() && !planted!(131)
    }

    /// Says its votes on open reads, as far as they may be said, and finds which are everywhere. Returns whether any has become so.
    pub(super) fn follow_reads(&mut self, now: Instant) -> bool {
        if !self.leads || (self.machine.open().is_empty() && self.reads.holds() == 0) {
            return false;
        }
        let unknown = |number: &GlobalNumber| !self.is_known(*number);
        let open: Vec<_> = self.machine.open().iter().filter(|(number, _)| unknown(number)).collect();
        let open: Vec<_> = open.into_iter().map(|(_, global)| Arc::clone(global)).collect();
        let mut news = false;
        for global in open {
            self.tell_read(&global);
            if self.is_everywhere(&global) {
                news = true;
                self.now_known(now, global.number);
            } else if !planted!(131) {
                break;
            }
        }
        let unknown = self.first_unknown();
        for (origin, reply) in self.reads.release(unknown) {
            sometimes!("global.answer_released");
            self.output.replies.push((origin, reply));
        }
        news
    }

    fn tell_read(&mut self, global: &Global) {
        let (number, from) = (global.number, self.partition);
        if !self.reads.told.insert(number) {
            return;
        }
        let Some(vote) = self.machine.vote_on(number) else { return };
        for other in global.others(from) {
            let said = Said::Vote { vote: vote.clone(), rounds: Vec::new() };
            self.exchanges.out.push((other, Exchange::Said { number, from, said }));
        }
    }

    fn is_everywhere(&self, global: &Global) -> bool {
        let heard = |other| self.exchanges.heard(global.number, other);
        // Whoever has logged the decision knew all votes.
        global.others(self.partition).any(|other| heard(other).is_some_and(|heard| heard.committed.is_some()))
            || global.others(self.partition).all(|other| heard(other).is_some_and(|heard| heard.vote.is_some()))
    }

    fn now_known(&mut self, now: Instant, number: GlobalNumber) {
        self.reads.known.insert(number);
        self.exchanges.forget(number);
        let committed = self.machine.vote_on(number).is_some_and(|vote| vote.is_yes());
        self.declare(now, number, committed, Vec::new());
    }

    /// A decided command that may be declared: it is no read, or it is everywhere.
    pub(super) fn may_declare(&self, number: GlobalNumber) -> bool {
        !self.machine.open().contains_key(&number) || self.is_known(number)
    }

    /// Asks those who have not voted on open reads.
    pub(super) fn ask_for_reads(&mut self) {
        let from = self.partition;
        for (number, global) in self.machine.open() {
            if self.is_known(*number) {
                continue;
            }
            for other in global.others(from) {
                if self.exchanges.heard(*number, other).is_none_or(|heard| heard.vote.is_none()) {
                    sometimes!("global.asked_about_a_read");
                    self.exchanges.out.push((other, Exchange::Ask { from, global: Arc::clone(global) }));
                }
            }
        }
    }

    /// What may be said of an open read to who asks: that it is everywhere, or the vote.
    pub(super) fn said_of_read(&self, number: GlobalNumber) -> Option<Said> {
        let open = self.machine.open().contains_key(&number);
        let vote = self.machine.vote_on(number).filter(|_| open)?;
        // Planted 267: who knows that a read is everywhere, and has not said its vote, says nothing.
        if planted!(267) && !self.reads.told.contains(&number) {
            return None;
        }
        if self.is_known(number) {
            let committed = vote.is_yes();
            return Some(Said::Decided { vote, committed, sent: Vec::new() });
        }
        self.reads.told.contains(&number).then_some(Said::Vote { vote, rounds: Vec::new() })
    }

    /// A read has its place here.
    pub(super) fn read_placed(&mut self, now: Instant, showing: Showing) {
        if matches!(*showing.global.body, GlobalBody::Cut { .. }) && showing.vote.is_yes() {
            sometimes!("global.cut_taken");
            self.cuts.keep(now, &showing);
        }
        if !self.leads {
            return;
        }
        let id = showing.global.id;
        self.reads.keep(showing);
        if let Some((origin, attempt)) = self.exchanges.collectors.remove(&id) {
            self.answer_read(origin, id, attempt);
        }
    }

    /// Answers what a read is shown here. `false`: nothing is kept for it.
    pub(super) fn answer_read(&mut self, origin: Origin, id: RequestId, attempt: u32) -> bool {
        let Some((number, outcome)) = self.reads.answer(&mut self.machine, id) else { return false };
        let body = ReplyBody::Done(Outcome::Global(Box::new(outcome)));
        let behind = self.last_unknown(Some(number));
        self.say(behind, origin, Reply { id, attempt, partition: self.partition, body });
        true
    }

    /// Answers that a cut is here, though another leader was to say so. `false`: it is not.
    pub(super) fn answer_cut(&mut self, origin: Origin, request: &Request, cut: GlobalNumber) -> bool {
        if !self.cuts.holds(cut) {
            return false;
        }
        let outcome = GlobalOutcome { vote: Vote::Yes, committed: true, results: Vec::new(), defined: None };
        let body = ReplyBody::Done(Outcome::Global(Box::new(outcome)));
        let reply = Reply { id: request.id, attempt: request.attempt, partition: self.partition, body };
        self.say(self.last_unknown(Some(cut)), origin, reply);
        true
    }

    /// Executes a statement on what was frozen at a cut. `false`: nothing is.
    pub(super) fn look(&mut self, origin: Origin, request: &Request) -> bool {
        let RequestBody::Look { cut, step } = &request.body else { return false };
        let Some((rows, catalog)) = self.cuts.copy(*cut) else { return false };
        sometimes!("global.looked_at_a_cut");
        sometimes!("global.looked_at_a_cut_of_another_leader", *cut < self.cuts_of_this_leader);
        let body = ReplyBody::Done(self.machine.look(rows, catalog, step));
        let reply = Reply { id: request.id, attempt: request.attempt, partition: self.partition, body };
        self.say(self.last_unknown(Some(*cut)), origin, reply);
        true
    }

    /// Tells the followers which cuts are of no more use.
    pub(super) fn let_cuts_go(&mut self, now: Instant) {
        if !self.cuts.ended.is_empty() {
            let command = Command::LetGo(std::mem::take(&mut self.cuts.ended));
            let _they_expire = self.log(now, &command);
        }
    }

    /// Answers, or holds the answer back where it may speak of what lies behind an unknown read.
    pub(super) fn reply(&mut self, origin: Origin, id: RequestId, attempt: u32, body: ReplyBody) {
        let behind = if matches!(body, ReplyBody::Done(_)) { self.last_unknown(None) } else { None };
        self.say(behind, origin, Reply { id, attempt, partition: self.partition, body });
    }

    fn say(&mut self, behind: Option<GlobalNumber>, origin: Origin, reply: Reply) {
        match behind {
            // Planted 131: answers are not held back.
            Some(behind) if !planted!(131) => {
                sometimes!("global.answer_held_back");
                self.reads.hold(behind, origin, reply);
            }
            _ => self.output.replies.push((origin, reply)),
        }
    }

    /// Leadership has been won or lost: what was held back is asked again.
    pub(super) fn reads_begin(&mut self) {
        for (origin, reply) in self.reads.release(None) {
            sometimes!("global.answer_held_back_for_ever");
            self.output.replies.push((origin, Reply { body: ReplyBody::Lost, ..reply }));
        }
        self.reads = crate::partition::global::Reads::default();
        self.cuts_of_this_leader = self.machine.received().next();
        self.cuts.ended.clear();
        sometimes!("global.leader_while_reads_are_open", self.leads && !self.machine.open().is_empty());
        // Planted 133: a new leader takes what is open for known.
        if self.leads && planted!(133) {
            self.reads.known = self.machine.open().keys().copied().collect();
        }
    }
}
