//! The vocabulary: identifiers, time, SQL values, errors and their encodings. No logic that decides anything.
//!
//! Everything above imports from here and this imports nothing of the project. What is here is plain data: it can be
//! printed, compared, encoded and sent to another node.

pub mod binary;
pub mod collections;
pub mod data_type;
pub mod datetime;
pub mod error;
pub mod id;
pub mod key;
pub mod numeric;
pub mod random;
pub mod row;
pub mod text;
pub mod time;
pub mod value;

pub use data_type::DataType;
pub use error::{SqlError, SqlState};
pub use id::{
    CatalogVersion, ConnectionId, Era, GlobalNumber, Incarnation, LogIndex, NodeId, PartitionId, RequestId, Sequence,
    SessionId, TableId, TreeId, WorkerId,
};
pub use numeric::Numeric;
pub use random::Rng;
pub use time::{Duration, Instant, Timestamp};
pub use value::Value;
