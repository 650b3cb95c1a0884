//! The little language of `do`, `then` and `when`: `split(leader(any), one-way)`, `restart(lossy) after 1s..5s`,
//! `raft.became_leader on leader(2)`.

use super::document::unknown;
use super::value::{Draw, Unit};
use crate::plan::{Direction, FaultKind, Group, Selector};
use crate::stream::{between, chance};
use orrery::types::Rng;

/// What a fault does, with its numbers still to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    verb: &'static Verb,
    target: Option<Selector>,
    directions: &'static [Direction],
    amount: Option<Draw>,
}

/// A verb of `do`.
#[derive(Debug)]
pub struct Verb {
    /// As written; also the name of the fault kind it makes.
    pub name: &'static str,
    /// What its amount counts, if it has one.
    amount: Option<Unit>,
    shape: Shape,
    /// A correct use, for messages.
    pub example: &'static str,
}

impl PartialEq for Verb {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Verb {}

#[derive(Debug)]
enum Shape {
    Alone(fn() -> FaultKind),
    Sides,
    Target(fn(Selector, i64) -> FaultKind),
}

const fn verb(name: &'static str, amount: Option<Unit>, shape: Shape, example: &'static str) -> Verb {
    Verb { name, amount, shape, example }
}

/// All verbs.
pub const VERBS: &[Verb] = &[
    verb("split", None, Shape::Sides, "split(leader(any)), split(minority(any), one-way)"),
    verb(
        "flap",
        Some(Unit::Duration),
        Shape::Sides,
        "flap(leader(any), 100ms..500ms), flap(minority(any), one-way, 50ms..200ms)",
    ),
    verb("ring", None, Shape::Alone(|| FaultKind::Ring), "ring"),
    verb("bridge", None, Shape::Alone(|| FaultKind::Bridge), "bridge"),
    verb(
        "lossy",
        Some(Unit::Probability),
        Shape::Target(|target, n| FaultKind::Lossy { target, loss_ppm: n as u32 }),
        "lossy(random, 0.1..0.5)",
    ),
    verb(
        "slow_link",
        Some(Unit::Duration),
        Shape::Target(|target, n| FaultKind::SlowLink { target, extra_ns: n as u64 }),
        "slow_link(leader(any), 50ms..300ms)",
    ),
    verb("clog", None, Shape::Target(|target, _| FaultKind::Clog { target }), "clog(random)"),
    verb("reset", None, Shape::Target(|target, _| FaultKind::Reset { target }), "reset(random)"),
    verb(
        "bit_flip",
        Some(Unit::Probability),
        Shape::Target(|target, n| FaultKind::BitFlip { target, flip_ppm: n as u32 }),
        "bit_flip(random, 0.01..0.1)",
    ),
    verb(
        "client_crash",
        None,
        Shape::Target(|target, _| FaultKind::ClientCrash { target }),
        "client_crash(leader(any))",
    ),
    verb("crash", None, Shape::Target(|target, _| FaultKind::Crash { target, lossy: false }), "crash(leader(any))"),
    verb(
        "power_loss",
        None,
        Shape::Target(|target, _| FaultKind::Crash { target, lossy: true }),
        "power_loss(all), power_loss(minority(any))",
    ),
    verb("stop", None, Shape::Target(|target, _| FaultKind::Stop { target }), "stop(leader(any))"),
    verb("pause", None, Shape::Target(|target, _| FaultKind::Pause { target }), "pause(leader(any))"),
    verb(
        "clock_jump",
        Some(Unit::SignedDuration),
        Shape::Target(|target, by_ns| FaultKind::ClockJump { target, by_ns }),
        "clock_jump(random, -3s..3s)",
    ),
    verb(
        "clock_drift",
        Some(Unit::Signed),
        Shape::Target(|target, n| FaultKind::ClockDrift { target, ppm: n as i32 }),
        "clock_drift(random, -200..=200)",
    ),
    verb(
        "slow_disk",
        Some(Unit::Duration),
        Shape::Target(|target, n| FaultKind::SlowDisk { target, extra_ns: n as u64 }),
        "slow_disk(follower(any), 10ms..200ms)",
    ),
    verb("fail_sync", None, Shape::Target(|target, _| FaultKind::FailSync { target }), "fail_sync(random)"),
    verb("io_error", None, Shape::Target(|target, _| FaultKind::IoError { target }), "io_error(random)"),
    verb("short_write", None, Shape::Target(|target, _| FaultKind::ShortWrite { target }), "short_write(random)"),
    verb("disk_full", None, Shape::Target(|target, _| FaultKind::DiskFull { target }), "disk_full(random)"),
    verb("rot", None, Shape::Target(|target, _| FaultKind::Rot { target }), "rot(follower(any))"),
    verb("wipe", None, Shape::Target(|target, _| FaultKind::Wipe { target }), "wipe(random)"),
    verb("misdirect", None, Shape::Target(|target, _| FaultKind::Misdirect { target }), "misdirect(follower(any))"),
    verb("disaster", None, Shape::Alone(|| FaultKind::Disaster), "disaster"),
];

/// Which of them a word means.
fn directions(word: &str) -> Option<&'static [Direction]> {
    match word {
        "both" => Some(BOTH),
        "one-way" => Some(ONE_WAY),
        "inbound" => Some(&[Direction::Inbound]),
        "outbound" => Some(&[Direction::Outbound]),
        _ => None,
    }
}

