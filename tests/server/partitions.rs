//! Three nodes, four data partitions: what one client and many see of commands that touch several.

use crate::node::Node;
use crate::sql::{Cluster, connect, sqlstate};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn accounts(client: &Client) {
    client.batch_execute("CREATE TABLE account (id int PRIMARY KEY, b int NOT NULL CHECK (b >= 0))").await.unwrap();
    client.batch_execute("INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i").await.unwrap();
}

#[tokio::test]
async fn statements_and_definitions_over_several_partitions() {
    let cluster = Cluster::new("4");
    let nodes: Vec<Node> = (0..3).map(|place| cluster.start(place)).collect();
    let client = connect(&nodes[0]).await;
    accounts(&client).await;
    assert_eq!(number(&client, "SELECT count(*) FROM account").await, 20);
    assert_eq!(client.execute("UPDATE account SET b = b + 1", &[]).await.unwrap(), 20);
    // One participant refuses, and nothing is left of the others' parts.
    assert_eq!(sqlstate(&client, "INSERT INTO account VALUES (21, 1), (22, 1), (23, 1), (3, 1)").await, "23505");
    assert_eq!(sqlstate(&client, "UPDATE account SET b = b - 101 * (id % 2) - 102 * (id / 20)").await, "23514");
    assert_eq!(number(&client, "SELECT sum(b) FROM account").await, 2020);
    // Another node knows what was defined at this one, at once.
    let other = connect(&nodes[1]).await;
    client.batch_execute("CREATE TABLE note (id int, text text)").await.unwrap();
    other.batch_execute("INSERT INTO note VALUES (1, 'a'), (2, 'b'), (2, 'c')").await.unwrap();
    assert_eq!(sqlstate(&client, "ALTER TABLE note ADD PRIMARY KEY (id)").await, "23505");
    other.batch_execute("DELETE FROM note WHERE text = 'c'").await.unwrap();
    client.batch_execute("ALTER TABLE note ADD PRIMARY KEY (id)").await.unwrap();
    assert_eq!(sqlstate(&other, "INSERT INTO note VALUES (2, 'd')").await, "23505");
    let started = Instant::now();
    for table in 0..10 {
        client.batch_execute(&format!("CREATE TABLE quick_{table} (id int PRIMARY KEY)")).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(10), "a definition is a few rounds: {:?}", started.elapsed());
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

/// Moves money about until it is told to stop; what was committed.
async fn transfer(client: Client, first: i32, blocks: bool, until: Instant) -> u32 {
    let mut committed = 0;
    let mut from = first;
    while Instant::now() < until {
        let to = from % 20 + 1;
        let (take, give) = (
            format!("UPDATE account SET b = b - 1 WHERE id = {from} AND b > 0 RETURNING b"),
            format!("UPDATE account SET b = b + 1 WHERE id = {to}"),
        );
        let done = if blocks {
            client.batch_execute("BEGIN").await.unwrap();
            let taken = client.query(&take, &[]).await;
            match taken {
                Ok(rows) if rows.is_empty() => client.batch_execute("ROLLBACK").await,
                Ok(_) => match client.batch_execute(&give).await {
                    Ok(()) => client.batch_execute("COMMIT").await,
                    Err(error) => client.batch_execute("ROLLBACK").await.and(Err(error)),
                },
                Err(error) => client.batch_execute("ROLLBACK").await.and(Err(error)),
            }
        } else {
            // As one text: what is taken is given, as often as it could be taken.
            let move_one =
                format!("UPDATE account SET b = b - 1 WHERE id = {from}; UPDATE account SET b = b + 1 WHERE id = {to}");
            client.batch_execute(&move_one).await
        };
        match done {
            Ok(()) => committed += 1,
            Err(error) => {
                let code = error.code().unwrap_or_else(|| panic!("{error}")).code();
                assert!(["40001", "23514"].contains(&code), "{error:?}");
            }
        }
        from = to;
    }
    committed
}

#[tokio::test]
async fn transfers_between_partitions_keep_the_sum() {
    let cluster = Cluster::new("4");
    let nodes: Vec<Node> = (0..3).map(|place| cluster.start(place)).collect();
    let client = connect(&nodes[0]).await;
    accounts(&client).await;
    let until = Instant::now() + Duration::from_secs(6);
    let mut writers = Vec::new();
    for (place, blocks) in [(0, true), (1, false), (2, true), (0, false)] {
        let writer = connect(&nodes[place]).await;
        writers.push(tokio::spawn(transfer(writer, 5 * i32::try_from(writers.len()).unwrap() + 1, blocks, until)));
    }
    let mut looks = 0;
    while Instant::now() < until {
        assert_eq!(number(&client, "SELECT sum(b) FROM account").await, 2000, "no query sees half a transfer");
        looks += 1;
    }
    let mut committed = 0;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    assert!(looks > 3 && committed > 10, "{looks} looks, {committed} transfers");
    assert_eq!(number(&client, "SELECT sum(b) FROM account").await, 2000);
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
