//! Rows of the schema `system`: from facts to relations.
//!
//! A statement that reads system tables reads no partition. The session gathers what it needs — its own settings, the
//! catalog as of the statement's arrival, a [`Survey`] of all workers — and this module makes rows of it, over which the
//! ordinary executor runs the ordinary plan.

use super::survey::Survey;
use crate::catalog::system::{SYSTEM_TABLES, tables};
use crate::catalog::{
    BUILT_IN_DATABASES, Catalog, Check, ForeignAction, ForeignKey, Index, IndexState, ReplicationMode, Table,
};
use crate::cluster::facts::{FetchFacts, ReplicaFacts, Wanted, WorkerFacts};
use crate::cluster::reconciler::Move;
use crate::consensus::{Role, Standing};
use crate::directory::{Directory, Node};
use crate::sql;
use crate::types::{LogIndex, NodeId, PartitionId, Timestamp, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What some system tables need to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The catalog, no older than the statement.
    pub(super) catalog: bool,
    /// A survey.
    pub(super) survey: Option<Wanted>,
}

impl Needs {
    /// Those of these tables.
    pub(super) fn of<'a>(tables: impl Iterator<Item = &'a Arc<Table>>) -> Self {
        let mut needs = Self::default();
        for table in tables {
            let survey = match table.name.as_str() {
                "tables" | "columns" | "databases" | "indexes" | "constraints" | "sequences" => {
                    needs.catalog = true;
                    continue;
                }
                "settings" => continue,
                "sessions" => Wanted { sessions: true, ..Wanted::default() },
                "events" => Wanted { events: true, ..Wanted::default() },
                "cluster" | "moves" | "nodes" | "replicas" => Wanted { directory: true, ..Wanted::default() },
                _ => Wanted::default(),
            };
            let before = needs.survey.unwrap_or_default();
            needs.survey = Some(Wanted {
                sessions: before.sessions || survey.sessions,
                events: before.events || survey.events,
                directory: before.directory || survey.directory,
            });
        }
        needs
    }
}

/// What rows are made of.
pub(super) struct Sources<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) survey: Option<&'a Survey>,
    /// Data partitions of the cluster.
    pub(super) partitions: u32,
    /// Name, value, description.
    pub(super) session_settings: Vec<(String, String, String)>,
    pub(super) node_settings: &'a [(&'static str, String, &'static str)],
}

type Row = Vec<Value>;

