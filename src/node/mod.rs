//! **Node**: machines put together into workers, and driven.

pub mod config;
pub mod wire;
mod worker;

pub use config::WorkerConfig;
pub use worker::{Worker, WorkerStats};
