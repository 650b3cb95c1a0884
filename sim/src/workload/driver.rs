//! A client's life: connect, start up, do what is planned, note what came of it, go elsewhere when a node fails it.

use super::wire::{self, Answer, Exchange, Progress, ResultSet, Wire, WireError};
use super::{Kind, LastSeen, Place, Style, find};
use crate::client::{Client, ClientAction, ClientInput};
use crate::history::{HistoryEvent, OperationId, Outcome, Seen};
use crate::operation::{Operation, PlannedOperation};
use crate::plan::{Plan, PlannedClient};
use crate::stream::{between, stream};
use orrery::types::{NodeId, Rng};
use std::collections::BTreeSet;

const MILLISECOND: i64 = 1_000_000;
/// How often an operation that met another one (40001), or a good-bye (57P01), is tried again.
const RETRIES: u32 = 3;

/// All clients of a plan, in order.
///
/// # Panics
/// When the plan names a workload that there is not: plans are checked when they are drawn or read.
#[must_use]
pub fn clients(plan: &Plan) -> Vec<Box<dyn Client>> {
    let mut seen = BTreeSet::new();
    let mut clients: Vec<Box<dyn Client>> = Vec::new();
    for (number, planned) in plan.clients.iter().enumerate() {
        // The first client of each workload makes its tables.
        let makes_tables = seen.insert(planned.workload);
        clients.push(Box::new(PgClient::new(plan, number as u32, planned, makes_tables)));
    }
    clients
}

/// A simulated client.
pub struct PgClient {
    number: u32,
    kind: &'static dyn Kind,
    place: Place,
    style: Style,
    setup: Vec<String>,
    operations: Vec<PlannedOperation>,
    closing: Vec<PlannedOperation>,
    timeout_ns: u64,
    rng: Rng,
    nodes: Vec<NodeId>,
    next_node: usize,
    link: Link,
    wire: Wire,
    /// Named statements that the connection knows.
    prepared: BTreeSet<&'static str>,
    /// The one that is being prepared.
    preparing: Option<&'static str>,
    stage: Stage,
    current: Option<Current>,
    /// What the exchanges of the current operation have shown before its last.
    shown: Vec<ResultSet>,
    healed: bool,
    /// Nothing is sent before.
    not_before_ns: u64,
    counter: u32,
    seen: LastSeen,
    /// One of which it is not known what has become, and that may be sent again as it is.
    unfinished: Option<(OperationId, Operation)>,
    /// An operation that is to be tried again, and how often yet.
    again: Option<(Operation, u32)>,
}

/// The connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Connecting { node: NodeId, deadline_ns: u64 },
    Starting { node: NodeId, deadline_ns: u64 },
    Idle { node: NodeId },
    Busy { node: NodeId, deadline_ns: u64 },
}

/// What the client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Setup { step: usize },
    Waiting,
    Working { next: usize },
    Closing { next: usize, since_ns: u64, again: Option<Operation> },
    Finished { told: bool },
}

/// What is in flight.
#[derive(Clone, Copy, Debug)]
enum Current {
    Ready,
    Operation { id: OperationId, operation: Operation, binary: bool, answered: u32 },
}

impl PgClient {
    pub(super) fn new(plan: &Plan, number: u32, planned: &PlannedClient, makes_tables: bool) -> Self {
        let workload = &plan.workloads[planned.workload as usize];
        let kind = find(&workload.kind).expect("a plan's workloads exist: checked when it was drawn or read");
        let place = Place { workload: planned.workload, keys: workload.keys };
        let mut rng = stream(planned.seed, "client", 0);
        let nodes = plan.cluster.founders();
        let next_node = between(&mut rng, 0, nodes.len() as i64 - 1) as usize;
        Self {
            number,
            kind,
            place,
            style: Style::of(number),
            setup: if makes_tables { kind.setup(place) } else { Vec::new() },
            operations: planned.operations.clone(),
            closing: planned.closing.clone(),
            timeout_ns: planned.timeout_ns,
            rng,
            nodes,
            next_node,
            link: Link::Down,
            wire: Wire::default(),
            prepared: BTreeSet::new(),
            preparing: None,
            stage: Stage::Setup { step: 0 },
            current: None,
            shown: Vec::new(),
            healed: false,
            not_before_ns: 0,
            counter: 0,
            seen: LastSeen::default(),
            unfinished: None,
            again: None,
        }
    }