/// The rows of a system table, in any order.
pub(super) fn rows(table: &Table, sources: &Sources<'_>) -> Vec<Row> {
    match table.name.as_str() {
        "cluster" => cluster(sources),
        "columns" => defined(sources).flat_map(columns).collect(),
        "constraints" => defined(sources).flat_map(|table| constraints(sources.catalog, table)).collect(),
        "databases" => databases(sources.catalog),
        "events" => workers(sources).flat_map(events).collect(),
        "indexes" => defined(sources).flat_map(indexes).collect(),
        "moves" => workers(sources).flat_map(|worker| &worker.moves).map(moving).collect(),
        "nodes" => nodes(sources),
        "partitions" => partitions(sources),
        "recoveries" => recoveries(sources),
        "replicas" => replicas(sources),
        "sequences" => sequences(sources),
        "sessions" => workers(sources).flat_map(sessions).collect(),
        "settings" => settings(sources),
        "tables" => defined(sources).map(|table| table_row(sources.catalog, table)).collect(),
        _ => Vec::new(),
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::text(text)
}

fn optional_text(value: Option<impl AsRef<str>>) -> Value {
    value.map_or(Value::Null, text)
}

fn int4(number: impl TryInto<i32>) -> Value {
    Value::Int4(number.try_into().unwrap_or(i32::MAX))
}

fn int8(number: u64) -> Value {
    Value::Int8(i64::try_from(number).unwrap_or(i64::MAX))
}

fn at(timestamp: Timestamp) -> Value {
    Value::TimestampTz(timestamp.0)
}

fn workers<'a>(sources: &'a Sources<'_>) -> impl Iterator<Item = &'a WorkerFacts> {
    sources.survey.into_iter().flat_map(workers_of)
}

fn workers_of(survey: &Survey) -> impl Iterator<Item = &WorkerFacts> {
    survey.nodes().flat_map(|(_, workers)| workers)
}

fn databases(catalog: &Catalog) -> Vec<Row> {
    let names = BUILT_IN_DATABASES.into_iter().chain(catalog.databases.iter().map(String::as_str));
    let row = |name: &str| {
        let schemas: Vec<String> = catalog.schemas_of(name).collect();
        let tables = catalog.tables.values().filter(|table| !table.is_sequence() && schemas.contains(&table.schema));
        vec![text(name), int4(schemas.len()), int4(tables.count())]
    };
    names.map(row).collect()
}

/// The newest directory of nodes that anybody has answered.
fn directory<'a>(sources: &'a Sources<'_>) -> Option<&'a Directory> {
    workers(sources).filter_map(|worker| worker.directory.as_deref()).max_by_key(|directory| directory.version)
}

fn cluster(sources: &Sources<'_>) -> Vec<Row> {
    let Some(directory) = directory(sources) else { return Vec::new() };
    let cluster = workers(sources).next().map(|worker| worker.about.cluster.clone()).unwrap_or_default();
    // As far as it is known here: an operator looks at this when the cluster partition does not answer, too.
    let replication = sources.catalog.replication;
    let row = |(name, value, about): (&str, String, &str)| vec![text(name), text(value), text(about)];
    let settings = [
        ("k_safety", directory.k_safety().to_string(), "The loss of so many nodes is survived."),
        ("name", cluster, "Name of the cluster."),
        ("partitions", sources.partitions.to_string(), "Data partitions; chosen when the cluster is created."),
        ("max_moves", directory.moves.to_string(), "Partitions that may be on the move at a time."),
        (
            "replace_after",
            directory.replace_after.to_string(),
            "A node that is silent for so many seconds is replaced by others; 0: it is not.",
        ),
        (
            "recovery_rate",
            directory.recovery_rate.to_string(),
            "A node sends so many KiB a second of states to replicas that lack theirs; 0: as fast as they come.",
        ),
        (
            "rebalancing",
            if directory.paused { "paused" } else { "on" }.to_owned(),
            "PAUSE REBALANCING stops moves, RESUME REBALANCING lets them go on.",
        ),
        (
            "replication",
            replication.backups.map_or_else(|| "default".to_owned(), |backups| backups.to_string()),
            "Backups that hold a write before it is acknowledged, of tables that do not say it; default: a quorum's.",
        ),
        (
            "replication_mode",
            replication.mode.unwrap_or_default().to_string(),
            "When a write is acknowledged, of tables that do not say it: `semi-sync`.",
        ),
        ("voters", directory.voters.to_string(), "Replicas of each partition that have a vote."),
    ];
    settings.into_iter().map(row).collect()
}

fn moving(moving: &Move) -> Row {
    let list = |nodes: &[NodeId]| {
        let list: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
        optional_text((!list.is_empty()).then(|| list.join(", ")))
    };
    vec![
        int4(moving.partition.0),
        text(moving.state.name()),
        list(&moving.coming),
        list(&moving.going),
        moving.lag.map_or(Value::Null, int8),
    ]
}

/// What the directory says of a node.
fn membership(node: Option<&Node>) -> [Value; 5] {
    node.map_or([Value::Null, Value::Null, Value::Null, Value::Null, Value::Null], |node| {
        let given = |value: &str| if value.is_empty() { Value::Null } else { text(value) };
        [text(node.state.name()), given(&node.address), given(&node.zone), int4(node.weight), int4(node.priority)]
    })
}

fn nodes(sources: &Sources<'_>) -> Vec<Row> {
    let Some(survey) = sources.survey else { return Vec::new() };
    let directory = directory(sources);
    let row = |(node, workers): (NodeId, Vec<&WorkerFacts>)| {
        let member = directory.and_then(|directory| directory.member(node));
        let mut row = answered(node, &workers);
        row.resize(width("nodes") - 7, Value::Null);
        row.extend(membership(member));
        // Who follows it has heard it within an election time-out.
        let hears = |replica: &ReplicaFacts| replica.role == Role::Follower && replica.leader == Some(node);
        let heard = || workers_of(survey).flat_map(|worker| &worker.replicas).any(hears);
        row.extend([int4(node.0), Value::Bool(!workers.is_empty() || heard())]);
        row
    };
    let mut all: BTreeMap<NodeId, Vec<&WorkerFacts>> = survey.nodes().collect();
    for (node, _) in directory.into_iter().flat_map(Directory::members) {
        all.entry(node).or_default();
    }
    all.into_iter().map(row).collect()
}

fn answered(node: NodeId, workers: &[&WorkerFacts]) -> Row {
    let Some(first) = workers.first() else { return vec![int4(node.0), text("unreachable")] };
    let replicas = || workers.iter().flat_map(|worker| &worker.replicas);
    vec![
        int4(node.0),
        text("up"),
        text(&first.about.sql_address),
        optional_text(first.about.http_address.as_ref()),
        text(&first.about.version),
        int8(first.incarnation.life()),
        at(first.started_at),
        at(first.clock),
        int4(first.workers),
        int4(replicas().count()),
        int4(replicas().filter(|replica| replica.role == Role::Leader).count()),
        int4(workers.iter().map(|worker| worker.session_count).sum::<u32>()),
    ]
}

fn width(table: &str) -> usize {
    SYSTEM_TABLES.iter().find(|known| known.name == table).map_or(0, |known| known.columns.len())
}

/// The replicas that have answered, of each partition.
pub(super) fn answering(survey: &Survey) -> BTreeMap<PartitionId, Vec<(NodeId, &ReplicaFacts)>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (node, workers) in survey.nodes() {
        for replica in workers.into_iter().flat_map(|worker| &worker.replicas) {
            found.entry(replica.partition).or_default().push((node, replica));
        }
    }
    found
}

