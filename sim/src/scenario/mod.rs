//! **Scenario**: what to attack and how hard, written by hand in TOML, with ranges.
//!
//! A scenario never says when exactly or which node: that is drawn, from the seed, into a [`crate::plan::Plan`] (see
//! [`crate::draw`]). Values may be fixed, ranges (`"50ms..2s"` is half-open, `"3..=5"` closed, `"300ms.."` open: up to
//! four times as much) or lists of which one is picked. Durations are text, probabilities lie between 0 and 1, targets
//! are symbolic (`leader(any)`).
//!
//! ```toml
//! name = "failover"
//! extends = "../profiles/swarm.toml"    # every key not named here is taken from there
//! length = "60s"                        # of the chaos; then a core is healed and must converge
//! seeds = ["0x19", "0x7d"]              # of regressions: `fuzz` runs exactly these, and before all others
//!
//! [cluster]
//! nodes = "3..=5"
//!
//! [network]
//! loss = "0..0.05"
//!
//! [clock]
//! skew = "0ms..500ms"                   # wall clock, either way
//! drift_ppm = "-200..=200"
//!
//! [budget]
//! faults = "recoverable"                # or "unbounded": then only safety is judged
//!
//! [[workload]]
//! kind = "bank"
//! clients = 4
//! rate = 10                             # operations a second, of all its clients
//!
//! [[fault]]
//! every = "5s..15s"
//! do = "crash(leader(any))"
//! then = "restart after 1s..3s"
//!
//! [expect]
//! acknowledged = 500
//! [[expect.sometimes]]
//! probe = "raft.became_leader"
//!
//! [check]
//! history = ["money-conserved"]         # all that fit the workloads, if absent
//! ```
//!
//! # Invariants
//! - An unknown key is a mistake that names file, line and the nearest key; never ignored.
//! - What a scenario does not name is drawn from the range in [`settings`], and the plan holds the value that was drawn.

pub mod document;
pub mod fault;
pub mod settings;
pub mod value;

pub use document::{Mistake, Place, nearest, unknown};

use crate::plan::{Budget, When};
use document::{Item, Value};
use fault::{Restart, Template};
use settings::{SETTINGS, Setting};
use std::collections::BTreeMap;
use std::path::Path;
use value::{Draw, Unit};

/// A scenario, read and checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its file, as given.
    pub file: String,
    /// What each of [`SETTINGS`] is drawn from, in that order.
    pub draws: Vec<Draw>,
    /// Wall clock of each node ahead (or, by a toss, behind).
    pub skew: Draw,
    /// Drift of each node's clocks.
    pub drift_ppm: Draw,
    /// What faults may do.
    pub budget: Budget,
    /// Who asks for what.
    pub workloads: Vec<WorkloadSpec>,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
    /// Checkers over the history; `None`: those that fit.
    pub checks: Option<Vec<String>>,
    /// Probes that must be hit.
    pub sometimes: Vec<String>,
    /// Seeds that once failed. `fuzz` runs a scenario that names some with these, first, and with no others.
    pub seeds: Vec<u64>,
    /// Kinds of faults that must change something.
    pub effective: Vec<String>,
}

/// A `[[workload]]`.
#[derive(Clone, Debug)]
pub struct WorkloadSpec {
    /// Kind, one of [`crate::workload::WORKLOADS`].
    pub kind: &'static str,
    /// Clients.
    pub clients: Draw,
    /// Operations a second, of all its clients together.
    pub rate: Draw,
    /// Rows.
    pub keys: Draw,
    /// How long a client waits for an answer.
    pub timeout: Draw,
    /// Operations after whose sending the client drops the connection.
    pub abandon: Draw,
    /// It begins then.
    pub after: Draw,
    /// It ends then, at the latest with the chaos.
    pub until: Option<Draw>,
}

/// A `[[fault]]`.
#[derive(Clone, Debug)]
pub struct FaultSpec {
    /// Time from one to the next; `None`: once, at `after`.
    pub every: Option<Draw>,
    /// None strikes before.
    pub after: Draw,
    /// None strikes later.
    pub until: Option<Draw>,
    /// How long it lasts.
    pub hold: Option<Draw>,
    /// What; one is picked each time.
    pub what: Vec<Template>,
    /// Restart after a crash.
    pub then: Option<Restart>,
    /// Waits for its target to pass one of these points; which one is drawn. None: it does not wait.
    pub at: Vec<String>,
    /// Waits for this.
    pub when: Option<When>,
}

