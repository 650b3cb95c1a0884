//! Nodes that come and go while a cluster is at work: real processes, each asked and told by SQL.

use crate::node::{Node, free_address};
use orrery::client::{Client, Failure, Target};
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
    let first = Node::start(first_data.path(), &["--peer", &first_peer, "--partitions", "3", "--http", "off"]);
    ask(&first, "CREATE TABLE t (id int PRIMARY KEY, v text)").unwrap();
    ask(&first, "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) AS s(i)").unwrap();

    let member = first.pg.to_string();
    let joining = ["--join", &member, "--peer", &second_peer, "--http", "off"];
    let second = Node::start(second_data.path(), &joining);
    until(&first, "SELECT membership FROM system.nodes ORDER BY node", &["active", "active"]);
    // Four partitions of one replica each are shared out.
    let count = "SELECT count(*) FROM system.replicas WHERE role = 'leader' GROUP BY node ORDER BY node";
    until(&first, count, &["2", "2"]);
    until(&second, "SELECT count(*) FROM t", &["5000"]);

    ask(&second, "DRAIN NODE 1").unwrap();
    until(&second, "SELECT membership FROM system.nodes ORDER BY node", &["drained", "active"]);
    ask(&second, "REMOVE NODE 1").unwrap();
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
