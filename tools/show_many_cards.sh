#!/usr/bin/env bash
# How the switch starts, what memory it takes and how fast it is with few and with many cards. For each number of
# cards: fills a data folder (`benches/many_cards.rs`), lets the switch make its snapshot there, takes the time from
# start to /readyz without and with that snapshot and the resident memory then, and at last plays purchases at full
# rate against all of them in turns: with the tables away (a Postgres that is not there), so that the projection, which
# has all those cards to catch up with, takes nothing from the switch. Further snapshots are off. The files are in the
# page cache: this is no cold disk. Client and switch share the machine.
#
# Usage: tools/show_many_cards.sh [CARDS...]           10 M cards need 15 GB of disk and 16 GB of memory
# CARDSWITCH_BIN names another folder with the two release binaries, CARDSWITCH_PORT another first port (two are used
# for each number of cards), CARDSWITCH_WORK a folder to keep: what is in it is not made again.
# CARDSWITCH_PREPARE=1 ends once the folders and snapshots are there.
set -euo pipefail
sizes=("$@")
[ $# -gt 0 ] || sizes=(10000 1000000 10000000)
first_port=${CARDSWITCH_PORT:-18095}
rounds=3
seconds=10
here=$(cd "$(dirname "$0")/.." && pwd)
bin=${CARDSWITCH_BIN:-$here/target/release}
# Not /tmp where that may be memory.
work=${CARDSWITCH_WORK:-$(mktemp -d -p "$here/target")}
export CARDSWITCH_ROOT_KEY=many-cards-root-key
running=()
finish() {
  for process in "${running[@]}"; do kill "$process" 2> /dev/null && wait "$process" 2> /dev/null || true; done
  [ -n "${CARDSWITCH_WORK:-}" ] || rm -rf "$work"
}
trap finish EXIT

away=postgres://nobody@127.0.0.1:9/nothing
# start CARDS PORT STORE SNAPSHOTS_EVERY: sets `switch`, `ready_ms` and `rss_kb`.
start() {
  cat > "$work/$1/cardswitch.toml" <<TOML
[data]
dir = "$work/$1"
[http]
listen = "127.0.0.1:$2"
[store]
url = "$3"
[snapshots]
every_records = $4
[[network]]
name = "visa"
listen = "127.0.0.1:$(($2 + 1))"
TOML
  local began
  began=$(date +%s%N)
  "$bin/cardswitch" serve --config "$work/$1/cardswitch.toml" 2> "$work/$1/log" &
  switch=$!
  running+=("$switch")
  until curl -fs "http://127.0.0.1:$2/readyz" > /dev/null; do
    kill -0 "$switch" 2> /dev/null || { cat "$work/$1/log"; exit 1; }
    sleep 0.02
  done
  ready_ms=$((($(date +%s%N) - began) / 1000000))
  rss_kb=$(memory VmRSS)
}
stop() { kill "$switch" && wait "$switch" || true; }
memory() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$switch/status"; }
logged() { grep -F "$2" "$work/$1/log" | grep -o "$3=[0-9]*" | cut -d= -f2; }
snapshots() { find "$1" -maxdepth 1 -name 'snapshot-*' ! -name '*.tmp'; }

for cards in "${sizes[@]}"; do
  if [ ! -e "$work/$cards/cards.jsonl" ]; then
    (cd "$here" && cargo bench -q --bench many_cards -- "$work/$cards" "$cards" 100000)
    sync
  fi
  if [ -z "$(snapshots "$work/$cards/journal")" ]; then
    start "$cards" "$first_port" "$away" 1000
    until grep -qF "made a snapshot" "$work/$cards/log"; do
      if grep -F "a snapshot cannot be made" "$work/$cards/log"; then exit 1; fi
      sleep 0.2
    done
    echo "$cards cards: a snapshot of $(logged "$cards" "made a snapshot" bytes) bytes;" \
      "the switch took $(memory VmHWM) KiB while it was made, $rss_kb before"
    stop
    sync
  fi
done
[ -z "${CARDSWITCH_PREPARE:-}" ] || exit 0

mkdir -p "$work/none"
start none "$first_port" sqlite 0
empty_kb=$rss_kb
stop
port=$first_port
rm -f "$work/starts"
for cards in "${sizes[@]}"; do
  journal="$work/$cards/journal"
  mkdir -p "$work/aside"
  snapshots "$journal" | xargs -I {} mv {} "$work/aside/"
  start "$cards" "$port" sqlite 0
  records=$(logged "$cards" recovered records)
  echo "$cards replay $ready_ms $rss_kb $records $(logged "$cards" recovered elapsed_ms)" >> "$work/starts"
  stop
  mv "$work"/aside/snapshot-* "$journal/"
  start "$cards" "$port" sqlite 0
  [ "$(logged "$cards" recovered from_snapshot_at)" -gt 0 ] || { echo "$cards cards: the snapshot was not used"; exit 1; }
  echo "$cards snapshot $ready_ms $rss_kb $records $(logged "$cards" recovered elapsed_ms)" >> "$work/starts"
  stop
  start "$cards" "$port" "$away" 0
  port=$((port + 2))
done
rm -f "$work/runs"
for _ in $(seq "$rounds"); do
  port=$first_port
  for cards in "${sizes[@]}"; do
    "$bin/cardsim" network --target "127.0.0.1:$((port + 1))" --cards "$work/$cards/cards.jsonl" --mix purchases \
      --connections 8 --in-flight 256 --duration "$seconds" --json 2> /dev/null > "$work/report.json" ||
      echo "$cards cards: the simulator found something wrong"
    echo "$cards $(tr -d '\n' < "$work/report.json")" >> "$work/runs"
    port=$((port + 2))
  done
done
python3 - "$work" "$empty_kb" <<'PY'
import json, statistics, sys
work, empty_kb = sys.argv[1], int(sys.argv[2])
starts, runs = {}, {}
for line in open(f"{work}/starts"):
    cards, how, *numbers = line.split()
    starts.setdefault(int(cards), {})[how] = [int(number) for number in numbers]
for line in open(f"{work}/runs"):
    cards, report = line.split(" ", 1)
    runs.setdefault(int(cards), []).append(json.loads(report))
print(f"an empty switch takes {empty_kb / 1024:.0f} MiB, which is not in the bytes of a card")
print(f"{'cards':>10} {'records':>10} {'':8} {'ready after s':>13} {'records/s':>10} {'bytes a card':>12}")
for cards, ways in starts.items():
    for how, (ready_ms, rss_kb, records, recovered_ms) in ways.items():
        rate = f"{records / recovered_ms * 1000:,.0f}" if how == "replay" else ""
        print(f"{cards:>10} {records:>10} {how:8} {ready_ms / 1000:>13.2f} {rate:>10} {(rss_kb - empty_kb) * 1024 / cards:>12.0f}")
print(f"{'cards':>10} {'answers/s: median [least, most]':>40} {'of the first':>12} {'p50 ms':>7} {'p99 ms':>7} {'approved':>9} undecided or lost")
first = None
for cards, reports in runs.items():
    rates = [report["per_second"] for report in reports]
    middle = statistics.median(rates)
    first = first or middle
    p50, p99 = (statistics.median(report["latency_us"][name] for report in reports) / 1000 for name in ("p50", "p99"))
    total = {name: sum(report[name] for report in reports) for name in ("answered", "approved", "undecided", "unanswered", "unmatched")}
    spread = f"{middle:,.0f} [{min(rates):,.0f}, {max(rates):,.0f}]"
    print(f"{cards:>10} {spread:>40} {middle / first:>12.2f} {p50:>7.1f} {p99:>7.1f} {total['approved'] / max(total['answered'], 1):>9.3f}"
          f" {total['undecided'] + total['unanswered'] + total['unmatched']}")
PY
