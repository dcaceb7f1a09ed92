#!/usr/bin/env bash
# run.sh (make run): bring Sluice up with three containers, show what it does, and leave everything running.
#
# What it starts it notes in .run, so that make stop can undo it, even when this was interrupted; run again, it starts
# only what is missing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. contrib/demo/table.sh
mkdir -p "$run"

step "1. The daemon and the engine"
[[ $(engine) == unix://* ]] || fail "docker speaks to $(engine); Sluice works for the engine of its own host: unset DOCKER_HOST and DOCKER_CONTEXT"
if daemon_answers; then
  note "sluiced answers already"
else
  # The daemon comes first, as it does under systemd: an engine that starts finds its driver.
  start_daemon || fail "sluiced does not answer; the end of $logs/sluiced.log:
$(tail -5 "$run/sluiced.log")"
  note "sluiced started (pid $(cat "$run/sluiced.pid"), log $logs/sluiced.log)"
fi
if engine_answers; then
  note "a Docker engine answers already: $(docker version -f '{{.Server.Version}}')"
else
  start_engine || fail "dockerd does not answer; the end of $logs/dockerd.log:
$(tail -5 "$run/dockerd.log")"
  note "dockerd $(docker version -f '{{.Server.Version}}') started (pid $(cat "$run/dockerd.pid"), log $logs/dockerd.log),"
  note "without bridge and iptables rules of its own: Sluice needs none"
fi

step "2. A network and three containers, each with its own eBPF program"
docker image inspect $image >/dev/null 2>&1 || "$root/contrib/demo/image.sh" $image
# A former run's containers and policies make room for new ones.
docker ps -aq --filter label=$mark | xargs -r docker rm -f >/dev/null
sluice policy delete "${policy_names[@]}" --wait >/dev/null 2>&1 || true
if ! driver=$(docker network inspect -f '{{.Driver}}' $network 2>/dev/null); then
  show docker network create -d sluice --ipam-driver sluice --ipv6 --label $mark $network >"$run/last" || fail "$(cat "$run/last")"
  head -1 "$run/last"
elif [ "$driver" != sluice ]; then
  fail "there is a network $network of the driver $driver: docker network rm $network"
fi
for name in web api db; do
  publish=()
  [ $name != web ] || publish=(-p "$port:80")
  show docker run -d --name demo-$name --network $network --label app=$name --label $mark "${publish[@]}" $image >"$run/last" ||
    fail "$(cat "$run/last")
If the port is taken: DEMO_PORT=9000 make run"
  head -1 "$run/last"
done
until_ok 20 docker exec demo-web probe tcp demo-db:80 || fail "demo-web does not reach demo-db; see sluice status and $logs/sluiced.log"
note ""
show sluice endpoint list

step "3. A policy by label: web may speak to api, api to db; who else tries is dropped"
show sluice policy apply -f $examples/shop.yaml --wait

trap 'end sluice' EXIT
watch_decisions
table_head
try web api allowed
try api db allowed
try web db dropped
try db web dropped
note ""
note "A default deny is a policy whose rules allow something else in that direction. Live: sluice monitor"
note "From the host, by the published port: $(probe tcp "127.0.0.1:$port")"

step "4. Policies and labels change while api transfers data to db"
transfer() { docker exec demo-api probe state "$@" /tmp/transfer; }
value() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" <<<"$2"; }
revision() { sluice status -o json | sed -n 's/^  "revision": \([0-9]*\).*/\1/p'; }
docker exec -d demo-api probe stream -every 1ms tcp demo-db:80 /tmp/transfer
until_ok 10 transfer -more 100 || fail "the transfer does not run: $(transfer)"
before=$(transfer) first=$(revision)
show sluice policy apply -f $examples/shop-ports.yaml --wait
note "  (db is now open on port 80 only, for the api and for what is labelled role=report)"
show sluice endpoint label demo-db --add version=2 --wait
show sluice endpoint label demo-web --add role=report --wait
table_head
try web db allowed
note ""
show sluice endpoint label demo-web --remove role --wait
table_head
try web db dropped
after=$(transfer -more 200)

step "What it saw"
resets=0
[ "$(value error "$after")" = '""' ] || resets=1
row() { printf '   %-46s %s\n' "$@"; }
row "policy revisions put in place meanwhile" "$first to $(revision)"
row "bytes transferred before, and by the end" "$(value bytes "$before"), $(value bytes "$after")"
row "records lost, connections reset" "$(value lost "$after"), $resets"
row "longest gap between two records" "$(value gap "$after")"
row "packets passed from container to container" "$(sluice bpf metrics list | awk '$1 == "ingress" && $2 == "forwarded" {print $(NF-1)}')"
row "packets dropped by policy" "$(sluice bpf metrics list | awk '/policy denied/ {n += $(NF-1)} END {print n + 0}')"
note ""
show sluice observe --namespace default --verdict DROPPED --last 3
sluice status | sed -n '/^\(Daemon\|Endpoints\|Policies\|Ports\)/s/^/   /p'
[ "$(value lost "$after")" = 0 ] && [ $resets = 0 ] || fail "the transfer was disturbed: $after"

step "All of it stays up. Try:"
cat <<END
   bin/sluice ui                                       # the map of who talks to whom, in a browser
   bin/sluice observe --last 20                        # flows, with names and rules; -f follows them
   bin/sluice top                                      # rates of containers and services
   bin/sluice monitor                                  # what is dropped; and in another terminal:
   docker exec demo-web probe tcp -w 1s demo-db:80     # dropped
   bin/sluice endpoint label demo-web --add role=report --wait
   docker exec demo-web probe tcp demo-db:80           # allowed
   bin/sluice endpoint list; bin/sluice policy list; bin/sluice port ls
   bin/sluice bpf conntrack list                       # what the programs remember
   docs/policy.md, contrib/examples                    # policies of your own
   make stop                                           # undoes everything
END
