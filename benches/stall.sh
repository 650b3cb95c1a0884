#!/usr/bin/env bash
# How long readers of a large table wait while it is defined anew.
#
#   cargo build --release && benches/stall.sh [ROWS]          (default 1000000; ORRERY=path of another binary)
#
# Three nodes on this machine, eight data partitions. ROWS rows are loaded; then two readers ask all the time: one for a row by its key
# (one partition), one for a count of four keys (several). Told are, for each definition, how long it
# took, and the longest that either reader waited for an answer meanwhile; first the same over a quiet second, to compare with.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}
orrery=${ORRERY:-target/release/orrery}
port=${PORT:-6879}
. benches/three_nodes.sh
ask 'CREATE TABLE big (id int PRIMARY KEY, a int NOT NULL, b text)' >/dev/null
ask 'CREATE TABLE loose (id int NOT NULL, a int NOT NULL, b text) PARTITION BY HASH (id)' >/dev/null
declare -A value=([big]=id [loose]="$rows - id")
for table in big loose; do
  for ((from = 0; from < rows; from += 20000)); do
    to=$((from + 19999 < rows ? from + 19999 : rows - 1))
    ask "INSERT INTO $table SELECT id, ${value[$table]}, 'text' FROM generate_series($from, $to) AS g (id)" >/dev/null
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
reader() { # name of the script, its table: as long as $home/reading is there
  sed -i "s/FROM [a-z]*/FROM $2/" "$home/$1.sql"
  rm -f "$home/$1".log*
  local turn=0
  # A turn ends with its last answer, however late that comes.
  while [ -e "$home/reading" ]; do
    turn=$((turn + 1))
    "$PGBENCH" -h 127.0.0.1 -p $((port + 2)) -U orrery -n -M simple -c 1 -T 1 -f "$home/$1.sql" -l --log-prefix="$home/$1.log$turn" orrery \
      >/dev/null 2>>"$home/$1.err" || { cat "$home/$1.err" >&2; return; }
  done
}
longest() { # of a reader's answers, in ms
  cat "$home/$1".log* | awk '$3 > most { most = $3 } END { printf "%8.1f", most / 1000 }'
}
line() { # title, table, statement
  local begin took told=done
  touch "$home/reading"
  reader key "$2" &
  reader all "$2" &
  sleep 1
  begin=$(date +%s%N)
  ask "$3" >/dev/null || told=refused
  took=$((($(date +%s%N) - begin) / 1000000))
  sleep 0.3
  rm "$home/reading"
  wait
  printf '%-46s %s in %7d ms   longest wait: by key %s ms, over several partitions %s ms\n' "$1" "$told" "$took" "$(longest key)" "$(longest all)"
}

line 'nothing (a second)' big 'SELECT 1'
line "CREATE INDEX, $rows rows" big 'CREATE INDEX big_a ON big (a)'
line "ADD CHECK, $rows rows" big 'ALTER TABLE big ADD CONSTRAINT positive CHECK (a >= 0)'
line "a CHECK that one row breaks, $rows rows" big "ALTER TABLE big ADD CONSTRAINT less CHECK (a < $((rows - 1)))"
line "ALTER COLUMN TYPE (and 1 index), $rows rows" big 'ALTER TABLE big ALTER a TYPE bigint USING a + 1'
line "ADD PRIMARY KEY, $rows rows" loose 'ALTER TABLE loose ADD PRIMARY KEY (id, a)'
line "UNIQUE over all partitions, $rows rows" big 'ALTER TABLE big ADD CONSTRAINT once UNIQUE (a)'
line "PARTITION TABLE, $rows rows" loose 'PARTITION TABLE loose ON COLUMN a'
