//! The golden scripts: `tests/golden/raft/*.txt`. Each is a list of commands, a line `---`, and what happened.
//!
//! ```text
//! nodes 3 [batch 1]    a group of three (one entry to an append); disks sync at once
//! nodes 3 blank        three whose group is still to be formed
//! campaign 1           time goes on until node 1 loses patience
//! deliver              everything on its way arrives, and what that brings about, until all is quiet
//! deliver 1 2          only what is on its way from 1 to 2 now
//! drop [1 2]           what is on its way (from 1 to 2) is lost
//! propose 1 x=1        read 1 7            a proposal; a read with token 7
//! transfer 1 [2]       1 is to hand leadership over (to 2)
//! split 1              the links of node 1 lose everything      heal
//! hold 1               the disk of 1 syncs no more              persist 1      it syncs once      release 1
//! wipe 1 [known]       the disk of 1, which is down, is replaced (and it knows that it had one before)
//! crash 1              restart 1           restart 1 damaged 2 3  (records 2 to 3 cannot be read)
//! join 4               a node that belongs to no group comes up
//! change 1 to 1,2,4 [learners 5] [witnesses 2] [expecting 3]            1 is asked for another membership
//! followers 1          what 1, which leads, knows of the others
//! checkpoint 1 [keep 2]                     1 saves its state, and forgets the log before it (but for two entries)
//! snapshot 1 3         1 saves its state, and 3 takes it over
//! restart 3 without checkpoint              (the state that 3 has saved is lost)
//! time 100             time goes on by 100 ms; nothing is delivered
//! pause 100            for 100 ms nobody listens anywhere, and all notice it
//! status               where everybody stands                   log 1          what 1 holds
//! # remark             copied
//! ```
//! Set `UPDATE_GOLDEN=1` to write what happens into the files.

use super::super::message::{Body, Message};
use super::cluster::{Cluster, Event, Flight};
use crate::consensus::{Change, Consensus, Floor, FollowerStatus, Membership, Payload, Role, Standing};
use crate::types::{Duration, LogIndex, NodeId};
use bytes::Bytes;
use std::fmt::Write;
use std::path::Path;

