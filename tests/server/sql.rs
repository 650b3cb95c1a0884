//! SQL through the real bytes: a node as its users see it, with a real driver and with psql.

use crate::node::{Node, free_address};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// Connects, patiently: a node that has just started may still be reading its log or electing.
pub(crate) async fn connect(node: &Node) -> Client {
    connect_to(node, "orrery").await
}

/// The same, to a database.
async fn connect_to(node: &Node, database: &str) -> Client {
    let config = format!("host={} port={} user=orrery dbname={database}", node.pg.ip(), node.pg.port());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match tokio_postgres::connect(&config, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(error) => {
                assert!(Instant::now() < deadline, "no connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The SQLSTATE that a statement fails with.
pub(crate) async fn sqlstate(client: &Client, sql: &str) -> String {
    let error = client.batch_execute(sql).await.expect_err("the statement is wrong");
    error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().to_owned()
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM planet", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_driver_creates_inserts_selects_and_errs() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let client = connect(&node).await;
    client
        .batch_execute("CREATE TABLE planet (id int PRIMARY KEY, name text NOT NULL, moons bigint DEFAULT 0)")
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO planet (id, name, moons) VALUES ($1, $2, $3)").await.unwrap();
    for (id, name, moons) in [(1, "Mercury", 0_i64), (3, "Earth", 1), (4, "Mars", 2)] {
        assert_eq!(client.execute(&insert, &[&id, &name, &moons]).await.unwrap(), 1);
    }
    let rows = client.query("SELECT name, moons FROM planet WHERE id >= $1 ORDER BY id DESC", &[&2]).await.unwrap();
    let rows: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [("Mars".to_owned(), 2), ("Earth".to_owned(), 1)]);
    assert_eq!(client.execute("UPDATE planet SET moons = moons + 1 WHERE id = 3", &[]).await.unwrap(), 1);
    assert_eq!(client.execute("DELETE FROM planet WHERE id = 1", &[]).await.unwrap(), 1);
    assert_eq!(count(&client).await, 2);
    for (sql, state) in [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT colour FROM planet", "42703"),
        ("INSERT INTO planet (id, name) VALUES (3, 'again')", "23505"),
        ("INSERT INTO planet (id) VALUES (9)", "23502"),
        ("SELECT 1/0", "22012"),
        ("INSERT INTO planet (id, name) VALUES ('x', 'y')", "22P02"),
        ("CREATE TABLE planet (id int PRIMARY KEY)", "42P07"),
    ] {
        assert_eq!(sqlstate(&client, sql).await, state, "{sql}");
    }
    assert_eq!(count(&client).await, 2, "what fails changes nothing");
    drop(client);
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn rows_survive_kill_and_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut rows = 0;
    for life in 0..3 {
        let node = Node::start(data.path(), &[]);
        let client = connect(&node).await;
        if life == 0 {
            client.batch_execute("CREATE TABLE planet (id int PRIMARY KEY, name text)").await.unwrap();
        }
        assert_eq!(count(&client).await, rows);
        for _ in 0..20 {
            let id = i32::try_from(rows).unwrap();
            client.execute("INSERT INTO planet VALUES ($1, 'x')", &[&id]).await.unwrap();
            rows += 1;
        }
        node.kill();
    }
    let node = Node::start(data.path(), &[]);
    assert_eq!(count(&connect(&node).await).await, rows);
    assert_eq!(node.stop(), Some(0));
}

/// Three nodes on loopback; each can be started again.
pub(crate) struct Cluster {
    directories: Vec<tempfile::TempDir>,
    list: String,
    partitions: &'static str,
}

impl Cluster {
    pub(crate) fn new(partitions: &'static str) -> Self {
        let addresses: Vec<String> = (0..3).map(|_| free_address()).collect();
        let list: Vec<String> = (1..).zip(addresses).map(|(id, address)| format!("{id}={address}")).collect();
        Self { directories: (0..3).map(|_| tempfile::tempdir().unwrap()).collect(), list: list.join(","), partitions }
    }

    /// The data directory of the node at that place.
    pub(crate) fn data(&self, place: usize) -> std::path::PathBuf {
        self.directories[place].path().to_owned()
    }

    pub(crate) fn start(&self, place: usize) -> Node {
        let id = (place + 1).to_string();
        let data: &Path = self.directories[place].path();
        Node::start(data, &["--id", &id, "--nodes", &self.list, "--partitions", self.partitions])
    }
}

#[tokio::test]
async fn three_nodes_survive_the_death_of_each() {
    let cluster = Cluster::new("1");
    let mut nodes: Vec<Option<Node>> = (0..3).map(|place| Some(cluster.start(place))).collect();
    let client = connect(nodes[0].as_ref().unwrap()).await;
    client.batch_execute("CREATE TABLE planet (id int PRIMARY KEY, name text)").await.unwrap();
    let mut rows = 0;
    for victim in 0..3 {
        nodes[victim].take().unwrap().kill();
        let started = Instant::now();
        let client = connect(nodes[(victim + 1) % 3].as_ref().unwrap()).await;
        for _ in 0..10 {
            let id = i32::try_from(rows).unwrap();
            client.execute("INSERT INTO planet VALUES ($1, 'x')", &[&id]).await.unwrap();
            rows += 1;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "two of three go on");
        nodes[victim] = Some(cluster.start(victim));
    }
    for node in nodes.iter().flatten() {
        assert_eq!(count(&connect(node).await).await, rows, "every node answers for all");
    }
    for node in nodes.into_iter().flatten() {
        assert_eq!(node.stop(), Some(0));
    }
}

#[test]
fn psql_works() {
    if Command::new("psql").arg("--version").output().is_err() {
        println!("skipped: psql is not installed here");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let script = "\\set ON_ERROR_STOP off
\\set VERBOSITY verbose
CREATE TABLE planet (id int PRIMARY KEY, name text, mass numeric(10,3));
INSERT INTO planet VALUES (1, 'Mercury', 0.055), (3, 'Earth', 1), (4, 'Mars', NULL);
SELECT * FROM planet ORDER BY id;
SELECT count(*), sum(mass), avg(mass) FROM planet;
UPDATE planet SET mass = 0.107 WHERE name = 'Mars';
SELECT name FROM planet WHERE mass < 0.5 ORDER BY mass DESC LIMIT 1;
INSERT INTO planet VALUES (1, 'Vulcan', 1);
SELECT * FROM pluto;
DELETE FROM planet;
DROP TABLE planet;
";
    let mut child = Command::new("psql")
        .args(["-X", "-h", &node.pg.ip().to_string(), "-p", &node.pg.port().to_string(), "-U", "orrery", "orrery"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // Where in the source an error was raised is psql's and ours to change.
    let errors: Vec<&str> = stderr.lines().filter(|line| line.contains("ERROR")).collect();
    insta::assert_snapshot!(format!("{}---\n{}\n", String::from_utf8_lossy(&output.stdout), errors.join("\n")));
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn statements_of_operators_articles_work_as_written() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let client = connect(&node).await;
    let rows = client.query("SELECT node_id, is_alive FROM system.nodes;", &[]).await.unwrap();
    let rows: Vec<(i32, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(1, true)]);
    client.batch_execute("RECOVER NODE 1;").await.unwrap();
    assert_eq!(sqlstate(&client, "RECOVER NODE 2;").await, "42704");
    assert!(client.query("SELECT * FROM system.recoveries", &[]).await.unwrap().is_empty());
    client.batch_execute("CREATE DATABASE testdb;").await.unwrap();
    client.batch_execute("CREATE TABLE testdb.users (id int PRIMARY KEY, name text);").await.unwrap();
    client.batch_execute("INSERT INTO testdb.users VALUES (1, 'ada');").await.unwrap();
    let seen = |rows: Vec<tokio_postgres::Row>| -> Vec<(i32, String)> {
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    assert_eq!(seen(client.query("SELECT * FROM testdb.users;", &[]).await.unwrap()), [(1, "ada".to_owned())]);
    let inside = connect_to(&node, "testdb").await;
    assert_eq!(seen(inside.query("SELECT * FROM users", &[]).await.unwrap()), [(1, "ada".to_owned())]);
    assert_eq!(sqlstate(&inside, "DROP DATABASE testdb").await, "55006");
    client.batch_execute("DROP DATABASE testdb").await.unwrap();
    assert_eq!(sqlstate(&inside, "SELECT * FROM users").await, "42P01");
    let config = format!("host={} port={} user=orrery dbname=testdb", node.pg.ip(), node.pg.port());
    let refused = tokio_postgres::connect(&config, NoTls).await.err().expect("there is no such database any more");
    assert_eq!(refused.code().map(|code| code.code()), Some("3D000"));
}