impl Scenario {
    /// Reads a scenario's file, and those that it extends; `sets` are laid on top.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, Mistake> {
        let mut tree = read_tree(path, 0)?;
        for set in sets {
            tree.set(set)?;
        }
        Self::read(&path.to_string_lossy(), &tree)
    }

    /// Reads a scenario from text, as if `file` held it. It cannot extend another.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn from_text(file: &str, text: &str) -> Result<Self, Mistake> {
        Self::read(file, &Item::parse(file, text)?)
    }

    fn read(file: &str, tree: &Item) -> Result<Self, Mistake> {
        let mut root = Table::of(tree, "key")?;
        let mut draws = Vec::new();
        let mut sections: BTreeMap<&str, Table<'_>> = BTreeMap::new();
        for section in ["cluster", "knobs", "network", "disk", "cpu", "clock", "buggify", "budget", "expect", "check"] {
            if let Some(item) = root.take(section) {
                sections.insert(section, Table::of(item, "key")?);
            }
        }
        for setting in SETTINGS {
            let table = if setting.section.is_empty() { Some(&mut root) } else { sections.get_mut(setting.section) };
            draws.push(setting_draw(setting, table)?);
        }
        let mut draw_of = |section: &'static str, key, unit, default| match sections.get_mut(section) {
            Some(table) => table.draw(key, unit, default),
            None => Ok(builtin(unit, default)),
        };
        let skew = draw_of("clock", "skew", Unit::Duration, "0ms..500ms")?;
        let drift_ppm = draw_of("clock", "drift_ppm", Unit::Signed, "-200..=200")?;
        let budget = read_budget(sections.get_mut("budget"))?;
        let sometimes = read_sometimes(sections.get_mut("expect"))?;
        let effective = read_effective(sections.get_mut("expect"))?;
        let checks = read_checks(sections.get_mut("check"))?;
        let name = match root.take("name") {
            Some(item) => text_of(item)?.to_owned(),
            None => return Err(tree.mistake("a scenario needs a name = \"…\"")),
        };
        let workloads = root.list("workload")?.into_iter().map(read_workload).collect::<Result<Vec<_>, _>>()?;
        if workloads.is_empty() {
            return Err(tree.mistake("a scenario needs at least one [[workload]]"));
        }
        let faults = root.list("fault")?.into_iter().map(read_fault).collect::<Result<Vec<_>, _>>()?;
        let seeds = root.list("seeds")?.into_iter().map(read_seed).collect::<Result<Vec<_>, _>>()?;
        root.finish()?;
        for table in sections.into_values() {
            table.finish()?;
        }
        let file = file.to_owned();
        Ok(Self { name, file, draws, skew, drift_ppm, budget, workloads, faults, checks, sometimes, effective, seeds })
    }
}

fn read_seed(item: &Item) -> Result<u64, Mistake> {
    let (Value::Text(text) | Value::Number(text)) = &item.value else {
        return Err(item.mistake(format!("expected a seed like 42 or \"0x2a\", got {}", item.shown())));
    };
    seed(text).map_err(|message| item.mistake(message))
}

/// A seed as people write it: decimal, or hexadecimal with `0x`.
///
/// # Errors
/// In words, what would be right.
pub fn seed(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a seed: expected a number like 42 or 0x2a"))
}

/// Deepest chain of `extends`.
const EXTENDS_MAX: u32 = 8;

fn read_tree(path: &Path, depth: u32) -> Result<Item, Mistake> {
    let shown = path.to_string_lossy().into_owned();
    let place = Place { file: shown.as_str().into(), line: 0 };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Mistake { place: place.clone(), message: format!("cannot be read: {error}") })?;
    let mut tree = Item::parse(&shown, &text)?;
    let Value::Table(entries) = &mut tree.value else { return Ok(tree) };
    let Some((place, base)) = entries.remove("extends") else { return Ok(tree) };
    if depth == EXTENDS_MAX {
        return Err(Mistake { place, message: format!("`extends` goes deeper than {EXTENDS_MAX} files: a circle?") });
    }
    let base = path.parent().unwrap_or(Path::new("")).join(text_of(&base)?);
    let mut below = read_tree(&base, depth + 1)?;
    below.overlay(tree);
    Ok(below)
}

fn setting_draw(setting: &Setting, table: Option<&mut Table<'_>>) -> Result<Draw, Mistake> {
    let Some(item) = table.and_then(|table| table.take(setting.key)) else {
        return Ok(builtin(setting.unit, setting.default));
    };
    let draw = draw_from(item, setting.unit)?;
    if draw.low() < setting.least || draw.high() > setting.most {
        let (least, most) = (setting.unit.show(setting.least), setting.unit.show(setting.most));
        return Err(item.mistake(format!("`{}` must be from {least} to {most}, not {}", setting.key, item.shown())));
    }
    Ok(draw)
}

