//! Dialogues: what a client sends, what it is answered, and what partitions are asked in between.
//!
//! A script has one event a line; the snapshot shows each event with what came of it, so that a newcomer can read the
//! protocol from it. The partitions are a stand-in that executes at once, unless the script orders a fault.

/// Compares what came of a script with the snapshot named like the test.
macro_rules! shows {
    ($script:literal) => {
        let shown = super::dialogue::play($script);
        insta::assert_snapshot!(shown);
    };
}

mod blocks;
mod cluster;
mod constraints;
mod copying;
mod definitions;
mod dialogue;
mod drafts;
mod fuzz;
mod implicit;
mod render;
mod sequences;
mod nodes;
mod starting;
mod statements;
mod system;
mod tokens;
