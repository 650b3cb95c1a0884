//! **Trace**: what happened, as typed events and one rolling hash.
