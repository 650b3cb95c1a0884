//! Entries of a partition's log in words, for people who look at a log on disk.

use crate::consensus::{Membership, Payload};
use crate::partition::command::{Command, CommandBody, CommandV1};
use crate::partition::global::{Global, GlobalBody, Placed};
use crate::partition::message::{Action, Commitment, Statement};
use crate::partition::parcel;
use crate::types::{NodeId, Value};

/// Longest text of one value or statement.
const LONGEST: usize = 200;

/// What an entry says. Of a long command, which stands in several entries, the last one's words say no more than the others'.
#[must_use]
pub fn words(payload: &Payload) -> String {
    if let Some((number, of, bytes)) = parcel::piece(payload) {
        return format!("piece {} of {of} of a long command, {} bytes", u64::from(number) + 1, bytes.len());
    }
    match payload {
        Payload::Empty => "an era begins".to_owned(),
        Payload::Configuration(bytes) => {
            Membership::decode(bytes).map_or_else(|| "an unreadable membership".to_owned(), |it| membership(&it))
        }
        Payload::Command(bytes) => match Command::decode(bytes) {
            Ok(command) => of_command(&command),
            Err(reason) => reason,
        },
    }
}

/// A membership.
#[must_use]
pub fn membership(membership: &Membership) -> String {
    let list = |nodes: &[NodeId]| nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(",");
    let mut text = format!("membership {}: voters {}", membership.id, list(&membership.voters));
    let others =
        [("outgoing", &membership.outgoing), ("learners", &membership.learners), ("witnesses", &membership.witnesses)];
    for (name, nodes) in others.into_iter().filter(|(_, nodes)| !nodes.is_empty()) {
        text += &format!(", {name} {}", list(nodes));
    }
    text
}

fn of_command(command: &Command) -> String {
    match command {
        Command::V1(CommandV1 { id, body, .. }) => format!("{id} {}", of_body(body)),
        Command::Global(global) => of_global(global),
        Command::Decision { number, committed, .. } => {
            format!("{number} is {}", if *committed { "committed" } else { "aborted" })
        }
        Command::Tick { reports, forget_below } => {
            format!("{} groups have reported; forget what is below {forget_below}", reports.len())
        }
        Command::Amend(amendment) => {
            format!("the directory of nodes: {}", shortened(&format!("{:?}", amendment.change)))
        }
        Command::Age(age) => format!("age {age} of idempotency tokens is over"),
        Command::InSync { expected, members } => {
            let members: Vec<String> = members.iter().map(|node| node.0.to_string()).collect();
            format!("in sync, after version {expected}: nodes {}", members.join(","))
        }
        Command::LetGo(cuts) => format!("{} cuts are let go", cuts.len()),
    }
}

fn of_body(body: &CommandBody) -> String {
    match body {
        CommandBody::Execute { statements, .. } => statements.iter().map(of_statement).collect::<Vec<_>>().join("; "),
        CommandBody::Commit(list) => of_list(list),
        CommandBody::Order { participants, body } => {
            let participants: Vec<String> = participants.iter().map(ToString::to_string).collect();
            format!("order over {}: {}", participants.join(","), of_global_body(body))
        }
        CommandBody::RegisterGateway { node, worker, incarnation } => {
            format!("gateway of {node}.{worker} begins life {}", incarnation.life())
        }
        CommandBody::Amend(amendment) => {
            format!("the directory of nodes: {}", shortened(&format!("{:?}", amendment.change)))
        }
        CommandBody::Reserve { sequence, count, .. } => format!("reserve {count} values of {sequence}"),
    }
}

fn of_global(global: &Global) -> String {
    let participants: Vec<String> = global.participants.iter().map(|(partition, _)| partition.to_string()).collect();
    format!("{} {} over {}: {}", global.number, global.id, participants.join(","), of_global_body(&global.body))
}

fn of_global_body(body: &GlobalBody) -> String {
    let placed = |all: &[Placed]| all.iter().map(|one| of_statement(&one.statement)).collect::<Vec<_>>().join("; ");
    match body {
        GlobalBody::Execute { statements, .. } => placed(statements),
        GlobalBody::Commit { lists, only_validate, .. } => {
            let what = if *only_validate { "validate" } else { "commit" };
            let lists: Vec<String> =
                lists.iter().map(|(partition, list)| format!("{partition} {}", of_list(list))).collect();
            format!("{what} {}", lists.join(" | "))
        }
        GlobalBody::Define { definitions, lists, .. } => {
            let lists = lists.iter().map(|(partition, list)| format!("{partition} {}", of_list(list)));
            lists.chain(definitions.iter().map(|definition| shortened(&definition.text))).collect::<Vec<_>>().join("; ")
        }
        GlobalBody::Read { statements, .. } => format!("read {}", placed(statements)),
        GlobalBody::Cut { .. } => "cut".to_owned(),
    }
}

fn of_list(list: &Commitment) -> String {
    let actions = list.parts.iter().flat_map(|part| &part.actions);
    let words: Vec<String> = actions.map(|(action, _)| of_action(action)).collect();
    format!("transaction {} {{{}}}", list.transaction, words.join("; "))
}

fn of_action(action: &Action) -> String {
    match action {
        Action::Savepoint => "SAVEPOINT".to_owned(),
        Action::RollbackTo { level } => format!("ROLLBACK TO {level}"),
        Action::Release { level } => format!("RELEASE {level}"),
        Action::Settle(settle) => format!("settle round {} of {}", settle.round, of_statement(&settle.statement)),
        other => other.piece().map_or_else(String::new, |piece| of_statement(&piece.statement)),
    }
}

fn of_statement(statement: &Statement) -> String {
    let text = shortened(&statement.text);
    if statement.parameters.is_empty() {
        return text;
    }
    let values: Vec<String> = statement.parameters.iter().map(of_value).collect();
    format!("{text} ({})", values.join(", "))
}

fn of_value(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{}'", shortened(text)),
        Value::Bytea(bytes) => format!("{} bytes", bytes.len()),
        other => shortened(&format!("{other:?}")),
    }
}

/// One line, not too long.
fn shortened(text: &str) -> String {
    let mut line: String =
        text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.len() < text.len() {
        line += &format!("… ({} bytes)", text.len());
    }
    line
}
