//! PostgreSQL: a primary, two synchronous standbys, and a watchdog.

use super::process::{Process, User, find, network, run, version};
use super::writer::{Clock, Lane, Patience, Writer, write_sql};
use super::{Blow, Group, PATIENCE, Settings, System};
use rustix::process::Signal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use tokio_postgres::NoTls;

const SERVERS: usize = 3;
const PORT: u16 = 5432;
/// The watchdog asks so often, and gives up after so many failures in a row.
const WATCH: Duration = Duration::from_millis(100);
const FAILURES: u32 = 3;
const CLIENT: Patience = Patience { connect: Duration::from_millis(300), answer: Duration::from_secs(5) };

/// Three servers and two writers of one client.
pub(super) struct Postgres {
    initdb: PathBuf,
    directory: PathBuf,
    network: String,
    user: Option<User>,
    clock: Clock,
    servers: Vec<Option<Process>>,
    primary: usize,
    lane: Rc<Lane>,
    writers: Vec<Writer>,
}

impl Postgres {
    pub(super) fn find(settings: &Settings, clock: &Clock, left_out: &mut Vec<String>) -> Option<Self> {
        let Some(initdb) = find("initdb", "PGBIN") else {
            left_out.push("PostgreSQL is left out: no program `initdb` in PATH or PGBIN".to_owned());
            return None;
        };
        // It refuses to run as root: then as the user that its packages make.
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let id = |flag: &str| -> Option<u32> {
            let output = Command::new("id").args([flag, "postgres"]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        };
        let user = if is_root {
            match (id("-u"), id("-g")) {
                (Some(uid), Some(gid)) => Some(User { uid, gid }),
                _ => {
                    left_out.push(
                        "PostgreSQL is left out: it does not run as root, and there is no user `postgres`".to_owned(),
                    );
                    return None;
                }
            }
        } else {
            None
        };
        Some(Self {
            initdb,
            directory: settings.directory.join("postgresql"),
            network: network(2),
            user,
            clock: *clock,
            servers: (0..SERVERS).map(|_| None).collect(),
            primary: 0,
            lane: Rc::new(Lane::default()),
            writers: Vec::new(),
        })
    }

    fn host(&self, place: usize) -> String {
        format!("{}.{}", self.network, place + 1)
    }

    fn address(&self, place: usize) -> String {
        format!("host={} port={PORT} user=postgres dbname=postgres", self.host(place))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.initdb.with_file_name(name)
    }

    fn data(&self, place: usize) -> PathBuf {
        // Absolute: the server runs elsewhere.
        let directory = fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.clone());
        directory.join(format!("p{place}"))
    }

    fn next(&self) -> usize {
        (self.primary + 1) % SERVERS
    }

    fn start_server(&mut self, place: usize) -> Result<(), String> {
        let mut arguments = vec!["-D".to_owned(), self.data(place).display().to_string()];
        let host = format!("listen_addresses={}", self.host(place));
        let port = format!("port={PORT}");
        let settings = [
            &*host,
            &*port,
            "unix_socket_directories=",
            "shared_buffers=32MB",
            "max_connections=40",
            // A standby is made from a backup while the writers go on.
            "wal_keep_size=256MB",
            "wal_receiver_status_interval=1s",
            "wal_retrieve_retry_interval=100ms",
        ];
        for setting in settings {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let log = self.data(place).with_extension("log");
        let postgres = self.program("postgres");
        self.servers[place] = Some(Process::start(&postgres, &arguments, self.user, &log)?);
        Ok(())
    }

    /// Appends to the settings that a server writes itself.
    fn set(&self, place: usize, line: &str) -> Result<(), String> {
        let file = fs::File::options().append(true).open(self.data(place).join("postgresql.auto.conf"));
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| format!("postgresql: {error}"))
    }

    fn reload(&self, place: usize) {
        if let Some(server) = &self.servers[place] {
            server.signal(Signal::HUP);
        }
    }

