//! What stands together without BEGIN: texts of several statements, and what is executed before a Sync.

use crate::load::open_session;
use crate::node::Node;
use crate::sql::{connect, sqlstate};
use std::io::{Read, Write};
use std::net::TcpStream;
use tokio_postgres::Client;

fn message(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
}

/// Parse, Bind and Execute of the unnamed statement.
fn execute(sql: &str, out: &mut Vec<u8>) {
    message(b'P', format!("\0{sql}\0\0\0").as_bytes(), out);
    message(b'B', &[0; 8], out);
    message(b'E', &[0; 5], out);
}

/// What comes until ReadyForQuery: command tags and states of errors.
fn answers(stream: &mut TcpStream) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).unwrap();
        let mut fields = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        match header[0] {
            b'Z' => {
                assert_eq!(body, b"I", "nothing is left open");
                return told;
            }
            b'C' => told.push(fields.next().unwrap().into_owned()),
            b'E' => told.push(fields.find_map(|field| field.strip_prefix('C').map(str::to_owned)).unwrap()),
            _ => {}
        }
    }
}

fn pipeline(stream: &mut TcpStream, statements: &[&str]) -> Vec<String> {
    let mut bytes = Vec::new();
    statements.iter().for_each(|sql| execute(sql, &mut bytes));
    message(b'S', &[], &mut bytes);
    stream.write_all(&bytes).unwrap();
    answers(stream)
}

async fn total(client: &Client) -> i64 {
    client.query_one("SELECT coalesce(sum(n), 0)::bigint FROM account", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_together_happens_as_a_whole() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &["--partitions", "3"]);
    let client = connect(&node).await;
    client.batch_execute("CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL CHECK (n >= 0))").await.unwrap();
    client.batch_execute("INSERT INTO account SELECT g, 100 FROM generate_series(1, 20) g").await.unwrap();
    for text in [
        "UPDATE account SET n = n - 30 WHERE id = 1; SET application_name = 'x'; UPDATE account SET n = n - 130 WHERE id = 2",
        "SHOW TimeZone; UPDATE account SET n = 0 WHERE id = 1; UPDATE account SET n = n - 101 WHERE id = 5",
    ] {
        assert_eq!(sqlstate(&client, text).await, "23514", "{text}");
        assert_eq!(total(&client).await, 2000, "{text}");
    }
    let name: String = client.query_one("SHOW application_name", &[]).await.unwrap().get(0);
    assert_eq!(name, "", "SET is undone with the rest");

    let mut stream = open_session(&node).unwrap();
    let transfer = ["UPDATE account SET n = n - 60 WHERE id = 3", "UPDATE account SET n = n + 60 WHERE id = 4"];
    assert_eq!(pipeline(&mut stream, &transfer), ["UPDATE 1", "UPDATE 1"]);
    assert_eq!(pipeline(&mut stream, &[transfer[1], transfer[0], transfer[1]]), ["UPDATE 1", "23514"]);
    assert_eq!(total(&client).await, 2000);
    assert_eq!(pipeline(&mut stream, &["SELECT id FROM account WHERE id = 3"]), ["SELECT 1"]);
    // The connection ends before Sync.
    let mut bytes = Vec::new();
    execute("DELETE FROM account WHERE id = 1", &mut bytes);
    execute("DELETE FROM account WHERE id = 2", &mut bytes);
    stream.write_all(&bytes).unwrap();
    drop(stream);
    // The driver's own pipelining: each statement has its Sync, and none waits for another.
    let more = "UPDATE account SET n = n + 1 WHERE id = 7";
    let (one, two, three) =
        tokio::join!(client.execute(more, &[]), client.execute("SELEC", &[]), client.execute(more, &[]));
    assert!(one.is_ok() && two.is_err() && three.is_ok());
    assert_eq!(total(&client).await, 2002);
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_idle_in_a_block_is_sent_away() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path(), &[]);
    let client = connect(&node).await;
    client.batch_execute("CREATE TABLE t (a int); SET idle_in_transaction_session_timeout = '300ms'").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert!(client.batch_execute("COMMIT").await.is_err(), "the connection is closed");
    let other = connect(&node).await;
    assert_eq!(other.query("SELECT a FROM t", &[]).await.unwrap().len(), 0);
    assert_eq!(node.stop(), Some(0));
}
