//! Messages of the server and requests to partitions, as a reader wants them.

use crate::partition::global::GlobalBody;
use crate::partition::message::{Action, Commitment, Part, Request, RequestBody, Statement, Step};
use crate::types::Value;
use bytes::Buf;
use std::fmt::Write;

/// All messages in `bytes`, which begins with one and ends with one.
pub(super) fn messages(mut bytes: &[u8], opening: bool) -> Vec<String> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        if opening && bytes[0] == b'N' && (bytes.len() < 5 || bytes[1] != 0) {
            lines.push("no encryption".to_owned());
            bytes.advance(1);
            continue;
        }
        let length = (&bytes[1..5]).get_u32() as usize;
        lines.push(message(bytes[0], &bytes[5..1 + length]));
        bytes.advance(1 + length);
    }
    lines
}

fn message(kind: u8, mut body: &[u8]) -> String {
    match kind {
        b'R' => format!("AuthenticationOk {}", body.get_u32()),
        b'S' => format!("ParameterStatus {} = {:?}", text(&mut body), text(&mut body)),
        b'K' => format!("BackendKeyData process {} key of {} bytes", body.get_u32(), body.len()),
        b'Z' => format!("ReadyForQuery {}", char::from(body[0])),
        b'T' => row_description(body),
        b'D' => data_row(body),
        b'C' => format!("CommandComplete {}", text(&mut body)),
        b'E' => format!("ErrorResponse {}", fields(body)),
        b'N' => format!("NoticeResponse {}", fields(body)),
        b't' => {
            let types: Vec<_> = (0..body.get_u16()).map(|_| body.get_u32().to_string()).collect();
            format!("ParameterDescription [{}]", types.join(", "))
        }
        b'v' => {
            let version = body.get_u32();
            let options: Vec<_> = (0..body.get_u32()).map(|_| text(&mut body)).collect();
            format!("NegotiateProtocolVersion {}.{} {options:?}", version >> 16, version & 0xffff)
        }
        b'G' => {
            let format = body.get_u8();
            let formats: Vec<_> = (0..body.get_u16()).map(|_| body.get_u16().to_string()).collect();
            format!("CopyInResponse {format} [{}]", formats.join(", "))
        }
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b'n' => "NoData".to_owned(),
        b's' => "PortalSuspended".to_owned(),
        b'I' => "EmptyQueryResponse".to_owned(),
        other => panic!("the server said {other}"),
    }
}

fn text(body: &mut &[u8]) -> String {
    let end = body.iter().position(|byte| *byte == 0).expect("texts end");
    let text = String::from_utf8(body[..end].to_vec()).expect("texts are UTF-8");
    body.advance(end + 1);
    text
}

fn row_description(mut body: &[u8]) -> String {
    let columns: Vec<_> = (0..body.get_u16())
        .map(|_| {
            let name = text(&mut body);
            body.advance(6);
            let (oid, length, modifier, format) = (body.get_u32(), body.get_i16(), body.get_i32(), body.get_i16());
            let format = if format == 1 { " binary" } else { "" };
            let modifier = if modifier == -1 { String::new() } else { format!(" modifier {modifier}") };
            format!("{name} type {oid}/{length}{modifier}{format}")
        })
        .collect();
    format!("RowDescription [{}]", columns.join(", "))
}

fn data_row(mut body: &[u8]) -> String {
    let mut line = "DataRow".to_owned();
    for _ in 0..body.get_u16() {
        let length = body.get_i32();
        if length < 0 {
            line.push_str(" NULL");
            continue;
        }
        let value = &body[..length as usize];
        match std::str::from_utf8(value) {
            Ok(text) if !text.chars().any(char::is_control) => write!(line, " {text:?}"),
            _ => write!(line, " {value:02x?}"),
        }
        .expect("strings can be written to");
        body.advance(length as usize);
    }
    line
}

fn fields(mut body: &[u8]) -> String {
    let mut line = String::new();
    loop {
        match body.get_u8() {
            0 => return line,
            b'V' => {
                text(&mut body);
            }
            b'S' | b'C' => line += &format!("{} ", text(&mut body)),
            b'M' => line += &text(&mut body),
            code => {
                let name = match code {
                    b'D' => "detail",
                    b'H' => "hint",
                    b'W' => "context",
                    b'P' => "position",
                    b't' => "table",
                    b'c' => "column",
                    b'n' => "constraint",
                    _ => "?",
                };
                line += &format!(" | {name}: {}", text(&mut body));
            }
        }
    }
}

