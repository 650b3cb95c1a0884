//! `orrery sql`: a shell for SQL.
//!
//! Statements come from a person (line editing and history by `rustyline`), from `-c`, from a file, or from a pipe. Rows go
//! to stdout, errors and notices to stderr: SQLSTATE, the place in the statement, detail and hint. With `-c`, `-f` or a pipe
//! the first error ends it with exit code 1.

mod meta;
mod split;

use super::connect::{Connect, PATIENCE};
use super::table::{Style, draw};
use crate::client::{Answer, Client, Failure, Report, Retry, Rows, Target, execute};
use crate::server;
use meta::Next;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use split::Splitter;
use std::io::{BufRead, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// What `\d` asks is answered so soon, or not at all.
const DESCRIBE: Duration = Duration::from_secs(30);
/// So is what is tried more than once: a little longer than a statement takes at most.
const ANSWERED: Duration = Duration::from_secs(40);
const HISTORY: &str = ".orrery_history";

/// Flags of `orrery sql`.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Sql {
    #[command(flatten)]
    connect: Connect,
    /// Database: orrery or postgres, which are the same
    #[arg(long, short = 'd', value_name = "NAME", default_value = "orrery")]
    database: String,
    /// Run this and end; may be given several times
    #[arg(long, short = 'c', value_name = "SQL")]
    command: Vec<String>,
    /// With one -c: try so many times where nothing was changed or a token makes it safe, with growing pauses
    #[arg(long, value_name = "N", default_value_t = 1, requires = "command")]
    tries: u32,
    /// With one -c: execute it once under this idempotency token, however often it is tried, now or later
    #[arg(long, value_name = "TOKEN", requires = "command")]
    token: Option<String>,
    /// Run the statements of this file and end; `-` is stdin
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Vec<PathBuf>,
}

/// The shell's state.
struct Shell {
    target: Target,
    client: Client,
    style: Style,
    timing: bool,
    /// Has something failed since it was last looked at?
    failed: bool,
}

/// Where lines come from.
trait Lines {
    /// The next line; `None`: there are no more.
    fn next(&mut self, prompt: &str) -> Option<Line>;
}

enum Line {
    Text(String),
    /// The person has given up on what was begun.
    Abandoned,
}

/// Runs the shell.
pub(super) fn run(sql: Sql) -> Result<(), server::Failure> {
    let target = sql.connect.target(&sql.database, "orrery sql");
    if sql.tries > 1 || sql.token.is_some() {
        return try_again(&sql, &target);
    }
    let client = Client::connect(&target, PATIENCE).map_err(|failure| server::Failure::usage(failure.to_string()))?;
    let mut shell = Shell { target, client, style: Style::Aligned, timing: false, failed: false };
    let broken = |failure: Failure| server::Failure::broken(failure.to_string());
    for text in &sql.command {
        shell.text(text).map_err(broken)?;
        shell.check()?;
    }
    for path in &sql.file {
        let mut lines = FileLines::open(path).map_err(server::Failure::usage)?;
        shell.script(&mut lines).map_err(broken)?;
        shell.check()?;
    }
    if !sql.command.is_empty() || !sql.file.is_empty() {
        return Ok(());
    }
    if std::io::stdin().is_terminal() {
        return shell.dialogue().map_err(broken);
    }
    shell.script(&mut FileLines(Box::new(std::io::stdin().lock()))).map_err(broken)?;
    shell.check()
}

/// Runs the text of `-c` as one command that may be tried again.
fn try_again(sql: &Sql, target: &Target) -> Result<(), server::Failure> {
    let [text] = sql.command.as_slice() else {
        return Err(server::Failure::usage("--tries and --token are for one -c"));
    };
    if sql.token.as_deref() == Some("") {
        return Err(server::Failure::usage(
            "--token is empty: name one, another for each thing that is to be done once",
        ));
    }
    let mut retry = Retry::new(sql.tries, u64::from(std::process::id()));
    #[allow(clippy::disallowed_methods, reason = "an edge: between two tries there is nothing else to do")]
    let mut wait = std::thread::sleep;
    let done = execute(std::slice::from_ref(target), text, sql.token.as_deref(), &mut retry, ANSWERED, &mut wait);
    match done {
        Ok(answers) => {
            let mut rows = Rows::default();
            answers.into_iter().for_each(|answer| present(answer, &mut rows, Style::Aligned, text));
            Ok(())
        }
        Err(Failure::Server(report)) => {
            show(&shown(&report, text));
            Err(server::Failure::broken("ended at the first error"))
        }
        // As without `--tries`: no connection is nothing that was executed.
        Err(failure @ Failure::Connect(_)) => Err(server::Failure::usage(failure.to_string())),
        Err(failure) => Err(server::Failure::broken(failure.to_string())),
    }
}

