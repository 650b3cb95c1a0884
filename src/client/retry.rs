//! When to ask again, and how soon.
//!
//! A failure is worth another try only if trying again can do no harm: nothing was changed, as the server has said, or an idempotency token
//! (`docs/transactions.md`) sees to it that what was executed is not executed twice. Pauses double, half of each is drawn, so that clients
//! that have failed together do not come back together.

use super::{Answer, Client, Failure, Target};
use std::time::Duration;

/// First pause.
const FIRST: Duration = Duration::from_millis(20);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(2);
/// Nothing was changed: another transaction was met, there is too much to do or nobody to do it, or the node has said good-bye before.
const UNCHANGED: [&str; 5] = ["40001", "53300", "53400", "57P01", "57P03"];
/// It was executed before, under the same token, and what it has shown is not kept.
const EXECUTED_BEFORE: &str = "55T02";

/// Tries that are left, and the pause before the next.
#[derive(Clone, Debug)]
pub struct Retry {
    left: u32,
    pause: Duration,
    dice: u64,
}

impl Retry {
    /// So many tries, the first among them. `seed`: of the pauses.
    #[must_use]
    pub const fn new(tries: u32, seed: u64) -> Self {
        Self { left: tries.saturating_sub(1), pause: FIRST, dice: seed | 1 }
    }

    /// The pause before the next try; `None`: this is how it ends.
    pub fn after(&mut self, failure: &Failure, has_token: bool) -> Option<Duration> {
        if !is_safe(failure, has_token) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let half = self.pause / 2;
        self.pause = (self.pause * 2).min(LONGEST);
        // xorshift64: all that is asked of it is that clients differ.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let thousandth = u32::try_from(self.dice % 1001).unwrap_or(0);
        Some(half + half * thousandth / 1000)
    }
}

/// Can it be asked for again without harm?
fn is_safe(failure: &Failure, has_token: bool) -> bool {
    match failure {
        Failure::Connect(_) => true,
        Failure::Lost(_) => has_token,
        Failure::Server(report) => {
            let unknown = report.code == "40003" || report.code.starts_with("08");
            UNCHANGED.contains(&&*report.code) || (has_token && unknown)
        }
    }
}

/// Has a text executed, by any of these nodes, with another try where that can do no harm: see [`Retry`]. The text is a transaction of its
/// own. With a token it is executed once, whatever becomes of connections; where it turns out to have been executed before and its rows
/// are not kept there are no answers. `wait` makes the pauses.
///
/// # Errors
/// The last try's failure; an earlier one's, behind which it may have been executed, where the last says only that nothing happened then.
pub fn execute(
    targets: &[Target],
    text: &str,
    token: Option<&str>,
    retry: &mut Retry,
    patience: Duration,
    wait: &mut dyn FnMut(Duration),
) -> Result<Vec<Answer>, Failure> {
    // An empty one is none.
    let token = token.filter(|token| !token.is_empty());
    let mut next = targets.iter().cycle();
    let mut doubt = None;
    loop {
        let Some(target) = next.next() else { return Err(Failure::Connect("no node is named".to_owned())) };
        let mut answered = false;
        let failure = match attempt(target, text, token, patience, &mut answered) {
            Ok(answers) => return Ok(answers),
            Err(Failure::Server(report)) if token.is_some() && report.code == EXECUTED_BEFORE => return Ok(Vec::new()),
            // Something of it may have been committed before what failed.
            Err(failure) if answered && token.is_none() => return Err(failure),
            Err(failure) => failure,
        };
        let Some(pause) = retry.after(&failure, token.is_some()) else { return Err(worse(doubt, failure)) };
        doubt = Some(failure).filter(|failure| !is_safe(failure, false)).or(doubt);
        wait(pause);
    }
}

/// What it ends with: that nobody was there in the end does not change that it may have been executed before.
fn worse(doubt: Option<Failure>, last: Failure) -> Failure {
    doubt.filter(|_| is_safe(&last, false)).unwrap_or(last)
}

/// `answered`: some statement of the text was, before it failed.
fn attempt(
    target: &Target,
    text: &str,
    token: Option<&str>,
    patience: Duration,
    answered: &mut bool,
) -> Result<Vec<Answer>, Failure> {
    let mut client = Client::connect(target, patience)?;
    // A server that has gone without a word is asked no longer.
    let _ = client.stream.set_read_timeout(Some(patience));
    if let Some(token) = token {
        let set = format!("SET orrery.idempotency_token = '{}'", token.replace('\'', "''"));
        answers(&mut client, &set, &mut false)?;
    }
    answers(&mut client, text, answered)
}

fn answers(client: &mut Client, text: &str, answered: &mut bool) -> Result<Vec<Answer>, Failure> {
    let (mut answers, mut failed) = (Vec::new(), None);
    client.query(text, &mut || None, |answer| match answer {
        Answer::Error(report) => failed = Some(report),
        other => {
            *answered |= !matches!(other, Answer::Notice(_));
            answers.push(other);
        }
    })?;
    failed.map_or(Ok(answers), |report| Err(Failure::Server(report)))
}

#[cfg(test)]
mod tests {
    use super::super::Report;
    use super::*;

    fn refused(code: &str) -> Failure {
        Failure::Server(Box::new(Report::local(code, "")))
    }

    #[test]
    fn only_what_does_no_harm_is_tried_again() {
        for code in UNCHANGED {
            assert!(is_safe(&refused(code), false), "{code}");
        }
        for failure in [refused("40003"), refused("08006"), Failure::Lost(String::new())] {
            assert!(!is_safe(&failure, false), "{failure}");
            assert!(is_safe(&failure, true), "{failure}");
        }
        for code in ["23505", "55T01", "57014", "XX000", "42601"] {
            assert!(!is_safe(&refused(code), true), "{code}");
        }
        assert!(is_safe(&Failure::Connect(String::new()), false), "nothing was sent");
    }

    #[test]
    fn who_may_have_been_heard_is_not_told_that_nobody_was_there() {
        let nobody = || Failure::Connect("nobody".to_owned());
        let lost = || Some(Failure::Lost("lost".to_owned()));
        assert!(matches!(worse(lost(), nobody()), Failure::Lost(_)));
        assert!(matches!(worse(None, nobody()), Failure::Connect(_)));
        assert!(matches!(worse(lost(), refused("55T01")), Failure::Server(_)), "that is certain");
    }

    #[test]
    fn pauses_double_half_of_each_is_drawn_and_they_end() {
        let failure = refused("40001");
        let pauses = |seed| {
            let mut retry = Retry::new(12, seed);
            std::iter::from_fn(|| retry.after(&failure, false)).collect::<Vec<_>>()
        };
        let one = pauses(1);
        assert_eq!(one.len(), 11, "the first try needs no pause");
        let mut most = FIRST;
        for pause in &one {
            assert!((most / 2..=most).contains(pause), "{pause:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        assert_ne!(one, pauses(2), "clients differ");
    }
}
