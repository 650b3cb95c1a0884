//! **Cluster**: where things are ([`Router`]: whom to ask), and how they are ([`facts`]: what workers tell of themselves).
//!
//! Placement, membership, failure detection, balancing and recovery have their place here; they come with the issues
//! that name them.

pub mod facts;
mod router;

pub use router::Router;
