#!/usr/bin/env bash
# How long definitions take on a table with rows, and what others see of them.
#
#   cargo build --release && benches/definitions.sh [ROWS]          (default 100000; ORRERY=path of another binary)
#
# Three nodes on this machine, eight data partitions. Each definition is done several times by one session of psql; told are the
# median and the slowest. Those that touch no row must not depend on ROWS.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-100000}
orrery=${ORRERY:-target/release/orrery}
port=${PORT:-6779}
. benches/three_nodes.sh
ask 'CREATE TABLE big (id int PRIMARY KEY, a int NOT NULL, b text)' >/dev/null
for ((from = 0; from < rows; from += 20000)); do
  to=$((from + 19999 < rows ? from + 19999 : rows - 1))
  ask "INSERT INTO big SELECT id, id, 'text' FROM generate_series($from, $to) AS g (id)" >/dev/null
done

line() { # title, times, statement with % for a number
  local nth
  for ((nth = 1; nth <= $2; nth++)); do printf '%s;\n' "${3//%/$nth}"; done >"$home/script.sql"
  { echo '\timing on'; cat "$home/script.sql"; } |
    psql -h 127.0.0.1 -p $((port + 1)) -U orrery -X -q -v ON_ERROR_STOP=1 orrery |
    awk '/^Time:/ { print $2 }' | sort -n |
    awk -v title="$1" '{ at[NR] = $1 } END { printf "%-58s p50 %8.1f ms   max %8.1f ms\n", title, at[int((NR + 1) / 2)], at[NR] }'
}

line 'CREATE TABLE' 10 'CREATE TABLE t% (id int PRIMARY KEY, a int)'
line "ADD COLUMN, $rows rows" 10 "ALTER TABLE big ADD COLUMN c% int NOT NULL DEFAULT %"
line "RENAME COLUMN, $rows rows" 10 'ALTER TABLE big RENAME c% TO d%'
line "DROP COLUMN, $rows rows" 10 'ALTER TABLE big DROP COLUMN d%'
line "ADD CHECK (reads all rows), $rows rows" 3 'ALTER TABLE big ADD CONSTRAINT k% CHECK (a >= 0)'
line "CREATE INDEX, $rows rows" 3 'CREATE INDEX big_% ON big (a, id)'
line "TYPE (writes all rows and 3 indexes), $rows rows" 2 'ALTER TABLE big ALTER a TYPE bigint USING a + %'
