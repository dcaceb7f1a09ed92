package api

import (
	"runtime"
	"runtime/debug"
)

// release is set when a release is built: -ldflags "-X github.com/sluice-net/sluice/api.release=0.1.0".
var release string

// Build returns what the running program was built from.
func Build() Version {
	v := Version{Version: release, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v.orDevel()
	}
	if v.Version == "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	var modified bool
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && v.Commit != "" {
		v.Commit += "+"
	}
	return v.orDevel()
}

func (v Version) orDevel() Version {
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

// String returns "0.1.0 (commit 0123abcd, go1.26, linux/amd64)".
func (v Version) String() string {
	commit := ""
	if v.Commit != "" {
		commit = "commit " + v.Commit + ", "
	}
	return v.Version + " (" + commit + v.Go + ", " + v.OS + "/" + v.Arch + ")"
}
