//! The command line as people meet it: what it prints, and the exit code.

use std::path::Path;
use std::process::{Command, Output};

fn sim(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.current_dir(directory).args(arguments).output().expect("the simulator starts")
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mistakes_end_with_2_and_say_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = "name = \"x\"\n[[workload]]\nkind = \"bank\"\n[network]\nlos = 0.1\n";
    std::fs::write(directory.path().join("s.toml"), text).expect("written");
    let cases: &[(&[&str], &str)] = &[
        (&["run", "s.toml"], "sim: s.toml:5: unknown key `los`; did you mean `loss`?\n"),
        (&["fuzz", "s.toml", "--seeds", "1"], "sim: s.toml:5: unknown key `los`; did you mean `loss`?\n"),
        (&["run", "absent.toml"], "sim: absent.toml: cannot be read: No such file or directory (os error 2)\n"),
        (&["replay", "s.toml"], "sim: s.toml: TOML parse error at line 1, column 1"),
        (&["run", "s.toml", "--seed", "x"], "`x` is not a seed: expected a number like 42 or 0x2a"),
        (&["rnu"], "unrecognized subcommand 'rnu'"),
    ];
    for (arguments, expected) in cases {
        let output = sim(directory.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(error(&output).contains(expected), "{arguments:?} says: {}", error(&output));
    }
}

#[test]
fn a_build_without_planted_bugs_refuses_them() {
    if orrery::env::buggify::MUTANTS {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let output = sim(root, &["run", "scenarios/smoke/quiet.toml", "--planted", "2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error(&output).contains("this build has none"), "{}", error(&output));
}

/// A plan of a short, quiet run, in a directory of its own.
fn planned() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let text =
        "name = \"short\"\nlength = \"1s\"\n[cluster]\nnodes = 1\n[[workload]]\nkind = \"registers\"\nclients = 1\n";
    std::fs::write(directory.path().join("s.toml"), text).expect("written");
    let output = sim(directory.path(), &["run", "s.toml", "--seed", "3", "--plan-out", "p.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
    directory
}

#[test]
fn two_runs_of_one_plan_are_the_same_and_two_traces_are_compared() {
    let directory = planned();
    let path = directory.path();
    let same = sim(path, &["diff", "p.toml"]);
    assert_eq!(same.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&same.stdout).starts_with("the same: "));
    let replayed = sim(path, &["replay", "p.toml", "--trace-out", "a.trace"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", error(&replayed));
    assert_eq!(sim(path, &["diff", "a.trace", "p.toml"]).status.code(), Some(0));
    let text = std::fs::read_to_string(path.join("a.trace")).expect("a trace");
    let cut: Vec<&str> = text.lines().take(20).collect();
    std::fs::write(path.join("b.trace"), cut.join("\n")).expect("written");
    let differ = sim(path, &["diff", "a.trace", "b.trace", "--context", "2"]);
    assert_eq!(differ.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&differ.stdout).into_owned();
    assert!(shown.contains("the same for 19 events, then:") && shown.ends_with("+ (ends)\n\n"), "{shown}");
}

#[test]
fn a_run_is_drawn_and_what_passes_is_not_shrunk() {
    let directory = planned();
    let path = directory.path();
    let drawn = sim(path, &["report", "p.toml", "-o", "p.html"]);
    assert_eq!(drawn.status.code(), Some(0), "{}", error(&drawn));
    let page = std::fs::read_to_string(path.join("p.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("\"fingerprint\":null"));
    let shrunk = sim(path, &["shrink", "p.toml"]);
    assert_eq!(shrunk.status.code(), Some(2));
    let words = "sim: p.toml: nothing is broken when it runs, so there is nothing to shrink\n";
    assert_eq!(error(&shrunk), words);
    assert!(!path.join("p.min.plan.toml").exists());
}
