//! The settings that every plan has, one line each: section, key, unit, default, and where in the plan it goes.
//!
//! A scenario names any of them with a value, a range or a list; those that it does not name are drawn from the range
//! declared here, so that no two runs are alike ("swarm testing": a run with tiny batches and long time-outs visits other
//! places than one with big batches and short ones; half of the runs have no background loss at all). Each is drawn from a stream of its own, named after it. `--set section.key=value` overrides.

use super::value::Unit;
use crate::plan::Plan;

/// One setting.
pub struct Setting {
    /// Section of the scenario file.
    pub section: &'static str,
    /// Key in it.
    pub key: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The range, or list, that it is drawn from when the scenario does not say.
    pub default: &'static str,
    /// Smallest value that makes sense.
    pub least: i64,
    /// Largest.
    pub most: i64,
    /// Puts it into the plan.
    pub put: fn(&mut Plan, i64),
}

const HOUR: i64 = 3_600_000_000_000;

macro_rules! settings {
    ($($section:literal $key:literal $unit:ident $default:literal in $least:literal..=$most:expr => $($field:ident).+;)*) => {
        /// All of them.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            section: $section,
            key: $key,
            unit: Unit::$unit,
            default: $default,
            least: $least,
            most: $most,
            // Bounds are checked when the scenario is read; a number beyond its field's type cannot get here.
            put: |plan, value| plan.$($field).+ = value.try_into().unwrap_or_default(),
        }),*];
    };
}

