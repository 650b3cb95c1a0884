//! **Checkers**: who judges a run. [`history`] knows only what clients saw.

pub mod history; // judges over what clients saw
