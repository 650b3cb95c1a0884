//! Settings of checkpoints and log reach the node: it shows them, and does as they say.

use crate::node::Node;
use crate::sql::connect;
use std::path::Path;
use std::time::{Duration, Instant};

/// Names of published checkpoints anywhere in the data directory.
fn checkpoints(data: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.extend(checkpoints(&entry.path()));
        } else if name.starts_with("checkpoint-0") {
            found.push(name);
        }
    }
    found
}

#[tokio::test]
async fn a_checkpoint_is_made_after_as_many_entries_as_the_file_says_and_the_node_starts_from_it() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let toml = home.path().join("node.toml");
    let text = "[storage]\ncheckpoint_every = 20\nlog_keep_entries = 7\nwal_bytes_before_checkpoint = \"96MiB\"\n";
    std::fs::write(&toml, text).unwrap();
    let arguments = ["--config", toml.to_str().unwrap(), "--log-keep-entries", "5", "--snapshot-chunk-bytes", "64KiB"];
    let node = Node::start(&data, &arguments);
    let client = connect(&node).await;
    for (name, value) in [
        ("checkpoint_every", "20"),
        ("log_keep_entries", "5"),
        ("wal_bytes_before_checkpoint", "100663296"),
        ("snapshot_chunk_bytes", "65536"),
    ] {
        let sql = format!("SELECT value FROM system.settings WHERE scope = 'node' AND name = '{name}'");
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, String>(0), value, "{name}");
    }
    client.batch_execute("CREATE TABLE planet (id int PRIMARY KEY)").await.unwrap();
    assert!(checkpoints(&data).is_empty(), "twenty entries are not there yet");
    for id in 0..50 {
        client.execute(&format!("INSERT INTO planet VALUES ({id})"), &[]).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while checkpoints(&data).is_empty() {
        assert!(Instant::now() < deadline, "no checkpoint was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.kill();
    let node = Node::start(&data, &arguments);
    let client = connect(&node).await;
    let count: i64 = client.query_one("SELECT count(*) FROM planet", &[]).await.unwrap().get(0);
    assert_eq!(count, 50);
}
