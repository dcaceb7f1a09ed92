package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// parentNamespace names the pid namespace that is so many levels above an open one, as /proc does; empty if none is.
func parentNamespace(f *os.File, above int) string {
	fd := int(f.Fd())
	for i := range above {
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		if i > 0 {
			unix.Close(fd)
		}
		if err != nil {
			return ""
		}
		fd = parent
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return ""
	}
	return fmt.Sprintf("pid:[%d]", stat.Ino)
}
