#!/usr/bin/env bash
# What a transaction costs against the number of partitions that take part in it.
#
#   cargo build --release && benches/participants.sh [SECONDS]          (default 10 a line; ORRERY=path of another binary)
#
# Three nodes on this machine, eight data partitions, a table in eight ranges, one in each partition; the load is pgbench's. Server CPU
# is what all three processes have used, user and system, over the transactions of a line. Everything is in a temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
orrery=${ORRERY:-target/release/orrery}
port=${PORT:-6579}
. benches/three_nodes.sh
ask "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL) PARTITION BY RANGE (id)
     WITH (split_at = '1000, 2000, 3000, 4000, 5000, 6000, 7000')" >/dev/null
ask 'INSERT INTO account SELECT id, 1000 FROM generate_series(0, 7999) AS g (id)' >/dev/null

last_cpu=0
last_tps=0
line() { # title, clients, script: one line of figures
  local before after
  printf '%s\n' "$3" >"$home/script.sql"
  before=$(ticks)
  "$PGBENCH" -h 127.0.0.1 -p $((port + 1)) -U orrery -n -M prepared -c "$2" -T "$seconds" -f "$home/script.sql" \
    -l --log-prefix="$home/latency" orrery >"$home/bench" 2>>"$home/err" || { cat "$home/bench" "$home/err" >&2; exit 1; }
  after=$(ticks)
  read -r last_tps last_cpu < <(cat "$home"/latency.* | awk '{ print $3 }' | sort -n | awk -v title="$1" -v clients="$2" \
    -v seconds="$seconds" -v ticks=$((after - before)) -v hertz="$hertz" -v out="$home/line" '{ at[NR] = $1 } END {
      cpu = ticks / hertz * 1e6 / NR
      printf "%-46s %2d clients %7.0f/s   p50 %6.2f ms   p99 %7.2f ms   server CPU %5.0f us\n", title, clients, NR / seconds,
        at[int(NR * .5) + 1] / 1000, at[int(NR * .99)] / 1000, cpu >out
      print NR / seconds, cpu }')
  cat "$home/line"
  rm "$home"/latency.*
}
among() { # participants: adds to one row in each of so many ranges
  local keys=':r' nth
  for ((nth = 1; nth < $1; nth++)); do keys+=", :r + ${nth}000"; done
  printf '\\set r random(0, 999)\nUPDATE account SET balance = balance + 1 WHERE id IN (%s);' "$keys"
}
transfer() { # distance of the keys
  printf '\\set x random(0, 998)\n\\set r random(0, 6) * 1000 + :x\nUPDATE account SET balance = balance + CASE WHEN id = :r THEN 1 ELSE -1 END WHERE id IN (:r, :r + %s);' "$1"
}
# Client k uses ranges 2k and 2k + 1, and no other client does.
pairs='\set r random(0, 999) + (:client_id % 4) * 2000
UPDATE account SET balance = balance + 1 WHERE id IN (:r, :r + 1000);'

line 'one row, warming up' 16 "$(among 1)" >/dev/null
for participants in 1 2 4 8; do line "a row in each of $participants partitions" 16 "$(among $participants)"; done
line 'a transfer within one partition' 16 "$(transfer 1)"
single=$last_cpu
line 'a transfer between two partitions' 16 "$(transfer 1000)"
awk -v a="$last_cpu" -v b="$single" 'BEGIN { printf "%-46s %.2f times the CPU of one within a partition\n", "so a transfer between two costs", a / b }'
line 'two partitions, one at a time' 1 "$pairs"
alone=$last_tps
line 'the same by four, each with two of its own' 4 "$pairs"
awk -v a="$last_tps" -v b="$alone" 'BEGIN { printf "%-46s %.2f times as many\n", "so four that share no partition do", a / b }'
