#!/usr/bin/env bash
# Holds a rate for a while with everything going on beside it that could make the switch pause: changes of segment,
# compression, snapshots, and the projection into SQLite or a private Postgres. Shows the latencies, the longest one
# included, whether the tables kept up, and a raw fdatasync of the same disk to compare with. Client and switch
# share the machine.
#
# Usage: tools/show_sustained_load.sh [SECONDS] [MESSAGES_PER_SECOND] [sqlite|postgres] [MIX]
# CARDSWITCH_BIN names another folder with the two release binaries, CARDSWITCH_PORT another first of two ports.
set -euo pipefail
seconds=${1:-60}
rate=${2:-10000}
store=${3:-sqlite}
mix=${4:-default}
port=${CARDSWITCH_PORT:-18095}
here=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARDSWITCH_BIN:-$here/target/release}
# Not /tmp where that may be memory: the disk is what matters.
work=$(mktemp -d -p "$here/target")
export CARDSWITCH_ROOT_KEY=sustained-load-root-key
as_postgres() { if [ "$(id -u)" = 0 ]; then su postgres -s /bin/bash -c "$*"; else bash -c "$*"; fi; }
pg() { as_postgres "'$pg_bin/pg_ctl' -D '$sockets/pg' -w -l '$sockets/pg.log' -o \"-k '$sockets' -h ''\" $*" > /dev/null; }
finish() {
  kill "${switch:-}" 2> /dev/null && wait "$switch" 2> /dev/null || true
  if [ -n "${sockets:-}" ]; then pg stop -m immediate 2> /dev/null || true; rm -rf "$sockets"; fi
  rm -rf "$work"
}
trap finish EXIT

url=sqlite
if [ "$store" = postgres ]; then
  pg_bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb 2> /dev/null | tail -n 1 || command -v initdb)")
  # A path of a socket may not be long, and the owner of the server must reach it.
  sockets=$(mktemp -d -p /var/tmp)
  if [ "$(id -u)" = 0 ]; then chown postgres "$sockets"; fi
  as_postgres "'$pg_bin/initdb' -D '$sockets/pg' -U cardswitch -A trust" > /dev/null
  pg start
  as_postgres "'$pg_bin/createdb' -h '$sockets' -U cardswitch cardswitch"
  url="postgres://cardswitch@localhost/cardswitch?host=$sockets"
fi

python3 - "$work/raw" <<'PY'
import os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(file, bytes(8 << 20)); os.fsync(file)
took = []
for at in range(1000):
    began = time.perf_counter(); os.pwrite(file, bytes([at & 255]) * 4096, at * 4096); os.fdatasync(file)
    took.append((time.perf_counter() - began) * 1e6)
took.sort()
print(f"raw fdatasync of 4 KiB: p50 {took[500]:.0f} us, p99 {took[990]:.0f} us, max {took[-1]:.0f} us")
PY
cat > "$work/cardswitch.toml" <<TOML
[data]
dir = "$work/data"
[http]
listen = "127.0.0.1:$port"
[store]
url = "$url"
[sandbox]
enabled = true
[journal]
segment_size_bytes = 16777216
reserve_bytes = 33554432
[snapshots]
every_records = $((rate * 20))
[limits]
open_holds_per_account_max = 4000000000
[[network]]
name = "visa"
listen = "127.0.0.1:$((port + 1))"
TOML
"$bin/cardswitch" serve --config "$work/cardswitch.toml" 2> "$work/log" &
switch=$!
for _ in $(seq 100); do curl -fs "http://127.0.0.1:$port/readyz" > /dev/null && break; sleep 0.1; done
"$bin/cardsim" seed --api "http://127.0.0.1:$port" --key "$CARDSWITCH_ROOT_KEY" --count 1000 --out "$work/cards.jsonl" > /dev/null
"$bin/cardsim" network --target "127.0.0.1:$((port + 1))" --cards "$work/cards.jsonl" --connections 8 --in-flight 512 \
  --rate "$rate" --duration "$seconds" --mix "$mix" --json > "$work/report.json" 2> "$work/report.err" &
load=$!
metrics() { curl -s "http://127.0.0.1:$port/metrics"; }
metric() { metrics | awk -v name="$1" '$1 == name { print $2 }'; }
began=$SECONDS
while sleep 10 && kill -0 "$load" 2> /dev/null; do
  metrics | awk -v at=$((SECONDS - began)) '{ seen[$1] = $2 } END {
    printf "%4d s: %d records durable, %d of them not in the tables, oldest %d ms\n", at, seen["cardswitch_journal_durable"],
      seen["cardswitch_projection_behind_records"], seen["cardswitch_projection_lag_milliseconds"] }'
done
wait "$load" || echo "the simulator found something wrong"
python3 - "$work/report.json" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
late, took = report["sender_lateness_us"], report["latency_us"]
print(f"{report['sent']} sent, {report['answered']} answered, {report['per_second']:.0f} a second")
for finding in report.get("findings", [])[:5]: print("finding:", finding)
print("latency:  " + ", ".join(f"{name} {value / 1000:.2f} ms" for name, value in took.items()))
print("the sender was late by: " + ", ".join(f"{name} {value / 1000:.2f} ms" for name, value in late.items()))
PY
for _ in $(seq 300); do [ "$(metric cardswitch_projection_behind_records)" = 0 ] && break; sleep 0.2; done
echo "beside it: $(metric cardswitch_journal_rotations_total) changes of segment ($(metric cardswitch_journal_rotation_waits_total) waited for), \
$(ls "$work/data/journal" | grep -c lz4 || true) segments compressed, $(grep -c 'made a snapshot' "$work/log" || true) snapshots; \
tables behind at the end: $(metric cardswitch_projection_behind_records) records"
metrics | grep '^cardswitch_journal_sync_seconds' | awk -F'[" ]' '/bucket/ { printf "%s s: %d; ", $2, $NF } END { print "" }' | sed 's/^/syncs up to /'
