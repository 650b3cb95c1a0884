//! Nodes that come and go while a cluster is at work: real processes, each asked and told by SQL.

use crate::node::{BINARY, Node, free_address};
use crate::sql::connect;
use orrery::client::{Client, Failure, Target};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// Moves take seconds; a loaded machine takes longer.
const MOST: Duration = Duration::from_secs(120);

/// The first column of the rows of a query, asked until it is answered.
fn ask(node: &Node, text: &str) -> Result<Vec<String>, Failure> {
    let target = Target {
        host: node.pg.ip().to_string(),
        port: node.pg.port(),
        user: "orrery".to_owned(),
        database: "orrery".to_owned(),
        application: "test",
    };
    let mut client = Client::connect(&target, PATIENCE)?;
    let rows = client.rows(text, PATIENCE)?;
    Ok(rows.rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect())
}

/// What `orrery node` says; what it complains of, if it fails.
fn command(node: &Node, words: &[&str]) -> Result<String, String> {
    let port = node.pg.port().to_string();
    let output = Command::new(BINARY).arg("node").args(words).args(["--port", &port]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Asks until the answer is this.
fn until(node: &Node, text: &str, expected: &[&str]) {
    let end = Instant::now() + MOST;
    loop {
        let answer = ask(node, text);
        if answer.as_ref().is_ok_and(|rows| rows == expected) {
            return;
        }
        assert!(Instant::now() < end, "{text}: {answer:?} and not {expected:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_node_joins_takes_everything_over_and_the_first_one_goes() {
    let (first_data, second_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first_peer, second_peer) = (free_address(), free_address());
    let place = ["--zone", "rack a", "--priority", "3"];
    let first = Node::start(
        first_data.path(),
        &[&["--peer", &first_peer, "--partitions", "3", "--http", "off"][..], &place].concat(),
    );
    ask(&first, "CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
    ask(&first, "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) AS s(i)").unwrap();

    let member = first.pg.to_string();
    let joining = ["--join", &member, "--peer", &second_peer, "--http", "off", "--zone", "rack b", "--weight", "2"];
    let second = Node::start(second_data.path(), &joining);
    let said = "SELECT concat_ws(' ', zone, weight, priority) FROM system.nodes ORDER BY node";
    until(&first, said, &["rack a 1 3", "rack b 2 0"]);
    until(&first, "SELECT membership FROM system.nodes ORDER BY node", &["active", "active"]);
    // Four partitions of one replica each are shared out.
    let count = "SELECT count(*) FROM system.replicas WHERE role = 'leader' GROUP BY node ORDER BY node";
    until(&first, count, &["2", "2"]);
    until(&second, "SELECT count(*) FROM t", &["5000"]);

    let told = command(&second, &["remove", "1"]).unwrap_err();
    assert!(told.starts_with("orrery: node 1 has replicas (55000). DRAIN NODE moves them"), "{told}");
    let told = command(&second, &["drain", "1", "--wait"]).unwrap();
    assert!(told.ends_with("node 1 is drained: it can be stopped, and removed\n"), "{told}");
    assert!(command(&second, &["list"]).unwrap().contains("drained"));
    assert_eq!(command(&second, &["remove", "1"]).as_deref(), Ok("REMOVE NODE\n"));
    until(&second, "SELECT node FROM system.nodes", &["2"]);
    first.kill();
    until(&second, "SELECT count(*), min(length(v)) FROM t", &["5000"]);
    ask(&second, "INSERT INTO t VALUES (5001, 'y')").unwrap();

    // It comes back by itself, whoever took it in.
    second.kill();
    let second = Node::start(second_data.path(), &joining);
    until(&second, "SELECT count(*) FROM t", &["5001"]);
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn a_founder_that_is_started_again_is_found_by_who_leads_now_though_it_does_not_know_that_one() {
    let (first_data, second_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first_peer, second_peer) = (free_address(), free_address());
    let founding = ["--peer", &first_peer, "--http", "off"];
    let first = Node::start(first_data.path(), &founding);
    ask(&first, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    ask(&first, "INSERT INTO t VALUES (1)").unwrap();
    let member = first.pg.to_string();
    let second = Node::start(second_data.path(), &["--join", &member, "--peer", &second_peer, "--http", "off"]);
    until(&first, "SELECT membership FROM system.nodes ORDER BY node", &["active", "active"]);
    ask(&second, "DRAIN NODE 1").unwrap();
    until(&second, "SELECT membership FROM system.nodes ORDER BY node", &["drained", "active"]);
    first.kill();
    // What it has kept of the others may be lost, too: it must be told.
    let _ = std::fs::remove_file(first_data.path().join("orrery.peers"));
    let first = Node::start(first_data.path(), &founding);
    until(&first, "SELECT count(*) FROM t", &["1"]);
    until(&first, "SELECT membership FROM system.nodes ORDER BY node", &["drained", "active"]);
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));

    // Tools without a node know what was dropped, and who has joined.
    let orrery = |arguments: &[&str]| Command::new(BINARY).args(arguments).output().unwrap();
    let (first_data, second_data) = (first_data.path().to_str().unwrap(), second_data.path().to_str().unwrap());
    for data in [first_data, second_data] {
        let checked = orrery(&["check", data]);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    }
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("new");
    let recovered = orrery(&["recover", "--unsafe", "--yes", "--to", to.to_str().unwrap(), first_data, second_data]);
    assert_eq!(recovered.status.code(), Some(0), "{recovered:?}");
    let alone = Node::start(&to, &["--id", "2", "--nodes", &format!("2={second_peer}"), "--http", "off"]);
    until(&alone, "SELECT count(*) FROM t", &["1"]);
    assert_eq!(alone.stop(), Some(0));
}

/// Accounts of each teller, and what is on each in the beginning.
const ACCOUNTS: i32 = 6;
const BALANCE: i64 = 1000;

/// Moves money about between accounts that nobody else touches, until it is told to go home. Nothing may fail. What is on the accounts.
async fn teller(bank: tokio_postgres::Client, number: i32, over: Arc<AtomicBool>) -> (u64, Vec<i64>) {
    let first = number * ACCOUNTS;
    let text = "UPDATE account SET balance = balance + CASE id WHEN $1 THEN -1 ELSE 1 END WHERE id IN ($1, $2)";
    let transfer = bank.prepare(text).await.unwrap();
    let mut balances = vec![BALANCE; ACCOUNTS as usize];
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        let (from, to) = (done as i32 % ACCOUNTS, (done as i32 / ACCOUNTS + 1 + done as i32) % ACCOUNTS);
        done += 1;
        if from == to {
            continue;
        }
        let changed = bank.execute(&transfer, &[&(first + from), &(first + to)]).await;
        assert_eq!(changed.unwrap_or_else(|error| panic!("transfer {done} of teller {number}: {error:?}")), 2);
        balances[from as usize] -= 1;
        balances[to as usize] += 1;
    }
    (done, balances)
}

/// Replicas, or leaders, of each node that is to have some: all as many, to a tenth.
fn balanced(node: &Node, of: &str, nodes: usize, all: usize) {
    let text = format!("SELECT count(*) FROM system.replicas WHERE {of} GROUP BY node ORDER BY 1");
    let end = Instant::now() + MOST;
    let (least, most) = ((all / nodes) as f64 * 0.9, all.div_ceil(nodes) as f64 * 1.1);
    loop {
        let counts: Vec<f64> =
            ask(node, &text).unwrap_or_default().iter().map(|count| count.parse().unwrap()).collect();
        let even = counts.iter().all(|count| *count >= least && *count <= most);
        if counts.len() == nodes && counts.iter().sum::<f64>() == all as f64 && even {
            return;
        }
        assert!(Instant::now() < end, "{of}: {counts:?} on {nodes} nodes, and not {all} in equal shares");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn three_nodes_become_five_and_three_again_and_nobody_at_the_bank_notices() {
    let data: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let peers: Vec<_> = (0..5).map(|_| free_address()).collect();
    let list = (0..3).map(|place| format!("{}={}", place + 1, peers[place])).collect::<Vec<_>>().join(",");
    let start = |place: usize, more: &[&str]| {
        let flags = [&["--peer", peers[place].as_str(), "--http", "off", "--workers", "1"], more].concat();
        Node::start(data[place].path(), &flags)
    };
    // Fifteen groups with the cluster's own: of their replicas and leaders three nodes and five can have equal shares.
    let founder =
        |place: usize| start(place, &["--id", &(place + 1).to_string(), "--nodes", &list, "--partitions", "14"]);
    let founders: Vec<Node> = std::thread::scope(|scope| {
        let founder = &founder;
        let starting: Vec<_> = (0..3).map(|place| scope.spawn(move || founder(place))).collect();
        starting.into_iter().map(|starting| starting.join().unwrap()).collect()
    });
    let tellers = 6;
    until(&founders[1], "CREATE TABLE IF NOT EXISTS account (id int PRIMARY KEY, balance bigint NOT NULL)", &[]);
    let filled =
        format!("INSERT INTO account SELECT i, {BALANCE} FROM generate_series(0, {}) AS s(i)", tellers * ACCOUNTS - 1);
    ask(&founders[1], &filled).unwrap();
    ask(&founders[1], "ALTER CLUSTER SET max_moves = 4").unwrap();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let working: Vec<_> = (0..tellers)
        .map(|number| {
            // Whoever is at a node that goes says good-bye to it before: these stay.
            let bank = runtime.block_on(connect(&founders[1 + number as usize % 2]));
            runtime.spawn(teller(bank, number, Arc::clone(&over)))
        })
        .collect();

    let member = founders[1].pg.to_string();
    let come: Vec<Node> = (3..5).map(|place| start(place, &["--join", &member])).collect();
    let active = ["active"; 5];
    until(&founders[1], "SELECT membership FROM system.nodes ORDER BY node", &active);
    balanced(&founders[1], "role IS NOT NULL", 5, 45);
    balanced(&founders[1], "role = 'leader'", 5, 15);

    for node in [1, 5] {
        ask(&founders[1], &format!("DRAIN NODE {node}")).unwrap();
    }
    let gone = ["drained", "active", "active", "active", "drained"];
    until(&founders[1], "SELECT membership FROM system.nodes ORDER BY node", &gone);
    for node in [1, 5] {
        ask(&founders[1], &format!("REMOVE NODE {node}")).unwrap();
    }
    let mut nodes = founders.into_iter().chain(come);
    let (first, second, third, fourth, fifth) = (
        nodes.next().unwrap(),
        nodes.next().unwrap(),
        nodes.next().unwrap(),
        nodes.next().unwrap(),
        nodes.next().unwrap(),
    );
    assert_eq!((first.stop(), fifth.stop()), (Some(0), Some(0)));
    balanced(&second, "role IS NOT NULL", 3, 45);
    balanced(&second, "role = 'leader'", 3, 15);

    over.store(true, Ordering::Relaxed);
    let mut expected = Vec::new();
    for teller in working {
        let (done, balances) = runtime.block_on(teller).expect("no transfer fails");
        assert!(done > 0);
        expected.extend(balances);
    }
    let balances = ask(&fourth, "SELECT balance FROM account ORDER BY id").unwrap();
    assert_eq!(balances, expected.iter().map(i64::to_string).collect::<Vec<_>>());
    assert_eq!(expected.iter().sum::<i64>(), i64::from(tellers * ACCOUNTS) * BALANCE);
    for node in [second, third, fourth] {
        assert_eq!(node.stop(), Some(0));
    }
}
