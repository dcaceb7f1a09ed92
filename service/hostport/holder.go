package hostport

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/service"
)

// holder says which processes have a socket that keeps a frontend from being bound, such as "process nginx (pid 812)
// has it". What it cannot find out it leaves away: sockets that are bound but neither listen nor are connected stand in
// no table of the kernel, and processes of other PID namespaces are not to be seen.
func holder(proc string, f service.Frontend) string {
	inodes, err := sockets(proc, f)
	if err != nil || len(inodes) == 0 {
		return "a socket of the host has it"
	}
	names := processes(proc, inodes)
	switch len(names) {
	case 0:
		return "a socket of the host has it, of a process that cannot be seen"
	case 1:
		return fmt.Sprintf("process %s has it", names[0])
	}
	return fmt.Sprintf("processes %s have it", strings.Join(names, ", "))
}

// sockets returns the inodes of the sockets of the own network namespace that a frontend conflicts with.
func sockets(proc string, f service.Frontend) (map[string]bool, error) {
	inodes := map[string]bool{}
	tables := map[service.Protocol]string{service.TCP: "tcp", service.UDP: "udp"}
	table, ok := tables[f.Proto]
	if !ok {
		return inodes, nil
	}
	// A socket of IPv6 bound to :: has the port of IPv4 too, unless it is for IPv6 only, which the table does not say.
	for _, name := range []string{table, table + "6"} {
		err := readTable(filepath.Join(proc, "thread-self/net", name), func(local netip.AddrPort, inode string) {
			addr := local.Addr().Unmap()
			same := addr.Is4() == f.Addr.Is4() && (addr == f.Addr || addr.IsUnspecified() || f.Addr.IsUnspecified())
			if local.Port() == f.Port && (same || f.Addr.Is4() && addr == netip.IPv6Unspecified()) {
				inodes[inode] = true
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // without IPv6 there is no table of it
			return nil, err
		}
	}
	return inodes, nil
}

// readTable reads a table of sockets as proc(5) describes /proc/net/tcp: local address and port are the second column,
// the inode is the tenth. A socket without process has inode 0.
func readTable(path string, each func(local netip.AddrPort, inode string)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 10 || columns[9] == "0" {
			continue
		}
		if local, ok := parseLocal(columns[1]); ok {
			each(local, columns[9])
		}
	}
	return lines.Err()
}

// parseLocal reads 0100007F:1F90: the address as words of 32 bits, each in the machine's byte order (all machines that
// Sluice runs on are little-endian), and the port.
func parseLocal(text string) (netip.AddrPort, bool) {
	words, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(words)
	number, other := strconv.ParseUint(port, 16, 16)
	if err != nil || other != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(number)), ok
}

// processes names those that have one of the sockets open, by the order of their pids: "nginx (pid 812)".
func processes(proc string, inodes map[string]bool) []string {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && hasSocket(filepath.Join(proc, e.Name(), "fd"), inodes) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	var names []string
	for _, pid := range pids {
		name, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
		if err == nil { // else it ended
			names = append(names, fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid))
		}
	}
	return names
}

func hasSocket(dir string, inodes map[string]bool) bool {
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(fds, func(fd fs.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		inode, ok := strings.CutPrefix(to, "socket:[")
		return err == nil && ok && inodes[strings.TrimSuffix(inode, "]")]
	})
}
