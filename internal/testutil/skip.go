package testutil

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Environment variables between the test runner and the tests.
const (
	// RequireEnv, when not empty, turns a skip for want of privileges into a failure.
	RequireEnv = "SLUICE_TEST_REQUIRE"
	// SkipsEnv names a file to which every skip adds a line.
	SkipsEnv = "SLUICE_TEST_SKIPS"
)

// Privileged skips the test unless it runs as root.
func Privileged(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv(RequireEnv) != "" {
		t.Fatal("this run requires privileged tests, but is not root")
	}
	skip(t, "not root")
}

// NotSupported skips the test because the kernel lacks a feature; err says how that showed. since is the version that
// brought it, such as 6.6: on such a kernel or a newer one the test fails. An empty since is for what a kernel's
// configuration may leave out.
func NotSupported(t testing.TB, feature, since string, err error) {
	t.Helper()
	running := KernelVersion(t)
	if since != "" && !older(running, since) {
		t.Fatalf("%s must work since Linux %s, and this is %s: %v", feature, since, running, err)
		return // for stand-ins in tests
	}
	skip(t, fmt.Sprintf("not supported: %s on Linux %s: %v", feature, running, err))
}

// Short skips the test in a run with -short, for the reason that it takes long.
func Short(t testing.TB) {
	t.Helper()
	if testing.Short() {
		skip(t, "left out by -short")
	}
}

// KernelVersion is the running kernel's release, such as 6.1.0-13-cloud-amd64.
func KernelVersion(t testing.TB) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatalf("read kernel version: %v", err)
	}
	return unix.ByteSliceToString(u.Release[:])
}

func skip(t testing.TB, reason string) {
	t.Helper()
	if path := os.Getenv(SkipsEnv); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatalf("note skip: %v", err)
		}
		_, err = fmt.Fprintf(f, "%s: %s\n", t.Name(), strings.ReplaceAll(reason, "\n", " "))
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			t.Fatalf("note skip: %v", err)
		}
	}
	t.Skip(reason)
}

// older compares the first two numbers of two releases.
func older(a, b string) bool {
	aMajor, aMinor := numbers(a)
	bMajor, bMinor := numbers(b)
	return aMajor < bMajor || aMajor == bMajor && aMinor < bMinor
}

func numbers(release string) (major, minor int) {
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor
}
