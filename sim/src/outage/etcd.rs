//! etcd: three members, asked through its JSON gateway.

use super::process::{Process, find, network, version};
use super::writer::{Clock, Lane, Writer};
use super::{Blow, Group, PATIENCE, REST, Settings, System};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MEMBERS: usize = 3;
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// An attempt is given up after this. What was passed on to a dead leader would be answered after seconds.
const ATTEMPT: Duration = Duration::from_millis(100);

/// Three members and their writers.
pub(super) struct Etcd {
    program: PathBuf,
    directory: PathBuf,
    network: String,
    clock: Clock,
    members: Vec<Option<Process>>,
    lanes: Vec<Rc<Lane>>,
    writers: Vec<Writer>,
}

impl Etcd {
    pub(super) fn find(settings: &Settings, clock: &Clock, left_out: &mut Vec<String>) -> Option<Self> {
        let Some(program) = find("etcd", "ETCDBIN") else {
            left_out.push("etcd is left out: no program `etcd` in PATH or ETCDBIN".to_owned());
            return None;
        };
        Some(Self {
            program,
            directory: settings.directory.join("etcd"),
            network: network(1),
            clock: *clock,
            members: Vec::new(),
            lanes: Vec::new(),
            writers: Vec::new(),
        })
    }

    fn host(&self, place: usize) -> String {
        format!("{}.{}", self.network, place + 1)
    }

    fn start_member(&self, place: usize) -> Result<Process, String> {
        let host = self.host(place);
        let (client, peer) = (format!("http://{host}:{CLIENT_PORT}"), format!("http://{host}:{PEER_PORT}"));
        let cluster = (0..MEMBERS).map(|place| format!("m{place}=http://{}:{PEER_PORT}", self.host(place)));
        let cluster: Vec<String> = cluster.collect();
        let data = self.directory.join(format!("m{place}"));
        let arguments = [
            "--name".to_owned(),
            format!("m{place}"),
            "--data-dir".to_owned(),
            data.display().to_string(),
            "--listen-client-urls".to_owned(),
            client.clone(),
            "--advertise-client-urls".to_owned(),
            client,
            "--listen-peer-urls".to_owned(),
            peer.clone(),
            "--initial-advertise-peer-urls".to_owned(),
            peer,
            "--initial-cluster".to_owned(),
            cluster.join(","),
            "--initial-cluster-token".to_owned(),
            "outage".to_owned(),
        ];
        let log = self.directory.join(format!("m{place}.log"));
        Process::start(&self.program, &arguments, None, &log)
    }

    /// The place of the leader, asked of one member after another.
    async fn leader(&self) -> Option<usize> {
        for place in 0..MEMBERS {
            let (mut link, host) = (None, self.host(place));
            let asked = post(&mut link, &host, "/v3/maintenance/status", "{}");
            let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(1), asked).await else { continue };
            let (own, leader) = (number(&answer, "member_id"), number(&answer, "leader"));
            if own.is_some() && own == leader {
                return Some(place);
            }
        }
        None
    }
}

impl System for Etcd {
    fn name(&self) -> String {
        format!("{}: {MEMBERS} members, default settings", version(&self.program, "--version").to_lowercase())
    }

    async fn start(&mut self) -> Result<(), String> {
        std::fs::create_dir_all(&self.directory).map_err(|error| error.to_string())?;
        self.members = (0..MEMBERS).map(|place| self.start_member(place).map(Some)).collect::<Result<_, _>>()?;
        for place in 0..MEMBERS {
            let lane = Rc::new(Lane::default());
            self.writers.push(Writer::begin(write(self.host(place), Rc::clone(&lane), self.clock)));
            self.lanes.push(lane);
        }
        Ok(())
    }

    fn groups(&self) -> Vec<Group> {
        vec![Group { name: "keys".to_owned(), lanes: self.lanes.iter().cloned().enumerate().collect() }]
    }

    async fn strike(&mut self, clock: &Clock) -> Result<Blow, String> {
        let victim = self.leader().await.ok_or("etcd: nobody leads")?;
        let at_ns = clock.now();
        self.members[victim] = None;
        Ok(Blow { at_ns, victim, led: vec![0] })
    }

    async fn mend(&mut self) -> Result<(), String> {
        for place in 0..MEMBERS {
            if self.members[place].is_some() {
                continue;
            }
            self.members[place] = Some(self.start_member(place)?);
            let host = self.host(place);
            let answers = async {
                loop {
                    // A linearizable read through it: it has caught up.
                    let mut link = None;
                    let asked = post(&mut link, &host, "/v3/kv/range", r#"{"key":"cHJvYmU="}"#);
                    if matches!(tokio::time::timeout(Duration::from_secs(1), asked).await, Ok(Ok(_))) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(PATIENCE, answers).await.map_err(|_| "etcd: a member does not come back")?;
        }
        Ok(())
    }
}

/// Writes for ever.
async fn write(host: String, lane: Rc<Lane>, clock: Clock) {
    let mut link = None;
    loop {
        if !lane.is_writing() {
            tokio::time::sleep(REST * 4).await;
            continue;
        }
        let sent = clock.now();
        let put = post(&mut link, &host, "/v3/kv/put", r#"{"key":"cHJvYmU=","value":"MQ=="}"#);
        match tokio::time::timeout(ATTEMPT, put).await {
            Ok(Ok(_)) => lane.acknowledge(sent, clock.now()),
            Ok(Err(why)) => {
                lane.refuse(why);
                link = None;
            }
            Err(_) => {
                lane.refuse("no answer".to_owned());
                link = None;
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// One request of HTTP/1.1, over the connection that is kept.
async fn post(link: &mut Option<TcpStream>, host: &str, path: &str, body: &str) -> Result<String, String> {
    let told = |error: std::io::Error| error.kind().to_string();
    let stream = match link {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect((host, CLIENT_PORT)).await.map_err(told)?;
            stream.set_nodelay(true).map_err(told)?;
            link.insert(stream)
        }
    };
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await.map_err(told)? == 0 {
            return Err("closed".to_owned());
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        let whole = length.map_or_else(|| rest.ends_with("0\r\n\r\n"), |length| rest.len() >= length);
        if whole {
            let status = head.split_whitespace().nth(1).unwrap_or_default();
            return if status == "200" { Ok(rest.to_owned()) } else { Err(format!("HTTP {status}")) };
        }
    }
}

/// A number of a flat JSON object, which this gateway writes as a string.
fn number(json: &str, key: &str) -> Option<u64> {
    let rest = json.split_once(&format!("\"{key}\":\""))?.1;
    rest.split('"').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_the_gateway_says() {
        let answer = r#"{"header":{"cluster_id":"1","member_id":"77","raft_term":"4"},"leader":"78"}"#;
        assert_eq!((number(answer, "member_id"), number(answer, "leader")), (Some(77), Some(78)));
        assert_eq!(number(answer, "nothing"), None);
    }
}
