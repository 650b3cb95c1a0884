//! **Session**: a client's connection as a machine.

mod gateway;

pub use gateway::{Gateway, GatewayConfig, GatewayOutput, GatewayStats};
