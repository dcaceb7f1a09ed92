# init.sh DIR NAME PROBE: becomes pid 1 of a test host (run by Up inside new mount, network, pid, uts and ipc namespaces).
#
# The host gets its own /run (so its own plugin sockets), /etc/docker, /sys and bpffs, and a small world behind eth0:
#
#   host eth0 ---- outside ---- far
#   10.77.0.1/24   10.77.0.2    198.51.100.1   (the last link has an MTU of 1400)
#   fd77::1/64     fd77::2      2001:db8:64::1
#
# Servers of probe answer on port 80 (HTTP: 8080) of outside and far, and on port 7000 of the host.
#
# Everything lives in namespaces that pid 1 holds: when it dies, the kernel removes all of it.
set -eu
dir=$1 name=$2 probe=$3
hostname "$name"
mount --make-rprivate /
# Copies of other namespaces' mounts would keep those namespaces alive.
awk '$5 ~ "^/run/" {print $5}' /proc/self/mountinfo | sort -ru | while read -r m; do umount -l "$m" 2>/dev/null || :; done

# A /sys of this network namespace, with the machine's cgroups.
mkdir -p "$dir/cgroup"
mount --rbind /sys/fs/cgroup "$dir/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$dir/cgroup" /sys/fs/cgroup
umount -l "$dir/cgroup"
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker/plugins /run/lock "$dir/etc" /etc/docker
mount --bind "$dir/etc" /etc/docker
# Look-ups that leave the host must fail fast, not reach the machine's servers.
echo "nameserver 10.77.0.2" >"$dir/resolv.conf"
mount --bind "$dir/resolv.conf" "$(readlink -f /etc/resolv.conf)" 2>/dev/null || :

quiet() { # no address of the kernel's own making, no duplicate address detection
  $1 sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
}
ip netns add outside
ip netns add far
quiet ""
quiet "ip netns exec outside"
quiet "ip netns exec far"
ip link set lo up
ip link add eth0 type veth peer name host netns outside
ip addr add 10.77.0.1/24 dev eth0
ip addr add fd77::1/64 dev eth0 nodad
ip link set eth0 up
ip route add default via 10.77.0.2
ip route add default via fd77::2

out="ip -n outside"
ip netns exec outside sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
$out link set lo up
$out link set host up
for a in 10.77.0.2/24 10.77.0.3/24 fd77::2/64; do $out addr add $a dev host; done
$out addr add fd77::3/64 dev host preferred_lft 0 # not chosen by itself
$out link add far mtu 1400 type veth peer name near netns far
$out addr add 203.0.113.1/30 dev far
$out addr add 2001:db8:63::1/64 dev far
$out link set far up
far="ip -n far"
$far link set lo up
$far addr add 203.0.113.2/30 dev near
$far addr add 2001:db8:63::2/64 dev near
$far addr add 198.51.100.1/32 dev lo
$far addr add 2001:db8:64::1/128 dev lo
$far link set near up
$far route add default via 203.0.113.1 src 198.51.100.1
$far route add default via 2001:db8:63::1 src 2001:db8:64::1
$out route add 198.51.100.1/32 via 203.0.113.2
$out route add 2001:db8:64::1/128 via 2001:db8:63::2

ip netns exec outside "$probe" serve -name outside >>"$dir/outside.log" 2>&1 &
ip netns exec far "$probe" serve -name far >>"$dir/far.log" 2>&1 &
"$probe" serve -name host -tcp 7000 -udp 7000 -http '' >>"$dir/probe.log" 2>&1 &

mount --make-rshared /
: >"$dir/ready"
while :; do sleep 3600; done
