#!/usr/bin/env bash
# How long readers of a large table wait while it is defined anew.
#
#   cargo build --release && benches/stall.sh [ROWS]          (default 1000000; ORRERY=path of another binary)
#
# Three nodes on this machine, eight data partitions. ROWS rows are loaded; then two readers ask all the time: one for a row by its key
# (one partition), one for a count over a range of the hidden order (all partitions). Told are, for each definition, how long it
# took, and the longest that either reader waited for an answer meanwhile; first the same over a quiet second, to compare with.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}
orrery=${ORRERY:-target/release/orrery}
port=${PORT:-6879}
. benches/three_nodes.sh
ask 'CREATE TABLE big (id int PRIMARY KEY, a int NOT NULL, b text)' >/dev/null
ask 'CREATE TABLE loose (id int NOT NULL, a int NOT NULL, b text) PARTITION BY HASH (id)' >/dev/null
for table in big loose; do
  for ((from = 0; from < rows; from += 20000)); do
    to=$((from + 19999 < rows ? from + 19999 : rows - 1))
    ask "INSERT INTO $table SELECT id, id, 'text' FROM generate_series($from, $to) AS g (id)" >/dev/null
  done
done

cat >"$home/key.sql" <<SQL
\set id random(0, $((rows - 1)))
SELECT a FROM big WHERE id = :id;
SQL
cat >"$home/all.sql" <<SQL
\set id random(0, $((rows - 1)))
SELECT count(*) FROM big WHERE id IN (:id, :id + 1, :id + 2, :id + 3);
SQL
reader() { # name of the script, its table: until it is killed
  sed -i "s/FROM [a-z]*/FROM $2/" "$home/$1.sql"
  rm -f "$home/$1".log*
  "$PGBENCH" -h 127.0.0.1 -p $((port + 2)) -U orrery -X -n -M simple -c 1 -T 3600 -f "$home/$1.sql" -l --log-prefix="$home/$1.log" orrery \
    >/dev/null 2>"$home/$1.err" &
  readers+=($!)
}
longest() { # µs → ms of the slowest answer
  cat "$home/$1".log* | awk -v unit=1000 '$3 > most { most = $3 } END { printf "%8.1f", most / unit }'
}
line() { # title, table, statement
  local begin took
  readers=()
  reader key "$2"
  reader all "$2"
  sleep 1
  begin=$(date +%s%N)
  if ! ask "$3" >/dev/null; then echo "$1: refused" >&2; tail -3 "$home/err" >&2; fi
  took=$((($(date +%s%N) - begin) / 1000000))
  sleep 0.3
  # Asked to end, it writes its log first.
  kill -INT "${readers[@]}" 2>/dev/null || true
  wait "${readers[@]}" 2>/dev/null || true
  printf '%-46s took %7d ms   longest wait: by key %s ms, over all partitions %s ms\n' "$1" "$took" "$(longest key)" "$(longest all)"
}

line 'nothing (a second)' big 'SELECT pg_sleep(0)'
line "CREATE INDEX, $rows rows" big 'CREATE INDEX big_a ON big (a)'
line "ADD CHECK, $rows rows" big 'ALTER TABLE big ADD CONSTRAINT positive CHECK (a >= 0)'
line "a CHECK that one row breaks, $rows rows" big "ALTER TABLE big ADD CONSTRAINT less CHECK (a < $((rows - 1)))" 2>/dev/null
line "ALTER COLUMN TYPE (and 1 index), $rows rows" big 'ALTER TABLE big ALTER a TYPE bigint USING a + 1'
line "ADD PRIMARY KEY, $rows rows" loose 'ALTER TABLE loose ADD PRIMARY KEY (id, a)'
line "UNIQUE over all partitions, $rows rows" big 'ALTER TABLE big ADD CONSTRAINT once UNIQUE (a)'
line "PARTITION TABLE, $rows rows" loose 'PARTITION TABLE loose ON COLUMN a'
