#!/usr/bin/env bash
# need.sh PART...: install, with apt, what a part of the project needs and this machine lacks.
#
# Parts: build, lint, unit, packet, netns, docker, kernel, bench, run. It asks for commands and files, not for
# packages, so it is quiet and takes no time when nothing lacks, and works where the tools came from elsewhere.
set -euo pipefail

lacks=()
want() { # want PACKAGE COMMAND|/FILE: remember the package when the command or file is missing
  case $2 in
  /*) compgen -G "$2" >/dev/null || lacks+=("$1") ;;
  *) command -v "$2" >/dev/null || lacks+=("$1") ;;
  esac
}

PATH=$PATH:/usr/sbin:/sbin
for part in "$@"; do
  case $part in
  build)
    want clang clang
    want llvm llvm-strip
    want libbpf-dev /usr/include/bpf/bpf_helpers.h
    want linux-libc-dev /usr/include/linux/bpf.h
    ;;
  ui)
    want nodejs node
    want npm npm
    ;;
  unit)
    want gcc gcc # the race detector is C
    want libc6-dev /usr/include/stdlib.h
    want tcpdump tcpdump # what filters select is compared with it
    ;;
  packet | netns)
    want iproute2 ip
    ;;
  run)
    want docker.io dockerd
    want iproute2 ip
    want busybox-static /bin/busybox
    ;;
  docker | bench)
    if [ "$part" = docker ]; then # the page is tested with a browser
      want nodejs node
      want chromium chromium
      want fonts-dejavu-core /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
    fi
    want iproute2 ip
    want iptables iptables
    want curl curl # as the README has it
    want tcpdump tcpdump # reads captures
    want busybox-static /bin/busybox
    want patchelf patchelf
    want openssl openssl # certificates of hubble-relay, as docs/hubble.md makes them
    want ca-certificates /etc/ssl/certs/ca-certificates.crt
    want debian-archive-keyring '/usr/share/keyrings/debian-archive-keyring.*'
    [ "$part" = bench ] || want prometheus prometheus # with promtool, which checks contrib/prometheus
    ;;
  kernel)
    want qemu-system-x86 qemu-system-x86_64
    want iproute2 ip
    want busybox-static /bin/busybox
    want cpio cpio
    want kmod modprobe
    want xz-utils xz
    want zstd zstd
    want debian-archive-keyring '/usr/share/keyrings/debian-archive-keyring.*'
    ;;
  lint) ;;
  *) echo "need.sh: unknown part $part" >&2; exit 2 ;;
  esac
done
[ ${#lacks[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || { echo "need.sh: missing ${lacks[*]}; run as root, or install them" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "need.sh: missing ${lacks[*]}, and there is no apt here; install them" >&2; exit 1; }
echo "installing: ${lacks[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# What is installed for tests must not start by itself; an administrator's own policy stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f "$log" $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
get() { apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq "$@" >>"$log" 2>&1; }
get update || true
get install -y --no-install-recommends "${lacks[@]}" || { cat "$log" >&2; exit 1; }
