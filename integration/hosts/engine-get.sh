#!/usr/bin/env bash
# engine-get.sh SUITE DIR: unpack the Docker engine, CLI and compose of a Debian suite into DIR; nothing is installed.
#
# DIR/bin goes in front of PATH, DIR/cli-plugins holds compose, DIR/version says what came. The binaries need only an
# old C library, but for runc, which is bound to the one unpacked beside it: so DIR must not be moved afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
exec 9>"$dir/lock"
flock 9
[ ! -s "$dir/version" ] || exit 0

packages=(docker.io containerd runc libc6 libseccomp2)
# Since Debian 13 the CLI and compose v2 are packages of their own.
[ "$suite" = bookworm ] || packages+=(docker-cli docker-compose)
rm -rf "$dir/root"
"$here/debs-get.sh" "$suite" "$dir/root" "${packages[@]}"

root=$dir/root
mkdir -p "$dir/bin" "$dir/cli-plugins"
for f in "$root"/usr/sbin/{dockerd,docker-init,docker-proxy} "$root"/usr/bin/{docker,containerd,containerd-shim-runc-v2,docker-init,docker-proxy}; do
  [ ! -e "$f" ] || ln -sfn "$f" "$dir/bin/"
done
for f in "$root"/usr/libexec/docker/cli-plugins/*; do
  [ ! -e "$f" ] || ln -sfn "$f" "$dir/cli-plugins/"
done
cp "$root/usr/sbin/runc" "$dir/bin/runc"
if ! "$dir/bin/runc" --version >/dev/null 2>&1; then
  loader=$(find "$root" -name 'ld-linux-*.so.*' | head -1)
  patchelf --set-interpreter "$(readlink -f "$loader")" \
    --set-rpath "$(dirname "$(find "$root" -name libseccomp.so.2 | head -1)")" "$dir/bin/runc"
  "$dir/bin/runc" --version >/dev/null
fi
rm -rf "$root"/usr/share
"$dir/bin/dockerd" --version >"$dir/version"