/// Shows an answer; rows are shown when they are complete.
fn present(answer: Answer, rows: &mut Rows, style: Style, text: &str) {
    match answer {
        Answer::Columns(columns) => *rows = Rows { columns, rows: Vec::new() },
        Answer::Row(row) => rows.rows.push(row),
        Answer::Complete(tag) => {
            let rows = std::mem::take(rows);
            if rows.columns.is_empty() && rows.rows.is_empty() {
                return super::say(&tag);
            }
            super::say(&draw(&rows.columns, &rows.rows, style));
            // INSERT … RETURNING says what it has done, too.
            if !tag.starts_with("SELECT") && !tag.starts_with("EXPLAIN") && !tag.starts_with("SHOW") {
                super::say(&tag);
            }
        }
        Answer::Empty => {}
        Answer::Notice(report) | Answer::Error(report) => show(&shown(&report, text)),
    }
}

impl Shell {
    /// After something that nobody watches: was there an error? It has been shown already.
    fn check(&self) -> Result<(), server::Failure> {
        if self.failed { Err(server::Failure::broken("ended at the first error")) } else { Ok(()) }
    }

    /// A text of `-c`: one command, or statements that are sent together.
    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if text.trim_start().starts_with('\\') {
            self.command(text.trim()).map(drop)
        } else {
            self.statements(text, &mut || None)
        }
    }

    /// Runs lines until one fails.
    fn script(&mut self, lines: &mut dyn Lines) -> Result<(), Failure> {
        let mut splitter = Splitter::default();
        while !self.failed {
            let Some(Line::Text(line)) = lines.next("") else { break };
            if let Next::Quit = self.line(&mut splitter, &line, lines)? {
                return Ok(());
            }
        }
        match splitter.rest() {
            Some(rest) if !self.failed => self.statements(&rest, &mut || None),
            _ => Ok(()),
        }
    }

    /// Takes a line: a command, or a piece of a statement.
    fn line(&mut self, splitter: &mut Splitter, line: &str, lines: &mut dyn Lines) -> Result<Next, Failure> {
        if splitter.is_empty() && line.trim_start().starts_with('\\') {
            return self.command(line.trim());
        }
        splitter.line(line);
        while let Some(statement) = splitter.take() {
            self.statements(&statement, &mut || match lines.next("") {
                Some(Line::Text(line)) if line != "\\." => Some(line),
                _ => None,
            })?;
        }
        Ok(Next::GoOn)
    }

    /// Sends statements and shows what comes.
    fn statements(&mut self, text: &str, data: &mut dyn FnMut() -> Option<String>) -> Result<(), Failure> {
        #[allow(
            clippy::disallowed_methods,
            clippy::disallowed_types,
            reason = "an edge: \\timing shows a person's time"
        )]
        let began = std::time::Instant::now();
        let mut rows = Rows::default();
        let mut failed = false;
        let style = self.style;
        self.client.query(text, data, |answer| {
            failed |= matches!(answer, Answer::Error(_));
            present(answer, &mut rows, style, text);
        })?;
        self.failed |= failed;
        if self.timing {
            self.say(&format!("Time: {:.3} ms", began.elapsed().as_secs_f64() * 1e3));
        }
        Ok(())
    }

    /// Talks with a person.
    fn dialogue(&mut self) -> Result<(), Failure> {
        let version = self.client.parameter("server_version").unwrap_or("unknown").to_owned();
        self.say(&format!("orrery {}, server {version}. \\? lists commands, \\q ends.", super::VERSION));
        let mut lines = match TerminalLines::new() {
            Ok(lines) => lines,
            Err(error) => {
                self.complain(&format!("this terminal cannot be used: {error}"));
                return Ok(());
            }
        };
        let mut splitter = Splitter::default();
        loop {
            let state = match self.client.transaction() {
                b'T' => "*",
                b'E' => "!",
                _ => "",
            };
            let sign = if splitter.is_empty() { '=' } else { '-' };
            match lines.next(&format!("{}{sign}{state}> ", self.target.database)) {
                None => break,
                Some(Line::Abandoned) => splitter = Splitter::default(),
                Some(Line::Text(line)) => match self.line(&mut splitter, &line, &mut lines) {
                    Ok(Next::GoOn) => {}
                    Ok(Next::Quit) => break,
                    Err(Failure::Server(report)) => show(&shown(&report, "")),
                    Err(failure) => {
                        self.complain(&failure.to_string());
                        splitter = Splitter::default();
                        self.client = Client::connect(&self.target, PATIENCE)?;
                        self.complain("connected again; settings and an open transaction are gone");
                    }
                },
            }
        }
        lines.save();
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "what the shell says, and one day where")]
    fn say(&self, text: &str) {
        super::say(text);
    }

    #[allow(clippy::unused_self, reason = "what the shell says, and one day where")]
    fn complain(&self, text: &str) {
        show(text);
    }

    fn draw(&self, rows: &Rows) {
        super::say(draw(&rows.columns, &rows.rows, self.style).trim_end_matches('\n'));
    }
}