    /// Does what can be done now, and asks to be woken for what comes next.
    fn advance(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) {
        match self.link {
            Link::Connecting { deadline_ns, .. } | Link::Starting { deadline_ns, .. } => {
                out.push(ClientAction::WakeAt(deadline_ns));
                return;
            }
            Link::Busy { deadline_ns, .. } => {
                out.push(ClientAction::WakeAt(deadline_ns));
                return;
            }
            Link::Down | Link::Idle { .. } => {}
        }
        let Some(due_ns) = self.due(now_ns, out) else { return };
        let due_ns = due_ns.max(self.not_before_ns);
        if due_ns > now_ns {
            out.push(ClientAction::WakeAt(due_ns));
        } else if let Link::Idle { node } = self.link {
            self.send(now_ns, node, out);
        } else {
            let node = self.nodes[self.next_node % self.nodes.len()];
            let deadline_ns = now_ns + self.timeout_ns;
            self.link = Link::Connecting { node, deadline_ns };
            out.push(ClientAction::Connect(node));
            out.push(ClientAction::WakeAt(deadline_ns));
        }
    }

    /// When the next thing is to be sent; `None`: never again. Moves on to the next stage when one has ended.
    fn due(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) -> Option<u64> {
        if self.unfinished.is_some() {
            return Some(now_ns);
        }
        loop {
            match self.stage {
                Stage::Setup { step } if step < self.setup.len() => return Some(0),
                Stage::Setup { .. } => self.stage = Stage::Waiting,
                Stage::Waiting => return Some(0),
                Stage::Working { .. } if self.healed => {
                    self.stage = Stage::Closing { next: 0, since_ns: now_ns, again: None };
                }
                Stage::Working { .. } if self.again.is_some() => return Some(now_ns),
                Stage::Working { next } => return self.operations.get(next).map(|planned| planned.at_ns),
                Stage::Closing { next, since_ns, .. } => match self.closing.get(next) {
                    Some(planned) => return Some(since_ns + planned.at_ns),
                    None => self.stage = Stage::Finished { told: false },
                },
                Stage::Finished { told } => {
                    if !told {
                        self.stage = Stage::Finished { told: true };
                        self.link = Link::Down;
                        out.extend([ClientAction::Disconnect, ClientAction::Done]);
                    }
                    return None;
                }
            }
        }
    }

    fn send(&mut self, now_ns: u64, node: NodeId, out: &mut Vec<ClientAction>) {
        if let Some((id, operation)) = self.unfinished {
            let (_, exchange) = self.exchange(operation);
            self.current = Some(Current::Operation { id, operation, binary: false, answered: 0 });
            self.shown.clear();
            self.transmit(&exchange, out);
            let deadline_ns = now_ns + self.timeout_ns;
            self.link = Link::Busy { node, deadline_ns };
            return out.push(ClientAction::WakeAt(deadline_ns));
        }
        let (operation, exchange, abandon) = match self.stage {
            Stage::Setup { step } => {
                (Some(Operation::Setup { step: step as u32 }), Exchange::Simple(self.setup[step].clone()), false)
            }
            Stage::Waiting => (None, Exchange::Simple(self.kind.ready(self.place)), false),
            Stage::Working { next } => {
                let (planned, abandon) = match self.again {
                    Some((operation, _)) => (operation, false),
                    None => {
                        self.stage = Stage::Working { next: next + 1 };
                        (self.operations[next].operation, self.operations[next].abandon)
                    }
                };
                let (operation, exchange) = self.exchange(planned);
                (Some(operation), exchange, abandon)
            }
            Stage::Closing { next, again, .. } => {
                let (operation, exchange) = self.exchange(again.unwrap_or(self.closing[next].operation));
                (Some(operation), exchange, false)
            }
            Stage::Finished { .. } => return,
        };
        let binary = matches!(exchange, Exchange::Extended { binary: true, .. });
        self.current = Some(match operation {
            None => Current::Ready,
            Some(operation) => {
                let id = OperationId::new(self.number, self.counter);
                self.counter += 1;
                out.push(ClientAction::Record(HistoryEvent::Invoke { id, operation }));
                Current::Operation { id, operation, binary, answered: 0 }
            }
        });
        self.shown.clear();
        self.transmit(&exchange, out);
        let deadline_ns = now_ns + self.timeout_ns;
        self.link = Link::Busy { node, deadline_ns };
        if abandon {
            self.leave(now_ns, out);
            self.end(now_ns, Outcome::Unknown("abandoned".to_owned()), out);
            self.advance(now_ns, out);
        } else {
            out.push(ClientAction::WakeAt(deadline_ns));
        }
    }

