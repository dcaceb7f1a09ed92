#!/usr/bin/env bash
# fetch.sh SUITE DIR: unpack the newest cloud kernel of a Debian suite into DIR: vmlinuz, release, lib/modules.
set -euo pipefail
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
debs=$(cd "$(dirname "$0")/../hosts" && pwd)/debs-get.sh
arch=$(dpkg --print-architecture)
[ ! -s "$dir/release" ] || exit 0

depends() { "$debs" "$suite" "$dir/root" --depends-of "$1" | grep -oE "$2" | sort -u; }
image=$(depends "linux-image-cloud-$arch" 'linux-image-[0-9][^ ,]*' | head -1)
# Newer suites split the image into several packages.
parts=$(depends "$image" 'linux-(binary|modules|base)-[0-9][^ ,]*' || true)
rm -rf "$dir/root" "$dir/lib"
# shellcheck disable=SC2086 # several words are meant
"$debs" "$suite" "$dir/root" "$image" $parts

release=${image#linux-image-}
mv "$(find "$dir/root" -type f -name 'vmlinuz*' | head -1)" "$dir/vmlinuz"
mkdir -p "$dir/lib/modules"
mv "$(find "$dir/root" -type d -path "*lib/modules/$release" | head -1)" "$dir/lib/modules/"
rm -rf "$dir/root"
depmod -b "$dir" "$release"
echo "$release" >"$dir/release"
