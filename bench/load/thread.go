package load

import (
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nice is the priority of a measuring thread, so that other work of the machine disturbs it less.
const nice = -10

// settle makes the calling thread the one that measures: it never leaves it again, nor the CPU, nor the namespace.
func settle(s Spec) error {
	runtime.LockOSThread()
	if s.Namespace != "" {
		fd, err := unix.Open(s.Namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open network namespace %s: %w", s.Namespace, err)
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", s.Namespace, err)
		}
		if err := prepareNamespace(); err != nil {
			return err
		}
	}
	var set unix.CPUSet
	set.Set(s.CPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", s.CPU, err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), nice); err != nil {
		return fmt.Errorf("raise priority: %w", err)
	}
	return wakeQuietly()
}

// wakeQuietly makes the thread one that does not preempt others when it wakes: a server does not interrupt its client
// after each packet, so that what is measured is packets and not the scheduler.
func wakeQuietly() error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: nice}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("set scheduling policy: %w", err)
	}
	return nil
}

// prepareNamespace gives a namespace the settings under which a hundred thousand connections can come and go. They are
// the same for whatever is compared.
func prepareNamespace() error {
	for name, value := range map[string]string{
		"ipv4/ip_local_port_range": "10000 65000",
		"ipv4/tcp_max_tw_buckets":  "4096",
	} {
		// The directory shows the settings of the thread's namespace.
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			return fmt.Errorf("set net/%s: %w", name, err)
		}
	}
	return nil
}

// threadCPU returns the processor time of the calling thread.
func threadCPU() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

// The system calls are made raw: the Go scheduler takes the thread for computing and leaves it alone.

func read(fd int, b []byte) (int, error)  { return transfer(unix.SYS_READ, fd, b) }
func write(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b) }

func transfer(trap uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// readNow takes a message if there is one.
func readNow(fd int, b []byte) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, 0, 0)
	return errno == 0
}

func connect(fd int, address []byte) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(len(address)))
	if errno != 0 {
		return errno
	}
	return nil
}

func accept(fd int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

func closeRaw(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
