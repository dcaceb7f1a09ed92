#!/usr/bin/env bash
# stop.sh (make stop): undo what run.sh did, whole or half; succeeds when there is nothing to undo.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

end sluice
# What was killed comes back for a moment: an engine waits long for a driver that is gone before it removes what uses
# it, and containers of an engine that is gone can be removed by nobody else.
if [ -e "$run/sluiced.pid" ] && ! ours sluiced >/dev/null; then
  start_daemon || echo "sluiced does not start again; see $logs/sluiced.log" >&2
fi
if [ -e "$run/dockerd.pid" ] && ! docker version >/dev/null 2>&1; then
  end dockerd
  start_engine || echo "dockerd does not start again; see $logs/dockerd.log" >&2
fi
if docker version >/dev/null 2>&1; then
  docker ps -aq --filter label=$mark | xargs -r docker rm -f >/dev/null
  docker network ls -q --filter label=$mark | xargs -r docker network rm >/dev/null
  ! docker image inspect $image >/dev/null 2>&1 || docker image rm $image >/dev/null
fi
if sluice status >/dev/null 2>&1; then
  sluice policy delete "${policy_names[@]}" >/dev/null 2>&1
fi
end dockerd
cp "$run/exec/containerd/containerd.pid" "$run/containerd.pid" 2>/dev/null # one whose dockerd was killed
end containerd
if [ -e "$run/sluiced.pid" ]; then
  end sluiced
  # The kernel's part outlives the daemon by design; of a demonstration nothing is to stay.
  sluiced --remove || { echo "make stop: try again once the cause is gone" >&2; exit 1; }
fi
findmnt -rno TARGET | grep -F "$run/" | sort -r | xargs -r umount -l
rm -rf "$run"
echo "stopped: everything that make run made or started is gone"
