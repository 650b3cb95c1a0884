//! What tables ask for before a write to them is acknowledged.

use super::*;
use crate::partition::in_sync::InSync;

const SECOND: u64 = 1_000_000_000;

fn follower(node: u32, matched: u64) -> FollowerStatus {
    FollowerStatus {
        node: NodeId(node),
        matched: LogIndex(matched),
        learner: false,
        recovering: false,
        reachable: true,
    }
}

impl Bench {
    /// Followers 2 and 3 have the log up to here.
    fn followers_have(&mut self, second: u64, third: u64) {
        self.script.lock().unwrap().followers = vec![follower(2, second), follower(3, third)];
    }

    fn last(&self) -> u64 {
        self.script.lock().unwrap().last
    }

    /// `t` asks for this, and followers 2 and 3 keep up.
    fn asking(option: &str) -> Self {
        let mut bench = Self::with_table();
        bench.define(2, "CREATE TABLE other (id int PRIMARY KEY)");
        bench.define(3, &format!("ALTER TABLE t SET ({option})"));
        bench.decisions(1..=3);
        for _ in 0..3 {
            let last = bench.last();
            bench.followers_have(last, last);
            bench.pump();
            bench.commit_all(1);
        }
        bench
    }

    /// The decisions on these definitions get into the log.
    fn decisions(&mut self, numbers: impl Iterator<Item = u64>) {
        let decision = |number| Command::Decision { number: GlobalNumber(number), committed: true, values: Vec::new() };
        self.script.lock().unwrap().proposals.extend(numbers.map(|number| decision(number).encode()));
        let released = self.commit_all(1);
        assert!(released.is_empty(), "{released:?}");
    }

    fn write(&mut self, sequence: u64, text: &str) -> Vec<Reply> {
        let version = self.replica.machine().catalog().version.0;
        assert!(self.ask(sequence, RequestBody::Execute(batch(version, &[text]))).is_empty());
        self.commit_all(1)
    }

    fn pumped_at(&mut self, now: u64) -> Vec<Reply> {
        self.now = Instant(now);
        self.pump();
        self.replies()
    }

    fn proposed_set(&self) -> Option<(u64, Vec<NodeId>)> {
        self.script.lock().unwrap().proposals.iter().find_map(|bytes| match Command::decode(bytes) {
            Ok(Command::InSync { expected, members }) => Some((expected, members)),
            _ => None,
        })
    }
}

#[test]
fn a_synchronous_write_is_acknowledged_when_all_in_sync_have_it() {
    let mut bench = Bench::asking("replication_mode = 'sync'");
    assert_eq!(bench.replica.in_sync().set.members, [NodeId(1), NodeId(2), NodeId(3)]);
    assert!(bench.write(2, "INSERT INTO t VALUES (1, 10)").is_empty());
    let last = bench.last();
    bench.followers_have(last, last - 1);
    assert!(bench.pumped_at(0).is_empty(), "the slowest has not got it");
    bench.followers_have(last, last);
    assert_eq!(affected(&bench.pumped_at(0)[0].body), [1]);
    assert_eq!(bench.replica.in_sync().released, LogIndex(last));
    // The rest waits for nobody.
    assert_eq!(affected(&bench.write(3, "INSERT INTO other VALUES (1)")[0].body), [1]);
    assert!(matches!(bench.write(4, "INSERT INTO t VALUES (1, 10)")[0].body, ReplyBody::Done(Outcome::Error { .. })));
}

#[test]
fn a_write_waits_for_the_decisions_that_it_rests_on_and_for_nobody_longer_than_it_is_asked_for() {
    let mut bench = Bench::asking("replication_mode = 'sync'");
    bench.define(4, "CREATE TABLE later (id int PRIMARY KEY)");
    assert!(bench.write(2, "INSERT INTO t VALUES (1, 10)").is_empty());
    let last = bench.last();
    bench.followers_have(last, last);
    assert!(bench.pumped_at(0).is_empty(), "who survives alone would not know what the definition came to");
    bench.decisions(4..=4);
    bench.followers_have(last, last);
    assert!(bench.pumped_at(0).is_empty(), "the decision is not there");
    let now = bench.last();
    bench.followers_have(now, now);
    assert_eq!(affected(&bench.pumped_at(0)[0].body), [1]);

    assert!(bench.write(3, "INSERT INTO t VALUES (2, 10)").is_empty());
    assert_eq!(bench.replica.pending(), 1);
    bench.define(5, "ALTER TABLE t SET (replication_mode = 'semi-sync')");
    assert_eq!(bench.replica.pending(), 0, "no table asks for it any more");
}

