# lib.sh: what run.sh and stop.sh share: names, places, and how to say and wait.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
run=$root/.run               # pid files, logs, state: all that make stop forgets
export PATH=$root/bin:$PATH:/usr/sbin:/sbin
containers=(demo-web demo-api demo-db)
network=demo
image=sluice-demo
port=${DEMO_PORT:-8088}      # of the host, where demo-web is published
policies=contrib/examples/shop.yaml
policy_names=(demo-api demo-db demo-web)

[ "$(id -u)" = 0 ] || { echo "this needs root: sudo make run, sudo make stop" >&2; exit 1; }

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }

# until_ok SECONDS COMMAND...: repeat a command, quietly, until it succeeds.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# ours NAME: the process of a pid file, if it still runs and is what it was.
ours() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && echo "$pid"
}

# end NAME: stop the process of a pid file and wait for its end.
end() {
  local pid
  pid=$(ours "$1") || return 0
  kill "$pid"
  until_ok 20 test ! -d "/proc/$pid" || kill -9 "$pid"
}

# start_daemon: start sluiced and wait until it answers.
start_daemon() {
  setsid sluiced --state-dir "$run/state" </dev/null >>"$run/sluiced.log" 2>&1 &
  echo $! >"$run/sluiced.pid"
  until_ok 20 sluice status
}
