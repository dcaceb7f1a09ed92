# lib.sh: what run.sh and stop.sh share: names, places, and how to say, start, wait and end.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
run=${DEMO_DIR:-$root/.run}  # pid files, logs, state: all that make stop forgets
logs=${run#"$root/"}         # the same, for messages
export PATH=$root/bin:$PATH:/usr/sbin:/sbin
containers=(demo-web demo-api demo-db)
mark=demo=sluice             # the label of what is ours: a user's own demo-web is none of it
network=demo
image=sluice-demo
port=${DEMO_PORT:-8088}      # of the host, where demo-web is published
examples=contrib/examples
policy_names=(demo-api demo-db demo-web)

[ "$(id -u)" = 0 ] || { echo "this needs root: sudo make run, sudo make stop" >&2; exit 1; }

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { printf '\n%s\nmake stop undoes what was done so far.\n' "$*" >&2; exit 1; }

# show COMMAND...: print a command as one would type it, and run it; its output follows.
show() {
  printf '   $ %s\n' "$*"
  "$@" 2>&1 | sed 's/^/   /'
  return "${PIPESTATUS[0]}"
}

# until_ok SECONDS COMMAND...: repeat a command, quietly, until it succeeds.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# within SECONDS COMMAND...: run a command that waits for somebody else's answer, and say so if none comes.
within() {
  local status=0
  timeout -k 1 "$@" || status=$?
  [ $status != 124 ] && [ $status != 137 ] || echo "no answer within $1 s: ${*:2}" >&2
  return $status
}

# Whether the daemon, and the engine, answer.
daemon_answers() { timeout -k 1 10 sluice version >/dev/null 2>&1; }
engine_answers() { timeout -k 1 10 docker version >/dev/null 2>&1; }

# launch NAME COMMAND...: start a process of our own in the background. It writes its pid file itself before it begins,
# so that however this script ends, make stop finds it.
launch() {
  local name=$1
  shift
  # shellcheck disable=SC2016 # for the inner shell
  setsid sh -c 'echo $$ >"$0"; exec "$@"' "$run/$name.pid" "$@" </dev/null >>"$run/$name.log" 2>&1 &
  launched=$!
}

# launched_answers SECONDS COMMAND...: wait until what was launched last answers, by this command, or has ended.
launched_answers() {
  local seconds=$1
  shift
  until_ok "$seconds" answers_or_ended "$@" && "$@"
}
answers_or_ended() { "$@" || gone "$launched"; }

# ours NAME: the process of a pid file, if it still runs and is what it was.
ours() {
  local pid
  pid=$(cat "$run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && ! gone "$pid" && echo "$pid"
}

# end NAME [SECONDS]: stop the process of a pid file and wait for its end; it is killed after that time.
end() {
  local pid
  pid=$(ours "$1") || return 0
  kill "$pid" 2>/dev/null
  until_ok "${2:-15}" gone "$pid" && return
  echo "$1 (pid $pid) does not stop within ${2:-15} s: killing it" >&2
  kill -9 "$pid" 2>/dev/null
  until_ok 5 gone "$pid"
}

# end_containerd: stop the one that a dockerd of ours left, and with it its pid file, which would keep another from starting.
end_containerd() {
  local file=$run/exec/containerd/containerd.pid
  [ -e "$file" ] || return 0
  cp "$file" "$run/containerd.pid"
  end containerd
  rm -f "$file"
}

# gone PID: it ended, though its parent may not have noticed yet.
gone() { ! grep -qE '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }

# engine: the socket of the Docker engine that the command line speaks to.
engine() { docker context inspect -f '{{.Endpoints.docker.Host}}' 2>/dev/null || echo "${DOCKER_HOST:-unix:///var/run/docker.sock}"; }

# start_daemon: start sluiced and wait until it answers.
start_daemon() {
  launch sluiced sluiced --state-dir "$run/state" --docker "$(engine)"
  launched_answers 20 daemon_answers
}

# start_engine: start dockerd and wait until it answers. It gets neither a bridge nor iptables rules of its own: Sluice
# needs none, and nothing of them stays behind.
start_engine() {
  rm -f "$run/dockerd-own.pid" # with that of a killed one, which may still be listed, dockerd would not start
  # shellcheck disable=SC2086 # DEMO_DOCKERD: more options for it
  launch dockerd dockerd -H "$(engine)" --data-root "$run/docker" --exec-root "$run/exec" \
    --pidfile "$run/dockerd-own.pid" --bridge=none --iptables=false --ip6tables=false ${DEMO_DOCKERD:-}
  launched_answers 60 engine_answers
}