/// The highest position that any of these knows to be committed.
fn committed(replicas: &[(NodeId, &ReplicaFacts)]) -> LogIndex {
    replicas.iter().map(|(_, replica)| replica.committed).max().unwrap_or_default()
}

fn lag(committed: LogIndex, replica: &ReplicaFacts) -> u64 {
    committed.0.saturating_sub(replica.executed.0)
}

fn partitions(sources: &Sources<'_>) -> Vec<Row> {
    let Some(survey) = sources.survey else { return Vec::new() };
    let answering = answering(survey);
    let all = survey.nodes().count();
    let row = |partition: PartitionId| {
        let replicas = answering.get(&partition).map(Vec::as_slice).unwrap_or_default();
        // A leader that was cut off may not know yet that there is another.
        let leads = replicas.iter().filter(|(_, replica)| replica.role == Role::Leader);
        let leader = leads.max_by_key(|(_, replica)| replica.era).map(|(node, _)| *node);
        let committed = committed(replicas);
        let known = |value: Value| if replicas.is_empty() { Value::Null } else { value };
        vec![
            int4(partition.0),
            text(if partition == PartitionId::CLUSTER { "cluster" } else { "data" }),
            leader.map_or(Value::Null, |node| int4(node.0)),
            known(int8(replicas.iter().map(|(_, replica)| replica.era.0).max().unwrap_or_default())),
            int4(all),
            int4(replicas.len()),
            known(int8(committed.0)),
            known(int8(replicas.iter().map(|(_, replica)| lag(committed, replica)).max().unwrap_or_default())),
        ]
    };
    (0..=sources.partitions).map(PartitionId).map(row).collect()
}