    async fn answers(&self, place: usize, query: &str) -> Result<(), String> {
        let address = self.address(place);
        let answered = async {
            while !matches!(ask(&address, query).await, Ok(rows) if rows > 0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = tokio::time::timeout(PATIENCE, answered).await;
        limit.map_err(|_| format!("postgresql: `{query}` is not answered by server {place}"))
    }

    /// Makes both others standbys of the primary anew, and waits until it needs one of them.
    async fn attach(&mut self) -> Result<(), String> {
        for nth in 1..SERVERS {
            let place = (self.primary + nth) % SERVERS;
            self.servers[place] = None;
            let data = self.data(place);
            let _ = fs::remove_dir_all(&data);
            let source = self.host(self.primary);
            let arguments =
                ["-h", &source, "-p", &PORT.to_string(), "-U", "postgres", "-c", "fast", "-X", "stream", "-D"];
            let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            arguments.push(data.display().to_string());
            run(self.program("pg_basebackup"), arguments, self.user).await?;
            let line =
                format!("primary_conninfo = 'host={source} port={PORT} user=postgres application_name=s{place}'");
            fs::write(data.join("postgresql.auto.conf"), format!("{line}\n")).map_err(|error| error.to_string())?;
            fs::write(data.join("standby.signal"), "").map_err(|error| error.to_string())?;
            self.start_server(place)?;
        }
        let streaming = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' HAVING count(*) = 2";
        self.answers(self.primary, streaming).await?;
        self.set(self.primary, "synchronous_standby_names = 'ANY 1 (*)'")?;
        self.reload(self.primary);
        self.answers(self.primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'quorum'").await
    }

    /// The client knows both: the primary, and the one that will be promoted.
    fn write(&mut self) {
        self.writers.clear();
        for place in [self.primary, self.next()] {
            let text = "INSERT INTO probe (payload) VALUES ('x')".to_owned();
            let work = write_sql(self.address(place), text, CLIENT, Rc::clone(&self.lane), self.clock);
            self.writers.push(Writer::begin(work));
        }
    }
}

impl System for Postgres {
    fn name(&self) -> String {
        let version = version(&self.program("postgres"), "--version");
        format!("{version}: a primary, 2 synchronous standbys, a watchdog of {FAILURES} x {} ms", WATCH.as_millis())
    }

    async fn start(&mut self) -> Result<(), String> {
        fs::create_dir_all(&self.directory).map_err(|error| error.to_string())?;
        if let Some(User { uid, gid }) = self.user {
            chown(&self.directory, Some(uid), Some(gid)).map_err(|error| error.to_string())?;
        }
        let data = self.data(0);
        let arguments = ["-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "-D"];
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.push(data.display().to_string());
        run(self.initdb.clone(), arguments, self.user).await?;
        let access = "host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n";
        fs::write(data.join("pg_hba.conf"), access).map_err(|error| error.to_string())?;
        self.start_server(0)?;
        self.answers(0, "SELECT 1").await?;
        let table = "CREATE TABLE probe (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text)";
        ask(&self.address(0), table).await.map_err(|error| format!("postgresql: {error}"))?;
        self.attach().await?;
        self.write();
        Ok(())
    }

    fn groups(&self) -> Vec<Group> {
        // Its client writes to whichever of both takes it, so there is no lane through the dead one.
        vec![Group { name: "table".to_owned(), lanes: vec![(SERVERS, Rc::clone(&self.lane))] }]
    }

    async fn strike(&mut self, clock: &Clock) -> Result<Blow, String> {
        let victim = self.primary;
        let at_ns = clock.now();
        self.servers[victim] = None;
        let address = self.address(victim);
        let mut failures = 0;
        while failures < FAILURES {
            let asked = tokio::time::timeout(WATCH, ask(&address, "SELECT 1")).await;
            failures = if matches!(asked, Ok(Ok(_))) { 0 } else { failures + 1 };
            tokio::time::sleep(WATCH).await;
        }
        self.primary = self.next();
        let data = self.data(self.primary).display().to_string();
        let arguments = ["-D", &data, "-W", "promote"].map(str::to_owned).to_vec();
        run(self.program("pg_ctl"), arguments, self.user).await?;
        Ok(Blow { at_ns, victim, led: vec![0] })
    }

    async fn mend(&mut self) -> Result<(), String> {
        self.attach().await?;
        self.write();
        Ok(())
    }
}

/// Asks a server; how many rows come.
async fn ask(address: &str, query: &str) -> Result<usize, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
    let _task = Writer::begin(async move { drop(connection.await) });
    let messages = client.simple_query(query).await?;
    Ok(messages.iter().filter(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_))).count())
}
