//! A disk that is full, for real: a small file system in memory, mounted in a namespace of the test's own.

use crate::node::{BINARY, Node};
use crate::sql::connect;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A namespace with the file system in it; both go with the process.
struct Namespace {
    holder: Child,
}

impl Namespace {
    /// `None`: this user may have no namespaces here.
    fn new(mount: &Path, mebibytes: u32) -> Option<Self> {
        let script = format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$0\" && echo mounted && exec cat");
        let holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut holder = holder.ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim() == "mounted" {
            return Some(Self { holder });
        }
        holder.wait().unwrap();
        None
    }

    /// A command that will run in it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.holder.id().to_string();
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &target, "--", program]);
        command
    }

    /// A node whose data are in it, and whose complaints are in `log`.
    fn node(&self, data: &Path, log: &Path) -> Option<Node> {
        let mut command = self.command(BINARY);
        let log = std::fs::File::create(log).unwrap();
        command.args(["start", "--pg", "127.0.0.1:0", "--data"]).arg(data).stderr(log);
        Node::spawn(command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

async fn count(node: &Node) -> i64 {
    connect(node).await.query_one("SELECT count(*) FROM heap", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_full_disk_ends_the_node_in_one_line_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mount = directory.path().join("mount");
    std::fs::create_dir(&mount).unwrap();
    // Two segments of the log fit, and not a third.
    let Some(namespace) = Namespace::new(&mount, 170) else {
        println!("skipped: this user may not mount a file system in a namespace here");
        return;
    };
    let (data, log) = (mount.join("data"), directory.path().join("log"));
    let mut node = namespace.node(&data, &log).expect("there is room enough to start");
    let client = connect(&node).await;
    client.batch_execute("CREATE TABLE heap (id int PRIMARY KEY, bulk bytea)").await.unwrap();
    let bulk = vec![7_u8; 1 << 20];
    let mut acknowledged = 0;
    while acknowledged < 400 {
        match client.execute("INSERT INTO heap VALUES ($1, $2)", &[&acknowledged, &bulk]).await {
            Ok(_) => acknowledged += 1,
            Err(_) => break,
        }
    }
    assert!((10..400).contains(&acknowledged), "the disk was full after {acknowledged} MiB");
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.is_alive() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.child.try_wait().unwrap().expect("the node ends").code(), Some(1));
    let said = std::fs::read_to_string(&log).unwrap();
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("orrery: ")).collect();
    assert_eq!(complaints.len(), 1, "{said}");
    assert!(complaints[0].contains("no space left on device"), "{}", complaints[0]);

    // Room is made; what was acknowledged is there, and life goes on.
    let grown = namespace.command("mount").args(["-o", "remount,size=600m"]).arg(&mount).status().unwrap();
    assert!(grown.success());
    let node = namespace.node(&data, &log).expect("there is room again");
    let rows = count(&node).await;
    assert!(rows == i64::from(acknowledged) || rows == i64::from(acknowledged) + 1, "{rows} of {acknowledged}");
    let id = 1000;
    connect(&node).await.execute("INSERT INTO heap VALUES ($1, $2)", &[&id, &bulk]).await.unwrap();
    assert_eq!(count(&node).await, rows + 1);
    assert_eq!(node.stop(), Some(0));
}
