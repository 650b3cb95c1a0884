//! **World**: one virtual universe; the real workers live in it.

mod sandbox;

pub use sandbox::{Options, simulate};
