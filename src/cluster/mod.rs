//! **Cluster**: where things are. For now: whom to ask ([`Router`]).
//!
//! Placement, membership, failure detection, balancing and recovery have their place here; they come with the issues
//! that name them.

mod router;

pub use router::Router;
