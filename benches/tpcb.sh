#!/usr/bin/env bash
# pgbench's own TPC-B-like transaction over eight data partitions: every transaction is interactive and writes four tables.
#
#   cargo build --release && benches/tpcb.sh [SECONDS] [CLIENTS] [SCALE]     (default 10 a mode, 64, 1; ORRERY=path of another binary)
#
# With scale 1 all transactions meet on the one row of pgbench_branches. For each mode it prints throughput, latency, what failed with
# 40001 when pgbench gives up at once, then the same with --max-tries=20, and whether the four sums agree: they are sums of the
# same amounts. Server CPU is what all three processes used.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
clients=${2:-64}
scale=${3:-1}
orrery=${ORRERY:-target/release/orrery}
port=${PORT:-6679}
. benches/three_nodes.sh

client() { "$PGBENCH" -h 127.0.0.1 -p $((port + 1)) -U orrery "$@" orrery >"$home/bench" 2>>"$home/err" || { cat "$home/bench" "$home/err" >&2; exit 1; }; }
# The figure behind the colon or the equals sign of a line of pgbench's report.
said() { sed -n "s/^$1[^:=]*[:=] *\([0-9.]*\).*/\1/p" "$home/bench" | head -n 1; }
line() { # title, flags
  local title=$1 before after; shift
  before=$(ticks)
  client -n -c "$clients" -j 2 -T "$seconds" "$@"
  after=$(ticks)
  awk -v title="$title" -v done="$(said 'number of transactions actually processed')" -v failed="$(said 'number of failed transactions')" \
    -v retried="$(said 'number of transactions retried')" -v tps="$(said tps)" -v latency="$(said 'latency average')" \
    -v ticks=$((after - before)) -v hertz="$hertz" 'BEGIN {
      printf "%-34s %6d transactions %6.0f/s   average %7.2f ms   failed %d (%.2f %%)   retried %d   server CPU %5.0f us\n", title, done, tps,
        latency, failed, 100 * failed / (done + failed + 1e-9), retried, ticks / hertz * 1e6 / (done + failed + 1e-9) }'
}

client -i -s "$scale" -q
for mode in simple extended prepared; do
  line "$mode, one try" -M $mode
  line "$mode, up to 20 tries" -M $mode --max-tries=20
done
ask 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) AS accounts, (SELECT sum(tbalance) FROM pgbench_tellers) AS tellers,
            (SELECT sum(bbalance) FROM pgbench_branches) AS branches, (SELECT sum(delta) FROM pgbench_history) AS history'