    fn transmit(&mut self, exchange: &Exchange, out: &mut Vec<ClientAction>) {
        self.preparing = match exchange {
            Exchange::Extended { name, .. } => *name,
            Exchange::Simple(_) => None,
        };
        let known = self.preparing.is_some_and(|name| self.prepared.contains(name));
        out.push(ClientAction::Send(wire::request(exchange, known)));
    }

    /// A planned operation with what the client knows now filled in, and what to send for it.
    fn exchange(&self, planned: Operation) -> (Operation, Exchange) {
        let operation = self.seen.fill_in(planned);
        (operation, self.kind.exchange(self.place, operation, self.style))
    }

    /// Drops the connection; the next one goes to the next node, after a moment.
    fn leave(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) {
        out.push(ClientAction::Disconnect);
        self.lost(now_ns);
    }

    fn lost(&mut self, now_ns: u64) {
        self.link = Link::Down;
        self.next_node += 1;
        self.wait(now_ns, 20, 200);
    }

    fn wait(&mut self, now_ns: u64, least_ms: i64, most_ms: i64) {
        self.not_before_ns = now_ns + between(&mut self.rng, least_ms * MILLISECOND, most_ms * MILLISECOND) as u64;
    }

    /// What was in flight has come to this.
    fn end(&mut self, now_ns: u64, outcome: Outcome, out: &mut Vec<ClientAction>) {
        match self.current.take() {
            None => {}
            Some(Current::Ready) => {
                let shown = matches!(&outcome, Outcome::Done(Seen::Rows(rows)) if !rows.is_empty());
                if shown {
                    self.stage = Stage::Working { next: 0 };
                } else {
                    self.wait(now_ns, 50, 300);
                }
            }
            Some(Current::Operation { id, operation, .. }) if self.is_to_be_sent_again(operation, &outcome) => {
                self.unfinished = Some((id, operation));
                self.not_before_ns = self.not_before_ns.max(now_ns);
                if matches!(self.link, Link::Idle { .. }) {
                    self.wait(now_ns, 20, 200);
                }
            }
            Some(Current::Operation { id, operation, .. }) => {
                let before = self.unfinished.take().is_some();
                let outcome = if before { known_by_token(outcome) } else { outcome };
                self.seen.learn(operation, &outcome);
                self.repeat(operation, &outcome);
                let done = matches!(outcome, Outcome::Done(_))
                    // The step had worked before: its answer was lost.
                    || matches!((&outcome, operation), (Outcome::Failed(state), Operation::Setup { .. }) if state.starts_with("23505"));
                out.push(ClientAction::Record(HistoryEvent::Return { id, outcome }));
                match &mut self.stage {
                    Stage::Setup { step } if done => *step += 1,
                    Stage::Closing { next, again, .. } if done => {
                        *next += 1;
                        *again = None;
                    }
                    Stage::Closing { again, .. } => {
                        *again = Some(operation.renewed());
                        self.wait(now_ns, 100, 400);
                    }
                    Stage::Setup { .. } => self.wait(now_ns, 50, 300),
                    _ => {}
                }
            }
        }
    }

