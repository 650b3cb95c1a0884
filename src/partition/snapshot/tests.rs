//! Any state → chunks → the same state, which behaves the same ever after.

use super::*;
use crate::consensus::Payload;
use crate::partition::command::{Command, CommandBody, CommandV1};
use crate::partition::global::{GlobalBody, Vote};
use crate::partition::message::{Batch, ReplyBody, Settings, Statement};
use crate::partition::state_machine::Executed;
use crate::types::random::SeedableRng;
use crate::types::{CatalogVersion, RequestId, Rng, Sequence, SessionId, Value};
use proptest::prelude::*;

/// A data partition and the cluster partition that defines its tables, driven by hand.
struct Pair {
    cluster: StateMachine,
    data: StateMachine,
}

/// What one client does.
#[derive(Clone, Debug)]
enum Step {
    Define(usize),
    Write { session: u64, sequence: u64, acked: u64, text: usize, number: i32 },
    Register { node: u32, life: u64 },
}

const DEFINITIONS: &[&str] = &[
    "CREATE TABLE a (id int PRIMARY KEY, n int, s text)",
    "CREATE TABLE b (n int, s text)",
    "CREATE INDEX a_n ON a (n)",
    "CREATE UNIQUE INDEX a_s ON a (s)",
    "CREATE UNIQUE INDEX b_s ON b (s)",
    "ALTER INDEX a_n SET ACTIVE",
    "ALTER INDEX b_s SET ACTIVE",
    "DROP INDEX a_n",
    "DROP TABLE b",
    "CREATE TABLE c (id bigint PRIMARY KEY, at timestamptz DEFAULT now(), r double precision DEFAULT random())",
];

const WRITES: &[&str] = &[
    "INSERT INTO a VALUES ($1, $1 % 7, 'x')",
    "INSERT INTO a VALUES ($1, $1, repeat('long ', 20) || $1)",
    "INSERT INTO b VALUES ($1, 'y')",
    "INSERT INTO b VALUES ($1, 's' || $1) RETURNING n",
    "UPDATE a SET n = n + $1",
    "DELETE FROM a WHERE id % 5 = $1 % 5",
    "DELETE FROM b WHERE n < $1",
    "INSERT INTO c VALUES ($1)",
];

fn step() -> impl Strategy<Value = Step> {
    let write = (1_u64..4, 1_u64..30, 0_u64..12, 0..WRITES.len(), -5_i32..60);
    prop_oneof![
        2 => (0..DEFINITIONS.len()).prop_map(Step::Define),
        12 => write.prop_map(|(session, sequence, back, text, number)| Step::Write {
            session, sequence, acked: sequence.saturating_sub(back), text, number
        }),
        1 => (1_u32..4, 1_u64..3).prop_map(|(node, life)| Step::Register { node, life }),
    ]
}

impl Pair {
    fn new() -> Self {
        let mut pair =
            Self { cluster: StateMachine::new(PartitionId::CLUSTER), data: StateMachine::new(PartitionId(1)) };
        pair.step(&Step::Define(0));
        pair.step(&Step::Define(1));
        pair
    }

    /// Both answers of a step, as text: what is compared.
    fn step(&mut self, step: &Step) -> String {
        let request = |session, sequence| RequestId {
            session: SessionId { gateway: session, counter: 300 },
            sequence: Sequence(sequence),
        };
        match step {
            Step::Define(number) => {
                let sequence = self.cluster.executed().0 + 1;
                let body = CommandBody::Order {
                    participants: vec![PartitionId::CLUSTER, PartitionId(1)],
                    body: Arc::new(GlobalBody::definition(
                        DEFINITIONS[*number].into(),
                        Arc::default(),
                        self.cluster.catalog().version,
                    )),
                };
                let first = execute(&mut self.cluster, request(9, sequence), sequence, body);
                let global = first.ordered.expect("nothing else is under way");
                let number = global.number;
                next(&mut self.data, &Command::Global(global));
                let vote = |machine: &StateMachine| machine.standing().and_then(|standing| standing.vote.clone());
                let (one, two) = (vote(&self.cluster), vote(&self.data));
                let committed = [&one, &two].iter().all(|vote| vote.as_ref().is_some_and(Vote::is_yes));
                let settled = self.data.settle(committed, Vec::new());
                let decision = Command::Decision { number, committed, values: Vec::new() };
                next(&mut self.data, &decision);
                let decided = next(&mut self.cluster, &decision);
                format!("{one:?} {two:?} {:?} {:?}", settled.collected, decided.collected)
            }
            Step::Write { session, sequence, acked, text, number } => {
                let statement = Statement {
                    text: WRITES[*text].into(),
                    parameter_types: vec![Some(crate::types::DataType::Int4)],
                    parameters: vec![Value::Int4(*number)],
                    max_rows: 0,
                };
                let body = CommandBody::Execute {
                    catalog_version: self.data.catalog().version,
                    statements: vec![statement],
                    settings: Arc::new(Settings::default()),
                };
                format!("{:?}", run(&mut self.data, request(*session, *sequence), *acked, body))
            }
            Step::Register { node, life } => {
                let body = CommandBody::RegisterGateway {
                    node: NodeId(*node),
                    worker: WorkerId(0),
                    incarnation: Incarnation(*life),
                };
                format!("{:?}", run(&mut self.cluster, request(0, 1), 0, body))
            }
        }
    }

