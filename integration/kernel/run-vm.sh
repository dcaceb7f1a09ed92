#!/usr/bin/env bash
# run-vm.sh KERNEL PAYLOAD [MODULE...]: boot KERNEL (a folder made by fetch.sh), load the modules, run PAYLOAD/run there
# as root with busybox's shell, and end with its status. 100 means that the machine ended without one, 124 a timeout.
#
# Everything is emulated (a KVM that is there may still not work), one CPU, no disk, no network. cmpxchg16b is off: the
# emulation of qemu 7.2 gets it wrong. VM_TIMEOUT is in seconds; VM_VERBOSE=1 shows the kernel's log.
set -euo pipefail
kernel=$1 payload=$2
shift 2
release=$(cat "$kernel/release")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,etc,modules}
cp /bin/busybox "$root/bin/"
ln -s busybox "$root/bin/sh"
# The tests' ip is iproute2's, not busybox's, with the libraries that it is linked to.
ip=$(PATH=$PATH:/usr/sbin:/sbin command -v ip)
cp "$ip" "$root/bin/ip"
ldd "$ip" | grep -o '/[^ ]*' | while read -r lib; do install -D "$lib" "$root$lib"; done
cp -r "$payload" "$root/payload"
echo 'root:x:0:0::/:/bin/sh' >"$root/etc/passwd"

list=$root/modules/list
: >"$list"
for m in "$@"; do
  modprobe -d "$kernel" -S "$release" --show-depends "$m" 2>/dev/null || echo "note: no module $m in $release" >&2
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r path; do
  name=$(basename "$path")
  name=${name%%.ko*}.ko
  case $path in
  *.xz) xz -dc "$path" ;;
  *.zst) zstd -qdc "$path" ;;
  *.gz) gzip -dc "$path" ;;
  *) cat "$path" ;;
  esac >"$root/modules/$name"
  echo "$name" >>"$list"
done

cat >"$root/init" <<'EOS'
#!/bin/busybox sh
for applet in $(/bin/busybox --list); do [ -e /bin/$applet ] || /bin/busybox ln -s busybox /bin/$applet; done
export PATH=/bin HOME=/
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf
ip link set lo up
while read -r m; do insmod "/modules/$m" || echo "insmod $m failed"; done </modules/list
cd /payload && ./run </dev/null
echo $? >/dev/ttyS1
poweroff -f
EOS
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$work/initrd" # not compressed: inflating is slow in emulation

quiet=quiet
[ -z "${VM_VERBOSE:-}" ] || quiet=
status=0
timeout "${VM_TIMEOUT:-300}" qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -smp 1 -m "${VM_MEMORY:-768}" \
  -nodefaults -no-user-config -display none -no-reboot -monitor none \
  -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
  -chardev stdio,id=console,signal=off -serial chardev:console -chardev "file,id=status,path=$work/status" -serial chardev:status \
  -append "console=ttyS0 $quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on" </dev/null | stdbuf -oL tr -d '\r' || status=${PIPESTATUS[0]}
[ "$status" != 124 ] || { echo "run-vm.sh: no end after ${VM_TIMEOUT:-300} s" >&2; exit 124; }
answer=$(tr -d '\r' <"$work/status")
exit "${answer:-100}"
