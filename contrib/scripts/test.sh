#!/usr/bin/env bash
# test.sh [TIER...]: run the tiers of tests (default: all), then say for each what came of it.
#
# A tier that this machine cannot run is reported with the reason and does not fail the run; so is every test that
# skips. Tiers: unit, packet, netns, docker, kernel (docs/testing.md).
set -uo pipefail
cd "$(dirname "$0")/../.."
tiers=("$@")
[ $# -gt 0 ] || tiers=(unit packet netns docker kernel)
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-/var/cache}/sluice}
SLUICE_TEST_SKIPS=$(mktemp)
notes=$(mktemp)
trap 'rm -f "$SLUICE_TEST_SKIPS" "$notes"' EXIT
export SLUICE_TEST_SKIPS
privileged='^TestPrivileged'

# Packages of the packet tier; the privileged tests of all others but integration are the netns tier.
packet_packages() { go list ./... | grep -E '/(bpf|datapath)(/|$)' | grep -v '/datapath/link'; }
netns_packages() { go list ./... | grep -vE '/integration(/|$)' | grep -vxF "$(packet_packages)"; }

# Each need_TIER prints why the tier cannot run here, or nothing.
need_root() { [ "$(id -u)" = 0 ] || echo "needs root"; }
need_unit() { :; }
need_packet() { need_root; }
need_netns() { need_root; }
need_docker() {
  [ "$(id -u)" = 0 ] || { echo "needs root"; return; }
  for suite in bookworm sid; do
    integration/hosts/engine-get.sh $suite "$cache/engines/$suite" >"$notes" 2>&1 || echo "no engine of Debian $suite: $(tail -1 "$notes")"
  done
}
need_kernel() { command -v qemu-system-x86_64 >/dev/null || echo "no qemu-system-x86_64"; }

run_unit() { go test -race -timeout 10m -skip "$privileged" ./... && { [ -n "${NOUI:-}" ] || (cd ui && npm --silent test); }; }
run_packet() { go test -count=1 -timeout 5m -run "$privileged" $(packet_packages); }
run_netns() { go test -count=1 -timeout 5m -run "$privileged" $(netns_packages); }
run_docker() { make -s probe && go run ./integration/cmd/clients && go test -count=1 -timeout 40m -parallel "${SLUICE_TEST_PARALLEL:-4}" -run "$privileged" ./integration/...; }
run_kernel() { integration/kernel/test.sh; }

declare -A result seconds
failed=0
make -s build || exit 1
for tier in "${tiers[@]}"; do
  echo "=== $tier"
  start=$SECONDS
  if ! why=$(contrib/scripts/need.sh "$tier" 2>&1 | tail -1; exit "${PIPESTATUS[0]}"); then
    result[$tier]="not run: $why"
  elif why=$("need_$tier" | paste -sd'; ') && [ -n "$why" ]; then
    result[$tier]="not run: $why"
  else
    # Where the tier runs at all, want of privileges is an error.
    [ "$(id -u)" != 0 ] || export SLUICE_TEST_REQUIRE=1
    "run_$tier"
    case $? in
    0) result[$tier]=passed ;;
    77) result[$tier]="not run: see above" ;; # by the custom of test drivers
    *) result[$tier]=FAILED failed=1 ;;
    esac
  fi
  seconds[$tier]=$((SECONDS - start))
done

echo
echo "=== what ran"
for tier in "${tiers[@]}"; do printf '%-8s %4d s  %s\n' "$tier" "${seconds[$tier]}" "${result[$tier]}"; done
if [ -s "$SLUICE_TEST_SKIPS" ]; then
  echo "=== skipped"
  sort "$SLUICE_TEST_SKIPS" | uniq -c
fi
exit $failed
