#!/usr/bin/env bash
# Stops a private Postgres under load for a while, starts it again, and shows that the switch went on answering and
# that the tables caught up. Needs PostgreSQL's programs, curl and python3.
#
# Usage: tools/show_postgres_outage.sh [SECONDS_AWAY] [MESSAGES_PER_SECOND]
set -euo pipefail
away_s=${1:-60}
rate=${2:-1000}
bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1 || command -v initdb)")
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
export CARDSWITCH_ROOT_KEY=outage-demonstration-key
as_postgres() { if [ "$(id -u)" = 0 ]; then su postgres -s /bin/bash -c "$*"; else bash -c "$*"; fi; }
pg() { as_postgres "'$bin/pg_ctl' -D '$work/pg' -w -l '$work/pg.log' -o \"-k '$work' -h '' -c fsync=off\" $*" >/dev/null; }
finish() { tail -n 5 "$work/switch.log" >&2 || true; kill "${switch:-}" 2>/dev/null || true; pg stop -m immediate 2>/dev/null || true; rm -rf "$work"; }
trap finish EXIT

if [ "$(id -u)" = 0 ]; then chown postgres "$work"; fi
as_postgres "'$bin/initdb' -D '$work/pg' -U cardswitch -A trust" >/dev/null
pg start
as_postgres "'$bin/createdb' -h '$work' -U cardswitch cardswitch"
mkdir "$work/switch"
cat > "$work/switch/cardswitch.toml" <<TOML
[data]
dir = "$work/switch/data"
[http]
listen = "127.0.0.1:18081"
[store]
url = "postgres://cardswitch@localhost/cardswitch?host=$work"
[sandbox]
enabled = true
[[network]]
name = "visa"
listen = "127.0.0.1:18584"
TOML
"$here/target/release/cardswitch" serve --config "$work/switch/cardswitch.toml" 2> "$work/switch.log" &
switch=$!
for _ in $(seq 100); do curl -fs http://127.0.0.1:18081/readyz >/dev/null && break; sleep 0.1; done
metric() { curl -s http://127.0.0.1:18081/metrics | awk -v name="$1" '$1 == name { print $2 }'; }
lag() { echo "$(metric cardswitch_journal_durable) records durable, $(metric cardswitch_projection_behind_records) of them not in the tables yet"; }
"$here/target/release/cardsim" network --target 127.0.0.1:18584 --api http://127.0.0.1:18081 --key "$CARDSWITCH_ROOT_KEY" \
  --connections 4 --rate "$rate" --duration $((away_s + 20)) > "$work/report" &
load=$!
sleep 10
echo "before:            $(lag)"
pg stop -m immediate
echo "Postgres stopped"
sleep "$away_s"
echo "after ${away_s} s away:  $(lag)"
pg start
echo "Postgres started"
wait "$load" && echo "the simulator found nothing wrong" || echo "the simulator found something wrong"
for _ in $(seq 300); do [ "$(metric cardswitch_projection_behind_records)" = 0 ] && break; sleep 0.2; done
echo "caught up:         $(lag)"
cat "$work/report"
grep -c 'cannot be reached' "$work/switch.log" | sed 's/$/ lines in the log say that the database cannot be reached/'
