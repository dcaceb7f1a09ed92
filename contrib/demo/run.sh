#!/usr/bin/env bash
# run.sh (make run): bring Sluice up with three containers, show what it does, and leave everything running.
#
# What it starts it notes in .run, so that make stop can undo it; run again, it starts only what is missing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$run"

step "1. The daemon and the engine"
if sluice status >/dev/null 2>&1; then
  note "sluiced answers already"
else
  # The daemon comes first, as it does under systemd: an engine that starts finds its driver.
  start_daemon || fail "sluiced does not answer; the end of .run/sluiced.log:
$(tail -5 "$run/sluiced.log")"
  note "sluiced started (pid $(cat "$run/sluiced.pid"), log .run/sluiced.log)"
fi
if docker version >/dev/null 2>&1; then
  note "a Docker engine answers already: $(docker version -f '{{.Server.Version}}')"
else
  setsid dockerd --data-root "$run/docker" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" \
    </dev/null >>"$run/dockerd.log" 2>&1 &
  until_ok 60 docker version || fail "dockerd does not answer; the end of .run/dockerd.log:
$(tail -5 "$run/dockerd.log")"
  note "dockerd $(docker version -f '{{.Server.Version}}') started (pid $(cat "$run/dockerd.pid"), log .run/dockerd.log)"
fi

step "2. A network and three containers, each with its own eBPF program"
docker image inspect $image >/dev/null 2>&1 || "$root/contrib/demo/image.sh" $image
# A former run's containers and policies make room for new ones.
docker rm -f "${containers[@]}" >/dev/null 2>&1 || true
sluice policy delete "${policy_names[@]}" --wait >/dev/null 2>&1 || true
docker network inspect $network >/dev/null 2>&1 ||
  docker network create -d sluice --ipam-driver sluice --ipv6 $network >/dev/null
for name in web api db; do
  publish=()
  [ $name != web ] || publish=(-p "$port:80")
  docker run -d --name demo-$name --network $network --label app=$name "${publish[@]}" $image >/dev/null
done
until_ok 20 docker exec demo-web probe tcp demo-db:80 || fail "demo-web does not reach demo-db; see sluice status and .run/sluiced.log"
sluice endpoint list

step "3. A policy by label: web may speak to api, api to db, and nobody else to them"
sluice policy apply -f $policies --wait
try() { # try FROM TO: a line of the table
  local result
  result=$(docker exec "demo-$1" probe tcp -w 700ms "demo-$2:80" 2>&1) || true
  case $result in ok*) result=allowed ;; *) result="dropped ($result)" ;; esac
  printf '   %-5s -> %-5s %s\n' "$1" "$2" "$result"
}
try web api
try api db
try web db
try db web
note ""
note "sluice monitor names the rule, or that none allows it:"
sluice monitor --last 50 --follow=false --endpoint demo-db | tail -1 | sed 's/^/   /'
note ""
note "from the host: $(probe tcp "127.0.0.1:$port")"

step "4. Policy and labels change while api transfers data to db"
transfer() { docker exec demo-api probe state "$@" /tmp/transfer; }
docker exec -d demo-api probe stream -every 1ms tcp demo-db:80 /tmp/transfer
until_ok 10 transfer -more 100 || fail "the transfer does not run"
before=$(transfer)
sluice policy apply -f contrib/examples/shop-ports.yaml --wait >/dev/null
note "policy demo-db replaced: now only port 80 of TCP"
sluice endpoint label demo-db --add version=2 --wait >/dev/null
note "label version=2 added to db: new identity, new programs"
sluice endpoint label demo-web --add role=report --wait >/dev/null
note "label role=report added to web: the policy lets such containers read the database"
after=$(transfer -more 500)
try web db
value() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" <<<"$2"; }

step "What it saw"
resets=0
[ "$(value error "$after")" = '""' ] || resets=1
row() { printf '   %-44s %s\n' "$@"; }
row "transferred before the changes, bytes" "$(value bytes "$before")"
row "transferred after them, bytes" "$(value bytes "$after")"
row "records lost / connections reset" "$(value lost "$after") / $resets"
row "longest gap between two records" "$(value gap "$after")"
sluice status | sed 's/^/   /'
[ "$(value lost "$after")" = 0 ] && [ $resets = 0 ] || fail "the transfer was disturbed"

step "All of it stays up. Try:"
cat <<END
   bin/sluice monitor                                  # and in another terminal:
   docker exec demo-web probe tcp demo-api:80
   docker exec demo-db probe tcp -w 1s demo-api:80     # dropped: see the monitor
   bin/sluice endpoint label demo-web --remove role --wait
   bin/sluice policy list; bin/sluice port ls; bin/sluice bpf conntrack list
   make stop                                           # undoes everything
END