settings! {
    ""        "length"            Duration    "60s"                                    in 1..=HOUR       => chaos_ns;
    ""        "liveness"          Duration    "60s"                                    in 1..=HOUR       => liveness_ns;
    ""        "stability"         Duration    "[20ms..100ms, 100ms..500ms, 500ms..2s]" in 0..=HOUR       => stability_ns;
    "cluster" "nodes"             Count       "[3, 3, 5]"                              in 1..=31         => cluster.nodes;
    "cluster" "partitions"        Count       "[1, 1, 3]"                              in 1..=4096       => cluster.partitions;
    "cluster" "workers"           Count       "[1, 1, 2]"                              in 1..=64         => cluster.workers;
    "cluster" "spares"            Count       "0"                                      in 0..=16         => cluster.spares;
    "knobs"   "heartbeat"         Duration    "15ms..80ms"                             in 1_000..=HOUR   => knobs.heartbeat_ns;
    "knobs"   "election_timeout"  Duration    "150ms..600ms"                           in 1_000..=HOUR   => knobs.election_timeout_ns;
    "knobs"   "lease"             Duration    "[0s, 0s, 60ms..1s]"                     in 0..=HOUR       => knobs.lease_ns;
    "knobs"   "detection"         Count       "[0, 0, 1, 2]"                           in 0..=2         => knobs.detection;
    "knobs"   "max_batch_entries" Count       "[1, 4, 64, 256]"                        in 1..=1_000_000  => knobs.max_batch_entries;
    "knobs"   "max_batch_bytes"   Count       "[512, 4096, 65536]"                     in 1..=1 << 30    => knobs.max_batch_bytes;
    "knobs"   "max_inflight"      Count       "1..=16"                                 in 1..=1_000_000  => knobs.max_inflight;
    "knobs"   "wal_segment_bytes" Count       "[65536, 262144, 1048576]"               in 65_536..=1 << 40 => knobs.wal_segment_bytes;
    "knobs"   "checkpoint_every"  Count       "[20, 100, 500, 100000]"                 in 1..=1 << 40    => knobs.checkpoint_every;
    "knobs"   "log_keep_entries"  Count       "[0, 5, 50, 1000]"                       in 0..=1 << 40    => knobs.log_keep_entries;
    "knobs"   "wal_bytes_before_checkpoint" Count "[131072, 1048576]"                  in 1..=1 << 40    => knobs.wal_bytes_before_checkpoint;
    "knobs"   "snapshot_chunk_bytes" Count    "[300, 2000, 262144]"                    in 1..=1 << 20    => knobs.snapshot_chunk_bytes;
    "knobs"   "statements_in_a_turn" Count    "[1, 3, 20, 128]"                        in 1..=1 << 40    => knobs.statements_in_a_turn;
    "knobs"   "digest_every"      Count       "[1, 8, 64]"                             in 1..=1_000_000  => knobs.digest_every;
    "knobs"   "max_pending"       Count       "[16, 100, 1000]"                        in 1..=1_000_000  => knobs.max_pending;
    "knobs"   "attempt_timeout"   Duration    "250ms..1s"                              in 1_000..=HOUR   => knobs.attempt_timeout_ns;
    "knobs"   "breaker"           Count       "1"                                      in 0..=1         => knobs.breaker;
    "knobs"   "admission"         Count       "1"                                      in 0..=1         => knobs.admission;
    "knobs"   "throttle"          Count       "1"                                      in 0..=1         => knobs.throttle;
    "knobs"   "hysteresis"        Count       "1"                                      in 0..=1         => knobs.hysteresis;
    "knobs"   "statement_timeout" Duration    "3s..8s"                                 in 1_000..=HOUR   => knobs.statement_timeout_ns;
    "knobs"   "max_connections"   Count       "[50, 100]"                              in 1..=1_000_000  => knobs.max_connections;
    "knobs"   "in_sync_timeout"   Duration    "[200ms..1s, 1s..5s]"                    in 1_000..=HOUR   => knobs.in_sync_timeout_ns;
    "knobs"   "preparation_patience" Duration "[0s, 10s]"                              in 0..=HOUR       => knobs.preparation_patience_ns;
    "network" "latency_min"       Duration    "50us..2ms"                              in 0..=HOUR       => network.latency_min_ns;
    "network" "latency_mean"      Duration    "200us..8ms"                             in 0..=HOUR       => network.latency_mean_ns;
    "network" "loss"              Probability "[0, 0..0.02]"                           in 0..=1_000_000  => network.loss_ppm;
    "network" "duplicate"         Probability "[0, 0..0.05]"                           in 0..=1_000_000  => network.duplicate_ppm;
    "network" "reorder"           Probability "[0, 0..0.1]"                            in 0..=1_000_000  => network.reorder_ppm;
    "network" "reorder_delay"     Duration    "5ms..100ms"                             in 0..=HOUR       => network.reorder_ns;
    "network" "client_latency"    Duration    "100us..2ms"                             in 0..=HOUR       => network.client_latency_mean_ns;
    "disk"    "latency_min"       Duration    "10us..100us"                            in 0..=HOUR       => disk.latency_min_ns;
    "disk"    "latency_mean"      Duration    "50us..500us"                            in 0..=HOUR       => disk.latency_mean_ns;
    "disk"    "sync_mean"         Duration    "200us..5ms"                             in 0..=HOUR       => disk.sync_mean_ns;
    "disk"    "slow"              Probability "[0, 0..0.01]"                           in 0..=1_000_000  => disk.slow_ppm;
    "disk"    "slow_by"           Duration    "50ms..500ms"                            in 0..=HOUR       => disk.slow_ns;
    "disk"    "torn"              Probability "0.2..0.8"                               in 0..=1_000_000  => disk.torn_ppm;
    "cpu"     "statement"         Duration    "0s"                                     in 0..=HOUR       => cpu.statement_ns;
    "cpu"     "uneven"            Count       "0"                                      in 0..=1000       => cpu.uneven_percent;
    "buggify" "site"              Probability "0..0.5"                                 in 0..=1_000_000  => buggify.site_ppm;
    "buggify" "fire"              Probability "0.01..0.1"                              in 0..=1_000_000  => buggify.fire_ppm;
    "expect"  "acknowledged"      Count       "0"                                      in 0..=1 << 40    => expect.acknowledged;
    "expect"  "leader_changes"    Count       "0"                                      in 0..=1 << 40    => expect.leader_changes;
    "expect"  "most_leader_changes" Count     "1152921504606846976"                    in 0..=1 << 60    => expect.most_leader_changes;
    "expect"  "restarts"          Count       "0"                                      in 0..=1 << 40    => expect.restarts;
}
