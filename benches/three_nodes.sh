# Read by the scripts beside it: starts three nodes with eight data partitions on this machine, in a temporary directory that goes
# when the script ends. It takes $orrery and $port, and gives $home, $pids, $hertz, `ask SQL`, `ticks` and $PGBENCH.
[ -x "$orrery" ] || { echo "build it first: cargo build --release" >&2; exit 2; }
command -v "${PGBENCH:=pgbench}" >/dev/null || { echo "no pgbench: the load is its" >&2; exit 2; }
home=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$home"; }
trap finish EXIT

nodes="1=127.0.0.1:$((port + 11)),2=127.0.0.1:$((port + 12)),3=127.0.0.1:$((port + 13))"
for id in 1 2 3; do
  "$orrery" start --id $id --nodes "$nodes" --pg "127.0.0.1:$((port + id))" --http off --log warn --partitions 8 --workers 1 \
    --data "$home/data$id" >"$home/out$id" 2>"$home/err$id" &
  pids+=($!)
  disown $!
done
ask() { "$orrery" sql --port $((port + 1)) -c "$1" 2>>"$home/err"; }
for ((tries = 0; tries < 300; tries++)); do ask 'SELECT 1' >/dev/null && break; sleep 0.1; done
# Who answered may be a server of an earlier run, which has the ports still.
sleep 0.2
for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || { cat "$home"/err? >&2; echo 'a node has ended at its start' >&2; exit 1; }; done

# Processor time of all three so far, in ticks of which a second has $hertz.
ticks() { for pid in "${pids[@]}"; do sed 's/.*) //' "/proc/$pid/stat"; done | awk '{ sum += $12 + $13 } END { print sum }'; }
hertz=$(getconf CLK_TCK)