fn replicas(sources: &Sources<'_>) -> Vec<Row> {
    let Some(survey) = sources.survey else { return Vec::new() };
    let answering = answering(survey);
    let directory = directory(sources);
    let mut rows = Vec::new();
    for partition in (0..=sources.partitions).map(PartitionId) {
        let known = answering.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let committed = committed(known);
        let placement = directory.and_then(|directory| directory.placement(partition));
        // Those that are wanted and those that are there; before anybody knows what is wanted, one on each node.
        let mut nodes: BTreeSet<NodeId> = known.iter().map(|(node, _)| *node).collect();
        match placement {
            Some(placement) => nodes.extend(placement.nodes()),
            None => nodes.extend(survey.nodes().map(|(node, _)| node)),
        }
        for node in nodes {
            let mut row = vec![int4(partition.0), int4(node.0)];
            if let Some((_, replica)) = known.iter().find(|(of, _)| *of == node) {
                row.extend(replica_values(replica, committed));
            }
            row.resize(width("replicas") - 6, Value::Null);
            row.push(optional_text(placement.and_then(|placement| placement.role(node))));
            row.extend(behind(known, node));
            row.extend(in_sync(known, node));
            rows.push(row);
        }
    }
    rows
}

/// How far a replica is behind its leader, as that one sees it: position, bytes, milliseconds.
fn behind(known: &[(NodeId, &ReplicaFacts)], node: NodeId) -> [Value; 3] {
    let leaders = known.iter().filter(|(_, replica)| replica.role == Role::Leader);
    let Some((leader, facts)) = leaders.max_by_key(|(_, replica)| replica.era) else {
        return [Value::Null, Value::Null, Value::Null];
    };
    if *leader == node {
        return [int8(facts.last.0), int8(0), int8(0)];
    }
    facts
        .followers
        .iter()
        .find(|follower| follower.node == node)
        .map_or([Value::Null, Value::Null, Value::Null], |follower| {
            [int8(follower.matched.0), follower.bytes.map_or(Value::Null, int8), int8(follower.behind_ms)]
        })
}

/// The partition's mode, and whether a replica is in sync, as its leader has it.
fn in_sync(known: &[(NodeId, &ReplicaFacts)], node: NodeId) -> [Value; 2] {
    let leaders = known.iter().filter(|(_, replica)| replica.role == Role::Leader);
    leaders.max_by_key(|(_, replica)| replica.era).map_or([Value::Null, Value::Null], |(_, facts)| {
        // Where nothing asks for it any more the set is not kept.
        let set = facts.in_sync.as_ref().filter(|_| facts.mode == ReplicationMode::Sync);
        [text(facts.mode.name()), set.map_or(Value::Null, |set| Value::Bool(set.contains(&node)))]
    })
}

/// A replica is far behind from so many committed entries on that it has not executed: under load it is always a few behind.
const FAR_BEHIND: u64 = 256;

/// Does it lack what it will not have in a moment?
pub(super) fn is_behind(replica: &ReplicaFacts, all: &[(NodeId, &ReplicaFacts)]) -> bool {
    replica.recovery.lacks_state || lag(committed(all), replica) >= FAR_BEHIND
}

/// How a replica comes to what it lacks, in words, with the snapshot that is fetched for it; `None`: it lacks nothing, and has
/// fetched nothing in this life.
pub(super) fn recovery_of(
    replica: &ReplicaFacts,
    all: &[(NodeId, &ReplicaFacts)],
) -> Option<(&'static str, Option<FetchFacts>)> {
    let recovery = &replica.recovery;
    let state = match recovery.standing {
        _ if recovery.fetch.is_some() => "fetching a snapshot",
        Standing::Outside => "waiting to be taught",
        Standing::Forming => "forming the cluster",
        Standing::Recovering => "getting its vote back",
        Standing::Member if recovery.lacks_state => "waiting for a snapshot",
        Standing::Member if is_behind(replica, all) => "catching up",
        Standing::Member => {
            return recovery.fetched.map(|fetched| ("recovered", Some(fetched)));
        }
    };
    Some((state, recovery.fetch))
}

fn recoveries(sources: &Sources<'_>) -> Vec<Row> {
    let Some(survey) = sources.survey else { return Vec::new() };
    let mut rows = Vec::new();
    for (partition, replicas) in answering(survey) {
        let committed = committed(&replicas);
        for (node, replica) in &replicas {
            let Some((state, fetch)) = recovery_of(replica, &replicas) else { continue };
            let of_fetch = |value: fn(FetchFacts) -> Value| fetch.map_or(Value::Null, value);
            rows.push(vec![
                int4(node.0),
                int4(partition.0),
                text(state),
                of_fetch(|fetch| int4(fetch.from.0)),
                of_fetch(|fetch| int8(fetch.index.0)),
                of_fetch(|fetch| int8(fetch.bytes)),
                of_fetch(|fetch| int4(fetch.percent)),
                int8(replica.executed.0),
                int8(committed.0),
            ]);
        }
    }
    rows
}

