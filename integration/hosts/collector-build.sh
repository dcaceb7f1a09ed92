#!/usr/bin/env bash
# collector-build.sh DIR: build DIR/collector, which takes OTLP by the OpenTelemetry Collector's own receiver, from the
# module integration/otlp/receiver. The build takes two minutes; it is made anew when the module changes.
set -euo pipefail
source=$(cd "$(dirname "$0")/../otlp/receiver" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
exec 9>"$dir/lock"
flock 9
sum=$(cat "$source"/*.go "$source"/go.* | sha256sum)
[ "$(cat "$dir/sum" 2>/dev/null)" != "$sum" ] || exit 0
cd "$source"
CGO_ENABLED=0 GOFLAGS=-mod=mod go build -trimpath -ldflags '-s -w' -o "$dir/collector.new" .
mv "$dir/collector.new" "$dir/collector"
echo "$sum" >"$dir/sum"
