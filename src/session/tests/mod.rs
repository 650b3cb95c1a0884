//! Dialogues: what a client sends, what it is answered, and what partitions are asked in between.
//!
//! A script has one event a line; the snapshot shows each event with what came of it, so that a newcomer can read the
//! protocol from it. The partitions are a stand-in that executes at once, unless the script orders a fault.

mod cluster;
mod constraints;
mod dialogue;
mod fuzz;
mod render;
mod scripts;
