//! Generated keys, as programs use them: INSERT … RETURNING id from several connections at several nodes, one of which is killed.

use crate::node::Node;
use crate::sql::{Cluster, connect, sqlstate};
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Inserts so many rows, by every way that a program has; the keys that it was given.
async fn insert(client: &Client, who: i32, rounds: i32) -> Result<Vec<i64>, tokio_postgres::Error> {
    let mut keys: Vec<i64> = Vec::new();
    let one = client.prepare("INSERT INTO orders (who) VALUES ($1) RETURNING id").await?;
    for round in 0..rounds {
        keys.push(client.query_one(&one, &[&who]).await?.get(0));
        let rows = client.query("INSERT INTO orders (who) VALUES ($1), ($1), ($1) RETURNING id", &[&who]).await?;
        keys.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
        if round % 4 == 0 {
            let rows = client
                .query("INSERT INTO orders (who) SELECT $1::int FROM generate_series(1, 5) RETURNING id", &[&who])
                .await?;
            keys.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
            client.batch_execute("BEGIN").await?;
            let key: i64 = client.query_one(&one, &[&who]).await?.get(0);
            client.batch_execute(if round % 8 == 0 { "COMMIT" } else { "ROLLBACK" }).await?;
            keys.push(key);
        }
    }
    Ok(keys)
}

#[tokio::test]
async fn keys_are_given_once_whoever_asks_where() {
    let cluster = Cluster::new("3");
    let mut nodes: Vec<Node> = (0..3).map(|place| cluster.start(place)).collect();
    let client = connect(&nodes[0]).await;
    client
        .batch_execute("CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who int NOT NULL)")
        .await
        .unwrap();
    let mut writers = Vec::new();
    for who in 0..6 {
        let writer = connect(&nodes[who as usize % 3]).await;
        writers.push(tokio::spawn(async move { insert(&writer, who, 20).await.unwrap() }));
    }
    let mut keys = BTreeSet::new();
    for writer in writers {
        for key in writer.await.unwrap() {
            assert!(key > 0 && keys.insert(key), "key {key} was given twice");
        }
    }
    // What the killed node had in its hands is a gap.
    nodes.remove(2).kill();
    for (who, node) in [(7, &nodes[0]), (8, &nodes[1])] {
        let writer = connect(node).await;
        for key in insert(&writer, who, 8).await.unwrap() {
            assert!(keys.insert(key), "key {key} was given twice");
        }
    }
    let stored: i64 = client.query_one("SELECT count(DISTINCT id) FROM orders", &[]).await.unwrap().get(0);
    assert!(usize::try_from(stored).unwrap() <= keys.len(), "rolled back ones are gaps");
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}

#[tokio::test]
async fn what_is_set_at_one_node_is_set_at_all() {
    let cluster = Cluster::new("2");
    let nodes: Vec<Node> = (0..3).map(|place| cluster.start(place)).collect();
    let (client, other) = (connect(&nodes[0]).await, connect(&nodes[1]).await);
    client.batch_execute("CREATE TABLE t (id serial PRIMARY KEY, text text)").await.unwrap();
    let insert = "INSERT INTO t (text) VALUES ('x') RETURNING id";
    let _: i32 = other.query_one(insert, &[]).await.unwrap().get(0);
    client.batch_execute("INSERT INTO t VALUES (5001, 'a'), (5002, 'b'), (DEFAULT, 'c')").await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 4);
    let set: i64 = client.query_one("SELECT setval('t_id_seq', max(id)) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(set, 5002);
    // The other node still had values from before.
    let key: i32 = other.query_one(insert, &[]).await.unwrap().get(0);
    assert_eq!(key, 5003);
    assert_eq!(sqlstate(&other, "SELECT currval('nothing')").await, "42P01");
    // In a block, too; and it is not undone with it.
    client.batch_execute("BEGIN; SELECT setval('t_id_seq', 7000); ROLLBACK").await.unwrap();
    let key: i32 = other.query_one(insert, &[]).await.unwrap().get(0);
    assert_eq!(key, 7001);
    client.batch_execute("TRUNCATE t RESTART IDENTITY").await.unwrap();
    let keys: [i32; 2] = [other.query_one(insert, &[]).await.unwrap().get(0), {
        let row = client.query_one(insert, &[]).await.unwrap();
        row.get(0)
    }];
    assert!(keys.iter().all(|key| *key < 5000) && keys[0] != keys[1], "{keys:?}");
    for node in nodes {
        assert_eq!(node.stop(), Some(0));
    }
}
