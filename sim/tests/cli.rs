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
