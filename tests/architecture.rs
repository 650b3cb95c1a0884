//! What `ARCHITECTURE.md` promises about the shape of the code, held by reading it.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `src/`, in order. A module imports only from those before it.
const LAYERS: &[&str] = &[
    "types",
    "env",
    "storage",
    "catalog",
    "directory",
    "wal",
    "checkpoint",
    "consensus",
    "sql",
    "partition",
    "cluster",
    "session",
    "node",
    "client",
    "server",
    "cli",
];

/// Files that may import from above, from which module, and why.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("env/tokio", "node", "the production loop drives the worker: an edge that lives beside the traits it carries")];

fn sources(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(&folder).expect("a source folder").map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).expect("readable source")));
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {}", root.display());
    found
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Code without comments, with line numbers: what imports are is decided by code.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("tests/")
}

fn excepted(file: &str, above: &str) -> bool {
    EXCEPTIONS.iter().any(|(from, to, _)| file.starts_with(from) && *to == above)
}

/// The layer that a file of `src/` belongs to.
fn layer_of(file: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| file.starts_with(&format!("{layer}/")))
}

fn against_the_layers(file: &str, text: &str) -> Vec<String> {
    let Some(own) = layer_of(file) else { return Vec::new() };
    let mut wrong = Vec::new();
    for (number, line) in code_lines(text) {
        for above in &LAYERS[own + 1..] {
            let named = line.contains(&format!("crate::{above}::")) || line.contains(&format!("crate::{above};"));
            if named && !excepted(file, above) {
                wrong.push(format!("src/{file}:{number}: {above} is above {}", LAYERS[own]));
            }
        }
    }
    wrong
}

#[test]
fn imports_follow_the_layers() {
    let wrong: Vec<String> =
        sources(&manifest().join("src")).iter().flat_map(|(file, text)| against_the_layers(file, text)).collect();
    assert!(wrong.is_empty(), "imports against the layers of src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn an_import_against_the_layers_is_seen() {
    assert_eq!(against_the_layers("wal/writer.rs", "use crate::types::Era;\nuse crate::node::Worker;\n").len(), 1);
    assert_eq!(against_the_layers("sql/mod.rs", "    crate::session::Gateway::new()\n").len(), 1);
    assert!(against_the_layers("node/worker.rs", "use crate::wal::Wal;\n// crate::cli::main\n").is_empty());
}

#[test]
fn every_module_of_the_library_has_its_layer() {
    let library = fs::read_to_string(manifest().join("src/lib.rs")).expect("src/lib.rs");
    let declared: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(|rest| rest.split(';').next().expect("a module's name"))
        .collect();
    assert_eq!(declared, LAYERS, "src/lib.rs lists the layers in order");
}

#[test]
fn the_product_does_not_know_its_simulator() {
    for (file, text) in sources(&manifest().join("src")) {
        for (number, line) in code_lines(&text) {
            for word in ["orrery_sim", "madsim"] {
                assert!(!line.contains(word), "src/{file}:{number}: mentions {word}");
            }
        }
    }
}

#[test]
fn one_cfg_knows_of_planted_bugs() {
    for (file, text) in sources(&manifest().join("src")) {
        let mentions = code_lines(&text).any(|(_, line)| line.contains("feature = \"mutants\""));
        assert!(!mentions || file == "env/buggify.rs", "src/{file}: planted bugs hang on env/buggify.rs alone");
    }
}

/// State outside a machine. Probes only count, and planted bugs are a thread's because machines have no environment.
#[test]
fn two_files_hold_state_of_a_thread() {
    for (file, text) in sources(&manifest().join("src")) {
        let holds = code_lines(&text).any(|(_, line)| line.contains("thread_local!"));
        assert!(
            !holds || file == "env/buggify.rs" || file == "env/probe.rs",
            "src/{file}: state hidden from the machine"
        );
    }
}

#[test]
fn only_the_edges_wait_or_touch_the_world() {
    let edges = ["env/tokio", "server/", "client/", "cli/", "main.rs"];
    let words = ["async fn", ".await;", ".await?", ".await.", "std::thread::", "tokio::", "std::fs::", "std::net::"];
    let mut wrong = Vec::new();
    for (file, text) in sources(&manifest().join("src")) {
        if edges.iter().any(|edge| file.starts_with(edge)) || is_test(&file) {
            continue;
        }
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code_lines(production) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("src/{file}:{number}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "machines are synchronous and touch nothing:\n{}", wrong.join("\n"));
}

/// The simulator drives the product and never stands in for it: it executes no SQL, decides no consensus, keeps no
/// session. Its model database (`sim/src/model`) is the one exception.
#[test]
fn the_simulator_defines_nothing_of_the_product() {
    let words = [
        "Consensus for",
        "sqlparser",
        "orrery::sql::",
        "orrery::storage::",
        "orrery::session::",
        "partition::StateMachine",
        "partition::Replica",
    ];
    for (file, text) in sources(&manifest().join("sim/src")) {
        if file.starts_with("model") {
            continue;
        }
        for (number, line) in code_lines(&text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                panic!("sim/src/{file}:{number}: {word}: the simulator runs the product, it does not rebuild it");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for root in ["src", "sim/src"] {
        for (file, text) in sources(&manifest().join(root)) {
            if file.ends_with("mod.rs") {
                assert!(text.starts_with("//!"), "{root}/{file} opens with an essay");
            } else if !is_test(&file) {
                let said = text
                    .lines()
                    .take(40)
                    .map(str::trim_start)
                    .any(|line| line.starts_with("//") || line.starts_with("what:"));
                assert!(said, "{root}/{file} says what it is and why");
            }
        }
    }
}

#[test]
fn the_files_that_architecture_walks_through_exist() {
    let text = fs::read_to_string(manifest().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut named = 0;
    for word in text.split('`').filter(|word| word.ends_with(".rs") && word.contains('/') && !word.contains(' ')) {
        let found = ["", "src/"].iter().any(|root| manifest().join(format!("{root}{word}")).exists());
        assert!(found, "ARCHITECTURE.md names {word}");
        named += 1;
    }
    assert!(named > 10, "the walk names its files");
}
