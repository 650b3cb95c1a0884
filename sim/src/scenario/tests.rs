use super::*;

const MINIMAL: &str = "name = \"x\"\n[[workload]]\nkind = \"bank\"\n";

fn mistake(text: &str) -> String {
    Scenario::from_text("s.toml", text).expect_err(text).to_string()
}

#[test]
fn every_default_is_well_formed_and_within_its_bounds() {
    for setting in SETTINGS {
        let draw = builtin(setting.unit, setting.default);
        assert!(draw.low() >= setting.least && draw.high() <= setting.most, "{}.{}", setting.section, setting.key);
    }
    assert!(Scenario::from_text("s.toml", MINIMAL).is_ok());
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest() {
    assert_eq!(
        mistake(&format!("{MINIMAL}[network]\nlos = 0.1\n")),
        "s.toml:5: unknown key `los`; did you mean `loss`?"
    );
    assert_eq!(mistake(&format!("nmae = 1\n{MINIMAL}")), "s.toml:1: unknown key `nmae`; did you mean `name`?");
    assert_eq!(
        mistake(&format!("{MINIMAL}client = 3\n")),
        "s.toml:4: unknown key of a workload `client`; did you mean `clients`?"
    );
    assert_eq!(mistake(&format!("{MINIMAL}[netwrok]\n")), "s.toml:4: unknown key `netwrok`; did you mean `network`?");
}

#[test]
fn a_bad_value_says_what_was_expected() {
    assert_eq!(
        mistake(&format!("{MINIMAL}[network]\nlatency_min = 5\n")),
        "s.toml:5: expected a duration like \"300ms\", a range like \"1s..5s\" or \"300ms..\", or a list of them, got 5"
    );
    assert_eq!(
        mistake(&format!("{MINIMAL}[cluster]\nnodes = \"3..=99\"\n")),
        "s.toml:5: `nodes` must be from 1 to 31, not \"3..=99\""
    );
    assert_eq!(
        mistake("name = \"x\"\n[[workload]]\nkind = \"bnak\"\n"),
        "s.toml:3: unknown workload `bnak`; did you mean `bank`?"
    );
    assert_eq!(
        mistake(&format!("{MINIMAL}[[fault]]\nevery = \"1s\"\ndo = \"crahs(random)\"\n")),
        "s.toml:6: unknown fault `crahs`; did you mean `crash`?"
    );
    assert_eq!(
        mistake(&format!("{MINIMAL}[budget]\nfaults = \"none\"\n")),
        "s.toml:5: unknown budget `none`; there are: recoverable, unbounded"
    );
    assert!(mistake("name = \n").starts_with("s.toml:1: "));
}

#[test]
fn extends_and_set_are_laid_on_top() {
    let dir = tempfile::tempdir().expect("a directory");
    let base = dir.path().join("base.toml");
    let file = dir.path().join("s.toml");
    std::fs::write(&base, format!("{MINIMAL}[network]\nloss = 0.1\nduplicate = 0.2\n")).expect("written");
    std::fs::write(&file, "extends = \"base.toml\"\nname = \"y\"\n[network]\nloss = 0.3\n").expect("written");
    let scenario = Scenario::load(&file, &["network.duplicate=0.4".to_owned()]).expect("a scenario");
    let draw = |key| {
        let at = SETTINGS.iter().position(|setting| setting.key == key).expect("a setting");
        scenario.draws[at].clone()
    };
    assert_eq!(scenario.name, "y");
    assert_eq!(draw("loss"), Draw::Range(300_000, 300_000));
    assert_eq!(draw("duplicate"), Draw::Range(400_000, 400_000));
    let error = Scenario::load(&file, &["network.dupe=0.4".to_owned()]).expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "--set network.dupe=0.4: unknown key `dupe`; there are: latency_min, latency_mean, loss, duplicate, reorder, reorder_delay, client_latency"
    );
    std::fs::write(&base, "extends = \"s.toml\"\n").expect("written");
    assert!(Scenario::load(&file, &[]).expect_err("a circle").to_string().contains("a circle?"));
}

#[test]
fn a_crash_waits_for_one_of_its_points_and_the_expected_kinds_exist() {
    let fault = "[[fault]]\nevery = \"1s\"\nat = [\"wal.settling\", \"raft.vote_granted\"]\ndo = \"crash(all)\"\n";
    let scenario = Scenario::from_text("x.toml", &format!("{MINIMAL}{fault}")).expect("a scenario");
    let plan = crate::draw::draw(&scenario, 1);
    for point in ["wal.settling", "raft.vote_granted"] {
        assert!(plan.faults.iter().any(|fault| fault.at.as_deref() == Some(point)), "{point} is never drawn");
    }
    assert_eq!(
        mistake(&format!("{MINIMAL}[expect]\neffective = [\"flip\"]\n")),
        "s.toml:5: unknown fault `flip`; did you mean `flap`?"
    );
}