const BOTH: &[Direction] = &[Direction::Both];
const ONE_WAY: &[Direction] = &[Direction::Inbound, Direction::Outbound];

impl Template {
    /// Reads a `do`.
    ///
    /// # Errors
    /// In words, what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, arguments) = call(text)?;
        let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
            let names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
            return Err(unknown("fault", name, &names));
        };
        let wrong = || format!("`{text}`: expected something like {}", verb.example);
        let mut template = Self { verb, target: None, directions: BOTH, amount: None };
        let mut arguments = arguments.into_iter();
        if !matches!(verb.shape, Shape::Alone(_)) {
            template.target = Some(selector(arguments.next().ok_or_else(wrong)?)?);
        }
        if matches!(verb.shape, Shape::Sides)
            && let Some(directions) = arguments.as_slice().first().and_then(|word| directions(word))
        {
            template.directions = directions;
            arguments.next();
        }
        if let Some(unit) = verb.amount {
            template.amount = Some(Draw::parse(unit, arguments.next().ok_or_else(wrong)?).ok_or_else(wrong)?);
        }
        if arguments.next().is_some() { Err(wrong()) } else { Ok(template) }
    }

    /// Draws the numbers.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> FaultKind {
        let target = self.target.unwrap_or(Selector::Random);
        match self.verb.shape {
            Shape::Alone(make) => make(),
            Shape::Sides => {
                let direction = self.directions[between(rng, 0, self.directions.len() as i64 - 1) as usize];
                match &self.amount {
                    None => FaultKind::Split { side: target, direction },
                    Some(period) => FaultKind::Flap { side: target, direction, period_ns: period.draw_unsigned(rng) },
                }
            }
            Shape::Target(make) => make(target, self.amount.as_ref().map_or(0, |amount| amount.draw(rng))),
        }
    }

    /// Does it end a process?
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(self.verb.name, "crash" | "power_loss" | "stop" | "wipe")
    }
}

/// What follows a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The power failed: unsynced writes are lost.
    pub lossy: Option<bool>,
    /// After so long.
    pub after: Draw,
}

impl Restart {
    /// Reads a `then`: `restart after 1s..5s`, `restart(lossy) after 1s`.
    ///
    /// # Errors
    /// In words, what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}`: expected \"restart after 1s..5s\" or \"restart(lossy) after 1s..5s\"");
        let (what, after) = text.split_once(" after ").ok_or_else(wrong)?;
        let lossy = match what.trim() {
            "restart" => None,
            "restart(lossy)" => Some(true),
            "restart(intact)" => Some(false),
            _ => return Err(wrong()),
        };
        Ok(Self { lossy, after: Draw::parse(Unit::Duration, after.trim()).ok_or_else(wrong)? })
    }

    /// Applies `lossy` to a drawn crash.
    pub fn mark(&self, kind: &mut FaultKind) {
        if let (FaultKind::Crash { lossy, .. }, Some(chosen)) = (kind, self.lossy) {
            *lossy = chosen;
        }
    }
}

/// Reads a `when`: a point, ` on `, a selector.
///
/// # Errors
/// In words, what would be right.
pub fn when(text: &str) -> Result<crate::plan::When, String> {
    let (point, on) = text
        .split_once(" on ")
        .ok_or_else(|| format!("`{text}`: expected something like \"raft.became_leader on leader(2)\""))?;
    Ok(crate::plan::When { point: point.trim().to_owned(), on: selector(on.trim())? })
}