    fn restored(&self, bytes: usize) -> Self {
        let through = |machine: &StateMachine, partition| {
            let snapshot = machine.snapshot();
            let chunks = chunks(&snapshot, bytes);
            build(&chunks, partition, &snapshot).expect("what was taken can be restored")
        };
        Self { cluster: through(&self.cluster, PartitionId::CLUSTER), data: through(&self.data, PartitionId(1)) }
    }

    fn digests(&self) -> (u128, u128, LogIndex) {
        (self.cluster.digest(), self.data.digest(), self.data.executed())
    }
}

fn run(machine: &mut StateMachine, id: RequestId, acked_below: u64, body: CommandBody) -> ReplyBody {
    execute(machine, id, acked_below, body).reply.expect("every command is answered").1
}

fn next(machine: &mut StateMachine, command: &Command) -> Executed {
    machine.execute(Timestamp(0), machine.executed().next(), Payload::Command(command.encode()))
}

fn execute(machine: &mut StateMachine, id: RequestId, acked_below: u64, body: CommandBody) -> Executed {
    let index = machine.executed().next();
    let acked_below = Sequence(acked_below);
    let timestamp = Timestamp(1000 + i64::try_from(index.0).unwrap() % 3);
    let command = Command::V1(CommandV1 { id, acked_below, timestamp, seed: index.0, body });
    machine.execute(Timestamp(0), index, Payload::Command(command.encode()))
}

fn chunks(snapshot: &Snapshot, bytes: usize) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut next = Some(Position::default());
    while let Some(position) = next {
        let (chunk, after) = snapshot.chunk(&position, bytes);
        chunks.push(chunk);
        next = after;
    }
    chunks
}

fn build(chunks: &[Bytes], partition: PartitionId, label: &Snapshot) -> Result<StateMachine, Malformed> {
    let mut builder = Builder::new();
    chunks.iter().try_for_each(|chunk| builder.push(chunk))?;
    builder.finish(partition, label.executed(), label.digest())
}

/// A state with something of everything in it.
pub(in crate::partition) fn full_state() -> StateMachine {
    full().data
}

fn full() -> Pair {
    let mut pair = Pair::new();
    for number in 0..200 {
        let sequence = u64::try_from(number).unwrap() + 1;
        pair.step(&Step::Write { session: 1, sequence, acked: sequence.saturating_sub(9), text: 1, number });
        pair.step(&Step::Write { session: 2, sequence, acked: 0, text: 3, number });
    }
    pair.step(&Step::Write { session: 3, sequence: 1, acked: 0, text: 2, number: 1 });
    pair.step(&Step::Write { session: 3, sequence: 2, acked: 0, text: 2, number: 2 });
    pair.step(&Step::Define(4));
    pair.step(&Step::Define(2));
    pair.step(&Step::Register { node: 1, life: 1 });
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_state_cannot_be_told_from_the_one_it_was_taken_of(
        before in prop::collection::vec(step(), 0..80),
        after in prop::collection::vec(step(), 0..40),
        bytes in 0_usize..3000,
    ) {
        let mut pair = Pair::new();
        for step in &before {
            pair.step(step);
        }
        let mut restored = pair.restored(bytes);
        prop_assert_eq!(restored.digests(), pair.digests());
        // What came before comes again (retries), then what is new.
        for step in before.iter().chain(&after) {
            prop_assert_eq!(restored.step(step), pair.step(step));
            prop_assert_eq!(restored.digests(), pair.digests());
        }
        let batch = Batch {
            catalog_version: pair.data.catalog().version,
            statements: vec![Statement {
                text: "SELECT * FROM a WHERE n > 3 ORDER BY n, id".into(),
                parameter_types: vec![],
                parameters: vec![],
                max_rows: 0,
            }],
            settings: Arc::new(Settings::default()),
            wall: Timestamp(0),
        };
        let mut dice = Rng::seed_from_u64(1);
        let answers = [&mut restored, &mut pair].map(|pair| pair.data.query(Timestamp(0), &batch, &mut dice));
        prop_assert_eq!(&answers[0], &answers[1]);
    }

    #[test]
    fn damaged_chunks_are_refused_or_harmless(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let pair = full();
        let snapshot = pair.data.snapshot();
        let mut chunks = chunks(&snapshot, 4000);
        let number = at.index(chunks.len());
        let mut bytes = chunks[number].to_vec();
        let place = at.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] = byte }
        chunks[number] = bytes.into();
        if let Ok(machine) = build(&chunks, PartitionId(1), &snapshot) {
            prop_assert_eq!(machine.digest(), pair.data.digest());
        }
    }
}

