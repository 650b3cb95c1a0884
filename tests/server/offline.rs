//! Tools for a data directory whose node does not run: what they find, what they refuse, and a cluster that comes out of one survivor.

use crate::node::{BINARY, Node, free_address};
use crate::sql::{Cluster, connect};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn orrery(arguments: &[&str], path: &Path) -> Output {
    Command::new(BINARY).args(arguments).arg(path).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The files of worker 0 whose names begin so, in order.
fn files(data: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("worker-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)).collect();
    found.sort();
    found
}

fn check(data: &Path) -> (Option<i32>, Value) {
    let output = orrery(&["check", "--json"], data);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
}

/// With a node's rows, a checkpoint of each partition and records behind it.
async fn written(data: &Path) {
    let node = Node::start(data, &["--checkpoint-every", "20"]);
    let client = connect(&node).await;
    client.batch_execute("CREATE TABLE planet (id int PRIMARY KEY, name text)").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut id = 0;
    while files(data, "checkpoint-00000001-").iter().all(|path| path.extension().is_some()) {
        client.execute(&format!("INSERT INTO planet VALUES ({id}, 'planet {id}')"), &[]).await.unwrap();
        id += 1;
        assert!(Instant::now() < deadline, "no checkpoint was made");
    }
    client.execute("INSERT INTO planet VALUES (1000, 'far out')", &[]).await.unwrap();
    // Its batch has a successor, which repeats its directory.
    client.execute("INSERT INTO planet VALUES (1001, 'behind it')", &[]).await.unwrap();
    let used = orrery(&["check"], data);
    assert_eq!(used.status.code(), Some(2), "{used:?}");
    assert!(text(&used.stderr).contains("another process uses it"), "{used:?}");
    node.kill();
}

#[tokio::test]
async fn what_is_damaged_is_named_with_its_place_and_with_who_mends_it() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    written(&data).await;
    let (code, found) = check(&data);
    assert_eq!((code, &found["intact"]), (Some(0), &Value::from(true)), "{found}");
    assert!(found["partitions"][1]["checkpoint"]["index"].as_u64() >= Some(20), "{found}");

    let dump = orrery(&["dump-wal", "--partition", "1"], &data);
    assert_eq!(dump.status.code(), Some(0), "{dump:?}");
    let dump = text(&dump.stdout);
    let last = dump.lines().rfind(|line| line.contains("far out")).unwrap();
    assert!(last.contains("INSERT INTO planet") && last.starts_with("p1 @"), "{last}");
    let index = last.split_whitespace().nth(1).unwrap().trim_start_matches('@').to_owned();
    let one = orrery(&["dump-wal", "--partition", "1", "--from", &index, "--to", &index], &data);
    assert_eq!(text(&one.stdout).lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), [last]);

    // Its bytes stand in a block: one of them changes.
    let needle = b"far out";
    let wal = files(&data, "wal-")
        .into_iter()
        .find(|path| std::fs::read(path).unwrap().windows(needle.len()).any(|bytes| bytes == needle));
    let wal = wal.expect("the statement stands in a segment");
    let sound = std::fs::read(&wal).unwrap();
    let at = sound.windows(needle.len()).position(|bytes| bytes == needle).unwrap();
    let mut rotten = sound.clone();
    rotten[at] ^= 1;
    std::fs::write(&wal, &rotten).unwrap();
    let (code, found) = check(&data);
    assert_eq!((code, &found["intact"]), (Some(1), &Value::from(false)), "{found}");
    let finding = &found["workers"][0]["findings"][0];
    assert_eq!(finding["file"], wal.file_name().unwrap().to_str().unwrap(), "{found}");
    assert_eq!(finding["offset"].as_u64(), Some((at / 4096 * 4096) as u64), "{found}");
    let damage = &found["partitions"][1]["damage"][0];
    assert!(damage["what"].as_str().unwrap().contains(&format!("@{index}")), "{found}");
    assert!(damage["mended"].as_str().unwrap().contains("no other node has a copy"), "{found}");
    assert_eq!(std::fs::read(&wal).unwrap(), rotten, "looking changes nothing");
    std::fs::write(&wal, &sound).unwrap();

    let checkpoint = files(&data, "checkpoint-00000001-").pop().unwrap();
    let sound = std::fs::read(&checkpoint).unwrap();
    let mut rotten = sound.clone();
    rotten[4096 + 100] ^= 1;
    std::fs::write(&checkpoint, &rotten).unwrap();
    let (code, found) = check(&data);
    assert_eq!(code, Some(1), "{found}");
    let what = found["partitions"][1]["damage"][0]["what"].as_str().unwrap();
    assert!(what.contains(checkpoint.file_name().unwrap().to_str().unwrap()), "{found}");
    let to = home.path().join("new");
    let refused = orrery(&["recover", "--unsafe", "--yes", "--to", to.to_str().unwrap()], &data);
    assert_eq!(refused.status.code(), Some(1), "it does not hold the rows: {refused:?}");
    assert!(!to.exists());
    std::fs::write(&checkpoint, &sound).unwrap();

    std::fs::write(data.join("worker-0/hard-state"), [0x55; 1000]).unwrap();
    let (code, found) = check(&data);
    assert_eq!(code, Some(1), "{found}");
    assert!(found["workers"][0]["unusable"].is_string(), "{found}");
    let words = orrery(&["check"], &data);
    assert!(text(&words.stdout).contains("cannot be used"), "{words:?}");
    assert_eq!(orrery(&["check"], home.path()).status.code(), Some(2), "no data directory");
}