#[test]
fn what_a_scenario_does_not_name_differs_from_run_to_run() {
    // The length of a run, what is asked of it, how patient it is, what executing takes, who waits to join, and what protects from overload (it can be
    // switched off to see what it is good for) are no knobs.
    let fixed = [
        "admission",
        "breaker",
        "hysteresis",
        "throttle",
        "length",
        "liveness",
        "acknowledged",
        "leader_changes",
        "most_leader_changes",
        "restarts",
        "spares",
        "statement",
        "uneven",
    ];
    let scenario = Scenario::from_text("x.toml", MINIMAL).expect("a scenario");
    for (setting, draw) in SETTINGS.iter().zip(&scenario.draws) {
        let drawn: std::collections::BTreeSet<i64> =
            (0..50).map(|seed| draw.draw(&mut crate::stream::stream(seed, setting.key, 0))).collect();
        assert_eq!(drawn.len() == 1, fixed.contains(&setting.key), "{}.{}", setting.section, setting.key);
    }
    let clocks: std::collections::BTreeSet<i64> =
        (0..50).flat_map(|seed| crate::draw::draw(&scenario, seed).clocks).map(|clock| clock.skew_ns).collect();
    assert!(clocks.len() > 50, "clocks differ by default");
}

/// Every scenario in the repository, apart from regressions.
fn shipped() -> Vec<std::path::PathBuf> {
    in_folders(&["smoke", "chaos", "transactions", "replication"])
}

fn in_folders(folders: &[&str]) -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("scenarios");
    let mut files = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder of scenarios");
        files.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    files.sort();
    files
}

/// Scenarios in which load is the attack, and nobody is struck: whoever counts changes of leaders must not bring them about.
const CALM: [&str; 3] = ["definitions-beside-work", "long_commands", "overload"];

/// Scenarios of one kind of fault, beside which nothing may go wrong: what they hold would not hold.
const ORDERLY: [&str; 1] = ["rolling-restart"];

#[test]
fn shipped_scenarios_are_correct_long_and_manifold() {
    let files = shipped();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("# Attacks "), "{file:?} does not open by saying what it attacks");
        let scenario = Scenario::load(&file, &[]).unwrap_or_else(|mistake| panic!("{mistake}"));
        let calm = CALM.iter().any(|name| *name == scenario.name);
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..5 {
            let plan = crate::draw::draw(&scenario, seed);
            if calm {
                assert_eq!(plan.faults, [], "{file:?} strikes somebody");
                continue;
            }
            assert!(plan.chaos_ns >= 60 * crate::plan::SECOND, "{file:?} is short");
            kinds.extend(plan.faults.iter().map(|fault| fault.kind.name()));
            assert!(plan.faults.iter().any(|fault| fault.restart_ns.is_some()), "{file:?} restarts nobody");
        }
        let orderly = ORDERLY.iter().any(|name| *name == scenario.name);
        assert!(calm || orderly || kinds.len() >= 3, "{file:?} has few kinds of fault: {kinds:?}");
    }
}

#[test]
fn regressions_name_their_seeds_and_say_what_the_bug_was() {
    for file in in_folders(&["regressions"]) {
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(text.starts_with("# ") && text.contains("Guards "), "{file:?} does not say what the bug was");
        let scenario = Scenario::load(&file, &[]).unwrap_or_else(|mistake| panic!("{mistake}"));
        assert!(!scenario.seeds.is_empty(), "{file:?} names no seed");
    }
}

#[test]
fn seeds_are_numbers_in_either_form() {
    let scenario = Scenario::from_text("s.toml", &format!("seeds = [7, \"0x19\"]\n{MINIMAL}")).expect("a scenario");
    assert_eq!(scenario.seeds, [7, 25]);
    assert_eq!(
        mistake(&format!("seeds = [\"x\"]\n{MINIMAL}")),
        "s.toml:1: `x` is not a seed: expected a number like 42 or 0x2a"
    );
}

#[test]
fn planted_bugs_have_scenarios() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    for planted in crate::planted::PLANTED {
        // A regression may be the one that reaches it.
        assert!(root.join(planted.scenario).is_file(), "{}", planted.scenario);
    }
}
