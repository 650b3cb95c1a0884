#!/usr/bin/env bash
# What a restart costs with and without a checkpoint, and what a checkpoint costs those who work meanwhile.
#
#   cargo build --release && benches/restart.sh [ROWS]          (default 1,000,000; ORRERY=path of another binary)
#
# One node. ROWS rows of about 110 bytes are loaded by COPY; then the node is killed (-9) and started again: once with nothing but
# its log, once with a checkpoint. Then, if pgbench is there, point updates come at a fixed rate, first without a checkpoint and then
# while one is made after the other; latency counts from when an update was due. Everything is in a temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}
orrery=${ORRERY:-target/release/orrery}
[ -x "$orrery" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
home=$(mktemp -d)
port=${PORT:-6479}
node=
finish() { if [ -n "$node" ]; then kill -9 "$node" 2>/dev/null || true; fi; rm -rf "$home"; }
trap finish EXIT

now() { date +%s%N; }
since() { awk -v ns=$(($(now) - $1)) 'BEGIN { printf "%.2f s", ns / 1e9 }'; }
ask() { "$orrery" sql --port "$port" "$@" >/dev/null; }
start() { # flags: starts the node and waits until its log is read
  rm -f "$home/out"
  "$orrery" start --pg "127.0.0.1:$port" --http off --log warn --data "$home/data" "$@" >"$home/out" 2>>"$home/err" &
  node=$!
  disown "$node"
  until grep -qs '^connect:' "$home/out"; do
    kill -0 "$node" 2>/dev/null || { cat "$home/err" >&2; exit 1; }
    sleep 0.01
  done
}
end() { kill -9 "$node"; while kill -0 "$node" 2>/dev/null; do sleep 0.01; done; node=; }
restart() { # title, flags
  local title=$1 begin; shift
  end
  begin=$(now)
  start "$@"
  ask -c 'SELECT balance FROM account WHERE id = 1'
  printf '%-42s %s to the first answer\n' "$title" "$(since "$begin")"
}
size() { find "$home/data" -name "$1*" -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f MiB", sum / 1048576 }'; }
checkpoints() { find "$home/data" -name 'checkpoint-*' -printf '%f %s\n' | sort; }

never=(--checkpoint-every 1000000000 --wal-bytes-before-checkpoint 1024TiB)
begin=$(now)
start "${never[@]}"
ask -c 'CREATE TABLE account (id int PRIMARY KEY, branch int NOT NULL, balance int NOT NULL, filler text)'
for ((first = 1; first <= rows; first += 100000)); do
  awk -v first="$first" -v rows="$rows" 'BEGIN {
    print "COPY account FROM STDIN;"
    for (id = first; id < first + 100000 && id <= rows; id++) printf "%d\t%d\t0\t%084d\n", id, id % 100, id
    print "\\." }' >"$home/load.sql"
  ask -f "$home/load.sql"
done
printf '%-42s %s\n' "loading $rows rows" "$(since "$begin")"

restart "restart, log only ($(size wal-))" "${never[@]}"
end
start --checkpoint-every 1
ask -c 'UPDATE account SET balance = 1 WHERE id = 1'
# Published, and nothing in the making: the list of files stays as it is.
while [ "$(checkpoints)" != "${last:-none}" ]; do last=$(checkpoints); sleep 2; done
[ -n "$last" ] || { echo "no checkpoint was made" >&2; exit 1; }
printf '%-42s %s\n' "the checkpoint" "$(size checkpoint-)"
restart "restart, checkpoint" "${never[@]}"

command -v "${PGBENCH:=pgbench}" >/dev/null || { echo "no pgbench: what a checkpoint costs others is not measured"; exit 0; }
printf '\\set id random(1, %d)\nUPDATE account SET balance = balance + 1 WHERE id = :id;\n' "$rows" >"$home/update.sql"
updates() { # title: 20 s of updates at 200 a second
  "$PGBENCH" -h 127.0.0.1 -p "$port" -U orrery -n -M prepared -c 16 -T 20 -R 200 -f "$home/update.sql" \
    -l --log-prefix="$home/latency" orrery >/dev/null 2>&1
  cat "$home"/latency.* | awk '{ print $3 }' | sort -n | awk -v title="$1" '{ at[NR] = $1 } END {
    printf "%-42s p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, longest %.1f ms of %d updates\n", title,
      at[int(NR * .5)] / 1000, at[int(NR * .99)] / 1000, at[int(NR * .999)] / 1000, at[NR] / 1000, NR }'
  rm "$home"/latency.*
}
updates "updates at 200/s, no checkpoint"
end
start --checkpoint-every 200
before=$(checkpoints)
updates "updates at 200/s, always a checkpoint"
[ "$before" != "$(checkpoints)" ] || { echo "no checkpoint was made" >&2; exit 1; }
