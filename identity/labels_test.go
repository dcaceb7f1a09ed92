package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestLabelsString(t *testing.T) {
	tests := []struct {
		name string
		in   Labels
		want string
	}{
		{"none", nil, ""},
		{"sorted", Labels{"b": "2", "a": "1"}, "a=1,b=2"},
		{"plain characters", Labels{"io.x/y_z-1": "v1.2:3@h+q"}, "io.x/y_z-1=v1.2:3@h+q"},
		{"empty value", Labels{"a": ""}, "a="},
		{"separators are quoted", Labels{"a": "1,b=2", "c=d": "e"}, `a="1,b=2","c=d"=e`},
		{"quotes and lines", Labels{"a": "say \"x\"\n"}, `a="say \"x\"\n"`},
		{"other scripts", Labels{"ä": "ö"}, `"ä"="ö"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			back, err := ParseLabels(tt.want)
			if err != nil || !back.Equal(tt.in) {
				t.Errorf("read back as %v: %v", back, err)
			}
		})
	}
}

func TestParseLabelsForms(t *testing.T) {
	l, err := ParseLabels(`b=2,a,"c d"=`)
	if err != nil || !l.Equal(Labels{"a": "", "b": "2", "c d": ""}) {
		t.Errorf("got %v, %v", l, err)
	}
	for _, bad := range []string{"a=1,", ",a=1", "a=1,a=2", `"a`, `"a"b=1`, "=1", `a="x"y`, `"\xff"=1`, " a=1", "a=1,,b=2", "a=b=c"} {
		if l, err := ParseLabels(bad); !errors.Is(err, ErrBadLabel) {
			t.Errorf("%s: got %v, %v", bad, l, err)
		}
	}
}

func TestLabelsLimits(t *testing.T) {
	many := Labels{}
	for i := range MaxLabels + 1 {
		many[fmt.Sprint("k", i)] = ""
	}
	large := Labels{}
	for i := range 20 {
		large[fmt.Sprint("k", i)] = strings.Repeat("x", MaxValueBytes)
	}
	tests := []struct {
		name string
		in   Labels
		want error
		says string
	}{
		{"at the limits", Labels{strings.Repeat("k", MaxKeyLength): strings.Repeat("v", MaxValueBytes)}, nil, ""},
		{"long key", Labels{strings.Repeat("k", MaxKeyLength+1): ""}, ErrTooLong, "at most 256"},
		{"long value", Labels{"k": strings.Repeat("v", MaxValueBytes+1)}, ErrTooLong, `check label "k"`},
		{"too many", many, ErrTooMany, "257, at most 256"},
		{"too much together", large, ErrTooLong, "together"},
		{"no key", Labels{"": "x"}, ErrBadLabel, "empty"},
		{"not UTF-8", Labels{"k": "\xff"}, ErrBadLabel, "UTF-8"},
		{"control character", Labels{"a\x00b": ""}, ErrBadLabel, "control"},
		{"blanks", Labels{" a": ""}, ErrBadLabel, "blanks"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.Validate()
			if !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v saying %q", err, tt.want, tt.says)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestLabelsEqualAndHash(t *testing.T) {
	a, b := Labels{"x": "1", "y": "2"}, Labels{"y": "2", "x": "1"}
	if !a.Equal(b) || a.Hash() != b.Hash() || len(a.Hash()) != 32 {
		t.Error("equal sets differ")
	}
	for _, other := range []Labels{{"x": "1"}, {"x": "1", "y": "3"}, {"x": "1", "z": "2"}, nil} {
		if a.Equal(other) || a.Hash() == other.Hash() {
			t.Errorf("%v equals %v", a, other)
		}
	}
	if !(Labels{}).Equal(nil) || (Labels{}).Hash() != Labels(nil).Hash() {
		t.Error("empty and nil differ")
	}
}

func TestFromContainer(t *testing.T) {
	got, err := FromContainer(map[string]string{
		"app":                                     "web",
		"com.docker.compose.project":              "shop",
		"com.docker.compose.service":              "front",
		"com.docker.compose.config-hash":          "0123",
		"com.docker.compose.container-number":     "2",
		"com.docker.compose.oneoff":               "False",
		"com.docker.compose.version":              "2.30",
		"com.docker.compose.image":                "sha256:…",
		"com.docker.compose.depends_on":           "",
		"com.docker.compose.project.config_files": "/x/compose.yaml",
		"com.docker.compose.project.working_dir":  "/x",
		"org.opencontainers.image.created":        "2026",
		"maintainer":                              "somebody",
		"compose.project":                         "forged",
		"sluice.network":                          "forged",
		"sluice.name":                             "forged",
		"sluice.egress":                           "db:5432",
		"sluice.port.http":                        "8080",
		"traefik.enable":                          "true",
	}, "net1")
	if err != nil {
		t.Fatal(err)
	}
	want := Labels{"app": "web", "compose.project": "shop", "compose.service": "front", "sluice.network": "net1",
		"sluice.egress": "db:5432", "sluice.port.http": "8080", "traefik.enable": "true"}
	if !got.Equal(want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestFromContainerIgnoresSizeOfNoise(t *testing.T) {
	docker := map[string]string{"com.docker.compose.depends_on": strings.Repeat("x", 1<<20)}
	if _, err := FromContainer(docker, "n"); err != nil {
		t.Error(err)
	}
	docker["mine"] = strings.Repeat("x", 1<<20)
	if _, err := FromContainer(docker, "n"); !errors.Is(err, ErrTooLong) {
		t.Errorf("got %v", err)
	}
}

func TestNormaliseKey(t *testing.T) {
	for in, want := range map[string]string{
		"app": "app", "container:app": "app", "any:app": "app", "k8s:app": "k8s:app", "any:container:app": "container:app",
		"com.docker.compose.project": "compose.project", "container:com.docker.compose.service": "compose.service",
		"any:com.docker.compose.project": "compose.project", "": "", "a:b": "a:b",
	} {
		if got := NormaliseKey(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestNoiseLabels(t *testing.T) {
	list := strings.Join(NoiseLabels(), " ")
	for _, want := range []string{"com.docker.compose.*", "org.opencontainers.image.*", "maintainer"} {
		if !strings.Contains(list, want) {
			t.Errorf("%s is missing in %s", want, list)
		}
	}
	for key, want := range map[string]bool{
		"com.docker.compose.project": false, "com.docker.compose.project.working_dir": true, "compose.project": false,
		"sluice.port.http": false, "sluice.network": false, "maintainer": true, "maintainers": false,
	} {
		if IsNoise(key) != want {
			t.Errorf("%s: noise %v", key, !want)
		}
	}
}

func TestApply(t *testing.T) {
	l := Labels{"app": "web", "compose.project": "p", LabelNetwork: "n"}
	got, err := l.Apply(map[string]string{"container:tier": "x", "app": "api"}, []string{"com.docker.compose.project", "absent"})
	if err != nil || !got.Equal(Labels{"app": "api", "tier": "x", LabelNetwork: "n"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if !l.Equal(Labels{"app": "web", "compose.project": "p", LabelNetwork: "n"}) {
		t.Error("the original changed")
	}
	for _, tt := range []struct {
		add    map[string]string
		remove []string
	}{
		{map[string]string{LabelNetwork: "other"}, nil},
		{map[string]string{LabelName: "other"}, nil},
		{nil, []string{"any:" + LabelNetwork}},
		{map[string]string{"com.docker.compose.config-hash": "x"}, nil},
		{map[string]string{"": "x"}, nil},
		{map[string]string{"a": "\xff"}, nil},
	} {
		if got, err := l.Apply(tt.add, tt.remove); !errors.Is(err, ErrBadLabel) {
			t.Errorf("add %v, remove %v: got %v, %v", tt.add, tt.remove, got, err)
		}
	}
}

func TestID(t *testing.T) {
	for id, want := range map[ID]string{Host: "host", World: "world", Init: "init", Unknown: "unknown", First: "256", Last: "16777215"} {
		if got := id.String(); got != want {
			t.Errorf("identity %d reads %q, want %q", uint32(id), got, want)
		}
	}
	if !Init.Reserved() || First.Reserved() {
		t.Error("reserved")
	}
}

func FuzzParseLabels(f *testing.F) {
	for _, seed := range []string{"", "a=1,b=2", `"a b"="c,d"`, `a="\n"`, "a,b", `"`, "=", ",", "a=\xff", `"\u00e4"=x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLabels(s)
		if err != nil {
			return
		}
		canonical := l.String()
		back, err := ParseLabels(canonical)
		if err != nil || !back.Equal(l) || back.String() != canonical {
			t.Fatalf("%q → %q → %v: %v", s, canonical, back, err)
		}
	})
}

func FuzzFromContainer(f *testing.F) {
	f.Add("app", "web", "net")
	f.Add("com.docker.compose.project", "p", "")
	f.Add("sluice.network", "x", "n")
	f.Add("container:app", "\xff", "n\x00")
	f.Fuzz(func(t *testing.T, key, value, network string) {
		l, err := FromContainer(map[string]string{key: value, "app": "x"}, network)
		if err != nil {
			return
		}
		if network != "" && l[LabelNetwork] != network {
			t.Fatalf("the network is %q", l[LabelNetwork])
		}
		if network == "" && l[LabelNetwork] != "" {
			t.Fatal("a network from nowhere")
		}
		if back, err := ParseLabels(l.String()); err != nil || !back.Equal(l) {
			t.Fatalf("not canonical: %v, %v", back, err)
		}
	})
}
