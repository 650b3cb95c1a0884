//! **Node**: machines put together into workers, and driven.

pub mod config;
mod durable;
mod events;
pub mod wire;
mod worker;

pub use config::WorkerConfig;
pub(crate) use durable::is_dropped;
pub(crate) use worker::waits;
pub use worker::{Health, PartitionHealth, Worker, WorkerStats};
