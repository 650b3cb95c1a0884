//! The planted bugs, and who must catch each.
//!
//! Each is a real bug of a real system, restated as a mutation of ours behind `planted!(id)`, compiled in only with the
//! feature `mutants`. `cargo sim mutants` shows that each is caught by a checker of the simulator (not by a panic of the
//! product beside it) and that the same seeds are clean without it. Numbers are kept for ever.

/// A planted bug.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Number in `planted!(…)`.
    pub id: u32,
    /// What is wrong.
    pub name: &'static str,
    /// Where it happened.
    pub source: &'static str,
    /// Checkers of which one must catch it.
    pub caught_by: &'static [&'static str],
    /// Scenario that reaches it, relative to the workspace.
    pub scenario: &'static str,
}

const fn planted(
    id: u32,
    name: &'static str,
    source: &'static str,
    caught_by: &'static [&'static str],
    scenario: &'static str,
) -> Planted {
    Planted { id, name, source, caught_by, scenario }
}

/// All of them, by number.
pub const PLANTED: &[Planted] = &[
    planted(1, "a vote is answered before it is durable", "tikv#1610", LOG, "scenarios/chaos/crash_points.toml"),
    planted(2, "term and vote are forgotten at restart", "PySyncObj#202", LOG, "scenarios/chaos/power_loss.toml"),
    planted(3, "votes are granted by index alone", "Raft §5.4.1", LOG, "scenarios/chaos/figure_8.toml"),
    planted(
        5,
        "votes are counted, and not whose they are: those of learners, too",
        "akka-raft#49; octo-im#43",
        LOG,
        "scenarios/chaos/half_a_change.toml",
    ),
    planted(
        6,
        "a vote given in an earlier term is counted in this one",
        "raft-rs#221",
        LOG,
        "scenarios/chaos/elections.toml",
    ),
    planted(
        8,
        "a leader that reaches no quorum stays, and answers reads from what it has",
        "jraft#25, #34",
        READS,
        "scenarios/chaos/splits.toml",
    ),
    planted(
        11,
        "a member of a lower term does not answer whether it would vote",
        "canonical/raft#279",
        LIVENESS,
        "scenarios/chaos/elections.toml",
    ),
    planted(
        12,
        "an entry of an earlier term is committed by counting copies",
        "logcabin#44; Raft figure 8",
        LOG,
        "scenarios/chaos/figure_8.toml",
    ),
    planted(13, "a follower commits what it has not matched", "copycat#265", LOG, "scenarios/chaos/figure_8.toml"),
    planted(
        15,
        "any append truncates what follows it, an old one too",
        "MIT 6.824 folklore",
        LOG,
        "scenarios/chaos/lossy.toml",
    ),
    planted(
        17,
        "a segment of the log goes before it is durable that nothing needs it",
        "braft#119",
        STOPS,
        "scenarios/chaos/publication.toml",
    ),
    planted(
        18,
        "a deposed leader still writes an entry, in the term that has deposed it",
        "camunda#5360",
        LOG,
        "scenarios/chaos/elections.toml",
    ),
    planted(
        20,
        "a follower is sent for ever what it has",
        "Truxify#8670; etcd raft#149",
        LIVENESS,
        "scenarios/chaos/lossy.toml",
    ),
    planted(
        21,
        "a leader counts its own log before it is durable",
        "d-engine#447",
        LOG,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        22,
        "an append is acknowledged before it is durable",
        "NATS 2.12.1",
        LOG,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        25,
        "what may yet be executed is reported as a failure",
        "arcadedb#4790",
        ONCE,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        26,
        "a snapshot leaves what it contradicts in the log",
        "openraft#559",
        LOG,
        "scenarios/chaos/conflicting_snapshots.toml",
    ),
    planted(
        28,
        "a snapshot leaves out what sessions have done: a retry is executed again",
        "iggy#3934",
        SAME,
        "scenarios/chaos/conflicting_snapshots.toml",
    ),
    planted(
        29,
        "where the log begins after a checkpoint is forgotten at restart",
        "ROCm/spur#368",
        STOPS,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        30,
        "a checkpoint is written in the place of the one before, not beside it",
        "redisraft#654",
        DISK,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        35,
        "a bad checksum in the middle of the log is taken for its end",
        "pebble#453; NATS 2.12.1",
        LOG,
        "scenarios/chaos/rot_everywhere.toml",
    ),
    planted(
        37,
        "cutting the end off a log leaves its last entry behind",
        "qdrant#1329, #2508",
        DISK,
        "scenarios/chaos/figure_8.toml",
    ),
    planted(
        38,
        "a checkpoint that is lost is taken for an empty one",
        "redisraft#14",
        SAME,
        "scenarios/chaos/checkpoint_rot.toml",
    ),
    planted(
        39,
        "a new segment of the log is written to before its name is durable",
        "etcd#6368",
        LOG,
        "scenarios/chaos/power_loss.toml",
    ),
    planted(
        40,
        "a failed sync is taken for a good one",
        "fsyncgate; turso#2091",
        DISK,
        "scenarios/chaos/disk_errors.toml",
    ),
    planted(
        42,
        "what did not fit on the disk is acknowledged all the same",
        "etcd#8214",
        DISK,
        "scenarios/chaos/full_disks.toml",
    ),
    planted(
        45,
        "a new leader answers reads before its term has begun",
        "redisraft#18; tikv#9208",
        READS,
        "scenarios/chaos/one_way_splits.toml",
    ),
    planted(46, "reads are answered without proof of leadership", "VoltDB 6.3", READS, "scenarios/chaos/splits.toml"),
    planted(
        47,
        "a lease is measured from when the answer came",
        "the lease design of TiKV",
        READS,
        "scenarios/chaos/late_answers.toml",
    ),
    planted(
        48,
        "a lease trusts everybody's clock: no margin, and rates are not watched",
        "jraft#25; tikv#964",
        READS,
        "scenarios/chaos/broken_clocks.toml",
    ),
    planted(
        55,
        "who follows takes a membership for valid when it is chosen, who leads when it is appended",
        "class: the two readings of Raft §6",
        LOG,
        "scenarios/chaos/half_a_change.toml",
    ),
    planted(
        57,
        "a learner that has nothing yet is given a voice",
        "EastGuard#150",
        &["membership", "liveness"],
        "scenarios/chaos/moves_cut_short.toml",
    ),
    planted(
        59,
        "a node whose disk was wiped comes back with the right to vote",
        "redisraft#654; class: a wiped node under its old name",
        LOG,
        "scenarios/chaos/wiped_disk.toml",
    ),
    planted(60, "a retry carries a new identity", "Jepsen classics", ONCE, "scenarios/chaos/lossy.toml"),
    planted(
        62,
        "a late copy of a request that its session has long acknowledged is executed again",
        "TiDB 2.1.7",
        ONCE,
        "scenarios/chaos/lossy.toml",
    ),
    planted(
        63,
        "COMMIT does not compare what its client saw: what was computed from that overwrites what others wrote",
        "TiDB 2.1.7",
        ONCE,
        "scenarios/smoke/quiet.toml",
    ),
    planted(
        64,
        "now() and random() are evaluated by each replica",
        "turso#8455",
        SAME,
        "scenarios/smoke/failover.toml",
    ),
    planted(
        67,
        "a statement that fails leaves its index entries behind",
        "FaunaDB 2.5.4",
        INDEXES,
        "scenarios/chaos/indexes.toml",
    ),
    planted(
        86,
        "whatever a session is answered is taken for the answer to its last request",
        "class: replies matched by connection, not by request",
        ONCE,
        "scenarios/chaos/lossy.toml",
    ),
    planted(87, "a changed row keeps its old index entry", "FaunaDB 2.5.4", INDEXES, "scenarios/chaos/indexes.toml"),
    planted(
        88,
        "a wiped node has a vote again before it holds what its leader held",
        "class: recovery without the log; VRR §4.3, step 3",
        LOG,
        "scenarios/chaos/wiped_disk.toml",
    ),
    planted(
        69,
        "a participant promises Yes when it is brought a command, before it stands in its committed log",
        "convex-horizontal#101; model E1: vote before commit",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        71,
        "who loses the lead takes back what it had voted for, and the decision comes after",
        "vitess#16576",
        GLOBALS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        101,
        "a participant takes its own Yes for the decision",
        "model E1: release before all votes",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        102,
        "reads are answered from what is not decided yet",
        "model E1: lease read ignores undecided",
        GLOBALS,
        "scenarios/transactions/undecided_reads.toml",
    ),
    planted(
        103,
        "votes are forgotten when the own decision is made: who asks is not answered",
        "model E1: votes forgotten after own decision",
        LIVENESS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        104,
        "what is delivered is executed in the order in which it comes",
        "model E1: no chain check under Paxos",
        ORDER,
        "scenarios/transactions/order_leader_dies.toml",
    ),
    planted(
        105,
        "a retried order is ordered and executed a second time",
        "model E1: retried multi ordered twice",
        GLOBALS,
        "scenarios/transactions/order_leader_dies.toml",
    ),
    planted(
        106,
        "a follower takes its own vote for the decision",
        "model E1: follower decides by itself",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        107,
        "a decision is not looked up ahead of its place: followers stand for ever at the command that it ends",
        "rules A3",
        LIVENESS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        108,
        "a checkpoint holds what is not decided yet",
        "rules A3: snapshot of a tentative fork",
        UNDECIDED,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        110,
        "a participant keeps what another one has refused",
        "scalardb#2135",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        111,
        "outcomes are forgotten by age, whoever may still ask",
        "model E1: cluster log purged on append; rules A4",
        LIVENESS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        112,
        "each participant takes a time of its own for the command's",
        "rules B5",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        113,
        "a participant that has voted Yes keeps its part of a command that others refuse",
        "FaunaDB 2.5.4; rules A4",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        114,
        "what was ordered is brought to its participants once and never again",
        "model E1: cluster log purged on append",
        LIVENESS,
        "scenarios/transactions/order_leader_dies.toml",
    ),
    planted(
        115,
        "rows that are older than a column have its newest default in it, not that with which it was added",
        "the missing value of the wrong version of the catalog",
        DEFINED,
        "scenarios/transactions/ddl_under_load.toml",
    ),
    planted(
        116,
        "a new column takes the place of a dropped one, with what is still in the rows",
        "PostgreSQL keeps the place of a dropped column for ever for this reason",
        DEFINED,
        "scenarios/transactions/ddl_under_load.toml",
    ),
    planted(
        120,
        "a key that has an owner gets another one",
        "ours: a conflict in another partition that nobody looks for",
        CONSTRAINTS,
        "scenarios/transactions/unique_race.toml",
    ),
    planted(
        121,
        "whether what is referenced is there is not looked at where it would be",
        "ours: a reference that nobody looks at",
        CONSTRAINTS,
        "scenarios/transactions/foreign_keys.toml",
    ),
    planted(
        122,
        "the owner of a key stays when its row goes",
        "of the family of FaunaDB 2.5.4",
        CONSTRAINTS,
        "scenarios/transactions/unique_race.toml",
    ),
    planted(
        123,
        "what a transaction's forks had to say to each other is not compared when it is executed again",
        "rules A8: a constraint checked on the fork alone, and not at COMMIT",
        CONSTRAINTS,
        "scenarios/transactions/unique_race.toml",
    ),
    planted(
        124,
        "an action on children is done by the partition of their parent alone",
        "ours: a cascade that does not leave its partition",
        CONSTRAINTS,
        "scenarios/transactions/foreign_keys.toml",
    ),
    planted(
        130,
        "a read over several partitions waits for nobody: who has passed it speaks of what lies behind it",
        "model E1: read-only Global does not wait; rules A10",
        GLOBALS,
        "scenarios/transactions/undecided_reads.toml",
    ),
    planted(
        131,
        "participants of a read go on, and hold back no answers and no votes",
        "model E1: read-only goes on, replies not held; rules A10",
        GLOBALS,
        "scenarios/transactions/undecided_reads.toml",
    ),
    planted(
        132,
        "a read is shown what is there when it is asked for, not what was at its place",
        "rules A10: forks at different moments",
        GLOBALS,
        "scenarios/transactions/undecided_reads.toml",
    ),
    planted(
        134,
        "a transaction that reads at one cut is shown what each partition has when it is asked",
        "model E2: read-only over two partitions not validated; rules A10",
        GLOBALS,
        "scenarios/transactions/list_append.toml",
    ),
    planted(
        140,
        "a fork is taken at once: of what is undecided, or was never proved to be the present",
        "rules A3, A8",
        GLOBALS,
        "scenarios/transactions/undecided_reads.toml",
    ),
    planted(
        141,
        "what commands came to is forgotten with a restart from a checkpoint",
        "rules A4; vitess#16576",
        ORDER,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        143,
        "the table of what sessions have done has room for so many: whoever asks later is executed again",
        "rules D: eviction by count",
        GLOBALS,
        "scenarios/transactions/gateways_die.toml",
    ),
    planted(
        144,
        "a checkpoint is labelled with what is committed and holds what is executed",
        "rules A3: snapshot labelled with committed",
        UNDECIDED,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        145,
        "undoing forgets one tree",
        "FaunaDB 2.5.4; class: partial rollback",
        GLOBALS,
        "scenarios/transactions/hot_rows.toml",
    ),
    planted(
        146,
        "an order that is not answered is given again as another one",
        "Jepsen classics: a retry under a new identity",
        GLOBALS,
        "scenarios/transactions/gateways_die.toml",
    ),
    planted(
        147,
        "what has only read in several partitions is not validated",
        "model E2: read-only over two partitions not validated",
        GLOBALS,
        "scenarios/transactions/long_fork.toml",
    ),
    planted(
        149,
        "what was read under a savepoint is not compared: it was rolled back",
        "model E2: list drops what was rolled back",
        GLOBALS,
        "scenarios/transactions/write_skew.toml",
    ),
    planted(
        152,
        "COMMIT compares what writes have shown, not what was read",
        "class: snapshot isolation; write skew",
        GLOBALS,
        "scenarios/transactions/write_skew.toml",
    ),
    planted(
        153,
        "who is asked about a command that it does not know says No, and executes it when it comes",
        "scalardb#2135",
        GLOBALS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        155,
        "who has waited for a vote long enough undoes its part, whatever the others do",
        "class: timed-out transaction let go on one partition only",
        GLOBALS,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        157,
        "the order begins anew with a restart from a checkpoint",
        "class: sequence block reused after failover",
        ORDER,
        "scenarios/transactions/participant_dies.toml",
    ),
    planted(
        160,
        "who is called to lead is called before it has everything, and asks nobody",
        "folklore of leadership transfer",
        LOG,
        "scenarios/chaos/clean_stops.toml",
    ),
    planted(
        125,
        "a leader reserves values of a sequence without writing them into the log",
        "issue 4: sequence block reused after failover; rules A8",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        126,
        "values of a sequence are given to who asks before they are reserved",
        "issue 4; rules A8",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        127,
        "a sequence's state stays one value behind what was reserved",
        "rules A8",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        128,
        "participants of one statement draw the same values for rows of their own",
        "rules A8",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        129,
        "gateways keep values that were reserved before the sequence was set",
        "rules A8",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        220,
        "a deferred check is not made where COMMIT would have to touch a further partition",
        "ours: a constraint that waits until nobody looks",
        CONSTRAINTS,
        "scenarios/transactions/foreign_keys.toml",
    ),
    planted(
        221,
        "going back to a savepoint forgets the checks that waited before it",
        "ours: a constraint that waits until nobody looks",
        CONSTRAINTS,
        "scenarios/transactions/foreign_keys.toml",
    ),
    planted(
        222,
        "a row that moves to another partition leaves its deferred check behind",
        "ours: a constraint that waits until nobody looks",
        CONSTRAINTS,
        "scenarios/transactions/foreign_keys.toml",
    ),
    planted(
        224,
        "a follower is as far behind as the oldest thing that its leader remembers",
        "ours: an operator is told what is not",
        &["system-tables-sound"],
        "scenarios/chaos/observed.toml",
    ),
    planted(
        225,
        "ON CONFLICT does not see a row in another partition",
        "ours: a row in the way that nobody looks for",
        CONSTRAINTS,
        "scenarios/transactions/unique_race.toml",
    ),
    planted(
        226,
        "each partition numbers its rows from where the sequence stands",
        "ours: rows that are there when a column is added",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        227,
        "a sequence that has numbered the rows that were there begins anew",
        "ours: rows that are there when a column is added",
        VALUES,
        "scenarios/transactions/sequences.toml",
    ),
    planted(
        228,
        "what a transaction block defines holds at once",
        "ours: definitions in blocks",
        &["schema-agrees"],
        "scenarios/transactions/ddl_under_load.toml",
    ),
    planted(
        229,
        "a block that defines loses the rows that it has written",
        "ours: definitions in blocks",
        &["schema-agrees"],
        "scenarios/transactions/ddl_under_load.toml",
    ),
    planted(
        161,
        "a decision ends whichever definition is under way, an earlier one's second copy too",
        "our own",
        ORDER,
        "scenarios/regressions/decision_twice.toml",
    ),
    planted(
        185,
        "nodes and placements are in no checkpoint",
        "our own",
        NODES,
        "scenarios/chaos/nodes_come_and_go.toml",
    ),
    planted(
        186,
        "a node is drained though too few are left for the voters of each group",
        "our own",
        &["directory-sound"],
        "scenarios/chaos/nodes_come_and_go.toml",
    ),
    planted(
        187,
        "a replica that is not wanted is dropped while its group still counts on it",
        "our own",
        NODES,
        "scenarios/chaos/nodes_come_and_go.toml",
    ),
    planted(
        188,
        "who is to lead is given the lead as soon as it looks well",
        "class: priorities without hysteresis",
        &["leads-rest"],
        "scenarios/chaos/priority_ping_pong.toml",
    ),
    planted(
        189,
        "nobody counts what is sent of states: the throttle lets everything through",
        "class: recovery that starves the work beside it",
        &["recovery-paced"],
        "scenarios/chaos/gradual_recovery.toml",
    ),
    planted(
        200,
        "who comes first leads when its leader's machine says that it has gone, and asks nobody",
        "folklore of fast failover",
        LOG,
        "scenarios/chaos/refused.toml",
    ),
    planted(
        201,
        "who is asked to stop closes its connections, whatever is under way there",
        "class: a stop that fails requests; issue 5.2",
        SERVED,
        "scenarios/chaos/rolling_restart.toml",
    ),
    planted(
        240,
        "the promise of a lease is lost by a restart",
        "rules A7 (1)",
        READS,
        "scenarios/chaos/forgotten_promises.toml",
    ),
    planted(
        242,
        "who suspects its leader is bound by no promise",
        "rules A7 (3)",
        READS,
        "scenarios/chaos/leases.toml",
    ),
    planted(
        250,
        "who is asked to stop leaves clients in the middle of their blocks, and between Execute and Sync",
        "our own",
        SERVED,
        "scenarios/chaos/rolling_restart.toml",
    ),
    planted(
        202,
        "who does not answer is asked by everybody, as often as they lose patience",
        "class: retries without a breaker; metastable failures",
        &["left-alone"],
        "scenarios/chaos/cut_off.toml",
    ),
    planted(
        203,
        "a partition that has too much to do is asked for more, by everybody who was refused",
        "class: retries without admission; metastable failures",
        &["keeps-answering"],
        "scenarios/chaos/overload.toml",
    ),
    planted(
        251,
        "who comes to lead begins without the idempotency tokens of its predecessors",
        "class: retries that are recognised in memory only",
        TOKENS,
        "scenarios/transactions/tokens.toml",
    ),
    planted(
        252,
        "idempotency tokens are forgotten when there are others",
        "class: deduplication evicted by count",
        TOKENS,
        "scenarios/transactions/tokens.toml",
    ),
    planted(
        253,
        "an idempotency token counts as used by a command that was refused",
        "class: the retry of a failure is told of a success",
        TOKENS,
        "scenarios/transactions/tokens.toml",
    ),
    planted(
        210,
        "a range that a transaction has looked at does not count as read: what comes into it is a phantom",
        "class: validation of keys alone; H-Store's and Silo's node sets",
        GLOBALS,
        "scenarios/transactions/moments.toml",
    ),
    planted(
        211,
        "a key that was not there has not been read",
        "class: phantoms under optimistic validation",
        GLOBALS,
        "scenarios/transactions/moments.toml",
    ),
    planted(
        212,
        "a fork that was found unchanged counts as one of that moment, and its rows are older",
        "rules A8: compared with the wrong mark",
        GLOBALS,
        "scenarios/transactions/moments.toml",
    ),
    planted(
        213,
        "what commands over several partitions write is not compared with what was read",
        "rules A8: cheap validation",
        GLOBALS,
        "scenarios/transactions/moments.toml",
    ),
    planted(
        214,
        "what more is read on an older fork counts as being of the moment of the last one",
        "model E2: read-only over two partitions not validated",
        GLOBALS,
        "scenarios/transactions/moments.toml",
    ),
    planted(
        230,
        "reads are answered in the middle of a command that is executed in slices",
        "our own slices",
        HALF_DONE,
        "scenarios/transactions/in_slices.toml",
    ),
    planted(
        231,
        "a checkpoint is made in the middle of a command that is executed in slices",
        "our own slices",
        HALF_DONE,
        "scenarios/transactions/in_slices.toml",
    ),
    planted(
        260,
        "what is written while an index is built is not in it",
        "PostgreSQL 14.0-14.3, CREATE INDEX CONCURRENTLY",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        261,
        "entries of rows as they were stay in an index that is being built",
        "our own groundwork",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        262,
        "an index is put in use where it is not finished",
        "protocol-rules A6",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        263,
        "a unique index that was built beside the work is not validated",
        "protocol-rules A6",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        264,
        "an index that is being built takes in rows of a command that is undone",
        "our own groundwork",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        265,
        "a definition looks at all rows at its place, and everybody waits",
        "protocol-rules A6",
        STEADY,
        "scenarios/transactions/definitions_beside_work.toml",
    ),
    planted(
        266,
        "of a row that was written while all were written anew the entries in indexes stay as they were",
        "our own groundwork",
        BUILT,
        "scenarios/transactions/long_definitions.toml",
    ),
    planted(
        267,
        "who knows that a read is everywhere, and has not said its vote on it, says nothing when it is asked",
        "our own reads over several partitions; rules A10",
        ORDER,
        "scenarios/regressions/known_unsaid.toml",
    ),
    planted(
        270,
        "who has been silent for long is in sync no more, and nothing is written down of it",
        "protocol-rules A2",
        SYNC,
        "scenarios/replication/in_sync.toml",
    ),
    planted(
        271,
        "a synchronous write is acknowledged before the slowest that is in sync has it",
        "protocol-rules A2",
        SYNC,
        "scenarios/replication/in_sync.toml",
    ),
    planted(
        272,
        "a follower is in sync as soon as it is heard, whatever it lacks",
        "protocol-rules A2; KIP-497",
        SYNC,
        "scenarios/replication/in_sync.toml",
    ),
    planted(
        273,
        "synchronous tables are as safe as all others",
        "protocol-rules A2",
        SYNC_ROWS,
        "scenarios/replication/last_survivor.toml",
    ),
];