    /// May it have been executed, or be executed yet, so that it is worth asking again? A refusal speaks of the last time only.
    fn is_to_be_sent_again(&self, operation: Operation, outcome: &Outcome) -> bool {
        self.kind.repeats(operation)
            && match outcome {
                Outcome::Done(_) => false,
                Outcome::Failed(state) => self.unfinished.is_some() && !state.starts_with("55T"),
                Outcome::Unknown(_) => true,
            }
    }

    /// A transaction that has met another one is worth another try, under a number of its own, and so is what has crossed a good-bye.
    fn repeat(&mut self, operation: Operation, outcome: &Outcome) {
        let left = self.again.take().map_or(RETRIES, |(_, left)| left);
        let worth = |state: &str| state.starts_with("40001") || state.starts_with("57P01");
        let met = matches!(outcome, Outcome::Failed(state) if worth(state));
        if met && left > 0 && matches!(self.stage, Stage::Working { .. }) {
            self.again = Some((operation.renewed(), left - 1));
        }
    }

    /// Sends the operation's next exchange, if it has one.
    fn goes_on(&mut self, answer: &mut Answer, out: &mut Vec<ClientAction>) -> bool {
        let Some(Current::Operation { operation, answered, .. }) = &mut self.current else { return false };
        if answer.error.is_some() {
            return false;
        }
        *answered += 1;
        let next = self.kind.next(self.place, *operation, *answered, answer);
        self.shown.append(&mut answer.results);
        let Some(exchange) = next else {
            answer.results = std::mem::take(&mut self.shown);
            return false;
        };
        self.transmit(&exchange, out);
        true
    }

    fn bytes(&mut self, now_ns: u64, bytes: &[u8], out: &mut Vec<ClientAction>) {
        let mut answer = match self.wire.receive(bytes) {
            Ok(Progress::More) => return self.look_for_good_bye(now_ns, out),
            Ok(Progress::Ready(answer)) => answer,
            Err(message) => {
                self.leave(now_ns, out);
                self.end(now_ns, Outcome::Unknown(format!("protocol error: {message}")), out);
                return;
            }
        };
        match self.link {
            Link::Starting { node, .. } => {
                self.link = Link::Idle { node };
                self.look_for_good_bye(now_ns, out);
            }
            Link::Busy { node, deadline_ns } => {
                self.prepared.extend(self.preparing.filter(|_| answer.parsed));
                if self.goes_on(&mut answer, out) {
                    return;
                }
                self.link = Link::Idle { node };
                let outcome = match (&answer.error, self.current) {
                    (Some(error), _) => refused(error),
                    (None, Some(Current::Operation { operation: Operation::Setup { .. }, .. }) | None) => {
                        Outcome::Done(Seen::Nothing)
                    }
                    (None, Some(Current::Ready)) => Outcome::Done(Seen::Rows(
                        answer.results.iter().flat_map(|set| wire::texts(&set.rows)).collect(),
                    )),
                    (None, Some(Current::Operation { operation, binary, .. })) => {
                        Outcome::Done(self.kind.interpret(operation, &answer, binary))
                    }
                };
                let failed_block = answer.failed_block;
                // This node cannot serve now: perhaps another can.
                if answer.error.is_some_and(|error| is_unavailable(&error)) {
                    self.leave(now_ns, out);
                }
                self.end(now_ns, outcome, out);
                if failed_block && self.link == (Link::Idle { node }) {
                    let rollback = Exchange::Simple("ROLLBACK".to_owned());
                    out.push(ClientAction::Send(wire::request(&rollback, false)));
                    self.link = Link::Busy { node, deadline_ns };
                }
                self.look_for_good_bye(now_ns, out);
            }
            Link::Down | Link::Connecting { .. } | Link::Idle { .. } => {}
        }
    }