fn replica_values(replica: &ReplicaFacts, committed: LogIndex) -> [Value; 10] {
    let role = match replica.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
    };
    [
        text(role),
        replica.leader.map_or(Value::Null, |node| int4(node.0)),
        int8(replica.era.0),
        int8(replica.last.0),
        int8(replica.committed.0),
        int8(replica.executed.0),
        int8(lag(committed, replica)),
        int4(replica.pending),
        text(format!("{:032x}", replica.digest)),
        replica.suspicion.map_or(Value::Null, int4),
    ]
}

fn sessions(worker: &WorkerFacts) -> Vec<Row> {
    let row = |session: &crate::cluster::facts::SessionFacts| {
        let (began, statement) = match &session.statement {
            Some((began, statement)) => (at(*began), text(statement)),
            None => (Value::Null, Value::Null),
        };
        vec![
            int4(worker.node.0),
            int4(worker.worker.0),
            Value::Int4(session.process),
            text(&session.user),
            text(&session.database),
            text(&session.application),
            text(&session.state),
            at(session.connected_at),
            began,
            statement,
        ]
    };
    worker.sessions.iter().map(row).collect()
}

fn events(worker: &WorkerFacts) -> Vec<Row> {
    let row = |event: &crate::cluster::facts::EventFacts| {
        vec![
            int4(worker.node.0),
            int4(worker.worker.0),
            int8(event.number),
            at(event.at),
            text(if event.warning { "warning" } else { "info" }),
            text(&event.kind),
            event.partition.map_or(Value::Null, |partition| int4(partition.0)),
            text(&event.text),
        ]
    };
    worker.events.iter().map(row).collect()
}

fn settings(sources: &Sources<'_>) -> Vec<Row> {
    let row = |scope: &str, name: &str, value: &str, description: &str| {
        vec![text(scope), text(name), text(value), text(description)]
    };
    let session = sources.session_settings.iter().map(|(name, value, about)| row("session", name, value, about));
    session.chain(sources.node_settings.iter().map(|(name, value, about)| row("node", name, value, about))).collect()
}

/// Tables of the catalog, and the system's own.
fn defined<'a>(sources: &'a Sources<'_>) -> impl Iterator<Item = &'a Table> {
    sources.catalog.tables.values().chain(tables()).map(Arc::as_ref).filter(|table| !table.is_sequence())
}

fn sequences(sources: &Sources<'_>) -> Vec<Row> {
    let row = |(table, sequence): (&Arc<Table>, &crate::catalog::Sequence)| {
        let owner = sources.catalog.owner_of(table.id);
        vec![
            text(&table.schema),
            text(&table.name),
            text(sequence.data_type.to_string()),
            Value::Int8(sequence.start),
            Value::Int8(sequence.increment),
            Value::Int8(sequence.min),
            Value::Int8(sequence.max),
            Value::Int8(sequence.cache),
            Value::Bool(sequence.cycle),
            optional_text(owner.map(|(table, column)| format!("{}.{}.{}", table.schema, table.name, column.name))),
            int4(sql::sequence_home(table, sources.partitions).0),
        ]
    };
    sources.catalog.sequences().map(row).collect()
}

fn names(table: &Table, columns: &[usize]) -> String {
    let names: Vec<_> = columns.iter().map(|column| table.columns[*column].name.as_str()).collect();
    names.join(", ")
}

fn table_row(catalog: &Catalog, table: &Table) -> Row {
    let key = |columns: &[usize]| if columns.is_empty() { Value::Null } else { text(names(table, columns)) };
    let description = SYSTEM_TABLES.iter().find(|known| table.is_system() && known.name == table.name);
    let replication = (!table.is_system()).then(|| catalog.replication_of(table));
    vec![
        text(&table.schema),
        text(&table.name),
        int4(table.live_columns().count()),
        key(&table.primary_key),
        key(if table.is_system() { &[] } else { &table.partition_key }),
        optional_text(table.placed_by()),
        optional_text(description.map(|known| known.description)),
        replication.and_then(|replication| replication.backups).map_or(Value::Null, int4),
        optional_text(replication.map(|replication| replication.mode.unwrap_or_default().name())),
    ]
}