#[test]
fn golden_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/raft");
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the scripts are there");
    let mut differing = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (input, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let output = play(input);
        if output == expected {
            continue;
        }
        if update {
            std::fs::write(&file, format!("{input}---\n{output}")).unwrap();
        } else {
            differing.push(format!("{} should read\n{output}", file.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// With the feature `mutants`: figure 8 happens when earlier eras are counted.
#[test]
fn figure_8_happens_under_planted_bug_12() {
    if !crate::env::buggify::plant(12) {
        return;
    }
    let output =
        play(include_str!("../../../../tests/golden/raft/section_5_4_2_figure_8.txt").split("---\n").next().unwrap());
    crate::env::buggify::plant(0);
    assert!(output.contains("VIOLATION: state machine safety"), "{output}");
}

/// With the feature `mutants`: a late vote makes a second leader when it is counted in another era.
#[test]
fn a_late_vote_elects_under_planted_bug_6() {
    if !crate::env::buggify::plant(6) {
        return;
    }
    let script = include_str!("../../../../tests/golden/raft/section_5_2_late_vote.txt");
    let output = play(script.split("---\n").next().unwrap());
    crate::env::buggify::plant(0);
    assert!(output.contains("VIOLATION: election safety"), "{output}");
}

/// With the feature `mutants`: what goes wrong with memberships when they are taken lightly.
#[test]
fn groups_split_under_planted_bugs_53_to_55() {
    for (bug, script) in [
        (53, include_str!("../../../../tests/golden/raft/thesis_4_1_bug_of_2015.txt")),
        (54, include_str!("../../../../tests/golden/raft/thesis_4_3_one_change_at_a_time.txt")),
        (55, include_str!("../../../../tests/golden/raft/thesis_4_1_in_force_when_appended.txt")),
    ] {
        if !crate::env::buggify::plant(bug) {
            return;
        }
        let output = play(script.split("---\n").next().unwrap());
        crate::env::buggify::plant(0);
        assert!(output.contains("VIOLATION: leader completeness"), "planted {bug}: {output}");
    }
}

fn play(input: &str) -> String {
    let mut cluster = Cluster::new(0, 1, 100);
    let mut output = String::new();
    for line in input.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            writeln!(output, "{line}").unwrap();
            continue;
        }
        writeln!(output, "> {line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        execute(&mut cluster, &words, &mut output);
        for event in std::mem::take(&mut cluster.events) {
            writeln!(output, "  {}", describe(&event)).unwrap();
        }
        cluster.judge();
        if let Some(violation) = &cluster.violation {
            writeln!(output, "  VIOLATION: {violation}").unwrap();
        }
    }
    output
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("a number, not {word:?}"))
}

fn node(word: &str) -> NodeId {
    NodeId(number(word) as u32)
}

fn execute(cluster: &mut Cluster, words: &[&str], output: &mut String) {
    match words {
        ["nodes", count] => *cluster = Cluster::new(number(count) as u32, 1, 100),
        ["nodes", count, "blank"] => *cluster = Cluster::blank(number(count) as u32, 1, 100),
        ["nodes", count, "batch", entries] => {
            *cluster = Cluster::new(number(count) as u32, 1, number(entries) as usize);
        }
        ["lease", millis] => cluster.lease(Duration::from_millis(number(millis))),
        ["campaign", who] => {
            let who = node(who);
            let at = cluster.raft(who).expect("it lives").next_timeout();
            cluster.now = cluster.now.max(at);
            cluster.call(who, |raft, now| raft.handle_timeout(now));
        }
        ["deliver"] => {
            while !cluster.network.is_empty() {
                let flight = cluster.network.remove(0);
                cluster.deliver(&flight);
            }
        }
        ["deliver", from, to] => {
            for flight in take(cluster, node(from), node(to)) {
                cluster.deliver(&flight);
            }
        }
        ["drop"] => cluster.network.clear(),
        ["drop", from, to] => drop(take(cluster, node(from), node(to))),
        ["propose", who, payload] => {
            let payload = Bytes::from((*payload).to_owned());
            if let Some(Err(error)) = cluster.call(node(who), |raft, now| raft.propose(now, payload)) {
                writeln!(output, "  refused: {error}; the leader is {:?}", error.leader).unwrap();
            }
        }
        ["transfer", who, rest @ ..] => {
            let to = rest.first().map(|to| node(to));
            match cluster.call(node(who), |raft, now| raft.transfer(now, to)).flatten() {
                Some(to) => writeln!(output, "  to {to}").unwrap(),
                None => writeln!(output, "  to nobody").unwrap(),
            }
        }
        ["prefer", leader] => {
            for who in cluster.nodes() {
                cluster.call(who, |raft, _| raft.prefer(Some(node(leader))));
            }
        }
        ["join", who] => cluster.join(node(who)),
        ["change", who, "to", voters, rest @ ..] => {
            let nodes = |word: &str| word.split(',').map(node).collect::<Vec<_>>();
            let expected = cluster.raft(node(who)).map_or(0, |raft| raft.membership().id);
            let mut change = Change { expected, voters: nodes(voters), ..Change::default() };
            for pair in rest.chunks(2) {
                match pair {
                    ["learners", list] => change.learners = nodes(list),
                    ["witnesses", list] => change.witnesses = nodes(list),
                    ["expecting", id] => change.expected = number(id),
                    other => panic!("unknown part of a change {other:?}"),
                }
            }
            if let Some(Err(refused)) = cluster.change(node(who), change) {
                writeln!(output, "  refused: {refused}").unwrap();
            }
        }
        ["followers", who] => {
            for follower in cluster.raft(node(who)).map(Consensus::followers).unwrap_or_default() {
                let FollowerStatus { node, matched, learner, recovering, reachable } = follower;
                let word = |is: bool, word: &'static str| if is { word } else { "" };
                let (learner, recovering) = (word(learner, ", learns"), word(recovering, ", has no memory"));
                let silent = word(!reachable, ", is not heard");
                writeln!(output, "  {node} has it to {matched}{learner}{recovering}{silent}").unwrap();
            }
        }
        ["read", who, token] => {
            if !cluster.read(node(who), number(token)) {
                writeln!(output, "  refused: not the leader").unwrap();
            }
        }
        ["split", who] => {
            let who = node(who);
            for other in cluster.nodes() {
                cluster.cut.extend([(who, other), (other, who)]);
            }
        }
        ["heal"] => cluster.cut.clear(),
        ["hold", who] => cluster.member(node(who)).held = true,
        ["persist", who] => cluster.persist(node(who)),
        ["release", who] => {
            cluster.member(node(who)).held = false;
            cluster.persist(node(who));
        }
        ["crash", who] => cluster.crash(node(who)),
        ["wipe", who] => cluster.wipe(node(who), false),
        ["wipe", who, "known"] => cluster.wipe(node(who), true),
        ["restart", who] => cluster.restart(node(who), None),
        ["restart", who, "damaged", first, last] => {
            cluster.restart(node(who), Some((number(first), number(last))));
        }
        ["restart", who, "without", "checkpoint"] => {
            cluster.member(node(who)).checkpoint = None;
            cluster.restart(node(who), None);
        }
        ["checkpoint", who] => checkpoint(cluster, node(who), 0),
        ["checkpoint", who, "keep", entries] => checkpoint(cluster, node(who), number(entries)),
        ["snapshot", from, to] => {
            let from = cluster.members.get(&node(from)).expect("scripts name existing nodes");
            let state = from.raft.as_ref().and_then(|raft| raft.position(from.executed)).or(from.checkpoint);
            cluster.snapshot(node(to), state.expect("there is a state"), true);
        }
        ["pause", millis] => {
            let length = Duration::from_millis(number(millis));
            cluster.now = cluster.now + length;
            for who in cluster.nodes() {
                cluster.call(who, |raft, now| raft.paused(now, length));
            }
        }
        ["time", millis] => cluster.pass(Duration::from_millis(number(millis))),
        ["status"] => status(cluster, output),
        ["log", who] => log(cluster, node(who), output),
        _ => panic!("unknown command {words:?}"),
    }
}

fn checkpoint(cluster: &mut Cluster, node: NodeId, keep: u64) {
    let executed = cluster.member(node).executed;
    cluster.checkpoint(node, executed, keep);
}

fn take(cluster: &mut Cluster, from: NodeId, to: NodeId) -> Vec<Flight> {
    let (taken, left) =
        std::mem::take(&mut cluster.network).into_iter().partition(|flight| (flight.from, flight.to) == (from, to));
    cluster.network = left;
    taken
}

fn status(cluster: &Cluster, output: &mut String) {
    for node in cluster.nodes() {
        let Some(raft) = cluster.raft(node) else {
            writeln!(output, "  {node} is down").unwrap();
            continue;
        };
        let status = raft.status();
        let role = match (status.role, status.leader) {
            (Role::Leader, _) => "leads".to_owned(),
            (Role::Candidate, _) => "is a candidate".to_owned(),
            (Role::Follower, Some(leader)) => format!("follows {leader}"),
            (Role::Follower, None) => "follows nobody".to_owned(),
        };
        write!(output, "  {node} {role} in {}, log to {}, chosen to {}", status.era, status.last, status.committed)
            .unwrap();
        if status.floor != Floor::default() {
            write!(output, ", begins after {}", place(status.floor)).unwrap();
        }
        let standing = match status.standing {
            Standing::Member => "",
            Standing::Forming => ", waits for the group to be formed",
            Standing::Recovering => ", recovers",
            Standing::Outside => ", waits to be taken in",
        };
        writeln!(output, "{}{standing}", if status.lacks_state { ", lacks its state" } else { "" }).unwrap();
    }
}

fn log(cluster: &Cluster, node: NodeId, output: &mut String) {
    let Some(raft) = cluster.raft(node) else { return };
    let status = raft.status();
    if status.floor != Floor::default() {
        writeln!(output, "  a checkpoint stands for what is up to {}", place(status.floor)).unwrap();
    }
    for index in (status.floor.index.0 + 1..=status.last.0).map(LogIndex) {
        let entry = raft.core.log.entry(index).expect("within the log");
        let mark = if index <= raft.status().committed { "chosen" } else { "open" };
        writeln!(output, "  {index} {}: {} ({mark})", entry.era, payload(&entry.payload)).unwrap();
    }
}

fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Empty => "no-op".to_owned(),
        Payload::Command(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Configuration(bytes) => who(&Membership::decode(bytes).expect("only memberships are appended")),
    }
}

fn who(membership: &Membership) -> String {
    let list = |title: &str, nodes: &[NodeId]| {
        let nodes: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
        if nodes.is_empty() { String::new() } else { format!("{title}{}", nodes.join(",")) }
    };
    let Membership { id, voters, outgoing, learners, witnesses } = membership;
    let (voters, outgoing) = (list(" voters ", voters), list(" from ", outgoing));
    format!("configuration {id}:{voters}{outgoing}{}{}", list(" learners ", learners), list(" witnesses ", witnesses))
}

fn place(floor: Floor) -> String {
    format!("{} of {}", floor.index, floor.era)
}

fn describe(event: &Event) -> String {
    match event {
        Event::Sent(flight) => describe_message(flight),
        Event::Role(node, Role::Leader, era) => format!("{node} leads {era}"),
        Event::Role(node, Role::Candidate, era) => format!("{node} becomes a candidate, so far in {era}"),
        Event::Role(node, Role::Follower, era) => format!("{node} becomes a follower in {era}"),
        Event::Chosen(node, chosen) => format!("{node} executes {}: {}", chosen.index, payload(&chosen.payload)),
        Event::Read(node, token, index) => format!("{node} may run read {token} at {index}"),
        Event::Wanted(node, fetch) => {
            format!("{node} wants a snapshot from {}, of {} or later", fetch.from, fetch.at_least)
        }
        Event::Reset(node, floor) => format!("{node} begins its log on disk anew after {}", place(*floor)),
        Event::Installed(node, floor, true) => format!("{node} goes on from the state at {}", place(*floor)),
        Event::Installed(node, floor, false) => format!("{node} does not need the state at {}", place(*floor)),
        Event::Membership(node, membership) => format!("{node} is in {}", who(membership)),
        Event::ReadDropped(node, token) => format!("{node} gives read {token} up"),
    }
}

fn describe_message(flight: &Flight) -> String {
    let Message { era, body, recovering, .. } =
        Message::decode(&flight.bytes).expect("members send what they understand");
    let said = match body {
        Body::PreVote { next, last, last_era } => {
            format!("would you vote for me in {next}? my log ends at {last} of {last_era}")
        }
        Body::PreVoteReply { next, granted: true } => format!("I would, in {next}"),
        Body::PreVoteReply { next, granted: false } => format!("I would not, in {next}"),
        Body::Vote { last, last_era } => format!("vote for me! my log ends at {last} of {last_era}"),
        Body::VoteNow { last, last_era } => {
            format!("our leader wants you to vote for me! my log ends at {last} of {last_era}")
        }
        Body::TimeoutNow => "lead in my place!".to_owned(),
        Body::VoteReply { granted: true, .. } => "you have my vote".to_owned(),
        Body::VoteReply { granted: false, .. } => "you do not get my vote".to_owned(),
        Body::Append { previous, previous_era, entries, committed } => {
            let eras: Vec<String> = entries.iter().map(|entry| entry.era.to_string()).collect();
            let count = entries.len();
            format!("append {count} after {previous} of {previous_era}, of {}; chosen to {committed}", eras.join(" "))
        }
        Body::AppendMatched { matched } => format!("I have your log to {matched}"),
        Body::AppendRejected { previous, hint, hint_era } => {
            format!("{previous} does not match; try at or before {hint} of {hint_era}")
        }
        Body::Heartbeat { committed, round, .. } => format!("heartbeat, round {round}; chosen to {committed}"),
        Body::HeartbeatReply { round, last, .. } => format!("I follow you, round {round}; my log ends at {last}"),
        Body::Chosen { committed } => format!("chosen to {committed}"),
        Body::Outdated => "your era is over".to_owned(),
        Body::Ask => "I remember nothing: where do you stand?".to_owned(),
        Body::Answer { phase, last, leads, .. } => {
            let leads = if leads { " and I lead" } else { "" };
            format!("I am {}, my log ends at {last}{leads}", format!("{phase:?}").to_lowercase())
        }
        Body::Forgotten { generation } => format!("you have forgotten what you were: {generation} generations or more"),
        Body::Behind { floor } => format!("my log begins after {}, and you need more", place(floor)),
    };
    let voice = if recovering && !said.contains("remember nothing") { " (without a voice)" } else { "" };
    format!("{}→{} in {era}: {said}{voice}", flight.from, flight.to)
}
