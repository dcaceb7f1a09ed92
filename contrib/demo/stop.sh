#!/usr/bin/env bash
# stop.sh (make stop): undo what run.sh did, whole or half; succeeds when there is nothing to undo.
set -uo pipefail
. "$(dirname "$0")/lib.sh"

if [ -e "$run/sluiced.pid" ] && ! ours sluiced >/dev/null; then
  start_daemon # an engine waits long for a driver that is gone, before it removes what uses it
fi
if docker version >/dev/null 2>&1; then
  docker rm -f "${containers[@]}" >/dev/null 2>&1
  docker network rm $network >/dev/null 2>&1
  docker image rm $image >/dev/null 2>&1
fi
if sluice status >/dev/null 2>&1; then
  sluice policy delete "${policy_names[@]}" >/dev/null 2>&1
fi
end dockerd
if [ -e "$run/sluiced.pid" ]; then
  end sluiced
  # The kernel's part outlives the daemon by design; of a demonstration nothing is to stay.
  sluiced --remove
fi
findmnt -rno TARGET | grep -F "$run/" | sort -r | xargs -r umount -l
rm -rf "$run"
echo "stopped: containers, network, engine and daemon of make run are gone"