fn read_budget(table: Option<&mut Table<'_>>) -> Result<Budget, Mistake> {
    let Some(item) = table.and_then(|table| table.take("faults")) else { return Ok(Budget::Recoverable) };
    match text_of(item)? {
        "recoverable" => Ok(Budget::Recoverable),
        "unbounded" => Ok(Budget::Unbounded),
        other => Err(item.mistake(unknown("budget", other, &["recoverable", "unbounded"]))),
    }
}

fn read_sometimes(table: Option<&mut Table<'_>>) -> Result<Vec<String>, Mistake> {
    let mut probes = Vec::new();
    let Some(table) = table else { return Ok(probes) };
    for item in table.list("sometimes")? {
        let mut entry = Table::of(item, "key")?;
        match entry.take("probe") {
            Some(probe) => probes.push(text_of(probe)?.to_owned()),
            None => return Err(item.mistake("[[expect.sometimes]] needs a probe = \"…\"")),
        }
        entry.finish()?;
    }
    Ok(probes)
}

fn read_effective(table: Option<&mut Table<'_>>) -> Result<Vec<String>, Mistake> {
    let mut kinds = Vec::new();
    let Some(table) = table else { return Ok(kinds) };
    for item in table.list("effective")? {
        let name = text_of(item)?;
        let standing = crate::fault::STANDING.iter().copied();
        let known: Vec<&str> = crate::plan::FaultKind::NAMES.iter().copied().chain(standing).collect();
        if !known.contains(&name) {
            return Err(item.mistake(unknown("fault", name, &known)));
        }
        kinds.push(name.to_owned());
    }
    Ok(kinds)
}

fn read_checks(table: Option<&mut Table<'_>>) -> Result<Option<Vec<String>>, Mistake> {
    let Some(table) = table else { return Ok(None) };
    if table.entries.is_empty() {
        return Ok(None);
    }
    let mut checks = Vec::new();
    for item in table.list("history")? {
        let name = text_of(item)?;
        let known: Vec<&str> = crate::checker::history::CHECKERS.iter().map(|checker| checker.name()).collect();
        if !known.contains(&name) {
            return Err(item.mistake(unknown("checker", name, &known)));
        }
        checks.push(name.to_owned());
    }
    Ok(Some(checks))
}

fn read_workload(item: &Item) -> Result<WorkloadSpec, Mistake> {
    let mut table = Table::of(item, "key of a workload")?;
    let Some(kind_item) = table.take("kind") else {
        return Err(item.mistake("[[workload]] needs a kind = \"…\""));
    };
    let name = text_of(kind_item)?;
    let names: Vec<&'static str> = crate::workload::WORKLOADS.iter().map(|kind| kind.name()).collect();
    let Some(kind) = names.iter().copied().find(|known| *known == name) else {
        return Err(kind_item.mistake(unknown("workload", name, &names)));
    };
    let spec = WorkloadSpec {
        kind,
        clients: table.draw("clients", Unit::Count, "4")?,
        rate: table.draw("rate", Unit::Count, "20")?,
        keys: table.draw("keys", Unit::Count, "8")?,
        timeout: table.draw("timeout", Unit::Duration, "3s..6s")?,
        abandon: table.draw("abandon", Unit::Probability, "0..0.02")?,
        after: table.draw("after", Unit::Duration, "0s")?,
        until: table.optional_draw("until", Unit::Duration)?,
    };
    for (key, draw, least, most) in [("clients", &spec.clients, 1, 1_000), ("rate", &spec.rate, 1, 100_000)] {
        if draw.low() < least || draw.high() > most {
            return Err(item.mistake(format!("`{key}` must be from {least} to {most}")));
        }
    }
    if spec.keys.low() < 2 || spec.keys.high() > 100_000 {
        return Err(item.mistake("`keys` must be from 2 to 100000"));
    }
    table.finish()?;
    Ok(spec)
}