#[test]
fn a_retry_waits_as_the_first_reply_did_at_another_leader_too() {
    let mut bench = Bench::asking("replication_mode = 'sync'");
    let (text, id) = ("INSERT INTO t VALUES (1, 10)", 2);
    assert!(bench.write(id, text).is_empty());
    let written = bench.last();
    let again = RequestBody::Execute(batch(3, &[text]));
    assert!(bench.ask(id, again.clone()).is_empty(), "the same leader");
    for (role, leads) in [(Role::Follower, false), (Role::Leader, true)] {
        bench.script.lock().unwrap().leads = leads;
        bench.push(Ready { role: Some(role), ..Ready::default() });
        bench.pump();
    }
    assert_eq!(bench.replies()[0].body, ReplyBody::Lost);
    assert!(bench.ask(id, again).is_empty(), "another leader");
    bench.followers_have(written, written - 1);
    assert!(bench.pumped_at(0).is_empty());
    bench.followers_have(written, written);
    assert_eq!(affected(&bench.pumped_at(0)[0].body), [1]);
}

#[test]
fn who_is_silent_leaves_by_an_entry_and_joins_when_it_has_what_was_released() {
    let mut bench = Bench::asking("replication_mode = 'sync'");
    assert!(bench.write(2, "INSERT INTO t VALUES (1, 10)").is_empty());
    let last = bench.last();
    bench.followers_have(last, last - 1);
    assert!(bench.pumped_at(4 * SECOND).is_empty());
    assert_eq!(bench.proposed_set(), None, "it is waited for");
    assert!(bench.pumped_at(6 * SECOND).is_empty(), "nothing is released before the log says so");
    let (version, members) = bench.proposed_set().expect("it has been silent for longer");
    assert_eq!(members, [NodeId(1), NodeId(2)]);
    assert_eq!(affected(&bench.commit_all(1)[0].body), [1]);
    assert_eq!(bench.replica.in_sync().set, InSync { version: version + 1, members });
    // It is there again, and waited for from the moment at which it keeps up.
    let last = bench.last();
    bench.followers_have(last, last - 1);
    assert_eq!((bench.pumped_at(7 * SECOND).len(), bench.proposed_set()), (0, None));
    bench.followers_have(last, last);
    assert!(bench.pumped_at(7 * SECOND).is_empty());
    assert_eq!(bench.proposed_set(), Some((version + 1, vec![NodeId(1), NodeId(2), NodeId(3)])));
    assert!(bench.ask(3, RequestBody::Execute(batch(3, &["INSERT INTO t VALUES (2, 20)"]))).is_empty());
    assert!(bench.commit_all(1).is_empty());
    let last = bench.last();
    bench.followers_have(last, last - 1);
    assert!(bench.pumped_at(7 * SECOND).is_empty(), "it belongs to them");
}

#[test]
fn of_two_changes_of_the_set_that_follow_the_same_one_is_nothing() {
    let mut bench = Bench::asking("replication_mode = 'sync'");
    let InSync { version, .. } = bench.replica.in_sync().set;
    for members in [vec![NodeId(1)], vec![NodeId(1), NodeId(3)]] {
        bench.script.lock().unwrap().proposals.push(Command::InSync { expected: version, members }.encode());
    }
    bench.commit_all(1);
    assert_eq!(bench.replica.in_sync().set, InSync { version: version + 1, members: vec![NodeId(1)] });
}

#[test]
fn backups_that_are_asked_for_are_waited_for_whoever_is_in_sync() {
    let mut bench = Bench::asking("replication = 2");
    assert_eq!(bench.replica.in_sync().set, InSync::default(), "nobody asks for a set");
    assert!(bench.write(2, "INSERT INTO t VALUES (1, 10)").is_empty());
    let last = bench.last();
    bench.followers_have(last, last - 1);
    assert!(bench.pumped_at(60 * SECOND).is_empty());
    bench.followers_have(last, last);
    assert_eq!(affected(&bench.pumped_at(60 * SECOND)[0].body), [1]);
}