#[test]
fn every_part_of_the_state_is_needed() {
    let pair = full();
    let snapshot = pair.data.snapshot();
    let chunks = chunks(&snapshot, 2000);
    assert!(chunks.len() > 10, "{} chunks", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk.len() <= 2001), "a chunk is as long as asked for");
    assert!(build(&chunks, PartitionId(1), &snapshot).is_ok());
    for number in 0..chunks.len() {
        let mut some = chunks.clone();
        some.remove(number);
        assert!(build(&some, PartitionId(1), &snapshot).is_err(), "chunk {number} is missing");
        let mut twice = chunks.clone();
        twice.insert(number, chunks[number].clone());
        assert!(build(&twice, PartitionId(1), &snapshot).is_err(), "chunk {number} is doubled");
    }
    assert_eq!(build(&[], PartitionId(1), &snapshot).err(), Some(Malformed::Nonsense("it is empty")));
    assert_eq!(
        build(&chunks, PartitionId(2), &snapshot).err(),
        Some(Malformed::Mislabelled("another partition")),
        "a foreign partition's state is not taken"
    );
    let other = full().cluster.snapshot();
    assert!(build(&chunks, PartitionId(1), &other).is_err(), "nor one that is labelled otherwise");
}

#[test]
fn a_snapshot_stands_still_and_is_the_same_at_every_replica() {
    let mut pair = full();
    let twin = full();
    let snapshot = pair.data.snapshot();
    let before = chunks(&snapshot, 1500);
    pair.step(&Step::Write { session: 1, sequence: 500, acked: 500, text: 4, number: 1 });
    assert_eq!(chunks(&snapshot, 1500), before, "execution goes on beside it");
    // A transfer begun at one replica goes on at the other from any chunk.
    let mut position = Position::default();
    for expected in &before {
        let (chunk, next) = twin.data.snapshot().chunk(&position, 1500);
        assert_eq!(chunk, *expected);
        position = next.unwrap_or_default();
    }
    assert_eq!(position, Position::default(), "the last chunk is followed by none");
}

#[test]
fn what_stands_outside_the_trees_is_in_the_digest() {
    let mut pair = full();
    let mut before = pair.digests();
    let mut differs = |pair: &Pair, what: &str| {
        let now = pair.digests();
        assert_ne!((before.0, before.1), (now.0, now.1), "{what} is in the digest");
        before = now;
    };
    pair.step(&Step::Register { node: 1, life: 2 });
    differs(&pair, "a gateway's number");
    run(
        &mut pair.data,
        RequestId { session: SessionId { gateway: 77, counter: 1 }, sequence: Sequence(9) },
        9,
        CommandBody::Execute {
            catalog_version: CatalogVersion(u64::MAX),
            statements: vec![],
            settings: Arc::new(Settings::default()),
        },
    );
    differs(&pair, "what a session has acknowledged");
    let refused = pair.step(&Step::Define(4));
    assert!(refused.contains("23505"), "b_s does not hold: {refused}");
    differs(&pair, "what a definition came to");
    let membership = crate::consensus::Membership::initial([NodeId(7)]).encode();
    let index = pair.data.executed().next();
    pair.data.execute(Timestamp(0), index, Payload::Configuration(membership.clone()));
    differs(&pair, "who belongs to the group");
    let label = pair.data.snapshot();
    let restored = build(&chunks(&label, 1000), label.head.partition, &label).unwrap();
    assert_eq!((restored.membership(), restored.digest()), (Some(&membership), pair.data.digest()));
}
