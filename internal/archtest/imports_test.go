package archtest

import (
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluice-net/sluice/"

// layers says what of the project the packages in a folder may import; the longest matching folder counts. A package
// may always import packages below itself, and any package under internal/.
var layers = []struct {
	folder string
	may    []string // folders; "*" is all
	why    string
}{
	{"api", nil, "the API is what others build on"},
	{"identity", nil, "a number for labels needs nothing else"},
	{"service", nil, "pure"},
	{"internal", nil, "what packages share knows none of them"},
	{"policy", []string{"identity"}, "pure: rules and labels in, tables out"},
	{"bpf", []string{"datapath"}, "C, and the tests of it"},
	{"store", []string{"identity", "policy", "service", "api"}, "subsystems don't know each other"},
	{"datapath", []string{"identity", "policy", "service", "api", "bpf"}, "subsystems don't know each other"},
	{"observe", []string{"identity", "policy", "service", "api"}, "subsystems don't know each other"},
	{"observe/metrics/catalog", nil, "definitions"},
	{"observe/metrics/own", []string{"api", "observe/metrics/catalog"}, "reads by functions that it is given"},
	{"endpoint", []string{"identity", "policy", "service", "api", "store", "datapath", "observe"}, "use-cases"},
	{"ipam", []string{"identity", "policy", "service", "api", "store", "datapath", "observe"}, "use-cases"},
	{"driver", []string{"identity", "service", "api", "endpoint", "ipam"}, "a protocol above the use-cases"},
	{"api/server", []string{"api", "identity", "policy", "service", "endpoint", "ipam", "observe"}, "handlers above the use-cases"},
	{"cmd/sluiced", []string{"*"}, "wires everything"},
	{"cmd/sluice", []string{"api"}, "speaks to the daemon, and only so"},
	{"integration", []string{"integration", "api"}, "sees the project as users do"},
	{"bench", []string{"*"}, "measures everything"},
}

// owners says which folders may import a library; its own folder, and tests anywhere, are free to.
var owners = []struct {
	library string
	folders []string
}{
	{"github.com/cilium/ebpf", []string{"datapath", "observe", "guard", "bpf", "bench", "internal/gen"}},
	{"github.com/vishvananda/netlink", []string{"datapath/link", "cluster", "internal/netns", "bench", "internal/gen"}},
	{"github.com/fsnotify/fsnotify", []string{"internal/confdir"}},
	{"github.com/prometheus/client_golang", []string{"observe/metrics", "cmd/sluiced"}},
	{"github.com/google/cel-go", []string{"observe/hubble/filter"}},
	{"go.etcd.io/bbolt", []string{"store/bolt"}},
	{"go.etcd.io/etcd", []string{"store/etcd"}},
}

func under(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func TestImportLaw(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, spec := range s.file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if own, ok := strings.CutPrefix(path, module); ok {
				checkLayer(t, s, own)
			} else {
				checkOwner(t, s, path)
			}
		}
	}
}

func checkLayer(t *testing.T, s source, imported string) {
	t.Helper()
	best := -1
	for i, l := range layers {
		if under(s.pkg, l.folder) && (best < 0 || len(l.folder) > len(layers[best].folder)) {
			best = i
		}
	}
	if best < 0 {
		t.Errorf("%s: folder %s has no place in the import law (layers in imports_test.go)", s.path, s.pkg)
		return
	}
	l := layers[best]
	if under(imported, "internal") || under(imported, l.folder) && l.folder != "internal" {
		return
	}
	for _, may := range l.may {
		if may == "*" || under(imported, may) {
			return
		}
	}
	t.Errorf("%s imports %s: %s may import %v (%s)", s.path, imported, l.folder, l.may, l.why)
}

func checkOwner(t *testing.T, s source, imported string) {
	t.Helper()
	for _, o := range owners {
		if !under(imported, o.library) {
			continue
		}
		allowed := false
		for _, folder := range o.folders {
			allowed = allowed || under(s.pkg, folder)
		}
		if !allowed {
			t.Errorf("%s imports %s, which is for %v only", s.path, imported, o.folders)
		}
	}
}