fn columns(table: &Table) -> Vec<Row> {
    let row = |(place, column): (usize, &crate::catalog::Column)| {
        vec![
            text(&table.schema),
            text(&table.name),
            int4(place + 1),
            text(&column.name),
            text(column.data_type.to_string()),
            Value::Bool(column.not_null),
            optional_text(column.default.as_ref()),
            optional_text(
                column.sequences.identity.map(|identity| if identity.always { "always" } else { "by default" }),
            ),
        ]
    };
    table.live_columns().map(row).collect()
}

fn indexed(table: &Table, index: &Index) -> String {
    let column = |(column, descending): &(usize, bool)| {
        format!("{}{}", table.columns[*column].name, if *descending { " DESC" } else { "" })
    };
    index.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn indexes(table: &Table) -> Vec<Row> {
    let row = |index: &Index| {
        vec![
            text(&table.schema),
            text(&table.name),
            text(&index.name),
            text(indexed(table, index)),
            Value::Bool(index.unique),
            text(match index.state {
                IndexState::Active => "active",
                IndexState::Building | IndexState::BecomingPrimary => "building",
            }),
        ]
    };
    table.indexes.iter().map(row).collect()
}

/// A foreign key as SQL text.
fn referencing(catalog: &Catalog, table: &Table, key: &ForeignKey) -> String {
    let parent = catalog.table_by_id(key.parent);
    let name = parent.map_or_else(String::new, |parent| match parent.schema == table.schema {
        true => parent.name.clone(),
        false => format!("{}.{}", parent.schema, parent.name),
    });
    let columns = parent.map_or_else(String::new, |parent| names(parent, &key.parent_columns));
    let action = |when: &str, action: ForeignAction| match action {
        ForeignAction::NoAction => String::new(),
        ForeignAction::Restrict => format!(" ON {when} RESTRICT"),
        ForeignAction::Cascade => format!(" ON {when} CASCADE"),
        ForeignAction::SetNull => format!(" ON {when} SET NULL"),
        ForeignAction::SetDefault => format!(" ON {when} SET DEFAULT"),
    };
    let deferral = match (key.deferrable, key.deferred) {
        (_, true) => " DEFERRABLE INITIALLY DEFERRED",
        (true, false) => " DEFERRABLE",
        (false, false) => "",
    };
    format!(
        "FOREIGN KEY ({}) REFERENCES {name}({columns}){}{}{}{deferral}{}",
        names(table, &key.columns),
        if key.full { " MATCH FULL" } else { "" },
        action("UPDATE", key.on_update),
        action("DELETE", key.on_delete),
        if key.valid { "" } else { " NOT VALID" },
    )
}

fn check_text(check: &Check) -> String {
    format!("CHECK ({}){}", check.expression, if check.valid { "" } else { " NOT VALID" })
}

fn constraints(catalog: &Catalog, table: &Table) -> Vec<Row> {
    let row = |name: &str, kind: &str, definition: String| {
        vec![text(&table.schema), text(&table.name), text(name), text(kind), text(definition)]
    };
    let primary = table
        .primary_key_name
        .iter()
        .filter(|_| !table.primary_key.is_empty())
        .map(|name| row(name, "primary key", format!("PRIMARY KEY ({})", names(table, &table.primary_key))));
    let unique = table
        .indexes
        .iter()
        .filter(|index| index.constraint)
        .map(|index| row(&index.name, "unique", format!("UNIQUE ({})", indexed(table, index))));
    let foreign = table.foreign_keys.iter().map(|key| row(&key.name, "foreign key", referencing(catalog, table, key)));
    let checks = table.checks.iter().map(|check| row(&check.name, "check", check_text(check)));
    primary.chain(unique).chain(foreign).chain(checks).collect()
}
