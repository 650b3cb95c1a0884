//! **Cluster**: where things are ([`Router`]: whom to ask), how they are ([`facts`]: what workers tell of themselves), and where
//! they should be ([`placement`]: a function of the directory of nodes; [`reconciler`]: the steps that lead there, which nobody
//! drives yet).
//!
//! Failure detection and recovery have their place here; they come with the issues that name them.

pub mod facts;
pub mod placement;
pub mod reconciler;
mod router;

pub use router::Router;
