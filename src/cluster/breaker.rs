//! **A circuit breaker** for each peer, as a machine: whoever has stopped answering is not asked by everybody all the time.
//!
//! - **Closed**: it is asked. So many requests in a row without any answer, whoever asked, open it, if nothing else has come from
//!   there either; so does what its machine says (nobody listens there any more).
//! - **Open**: nobody asks it for a while. Each time that it opens again without an answer in between, the while is twice as
//!   long, up to a bound; half of it is drawn, so that gateways that lost it together do not come back together.
//! - **Half open**: the while is over. One request is let through; its answer closes the breaker, its silence opens it again.
//!   What was let through and is never heard of (its session has gone) is given up after as long as the while was.
//!
//! # Invariants
//! - An answer, a refusal too, and anything else that comes from there, closes it at once, whatever its state: slow is not silent.
//!   (A request may rightly stay unanswered: its partition stands at an undecided command. When answers alone were the evidence,
//!   one partition that stood closed its node to all others.)
//! - It never stays open for longer than [`LONGEST`]; then at least one request is let through in each such time.

use crate::types::random::below;
use crate::types::{Duration, Instant, Rng};

/// Requests in a row that are not answered before nobody asks.
const SILENCES: u32 = 3;
/// The first while.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
pub const LONGEST: Duration = Duration::from_secs(2);

/// The breaker of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// Requests without an answer, since the last one.
    silences: u32,
    /// How often it has opened since the last answer.
    opened: u32,
}

/// Its state, and until when it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open(Instant),
    HalfOpen(Instant),
}

impl Breaker {
    /// May a request be sent there now? A yes to a half-open one is the one request that is let through.
    pub fn lets_through(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) | State::HalfOpen(until) if until <= now => {
                self.state = State::HalfOpen(now + self.length());
                true
            }
            State::Open(_) | State::HalfOpen(_) => false,
        }
    }

    /// When somebody may be let through.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open(until) | State::HalfOpen(until) => Some(until),
        }
    }

    /// It has answered, whatever it said.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// A request was not answered in time. Tells whether that has opened it.
    pub fn silent(&mut self, now: Instant, rng: &mut Rng) -> bool {
        self.silences = self.silences.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.silences >= SILENCES,
            State::HalfOpen(_) => true,
            // Sent before.
            State::Open(_) => false,
        };
        if opens {
            self.open(now, rng);
        }
        opens
    }

    /// Nobody listens there. Tells whether that has opened it.
    pub fn gone(&mut self, now: Instant, rng: &mut Rng) -> bool {
        let opens = !matches!(self.state, State::Open(_));
        if opens {
            self.open(now, rng);
        }
        opens
    }

    fn open(&mut self, now: Instant, rng: &mut Rng) {
        self.opened = self.opened.saturating_add(1);
        let nanos = u64::try_from(self.length().as_nanos()).unwrap_or(u64::MAX);
        self.state = State::Open(now + Duration::from_nanos(nanos / 2 + below(rng, nanos / 2 + 1)));
    }

    fn length(&self) -> Duration {
        (FIRST * (1 << self.opened.saturating_sub(1).min(10))).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::random::SeedableRng;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[test]
    fn silence_opens_it_and_an_answer_closes_it() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::seed_from_u64(1));
        assert!(!breaker.silent(at(0), &mut rng) && !breaker.silent(at(1), &mut rng));
        breaker.answered();
        assert!(!breaker.silent(at(2), &mut rng) && !breaker.silent(at(3), &mut rng), "silences are counted in a row");
        assert!(breaker.silent(at(4), &mut rng) && !breaker.lets_through(at(5)));
        assert!(!breaker.silent(at(5), &mut rng), "what was sent before says nothing new");
        let until = breaker.until().expect("it is open");
        assert!((at(54)..=at(104)).contains(&until), "{until:?}");
        assert!(breaker.lets_through(until), "one");
        assert!(!breaker.lets_through(until), "and no other");
        breaker.answered();
        assert!(breaker.lets_through(until) && breaker.until().is_none());
    }

    #[test]
    fn it_stays_open_longer_each_time_and_never_for_ever() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::seed_from_u64(2));
        assert!(breaker.gone(at(0), &mut rng) && !breaker.gone(at(1), &mut rng));
        let mut now = at(0);
        for nth in 0..20 {
            let until = breaker.until().expect("it is open");
            let length = until.since(now);
            let most = (FIRST * (1 << nth.min(10))).min(LONGEST);
            assert!(length >= most / 2 && length <= most, "{length:?} of {most:?}");
            now = until;
            assert!(breaker.lets_through(now));
            assert!(breaker.silent(now, &mut rng));
        }
    }

    #[test]
    fn a_request_that_is_never_heard_of_does_not_keep_it_half_open() {
        let (mut breaker, mut rng) = (Breaker::default(), Rng::seed_from_u64(3));
        breaker.gone(at(0), &mut rng);
        assert!(breaker.lets_through(at(100)));
        assert!(!breaker.lets_through(at(199)));
        assert!(breaker.lets_through(at(200)), "the next one is let through");
    }
}
