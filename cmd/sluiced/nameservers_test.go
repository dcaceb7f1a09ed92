package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestHostDNS(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stub := file("stub", "nameserver 127.0.0.53\nnameserver ::1\noptions edns0\n")
	plain := file("plain", "search example.com\nnameserver 192.0.2.53\nnameserver 127.0.0.1\nnameserver 2001:db8::53\n")
	other := file("other", "nameserver 192.0.2.54\n")
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{plain, other}, "[192.0.2.53 2001:db8::53]"},
		{[]string{stub, other}, "[192.0.2.54]"},
		{[]string{filepath.Join(dir, "missing"), plain}, "[192.0.2.53 2001:db8::53]"},
		{[]string{stub}, "[]"},
		{nil, "[]"},
	} {
		if got := fmt.Sprint(hostDNS(c.files...)); got != c.want {
			t.Errorf("hostDNS(%q) = %s, want %s", c.files, got, c.want)
		}
	}
}