/// Who is in sync lacks what was acknowledged for that.
const SYNC: &[&str] = &["in-sync"];
/// A row that a client was told of, and the last survivor has not.
const SYNC_ROWS: &[&str] = &["acknowledged-durable"];

/// Something that is seen, or kept, of the middle of a command.
const HALF_DONE: &[&str] = &["sums-agree", "indexes-agree", "exactly-once", "digests", "state-kept", "reads-agree"];
/// Anything that shows a lost or diverging log.
const LOG: &[&str] = &[
    "election-safety",
    "log-matching",
    "leader-completeness",
    "commit-history",
    "digests",
    "acknowledged-durable",
    "linearizable-registers",
    "exactly-once",
    "money-conserved",
];
/// Likewise, or a life that finds its own log ruined.
const DISK: &[&str] = &[
    "stop",
    "state-kept",
    "election-safety",
    "log-matching",
    "leader-completeness",
    "commit-history",
    "digests",
    "acknowledged-durable",
    "linearizable-registers",
    "exactly-once",
    "money-conserved",
];
/// An operation that took effect other than as its client was told.
const ONCE: &[&str] = &["exactly-once", "linearizable-registers", "acknowledged-durable", "money-conserved"];
/// A read of the past.
const READS: &[&str] = &["linearizable-registers", "acknowledged-durable", "exactly-once"];
/// A transfer that was made twice, or never, when its client asked for it again.
const TOKENS: &[&str] = &["exactly-once", "money-conserved"];
/// A request that fails while nobody is struck.
const SERVED: &[&str] = &["requests-served"];
/// A group that does not come together when all is well again.
const LIVENESS: &[&str] = &["liveness"];
/// Replicas that differ.
const SAME: &[&str] = &["digests", "reads-agree"];
/// A definition that is not the same for everybody, or not for all rows.
const DEFINED: &[&str] = &["schema-agrees", "strictly-serializable", "digests"];
/// An index that tells of other rows than its table, seen by one client.
const INDEXES: &[&str] = &["indexes-agree"];
/// An index that some have built otherwise than others, or that tells of other rows than its table.
const BUILT: &[&str] = &["indexes-agree", "digests"];
/// Work that does not go on.
const STEADY: &[&str] = &["keeps-answering"];
/// A node that finds its own disk unusable, though nothing has harmed it; or what it has forgotten is missed.
const STOPS: &[&str] = &["stop", "leader-completeness", "commit-history", "digests"];
/// Anything that shows that a command over several partitions was half done, done twice, or seen too early.
const GLOBALS: &[&str] = &[
    "strictly-serializable",
    "money-conserved",
    "exactly-once",
    "sums-agree",
    "claims-exclusive",
    "acknowledged-durable",
    "digests",
];
/// Rows that break a constraint, or a constraint that tells of rows which are not there.
const CONSTRAINTS: &[&str] = &["claims-exclusive", "no-orphans"];
/// Likewise, or participants that wait for one another for ever.
const ORDER: &[&str] =
    &["strictly-serializable", "money-conserved", "exactly-once", "claims-exclusive", "digests", "liveness"];
/// A checkpoint of what was not decided, which its own node can make nothing of.
const UNDECIDED: &[&str] = &["state-kept", "digests", "money-conserved", "exactly-once", "strictly-serializable"];
/// A value that a sequence has given twice, or that it should not give any more.
const VALUES: &[&str] = &["values-once", "digests"];
/// A directory or a membership that is not the same for everybody, or what is lost by it.
const NODES: &[&str] = &[
    "digests",
    "liveness",
    "directory-sound",
    "commit-history",
    "leader-completeness",
    "acknowledged-durable",
    "strictly-serializable",
    "money-conserved",
    "exactly-once",
];
