#!/usr/bin/env bash
# image.sh NAME: make an image of two static binaries, busybox and probe, without any registry.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
mkdir -p "$files"/{bin,tmp,etc,root}
chmod 1777 "$files/tmp"
cp /bin/busybox "$root/bin/probe" "$files/bin/"
for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$files/bin/$applet"; done
tar -C "$files" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["probe", "serve"]' - "$1" >/dev/null
