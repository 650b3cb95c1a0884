//! **Node**: machines put together into workers, and driven.

pub mod config;
mod worker;

pub use config::WorkerConfig;
pub use worker::Worker;