fn show(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An error or a notice with all it has: SQLSTATE, the line of the statement with a mark under it, detail, hint.
fn shown(report: &Report, statement: &str) -> String {
    let mut lines = vec![format!("{}:  {}: {}", report.severity, report.code, report.message)];
    if let Some((number, line, before)) = report.position.and_then(|position| place(statement, position)) {
        let prefix = format!("LINE {number}: ");
        let marked: String = line.chars().take(before).collect();
        let free = unicode_width::UnicodeWidthStr::width(&*marked) + prefix.len();
        lines.push(format!("{prefix}{line}"));
        lines.push(format!("{}^", " ".repeat(free)));
    }
    lines.extend(report.detail.iter().map(|detail| format!("DETAIL:  {detail}")));
    lines.extend(report.hint.iter().map(|hint| format!("HINT:  {hint}")));
    lines.join("\n")
}

/// Number and text of the line with this character (from 1), and how many characters stand before it there.
fn place(statement: &str, position: usize) -> Option<(usize, String, usize)> {
    let mut left = position.checked_sub(1)?;
    for (number, line) in statement.split('\n').enumerate() {
        let length = line.chars().count();
        if left <= length {
            return Some((number + 1, line.replace('\t', " "), left));
        }
        left -= length + 1;
    }
    None
}

/// Lines of a file or a pipe.
struct FileLines(Box<dyn BufRead>);

impl FileLines {
    fn open(path: &PathBuf) -> Result<Self, String> {
        if path.as_os_str() == "-" {
            return Ok(Self(Box::new(std::io::stdin().lock())));
        }
        let file = std::fs::File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok(Self(Box::new(std::io::BufReader::new(file))))
    }
}

impl Lines for FileLines {
    fn next(&mut self, _: &str) -> Option<Line> {
        let mut bytes = Vec::new();
        match self.0.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => {
                show(&format!("cannot read on: {error}"));
                return None;
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        Some(Line::Text(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Lines of a person.
struct TerminalLines {
    editor: Editor<(), FileHistory>,
    history: Option<PathBuf>,
}

impl TerminalLines {
    fn new() -> rustyline::Result<Self> {
        let config = Config::builder().max_history_size(10_000)?.history_ignore_space(true).auto_add_history(true);
        let mut editor = Editor::with_config(config.build())?;
        let history = std::env::home_dir().map(|home| home.join(HISTORY));
        if let Some(history) = &history {
            // The first time there is none.
            let _ = editor.load_history(history);
        }
        Ok(Self { editor, history })
    }

    fn save(&mut self) {
        if let Some(history) = &self.history
            && let Err(error) = self.editor.save_history(history)
        {
            show(&format!("the history is not saved in {}: {error}", history.display()));
        }
    }
}

impl Lines for TerminalLines {
    fn next(&mut self, prompt: &str) -> Option<Line> {
        match self.editor.readline(prompt) {
            Ok(line) => Some(Line::Text(line)),
            Err(ReadlineError::Interrupted) => Some(Line::Abandoned),
            Err(ReadlineError::Eof) => None,
            Err(error) => {
                show(&format!("cannot read on: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_the_place() {
        let report = Report {
            severity: "ERROR".to_owned(),
            code: "42703".to_owned(),
            message: "column \"x\" does not exist".to_owned(),
            detail: None,
            hint: Some("Look at the table.".to_owned()),
            position: Some(13),
        };
        insta::assert_snapshot!(shown(&report, "SELECT '水',\nx FROM t"));
        assert_eq!(place("ab", 9), None);
        assert_eq!(place("ab", 0), None);
        assert_eq!(place("ab\ncd", 3), Some((1, "ab".to_owned(), 2)));
    }
}
