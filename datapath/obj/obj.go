package obj

import "embed"

//go:embed *.o
var files embed.FS

// Container returns the ELF object of bpf/container.bpf.c: the doors and a container's programs.
func Container() []byte { return read("container.o") }

// Shared returns the ELF object of bpf/shared.bpf.c: what the containers' programs share.
func Shared() []byte { return read("shared.o") }

// Uplink returns the ELF object of bpf/uplink.bpf.c: the programs of the host's uplinks.
func Uplink() []byte { return read("uplink.o") }

// Socket returns the ELF object of bpf/socket.bpf.c: the cgroup hooks.
func Socket() []byte { return read("socket.o") }

// read returns nil for an object that was not built; who loads it says what to do.
func read(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return b
}