/// Reads a selector.
///
/// # Errors
/// In words, what there is.
pub fn selector(text: &str) -> Result<Selector, String> {
    let (name, arguments) = call(text)?;
    let group = match arguments.as_slice() {
        [] | ["any"] => Group::Any,
        [number] => Group::Partition(
            number.parse().map_err(|_| format!("`{text}`: expected a partition's number or `any`, got `{number}`"))?,
        ),
        _ => return Err(format!("`{text}`: a selector takes one partition at most")),
    };
    let whole =
        |selector| if arguments.is_empty() { Ok(selector) } else { Err(format!("`{name}` takes no partition")) };
    match name {
        "leader" => Ok(Selector::Leader(group)),
        "coordinator" => whole(Selector::Leader(Group::Partition(0))),
        "follower" => Ok(Selector::Follower(group)),
        "minority" => Ok(Selector::Minority(group)),
        "majority" => Ok(Selector::Majority(group)),
        "one-of-each-group" => whole(Selector::OneOfEachGroup),
        "gateway" => whole(Selector::Gateway),
        "random" => whole(Selector::Random),
        "all" => whole(Selector::All),
        _ => Err(unknown(
            "selector",
            name,
            &[
                "leader",
                "coordinator",
                "follower",
                "minority",
                "majority",
                "one-of-each-group",
                "gateway",
                "random",
                "all",
            ],
        )),
    }
}

/// Splits `name(a, b(c), d)` into its name and arguments.
fn call(text: &str) -> Result<(&str, Vec<&str>), String> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else { return Ok((text, Vec::new())) };
    let inside = rest.strip_suffix(')').ok_or_else(|| format!("`{text}`: a closing parenthesis is missing"))?;
    let (mut arguments, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(inside[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(format!("`{text}`: parentheses do not match"));
    }
    arguments.push(inside[start..].trim());
    Ok((name.trim(), arguments))
}

/// Length of a fault without a `hold` of its own: above the run's stability floor, and now and then much longer.
#[must_use]
pub fn default_hold(rng: &mut Rng, stability_ns: u64) -> u64 {
    let long = chance(rng, 200_000);
    let floor = i64::try_from(stability_ns).unwrap_or(i64::MAX / 8);
    between(rng, floor, floor.saturating_mul(3).max(if long { 5_000_000_000 } else { 0 })) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    #[test]
    fn every_verb_has_its_kind_and_a_correct_example() {
        let names: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        assert_eq!(names, FaultKind::NAMES, "a verb for each kind of fault, in the same order");
        for verb in VERBS {
            let mut depth = 0;
            let examples = verb.example.split(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                c == ',' && depth == 0
            });
            for example in examples {
                let template = Template::parse(example.trim()).expect(example);
                let kind = template.draw(&mut stream(1, "test", 0));
                assert_eq!(kind.name(), verb.name, "{example}");
            }
        }
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        let cases = [
            ("spilt(random)", "unknown fault `spilt`; did you mean `split`?"),
            ("split", "`split`: expected something like split(leader(any)), split(minority(any), one-way)"),
            ("crash(leadr(any))", "unknown selector `leadr`; did you mean `leader`?"),
            ("crash(leader(x))", "`leader(x)`: expected a partition's number or `any`, got `x`"),
            ("crash(leader(any)", "`crash(leader(any)`: parentheses do not match"),
            ("crash(leader", "`crash(leader`: a closing parenthesis is missing"),
            ("lossy(random, 2)", "`lossy(random, 2)`: expected something like lossy(random, 0.1..0.5)"),
            ("ring(random)", "`ring(random)`: expected something like ring"),
        ];
        for (text, expected) in cases {
            assert_eq!(Template::parse(text).expect_err(text), expected);
        }
    }

    #[test]
    fn a_fault_without_a_hold_lasts_longer_than_the_runs_stability_floor() {
        for floor in [0, 20_000_000, 2_000_000_000] {
            let holds: Vec<u64> = (0..200).map(|n| default_hold(&mut stream(n, "hold", 0), floor)).collect();
            assert!(holds.iter().all(|&hold| (floor..=(floor * 3).max(5_000_000_000)).contains(&hold)), "{floor}");
            assert!(holds.iter().any(|&hold| hold > floor * 2), "{floor}: no long one");
        }
    }

    #[test]
    fn restarts_and_conditions() {
        let restart = Restart::parse("restart(lossy) after 1s..5s").expect("a restart");
        assert_eq!(restart.lossy, Some(true));
        assert!(Restart::parse("restart").is_err());
        let condition = when("snapshot.started on leader(2)").expect("a condition");
        assert_eq!(condition.on, Selector::Leader(Group::Partition(2)));
        assert_eq!(selector("gateway"), Ok(Selector::Gateway));
        assert_eq!(selector("gateway(1)").expect_err("one too many"), "`gateway` takes no partition");
    }
}
