#!/usr/bin/env bash
# test.sh [SUITE...]: run the privileged tests of the packages below on the kernels of Debian suites (default: the oldest
# that Sluice supports, 6.1, and a newer one), with -short. Ends with 77 when no kernel is to be had.
set -uo pipefail
cd "$(dirname "$0")/../.."
suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie)
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-/var/cache}/sluice}
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./bpf/... ./datapath/... ./internal/netns/... 2>/dev/null)
modules=(veth sch_ingress cls_bpf act_bpf bridge 8021q dummy)

payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
echo '#!/bin/sh
failed=0' >"$payload/run"
for dir in $packages; do
  grep -qs '^func TestPrivileged' "$dir"/*_test.go || continue
  name=${dir#"$PWD"/}
  mkdir -p "$payload/$name"
  CGO_ENABLED=0 go test -c -ldflags '-s -w' -o "$payload/$name/test" "$dir" || exit 1
  [ ! -d "$dir/testdata" ] || cp -r "$dir/testdata" "$payload/$name/"
  echo "echo '# $name'; (cd $name && ./test -test.run '^TestPrivileged' -test.short -test.timeout 240s) || failed=1" >>"$payload/run"
done
echo 'exit $failed' >>"$payload/run"
chmod +x "$payload/run"
[ -n "$(ls -d "$payload"/*/ 2>/dev/null)" ] || { echo "no privileged tests in: $packages"; exit 77; }

failed=0 ran=0
for suite in "${suites[@]}"; do
  kernel=$cache/kernels/$suite
  if ! why=$(integration/kernel/fetch.sh "$suite" "$kernel" 2>&1); then
    echo "kernel of Debian $suite: not run: $(echo "$why" | tail -1)"
    continue
  fi
  echo "# Linux $(cat "$kernel/release")"
  ran=1
  if integration/kernel/run-vm.sh "$kernel" "$payload" "${modules[@]}"; then
    echo "ok   Linux $(cat "$kernel/release")"
  else
    echo "FAIL Linux $(cat "$kernel/release")"
    failed=1
  fi
done
[ $ran = 1 ] || exit 77
exit $failed