fn read_fault(item: &Item) -> Result<FaultSpec, Mistake> {
    let mut table = Table::of(item, "key of a fault")?;
    let what = match table.take("do") {
        Some(Item { value: Value::List(choices), .. }) => {
            choices.iter().map(template_of).collect::<Result<Vec<_>, _>>()?
        }
        Some(one) => vec![template_of(one)?],
        None => return Err(item.mistake("[[fault]] needs a do = \"…\"")),
    };
    if what.is_empty() {
        return Err(item.mistake("`do` is an empty list"));
    }
    let then = match text_entry(table.take("then"))? {
        Some((place, text)) => Some(Restart::parse(text).map_err(|message| place.mistake(message))?),
        None => None,
    };
    if let (Some(_), false) = (&then, what.iter().any(Template::is_crash)) {
        return Err(item.mistake("`then` follows a crash, power_loss, stop or wipe, and `do` is none"));
    }
    let when = match text_entry(table.take("when"))? {
        Some((place, text)) => Some(fault::when(text).map_err(|message| place.mistake(message))?),
        None => None,
    };
    let at = match table.take("at") {
        Some(Item { value: Value::List(points), .. }) => {
            points.iter().map(|point| text_of(point).map(str::to_owned)).collect::<Result<_, _>>()?
        }
        Some(one) => vec![text_of(one)?.to_owned()],
        None => Vec::new(),
    };
    let spec = FaultSpec {
        every: table.optional_draw("every", Unit::Duration)?,
        after: table.draw("after", Unit::Duration, "2s")?,
        until: table.optional_draw("until", Unit::Duration)?,
        hold: table.optional_draw("hold", Unit::Duration)?,
        what,
        then,
        at,
        when,
    };
    if spec.every.as_ref().is_some_and(|every| every.low() < 1_000_000) {
        return Err(item.mistake("`every` must be at least 1ms"));
    }
    table.finish()?;
    Ok(spec)
}

fn text_entry(item: Option<&Item>) -> Result<Option<(&Item, &str)>, Mistake> {
    item.map(|item| text_of(item).map(|text| (item, text))).transpose()
}

fn template_of(item: &Item) -> Result<Template, Mistake> {
    Template::parse(text_of(item)?).map_err(|message| item.mistake(message))
}

fn text_of(item: &Item) -> Result<&str, Mistake> {
    match &item.value {
        Value::Text(text) => Ok(text),
        _ => Err(item.mistake(format!("expected a text in quotes, got {}", item.shown()))),
    }
}

fn builtin(unit: Unit, text: &str) -> Draw {
    Draw::parse(unit, text).expect("defaults of settings are well-formed: a test reads them all")
}

fn draw_from(item: &Item, unit: Unit) -> Result<Draw, Mistake> {
    let draw = match &item.value {
        Value::Text(text) => Draw::parse(unit, text),
        // A bare number has no unit: durations are text.
        Value::Number(text) if !matches!(unit, Unit::Duration | Unit::SignedDuration) => Draw::parse(unit, text),
        Value::List(choices) if !choices.is_empty() => {
            Some(Draw::Pick(choices.iter().map(|choice| draw_from(choice, unit)).collect::<Result<_, _>>()?))
        }
        _ => None,
    };
    draw.ok_or_else(|| item.mistake(format!("expected {}, got {}", unit.expected(), item.shown())))
}

/// A table being read: what is left at the end is unknown.
struct Table<'i> {
    what: &'static str,
    entries: BTreeMap<&'i str, (&'i Place, &'i Item)>,
    known: Vec<&'static str>,
}

impl<'i> Table<'i> {
    fn of(item: &'i Item, what: &'static str) -> Result<Self, Mistake> {
        match &item.value {
            Value::Table(entries) => Ok(Self {
                what,
                entries: entries.iter().map(|(key, (place, item))| (key.as_str(), (place, item))).collect(),
                known: Vec::new(),
            }),
            _ => Err(item.mistake(format!("expected a table, got {}", item.shown()))),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'i Item> {
        self.known.push(key);
        self.entries.remove(key).map(|(_, item)| item)
    }

    fn optional_draw(&mut self, key: &'static str, unit: Unit) -> Result<Option<Draw>, Mistake> {
        self.take(key).map(|item| draw_from(item, unit)).transpose()
    }

    fn draw(&mut self, key: &'static str, unit: Unit, default: &str) -> Result<Draw, Mistake> {
        Ok(self.optional_draw(key, unit)?.unwrap_or_else(|| builtin(unit, default)))
    }

    fn list(&mut self, key: &'static str) -> Result<Vec<&'i Item>, Mistake> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Item { value: Value::List(items), .. }) => Ok(items.iter().collect()),
            Some(item) => Err(item.mistake(format!("`{key}` is a list, got {}", item.shown()))),
        }
    }

    fn finish(self) -> Result<(), Mistake> {
        match self.entries.first_key_value() {
            None => Ok(()),
            Some((key, (place, _))) => {
                Err(Mistake { place: (*place).clone(), message: unknown(self.what, key, &self.known) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
