//! **Cluster**: where things are ([`Router`]: whom to ask), how they are ([`facts`]: what workers tell of themselves), and where
//! they should be ([`placement`]: a function of the directory of nodes; [`reconciler`]: the steps that lead there).
//!
//! [`breaker`] and [`admission`] are what a gateway knows of how willing the others are: whom not to ask for a while, and how much at a time.
//! How a group finds out that its leader has failed is its consensus's to say ([`crate::consensus::detection`]).

pub mod admission;
pub mod breaker;
pub mod facts;
pub mod placement;
pub mod reconciler;
mod router;

pub use router::{Route, Router};