    /// As connection pools do before they lend a connection: what has come on one that asks for nothing is a good-bye.
    fn look_for_good_bye(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) {
        if matches!(self.link, Link::Idle { .. }) && self.wire.is_taken_leave_of() {
            self.leave(now_ns, out);
        }
    }

    fn closed(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) {
        let outcome = match self.wire.last_error() {
            Some(error) => refused(error),
            None => Outcome::Unknown("connection lost".to_owned()),
        };
        self.lost(now_ns);
        self.end(now_ns, outcome, out);
    }

    fn deadline(&mut self, now_ns: u64, out: &mut Vec<ClientAction>) {
        let (Link::Connecting { deadline_ns, .. }
        | Link::Starting { deadline_ns, .. }
        | Link::Busy { deadline_ns, .. }) = self.link
        else {
            return;
        };
        if now_ns >= deadline_ns {
            self.leave(now_ns, out);
            self.end(now_ns, Outcome::Unknown("no answer in time".to_owned()), out);
        }
    }

    fn heal(&mut self, now_ns: u64, core: Vec<NodeId>, out: &mut Vec<ClientAction>) {
        assert!(!core.is_empty(), "a core has nodes");
        self.healed = true;
        self.nodes = core;
        // Another node for each client, whatever the last one was.
        self.next_node = self.number as usize;
        let (Link::Connecting { node, .. }
        | Link::Starting { node, .. }
        | Link::Idle { node }
        | Link::Busy { node, .. }) = self.link
        else {
            return;
        };
        if !self.nodes.contains(&node) {
            self.leave(now_ns, out);
            self.end(now_ns, Outcome::Unknown("left a node outside the core".to_owned()), out);
        }
    }
}

impl Client for PgClient {
    fn handle(&mut self, now_ns: u64, input: ClientInput) -> Vec<ClientAction> {
        let mut out = Vec::new();
        match input {
            ClientInput::Start | ClientInput::Wake => self.deadline(now_ns, &mut out),
            ClientInput::Connected => {
                if let Link::Connecting { node, deadline_ns } = self.link {
                    self.link = Link::Starting { node, deadline_ns };
                    self.wire = Wire::default();
                    self.prepared.clear();
                    out.push(ClientAction::Send(wire::startup(&format!("client{}", self.number))));
                }
            }
            ClientInput::Bytes(bytes) => self.bytes(now_ns, &bytes, &mut out),
            ClientInput::Closed if self.link == Link::Down => {}
            ClientInput::Closed => self.closed(now_ns, &mut out),
            ClientInput::Healed(core) => self.heal(now_ns, core, &mut out),
        }
        self.advance(now_ns, &mut out);
        out
    }
}

/// What has become of an operation that was sent again: it was executed before, and what it has shown is not kept.
fn known_by_token(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(state) if state.starts_with("55T02") => Outcome::Done(Seen::Nothing),
        other => other,
    }
}

/// What an error says about its operation: refused for certain, or unknown.
pub(crate) fn refused(error: &WireError) -> Outcome {
    // Classes of SQLSTATE by which the server says that nothing was changed. 40003 says that it does not know; an
    // internal error says nothing. A good-bye (57P01) is said where the client was expected to speak: of what crosses it
    // nothing is executed.
    const DEFINITE: &[&str] = &[
        "0A", "21", "22", "23", "25", "26", "28", "34", "3D", "3F", "40000", "40001", "42", "53", "54", "55", "57014",
        "57P01", "57P03",
    ];
    let text = format!("{} {}", error.state, error.message);
    if DEFINITE.iter().any(|class| error.state.starts_with(class)) {
        Outcome::Failed(text)
    } else {
        Outcome::Unknown(text)
    }
}

/// Does it say that this node cannot serve now, and another perhaps can?
pub(crate) fn is_unavailable(error: &WireError) -> bool {
    error.state.starts_with("57") || error.state.starts_with("53") || error.state == "40003"
}
