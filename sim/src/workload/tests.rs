//! Clients against a fake server that understands the protocol and nothing of SQL.

use super::driver::PgClient;
use super::wire::{Exchange, Progress, Wire, request, startup};
use super::*;
use crate::client::{Client, ClientAction, ClientInput};
use crate::draw::draw;
use crate::history::{HistoryEvent, Outcome};
use crate::plan::Plan;
use crate::scenario::Scenario;
use bytes::{Bytes, BytesMut};
use orrery::types::NodeId;
use pgwire::messages::data::DataRow;
use pgwire::messages::extendedquery::{BindComplete, ParseComplete};
use pgwire::messages::response::{CommandComplete, ErrorResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{DecodeContext, Message, PgWireFrontendMessage, ProtocolVersion};

/// Frontend messages in bytes, in words.
fn decoded(bytes: &Bytes, starting: bool) -> Vec<String> {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = starting;
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut words = Vec::new();
    while !buffer.is_empty() {
        let message = PgWireFrontendMessage::decode(&mut buffer, &context).expect("well-formed").expect("whole");
        words.push(match message {
            PgWireFrontendMessage::Startup(startup) => format!("startup {:?}", startup.parameters),
            PgWireFrontendMessage::Query(query) => format!("query {}", query.query),
            PgWireFrontendMessage::Parse(parse) => {
                format!("parse {:?} {} {:?}", parse.name, parse.query, parse.type_oids)
            }
            PgWireFrontendMessage::Bind(bind) => {
                format!("bind {:?} {:?} {:?}", bind.statement_name, bind.parameters, bind.parameter_format_codes)
            }
            PgWireFrontendMessage::Execute(execute) => format!("execute {}", execute.max_rows),
            PgWireFrontendMessage::Sync(_) => "sync".to_owned(),
            other => format!("{other:?}"),
        });
    }
    words
}

fn encoded(messages: &[&dyn Fn(&mut BytesMut)]) -> Bytes {
    let mut out = BytesMut::new();
    for message in messages {
        message(&mut out);
    }
    out.freeze()
}

fn put(message: impl Message) -> impl Fn(&mut BytesMut) {
    move |out| message.encode(out).expect("encodes")
}

fn ready() -> impl Fn(&mut BytesMut) {
    put(ReadyForQuery::new(TransactionStatus::Idle))
}

fn row(value: &[u8]) -> impl Fn(&mut BytesMut) {
    let mut data = BytesMut::new();
    data.extend_from_slice(&(value.len() as i32).to_be_bytes());
    data.extend_from_slice(value);
    put(DataRow::new(data, 1))
}

fn failure(state: &str) -> impl Fn(&mut BytesMut) {
    put(ErrorResponse::new(vec![(b'S', "ERROR".to_owned()), (b'C', state.to_owned()), (b'M', "no".to_owned())]))
}

#[test]
fn requests_in_every_style() {
    let text = "UPDATE t SET v = $1 WHERE k = $2";
    insta::assert_snapshot!(decoded(&startup("client1"), true).join("\n"), @r#"startup {"database": "orrery", "user": "client1"}"#);
    let simple = Style::Simple.exchange("w", text, &[7, -2]);
    insta::assert_snapshot!(decoded(&request(&simple, false), false).join("\n"), @"query UPDATE t SET v = 7 WHERE k = -2");
    let unnamed = Style::Unnamed.exchange("w", text, &[7, 2]);
    insta::assert_snapshot!(decoded(&request(&unnamed, false), false).join("\n"), @r#"
    parse None UPDATE t SET v = $1 WHERE k = $2 [20, 20]
    bind None [Some(b"7"), Some(b"2")] [0]
    execute 0
    sync
    "#);
    let prepared = Style::Prepared.exchange("w", text, &[7, 2]);
    insta::assert_snapshot!(decoded(&request(&prepared, true), false).join("\n"), @r#"
    bind Some("w") [Some(b"\0\0\0\0\0\0\0\x07"), Some(b"\0\0\0\0\0\0\0\x02")] [1]
    execute 0
    sync
    "#);
}

#[test]
fn answers_cut_anywhere() {
    let bytes = encoded(&[
        &put(CommandComplete::new("UPDATE 1".to_owned())),
        &row(b"42"),
        &put(CommandComplete::new("SELECT 1".to_owned())),
        &ready(),
    ]);
    for cut in 0..bytes.len() {
        let mut wire = Wire::default();
        let (first, second) = (bytes.slice(..cut), bytes.slice(cut..));
        assert_eq!(wire.receive(&first), Ok(Progress::More), "cut at {cut}");
        let Ok(Progress::Ready(answer)) = wire.receive(&second) else { panic!("no answer, cut at {cut}") };
        assert_eq!(answer.results[0].affected(), Some(1));
        let shown = registers::Registers.interpret(Operation::WriteRead { key: 1, value: 42 }, &answer, false);
        assert_eq!(shown, Seen::Value(Some(42)));
    }
    assert!(Wire::default().receive(b"\x00nonsense").is_err());
}

fn plan() -> Plan {
    let text =
        "name = \"x\"\nlength = \"3s\"\n[[workload]]\nkind = \"registers\"\nclients = 2\nrate = 4\nabandon = 0\n";
    draw(&Scenario::from_text("x.toml", text).expect("a scenario"), 1)
}

/// A client and its world: what it did, and a server that answers as told.
struct Bench {
    client: PgClient,
    now_ns: u64,
    sent: Vec<Bytes>,
    history: Vec<HistoryEvent>,
    connects: Vec<NodeId>,
    connecting: bool,
    wake_ns: u64,
    done: bool,
}

impl Bench {
    fn new(client: u32) -> Self {
        let plan = plan();
        let client = PgClient::new(&plan, client, &plan.clients[client as usize], client == 0);
        let mut bench = Self {
            client,
            now_ns: 0,
            sent: Vec::new(),
            history: Vec::new(),
            connects: Vec::new(),
            connecting: false,
            wake_ns: 0,
            done: false,
        };
        bench.input(ClientInput::Start);
        bench
    }

    fn input(&mut self, input: ClientInput) {
        for action in self.client.handle(self.now_ns, input) {
            match action {
                ClientAction::Connect(node) => {
                    self.connects.push(node);
                    self.connecting = true;
                    self.sent.clear();
                }
                ClientAction::Send(bytes) => self.sent.push(bytes),
                ClientAction::Disconnect => {
                    self.connecting = false;
                    self.sent.clear();
                }
                ClientAction::WakeAt(at) => self.wake_ns = at,
                ClientAction::Record(event) => self.history.push(event),
                ClientAction::Done => self.done = true,
            }
        }
    }

    fn wake(&mut self) {
        self.now_ns = self.now_ns.max(self.wake_ns);
        self.input(ClientInput::Wake);
    }

    fn connect(&mut self) {
        self.connecting = false;
        self.input(ClientInput::Connected);
        assert!(decoded(&self.sent.pop().expect("a start-up"), true)[0].starts_with("startup"));
        self.answer(&[&put(Authentication::Ok), &ready()]);
    }

    fn answer(&mut self, messages: &[&dyn Fn(&mut BytesMut)]) {
        self.input(ClientInput::Bytes(encoded(messages)));
    }

    /// Answers whatever is asked until `until`, or nothing more is asked.
    fn serve(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..200 {
            if until(self) {
                return;
            }
            match self.sent.pop() {
                None if self.connecting => self.connect(),
                None => self.wake(),
                Some(bytes) => {
                    let words = decoded(&bytes, false).join(" ");
                    let tag = if words.contains("UPDATE") { "UPDATE 1" } else { "INSERT 0 1" };
                    if words.contains("SELECT") {
                        let binary = words.contains("bind Some");
                        let value = if binary { 0i64.to_be_bytes().to_vec() } else { b"0".to_vec() };
                        let tag = put(CommandComplete::new("SELECT 1".to_owned()));
                        self.answer(&[
                            &put(ParseComplete::new()),
                            &put(BindComplete::new()),
                            &row(&value),
                            &tag,
                            &ready(),
                        ]);
                    } else {
                        self.answer(&[
                            &put(ParseComplete::new()),
                            &put(CommandComplete::new(tag.to_owned())),
                            &ready(),
                        ]);
                    }
                }
            }
        }
    }

    fn last(&self) -> &Outcome {
        match self.history.last() {
            Some(HistoryEvent::Return { outcome, .. }) => outcome,
            other => panic!("no outcome but {other:?}"),
        }
    }
}

#[test]
fn a_client_makes_tables_works_and_closes() {
    let mut bench = Bench::new(0);
    bench.connect();
    let query = decoded(&bench.sent[0], false);
    assert!(query[0].starts_with("query CREATE TABLE IF NOT EXISTS registers_0"), "{query:?}");
    bench.serve(|bench| bench.now_ns > 2_500_000_000);
    bench.input(ClientInput::Healed(vec![NodeId(2)]));
    bench.connects.clear();
    bench.serve(|bench| bench.done);
    assert!(bench.done);
    assert!(bench.connects.iter().all(|node| *node == NodeId(2)));
    let unknown = bench.history.iter().filter(|event| {
        matches!(event, HistoryEvent::Return { outcome: Outcome::Unknown(_) | Outcome::Failed(_), .. })
    });
    assert!(unknown.count() <= 1, "only what was in flight when the core was healed may be unknown");
}

/// A second client, ready and with its first operation in flight.
fn busy() -> Bench {
    let mut bench = Bench::new(1);
    bench.connect();
    bench.serve(|bench| !bench.history.is_empty());
    assert!(matches!(bench.history.last(), Some(HistoryEvent::Invoke { .. })));
    bench
}

#[test]
fn a_lost_connection_leaves_the_outcome_unknown_and_the_next_node_is_asked() {
    let mut bench = busy();
    let before = bench.connects.clone();
    bench.input(ClientInput::Closed);
    assert!(matches!(bench.last(), Outcome::Unknown(_)));
    bench.wake();
    assert_ne!(bench.connects.last(), before.last());
}

#[test]
fn no_answer_in_time_is_unknown() {
    let mut bench = busy();
    bench.wake();
    assert_eq!(*bench.last(), Outcome::Unknown("no answer in time".to_owned()));
}

#[test]
fn errors_are_refusals_only_if_they_say_so() {
    for (state, refused) in [
        ("40001", true),
        ("23505", true),
        ("57P03", true),
        ("57014", true),
        ("40003", false),
        ("XX000", false),
        ("57P01", true),
    ] {
        let mut bench = busy();
        bench.answer(&[&failure(state), &ready()]);
        let outcome = bench.history.iter().rev().find_map(|event| match event {
            HistoryEvent::Return { outcome, .. } => Some(outcome),
            HistoryEvent::Invoke { .. } => None,
        });
        assert_eq!(matches!(outcome, Some(Outcome::Failed(_))), refused, "{state}");
    }
}

#[test]
fn operations_are_read_as_they_are_written() {
    let plan = plan();
    for kind in WORKLOADS {
        let mut rng = crate::stream::stream(1, "test", 0);
        let place = Place { workload: 0, keys: 4 };
        let mut earlier = Vec::new();
        for unique in 1..200 {
            let operation = kind.draw(&mut rng, place, unique, &earlier);
            assert_eq!(operation.to_string().parse(), Ok(operation));
            // Whatever is planned can be sent, in every style.
            for client in 0..3 {
                let exchange = kind.exchange(place, operation, Style::of(client));
                assert!(!request(&exchange, false).is_empty());
                if let Exchange::Simple(text) = &exchange {
                    assert!(!text.contains('$'), "{text}");
                }
            }
            earlier.push(operation);
        }
    }
    assert_eq!(plan.clients.len(), 2);
}
