//! The health port: `/health`, `/ready`, `/metrics` over HTTP/1.1.
//!
//! One request a connection, GET or HEAD, heads parsed by `httparse`; a framework is worth its compile time when there is
//! more to serve than three pages. Malformed requests are answered with 400, long ones with 431, slow ones not at all.

use super::health::Board;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longest head of a request.
const MAX_HEAD: usize = 8 << 10;
const MAX_HEADERS: usize = 64;
/// Most connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 64;
/// A connection is closed after this long, whatever it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, board: Arc<Board>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = super::accept(&listener).await;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let board = Arc::clone(&board);
        #[allow(clippy::disallowed_methods, reason = "an edge: several who ask at once, none for ever")]
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &board)).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, board: &Board) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    let response = loop {
        if let Some(response) = answer(&head, board) {
            break response;
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    stream.write_all(&response).await?;
    stream.shutdown().await?;
    // What is still on its way would make the system reset the connection before the answer is read.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The whole response to what has come; `None`: the head is not whole.
fn answer(head: &[u8], board: &Board) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return None,
        Ok(httparse::Status::Complete(_)) if head.len() <= MAX_HEAD => {}
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Some(response("431 Request Header Fields Too Large", "the request is too long\n", true));
        }
        Err(_) => return Some(response("400 Bad Request", "this is no HTTP request\n", true)),
    }
    let with_body = match request.method {
        Some("GET") => true,
        Some("HEAD") => false,
        _ => return Some(response("405 Method Not Allowed", "only GET and HEAD\n", true)),
    };
    let path = request.path.unwrap_or_default();
    let (status, body) = match path.split(['?', '#']).next().unwrap_or_default() {
        "/health" => ("200 OK", "alive\n".to_owned()),
        "/ready" => match board.ready() {
            Ok(()) => ("200 OK", "ready\n".to_owned()),
            Err(reason) => ("503 Service Unavailable", format!("not ready: {reason}\n")),
        },
        "/metrics" => ("200 OK", board.metrics()),
        _ => ("404 Not Found", "there are /health, /ready and /metrics\n".to_owned()),
    };
    Some(response(status, &body, with_body))
}

fn response(status: &str, body: &str, with_body: bool) -> Vec<u8> {
    // Prometheus asks for the version of its format.
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\nCache-Control: no-store\r\nAllow: GET, HEAD\r\n\r\n",
        body.len()
    );
    if with_body {
        out += body;
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;
    use proptest::prelude::*;

    fn board() -> Board {
        Board::new(NodeId(1), 1, Arc::default())
    }

    fn first_line(request: &[u8]) -> Option<String> {
        let response = String::from_utf8(answer(request, &board())?).expect("responses are text");
        response.lines().next().map(str::to_owned)
    }

    #[test]
    fn requests_are_answered_when_they_are_whole() {
        let line = |request: &str| first_line(request.as_bytes()).unwrap_or_default();
        assert_eq!(line("GET /health HTTP/1.1\r\nHost: x\r\n"), "");
        assert_eq!(line("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(line("HEAD /health?a=b HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
        assert_eq!(line("GET /ready HTTP/1.1\r\n\r\n"), "HTTP/1.1 503 Service Unavailable");
        assert_eq!(line("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
        assert_eq!(line("POST /health HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
        assert_eq!(line("\0\0\0\u{8}\0\0"), "HTTP/1.1 400 Bad Request");
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD));
        assert_eq!(line(&long), "HTTP/1.1 431 Request Header Fields Too Large");
        assert_eq!(line(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100))), line(&long));
    }

    #[test]
    fn metrics_are_in_prometheus_format() {
        let text = board().metrics();
        assert!(text.contains("# TYPE orrery_ready gauge\norrery_ready{node=\"1\"} 0\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            assert!(name.starts_with("orrery_") && name.ends_with('}') && value.parse::<u64>().is_ok(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(request: Vec<u8>, text in "(GET|HEAD|X) [/a-z?#%]{0,20} HTTP/1.[0-9]\r\n([a-z: ]{0,9}\r\n){0,3}") {
            let _ = answer(&request, &board());
            let _ = answer(text.as_bytes(), &board());
        }
    }
}