#[tokio::test]
async fn one_survivor_of_three_becomes_a_cluster_of_its_own() {
    let cluster = Cluster::new("2");
    let nodes: Vec<Node> = (0..3).map(|place| cluster.start(place)).collect();
    let client = connect(&nodes[0]).await;
    client.batch_execute("CREATE TABLE account (id int PRIMARY KEY, b int NOT NULL)").await.unwrap();
    client.batch_execute("INSERT INTO account SELECT i, 100 FROM generate_series(1, 50) AS i").await.unwrap();
    // All replicas hold it: what one holds is then all.
    let deadline = Instant::now() + Duration::from_secs(20);
    let behind = "SELECT count(*) FROM system.replicas WHERE lag > 0";
    while client.query_one(behind, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < deadline, "replicas stay behind");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes.into_iter().for_each(Node::kill);

    let survivor = cluster.data(1);
    let home = tempfile::tempdir().unwrap();
    let to = home.path().join("alone");
    let asked = orrery(&["recover", "--to", to.to_str().unwrap()], &survivor);
    assert_eq!(asked.status.code(), Some(2), "without --unsafe: {asked:?}");
    let unconfirmed = orrery(&["recover", "--unsafe", "--to", to.to_str().unwrap()], &survivor);
    assert_eq!(unconfirmed.status.code(), Some(2), "nobody has typed the name: {unconfirmed:?}");
    assert!(!to.exists());
    let done = orrery(&["recover", "--unsafe", "--yes", "--to", to.to_str().unwrap()], &survivor);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(text(&done.stdout).contains("is lost"), "{done:?}");
    assert_eq!(orrery(&["check"], &to).status.code(), Some(0));

    let peer = format!("2={}", free_address());
    let node = Node::start(&to, &["--id", "2", "--nodes", &peer]);
    let client = connect(&node).await;
    let sum: i64 = client.query_one("SELECT sum(b) FROM account", &[]).await.unwrap().get(0);
    assert_eq!(sum, 5000);
    client.batch_execute("UPDATE account SET b = b + 1").await.unwrap();
    client.batch_execute("CREATE TABLE note (id int PRIMARY KEY)").await.unwrap();
    let sum: i64 = client.query_one("SELECT sum(b) FROM account", &[]).await.unwrap().get(0);
    assert_eq!(sum, 5050);
    assert_eq!(node.stop(), Some(0));
}