/// A request, with what identifies it.
pub(super) fn request(request: &Request) -> String {
    let what = match &request.body {
        RequestBody::Execute(batch) | RequestBody::Query(batch) => {
            let kind = if matches!(request.body, RequestBody::Execute(_)) { "Execute" } else { "Query" };
            format!("{kind} {} {{{}}}", batch.catalog_version, texts(&batch.statements))
        }
        RequestBody::Step(step) => {
            let Step { transaction, done, began, catalog_version, before, .. } = step;
            let repeated: Vec<_> = before.iter().flat_map(|list| &list.parts).flat_map(|part| &part.actions).collect();
            let acts: Vec<_> =
                step.actions.iter().chain(repeated.into_iter().map(|(act, _)| act)).map(action).collect();
            let (acts, again) = (acts.join("; "), if before.is_some() { " again" } else { "" });
            format!("Step {done} of transaction {transaction}{again}, {catalog_version} {began:?} {{{acts}}}")
        }
        RequestBody::Commit(commitment) => format!("Commit {}", list(commitment)),
        RequestBody::Validate(commitment) => format!("Validate {}", list(commitment)),
        RequestBody::Order { participants, body } => {
            let participants: Vec<_> = participants.iter().map(ToString::to_string).collect();
            let what = match body.as_ref() {
                GlobalBody::Execute { statements, .. } => {
                    let placed = statements.iter().map(|placed| placed.statement.clone()).collect::<Vec<_>>();
                    format!("Execute {{{}}}", texts(&placed))
                }
                GlobalBody::Read { statements, .. } => {
                    let placed = statements.iter().map(|placed| placed.statement.clone()).collect::<Vec<_>>();
                    format!("Read {{{}}}", texts(&placed))
                }
                GlobalBody::Commit { only_validate, lists, .. } => {
                    let lists: Vec<_> = lists.iter().map(|(at, own)| format!("{at} {}", list(own))).collect();
                    format!("{} {}", if *only_validate { "Validate" } else { "Commit" }, lists.join(" and "))
                }
                GlobalBody::Define { definitions, lists, .. } => {
                    let lists = lists.iter().map(|(at, own)| format!("{at} {} and ", list(own)));
                    let texts: Vec<&str> = definitions.iter().map(|definition| &*definition.text).collect();
                    format!("{}Define {{{}}}", lists.collect::<String>(), texts.join("; "))
                }
                GlobalBody::Cut { .. } => "Cut".to_owned(),
            };
            let token = body.token().map(|token| format!(" under {} of {}", token.key, token.home)).unwrap_or_default();
            format!("Order for {}, {}{token}: {what}", participants.join(" "), body.catalog_version())
        }
        RequestBody::Collect { number } => format!("Collect {number}"),
        RequestBody::Look { cut, step } => {
            let text = step.actions.iter().map(|action| match action {
                crate::partition::message::Action::Statement(piece) => piece.statement.text.to_string(),
                other => format!("{other:?}"),
            });
            format!("Look at {cut}: {}", text.collect::<Vec<_>>().join("; "))
        }
        RequestBody::LetGo { cut } => format!("LetGo {cut}"),
        RequestBody::AskToken { key } => format!("AskToken {key}"),
        RequestBody::Abandon { transaction } => format!("Abandon transaction {transaction}"),
        RequestBody::Reserve { catalog_version, sequence, count } => {
            format!("Reserve {count} of sequence {}, {catalog_version}", sequence.0)
        }
        RequestBody::Amend(amendment) => format!("Amend {:?}", amendment.change),
        RequestBody::ReadCatalog { have } => format!("ReadCatalog, have {have}"),
        RequestBody::RegisterGateway { node, worker, incarnation } => {
            format!("RegisterGateway {node} {worker} {incarnation}")
        }
    };
    format!("{} acked below {} attempt {}: {what}", request.id, request.acked_below, request.attempt)
}

fn list(commitment: &Commitment) -> String {
    let Commitment { transaction, catalog_version, began, parts, .. } = commitment;
    let acts = |part: &Part| part.actions.iter().map(|(act, _)| action(act)).collect::<Vec<_>>().join("; ");
    let parts: Vec<_> = parts.iter().map(|part| format!("{{{}}}", acts(part))).collect();
    format!("transaction {transaction}, {catalog_version} {began:?} {}", parts.join(" "))
}

fn action(action: &Action) -> String {
    match action {
        Action::Statement(piece) => {
            let part = if piece.partitions > 0 { "part of " } else { "" };
            format!("{part}{}", texts(std::slice::from_ref(&piece.statement)))
        }
        Action::Settle(settle) => {
            let from: Vec<_> = settle.said.iter().map(|(from, _)| from.0.to_string()).collect();
            format!("round {} of what p{} said", settle.round, from.join(", p"))
        }
        Action::Contribute(piece) => {
            format!("what there is for part of {}", texts(std::slice::from_ref(&piece.statement)))
        }
        Action::Gathered { piece, others } => {
            let from: Vec<_> = others.iter().map(|(other, bytes)| format!("{other} {} bytes", bytes.len())).collect();
            format!("part of {} with {}", texts(std::slice::from_ref(&piece.statement)), from.join(", "))
        }
        Action::Savepoint => "mark".to_owned(),
        Action::RollbackTo { level } => format!("back to mark {level}"),
        Action::Release { level } => format!("release mark {level}"),
    }
}

fn texts(statements: &[Statement]) -> String {
    let texts = statements.iter().map(|statement| match statement.parameters.as_slice() {
        [] => statement.text.to_string(),
        parameters => {
            let bytes = |value: &Value| if let Value::Bytea(bytes) = value { bytes.len() } else { 0 };
            match parameters.iter().map(bytes).sum::<usize>() {
                large @ 400.. => format!("{} with {large} bytes", statement.text),
                _ => format!("{} {parameters:?}", statement.text),
            }
        }
    });
    texts.collect::<Vec<_>>().join("; ")
}
