#!/usr/bin/env bash
# The switch, the same without sync, and an echo server with the same framing, in turns: medians of the rounds with
# least and most. Client and server share the machine.
#
# Usage: tools/compare_with_echo.sh [ROUNDS] [SECONDS_PER_RUN]
set -euo pipefail
rounds=${1:-5}
seconds=${2:-3}
here=$(cd "$(dirname "$0")/.." && pwd)
bin="$here/target/release"
work=$(mktemp -d)
export CARDSWITCH_ROOT_KEY=comparison-root-key
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT

start_switch() { # name http network sync
  mkdir "$work/$1"
  cat > "$work/$1/c.toml" <<TOML
[data]
dir = "$work/$1/data"
[http]
listen = "127.0.0.1:$2"
[sandbox]
enabled = true
[journal]
sync = $4
[limits]
open_holds_per_account_max = 4000000000
[log]
filter = "warn"
[[network]]
name = "visa"
listen = "127.0.0.1:$3"
TOML
  "$bin/cardswitch" serve --config "$work/$1/c.toml" 2> "$work/$1/log" &
  pids+=($!)
  until curl -fs "http://127.0.0.1:$2/readyz" > /dev/null; do sleep 0.1; done
  "$bin/cardsim" seed --api "http://127.0.0.1:$2" --key "$CARDSWITCH_ROOT_KEY" --count 1000 --out "$work/$1/cards.jsonl" > /dev/null
}

start_switch durable 18091 18691 true
start_switch unsynced 18092 18692 false
"$bin/cardsim" echo --listen 127.0.0.1:18693 > /dev/null &
pids+=($!)
sleep 0.3

run() { # label port cards extra...
  local label=$1 port=$2 cards=$3
  shift 3
  "$bin/cardsim" network --target "127.0.0.1:$port" --cards "$cards" --duration "$seconds" --mix purchases --json "$@" 2>/dev/null |
    python3 -c "
import json, sys
d = json.load(sys.stdin)
l = d['latency_us']
print('$label', d['per_second'], l['p50'], l['p99'], l['p999'], l['max'], d['unanswered'] + d['unmatched'])" >> "$work/results"
}

for _ in $(seq "$rounds"); do
  for shape in "1 1" "8 16" "64 16" "8 256"; do
    read -r connections in_flight <<< "$shape"
    load=(--connections "$connections" --in-flight "$in_flight")
    run "durable ${connections}x$in_flight" 18691 "$work/durable/cards.jsonl" "${load[@]}"
    run "unsynced ${connections}x$in_flight" 18692 "$work/unsynced/cards.jsonl" "${load[@]}"
    run "echo ${connections}x$in_flight" 18693 "$work/durable/cards.jsonl" --against-echo "${load[@]}"
  done
  run "durable open 10k/s" 18691 "$work/durable/cards.jsonl" --connections 8 --in-flight 256 --rate 10000
  run "durable open 50k/s" 18691 "$work/durable/cards.jsonl" --connections 8 --in-flight 256 --rate 50000
done
python3 - "$work/results" <<'PY'
import collections, statistics, sys
runs = collections.OrderedDict()
for line in open(sys.argv[1]):
    words = line.split()
    runs.setdefault(" ".join(words[:-6]), []).append([float(word) for word in words[-6:]])
print(f"{'':22} {'per second: median [least, most]':>40} {'p50 us':>9} {'p99 us':>9} {'p99.9 us':>9} {'max us':>9}  lost")
for name, rows in runs.items():
    rate = [row[0] for row in rows]
    middle = [statistics.median(row[at] for row in rows) for at in range(1, 5)]
    shown = f"{statistics.median(rate):>12,.0f} [{min(rate):,.0f}, {max(rate):,.0f}]"
    print(f"{name:22} {shown:>40} {middle[0]:>9.0f} {middle[1]:>9.0f} {middle[2]:>9.0f} {middle[3]:>9.0f}  {int(sum(row[5] for row in rows))}")
PY
