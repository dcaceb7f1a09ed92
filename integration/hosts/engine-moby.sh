#!/usr/bin/env bash
# engine-moby.sh SID DIR: build the engine that is newer than Debian's, from the Go module of its source, into DIR.
#
# SID is what engine-get.sh made of Debian's newest suite: containerd, runc, command line and compose are taken from
# there. The build takes three minutes and 1.5 GB of Go's caches. DIR/version says what came.
set -euo pipefail
module=github.com/moby/moby/v2 version=${SLUICE_MOBY_VERSION:-v2.0.0-beta.24}
sid=$(cd "$1" && pwd)
mkdir -p "$2"
dir=$(cd "$2" && pwd)
exec 9>"$dir/lock"
flock 9
[ ! -s "$dir/version" ] || exit 0

mkdir -p "$dir/bin" "$dir/src"
cd "$dir/src"
rm -f go.mod go.sum
go mod init build
printf '//go:build tools\n\npackage build\n\nimport _ "%s/cmd/dockerd"\n' $module >tools.go
go mod edit -require "$module@$version"
# Errors are about tests of dependencies, which nobody builds here.
GOFLAGS=-mod=mod go mod tidy -e
# A release says 29.x.y; the module's own versions begin anew with v2.
CGO_ENABLED=0 go build -trimpath -tags 'no_systemd exclude_graphdriver_btrfs' \
  -ldflags "-s -w -X $module/dockerversion.Version=29.0.0-moby-$version" -o "$dir/bin/dockerd" $module/cmd/dockerd
for f in "$sid"/bin/*; do
  [ "$(basename "$f")" = dockerd ] || ln -sfn "$f" "$dir/bin/"
done
ln -sfn "$sid/cli-plugins" "$dir/cli-plugins"
"$dir/bin/dockerd" --version >"$dir/version"
