#!/usr/bin/env bash
# debs-get.sh SUITE DIR PACKAGE...: unpack packages of a Debian suite into DIR; nothing is installed.
#
# The archive is the one apt already uses here (Debian), SLUICE_DEBIAN_MIRROR, or Debian's public one. apt verifies
# the signatures; its state is private, so the machine's lists and package database stay as they are.
set -euo pipefail
suite=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2

mirror=${SLUICE_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)|$(COMPONENT)' 'Created-By: Packages' |
  awk -F'|' '$2 == "main" && $1 ~ /\/debian\/*$/ {print $1; exit}')}
mirror=${mirror:-http://deb.debian.org/debian}
key=$(ls /usr/share/keyrings/debian-archive-keyring.* | head -1)

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/lists/partial "$state"/cache/archives/partial "$state"/debs
echo "deb [signed-by=$key] $mirror $suite main" >"$state/sources.list"
: >"$state/status"
apt=(-qq -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status"
  -o Dir::Cache="$state/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none)

apt-get "${apt[@]}" update
if [ "$1" = --depends-of ]; then # print what the newest version of a package depends on
  apt-cache "${apt[@]}" show "$2" | sed -n 's/^Depends: //p' | head -1
  exit
fi
(cd "$state/debs" && apt-get "${apt[@]}" download "$@")
for deb in "$state"/debs/*.deb; do dpkg-deb -x "$deb" "$dir"; done
