package obj

import (
	"embed"
	"fmt"
)

//go:embed *.o
var files embed.FS

// Container returns the ELF object of bpf/container.bpf.c: the doors and a container's programs.
func Container() []byte { return read("container.o") }

// Uplink returns the ELF object of bpf/uplink.bpf.c: the programs of the host's uplinks.
func Uplink() []byte { return read("uplink.o") }

// Socket returns the ELF object of bpf/socket.bpf.c: the cgroup hooks.
func Socket() []byte { return read("socket.o") }

func read(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("object %s is not embedded: run make bpf before go build", name))
	}
	return b
}
