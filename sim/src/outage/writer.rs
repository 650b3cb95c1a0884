//! Whoever writes, and what it notes.

use super::REST;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Statement};

/// One clock for all.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the run began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What one writer, or several of one client, has seen.
#[derive(Default)]
pub(super) struct Lane {
    /// When an acknowledged write was sent and when it was acknowledged, in order of the latter.
    acknowledged: RefCell<Vec<(u64, u64)>>,
    /// How many, since the beginning.
    total: Cell<u64>,
    refused: Cell<u64>,
    writing: Cell<bool>,
    complaints: RefCell<BTreeMap<String, u64>>,
}

impl Lane {
    pub(super) fn set_writing(&self, writing: bool) {
        self.writing.set(writing);
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.get()
    }

    pub(super) fn acknowledge(&self, sent: u64, now: u64) {
        self.acknowledged.borrow_mut().push((sent, now));
        self.total.set(self.total.get() + 1);
    }

    /// Acknowledgements since the beginning.
    pub(super) fn total(&self) -> u64 {
        self.total.get()
    }

    /// A write was not acknowledged.
    pub(super) fn refuse(&self, why: String) {
        self.refused.set(self.refused.get() + 1);
        *self.complaints.borrow_mut().entry(why).or_default() += 1;
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.get()
    }

    pub(super) fn take_complaints(&self) -> BTreeMap<String, u64> {
        self.complaints.take()
    }

    pub(super) fn forget(&self) {
        self.acknowledged.borrow_mut().clear();
    }

    /// Acknowledgements in that time.
    pub(super) fn count(&self, from: u64, until: u64) -> u64 {
        self.acknowledged.borrow().iter().filter(|(_, at)| (from..until).contains(at)).count() as u64
    }

    pub(super) fn has_written_since(&self, since: u64) -> bool {
        self.acknowledged.borrow().iter().rev().any(|(sent, _)| *sent > since)
    }

    /// The longest time without an acknowledgement.
    pub(super) fn longest_silence(&self, from: u64, until: u64) -> u64 {
        let (mut longest, mut before) = (0, from);
        let acknowledged = self.acknowledged.borrow();
        let within = acknowledged.iter().map(|(_, at)| *at).filter(|at| (from..until).contains(at));
        for at in within.chain([until]) {
            longest = longest.max(at - before);
            before = at;
        }
        longest
    }
}

/// Ends with what it is a part of.
pub(super) struct Writer(JoinHandle<()>);

impl Writer {
    pub(super) fn begin(work: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(work))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How a writer of SQL is patient.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
}

/// Writes with an ordinary driver, for ever. Whatever fails it begins anew with another connection.
pub(super) async fn write_sql(address: String, text: String, patience: Patience, lane: Rc<Lane>, clock: Clock) {
    let mut link: Option<(Client, Statement, Writer)> = None;
    loop {
        if !lane.is_writing() {
            tokio::time::sleep(REST * 4).await;
            continue;
        }
        let sent = clock.now();
        let Some((client, statement, _)) = &link else {
            match tokio::time::timeout(patience.connect, connect(&address, &text)).await {
                Ok(Ok(made)) => link = Some(made),
                Ok(Err(_)) | Err(_) => tokio::time::sleep(REST).await,
            }
            continue;
        };
        match tokio::time::timeout(patience.answer, client.execute(statement, &[])).await {
            Ok(Ok(_)) => lane.acknowledge(sent, clock.now()),
            Ok(Err(error)) => {
                let code = error.code().map_or("connection", |code| code.code()).to_owned();
                let text = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
                // A standby that has not been promoted: its client had to try, and nothing has failed.
                if code != "25006" {
                    lane.refuse(format!("{code} {text}"));
                }
                if client.is_closed() || error.as_db_error().is_none() {
                    link = None;
                }
            }
            Err(_) => {
                lane.refuse("no answer".to_owned());
                link = None;
            }
        }
        tokio::time::sleep(REST).await;
    }
}

async fn connect(address: &str, text: &str) -> Result<(Client, Statement, Writer), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
    let task = Writer::begin(async move { drop(connection.await) });
    let statement = client.prepare(text).await?;
    Ok((client, statement, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_from_the_blow_to_the_end() {
        let lane = Lane::default();
        for (sent, at) in [(0, 5), (6, 9), (10, 30), (31, 32)] {
            lane.acknowledge(sent, at);
        }
        assert_eq!(lane.longest_silence(10, 40), 20);
        assert_eq!(lane.longest_silence(8, 31), 21);
        assert_eq!(lane.longest_silence(33, 50), 17, "nothing at all");
        assert!(lane.has_written_since(30) && !lane.has_written_since(31));
    }
}
