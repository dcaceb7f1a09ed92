#!/usr/bin/env bash
# test.sh [SUITE...]: run the privileged tests of the packages below on the kernels of Debian suites (default: the oldest
# that Sluice supports, 6.1, and a newer one), with -short, side by side. Ends with 77 when no kernel is to be had.
set -uo pipefail
cd "$(dirname "$0")/../.."
suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie)
export VM_TIMEOUT=${VM_TIMEOUT:-600} # far more than it takes: other work may load the machine
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-/var/cache}/sluice}
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./bpf/... ./datapath/... ./internal/netns/... 2>/dev/null)
modules=(veth sch_ingress cls_bpf act_bpf bridge 8021q dummy tun sch_fq)

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
  echo "echo '# $name'; (cd $name && ./test -test.run '^TestPrivileged' -test.short -test.timeout 500s) || failed=1" >>"$payload/run"
done
echo 'exit $failed' >>"$payload/run"
chmod +x "$payload/run"
[ -n "$(ls -d "$payload"/*/ 2>/dev/null)" ] || { echo "no privileged tests in: $packages"; exit 77; }

# boot SUITE: run the payload there; its lines carry the suite's name, since all machines run at once.
boot() {
  local release
  release=$(cat "$cache/kernels/$1/release")
  if integration/kernel/run-vm.sh "$cache/kernels/$1" "$payload" "${modules[@]}" 2>&1 | stdbuf -oL sed "s/^/[$1] /"; then
    echo "ok   Linux $release"
  else
    echo "FAIL Linux $release"
    return 1
  fi
}

failed=0 machines=()
for suite in "${suites[@]}"; do
  if ! why=$(integration/kernel/fetch.sh "$suite" "$cache/kernels/$suite" 2>&1); then
    echo "kernel of Debian $suite: not run: $(echo "$why" | tail -1)"
    continue
  fi
  boot "$suite" &
  machines+=($!)
done
[ ${#machines[@]} -gt 0 ] || exit 77
for machine in "${machines[@]}"; do wait "$machine" || failed=1; done
exit $failed
