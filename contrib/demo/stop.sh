#!/usr/bin/env bash
# stop.sh (make stop): undo what run.sh did, whole or half; succeeds when there is nothing to undo.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

end sluice
# What was killed comes back for a moment: an engine waits 15 s for each request to a driver that is gone, and containers
# of an engine that is gone can be removed by nobody else. Whether they run is asked of them, not of the pid file: a
# process that was just killed is still listed.
if [ -e "$run/sluiced.pid" ] && ! daemon_answers; then
  end sluiced
  start_daemon || echo "sluiced does not start again; see $logs/sluiced.log" >&2
fi
if [ -e "$run/dockerd.pid" ] && ! engine_answers; then
  end dockerd
  end_containerd
  start_engine || {
    echo "make stop: dockerd does not start again, and nobody else can remove its containers; see $logs/dockerd.log" >&2
    exit 1
  }
fi
if engine_answers; then
  left=0
  within 10 docker ps -aq --filter label=$mark | xargs -r timeout -k 1 60 docker rm -f >/dev/null || left=1
  within 10 docker network ls -q --filter label=$mark | xargs -r timeout -k 1 60 docker network rm >/dev/null || left=1
  ! within 10 docker image inspect $image >/dev/null 2>&1 || within 60 docker image rm $image >/dev/null || left=1
  if [ $left = 1 ] && [ ! -e "$run/dockerd.pid" ]; then
    echo "make stop: the engine does not remove what make run made (see above); try again once it does" >&2
    exit 1
  fi
fi
if daemon_answers; then
  within 20 sluice policy delete "${policy_names[@]}" >/dev/null 2>&1
fi
end dockerd 30
end_containerd
if [ -e "$run/sluiced.pid" ]; then
  end sluiced
  # The kernel's part outlives the daemon by design; of a demonstration nothing is to stay.
  within 30 sluiced --remove || { echo "make stop: try again once the cause is gone" >&2; exit 1; }
fi
findmnt -rno TARGET | grep -F "$run/" | sort -r | xargs -r umount -l
rm -rf "$run"
echo "stopped: everything that make run made or started is gone"
