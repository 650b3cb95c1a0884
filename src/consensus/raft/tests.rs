//! Scripts and random runs.
