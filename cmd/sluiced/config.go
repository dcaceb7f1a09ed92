package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/datapath"
	"github.com/sluice-net/sluice/datapath/link"
	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/internal/confdir"
	"github.com/sluice-net/sluice/ipam"
	"github.com/sluice-net/sluice/ipam/pool"
	"github.com/sluice-net/sluice/policy"
)

// config is what can be set by a flag, or by the same name in the configuration file.
type config struct {
	hubble       hubbleConfig
	file         string
	driver       string
	runDir       string
	pluginDir    string
	stateDir     string
	policyDir    string
	pinDir       string
	cgroup       string
	docker       string
	linkPrefix   string
	pool         int
	slots        uint32
	flows        uint32
	blocks       []string
	masqPorts    string
	flowInterval time.Duration
	publish      string
	clsact       bool
	metrics      metricsConfig
	observe      observeConfig
	export       exportConfig
	ui           uiConfig
	logLevel     string
	logFormat    string
	remove       bool
	version      bool

	checkHost func(datapath.HostOptions) datapath.Host // tests have other hosts
}

// flags declares every setting with its default.
func (c *config) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("sluiced", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {} // run prints it, where it is asked for
	f.StringVar(&c.file, "config", "", "configuration file (YAML); every setting below is a key of it, and a flag wins over its key")
	f.StringVar(&c.driver, "driver", "sluice", "name of the network and IPAM driver: docker network create -d NAME")
	f.StringVar(&c.runDir, "run-dir", "/run/sluice", "directory of the API socket")
	f.StringVar(&c.pluginDir, "plugin-dir", "/run/docker/plugins", "directory where Docker finds the plugin's socket")
	f.StringVar(&c.stateDir, "state-dir", "/var/lib/sluice", "directory of the store")
	f.StringVar(&c.policyDir, "policy-dir", "/etc/sluice/policy.d", "directory of policy files (*.yaml, *.yml, *.json), followed while the daemon runs; empty: none")
	f.StringVar(&c.pinDir, "pin-dir", "/sys/fs/bpf/sluice", "directory of pinned BPF objects, on a BPF file system")
	f.StringVar(&c.cgroup, "cgroup", "", "cgroup2 directory of the socket hooks (default: where cgroup2 is mounted)")
	f.StringVar(&c.docker, "docker", "unix:///var/run/docker.sock", "Docker's API socket")
	f.StringVar(&c.linkPrefix, "link-prefix", "slc", "start of the names of host-side interfaces")
	f.IntVar(&c.pool, "pool", 4, "veth pairs made ahead")
	f.Uint32Var(&c.slots, "slots", 4096, "size of the program arrays: containers times networks, at most")
	f.Uint32Var(&c.flows, "flows", 131072, "entries of each flow table")
	f.StringSliceVar(&c.blocks, "address-blocks", blockNames(), "IPv4 blocks that automatic subnets are cut from, PREFIX:LENGTH")
	f.DurationVar(&c.flowInterval, "flow-interval", datapath.DefaultFlowInterval, "how often a connection that goes on is told of, with its totals so far")
	f.StringVar(&c.masqPorts, "masquerade-ports", "", "source ports of masqueraded flows, FIRST-LAST (default: the larger range outside net.ipv4.ip_local_port_range)")
	f.StringVar(&c.publish, "publish-default", "any", "who may reach published ports that no rule is about: any, lan (the local network, this host and containers) or none")
	f.BoolVar(&c.clsact, "clsact", false, "attach by clsact even where the kernel has tcx")
	c.hubble.flags(f)
	c.metrics.flags(f)
	c.observe.flags(f)
	c.export.flags(f)
	c.ui.flags(f)
	f.StringVar(&c.logLevel, "log-level", "info", "trace, debug, info, warning or error; sluice log level changes it at run time")
	f.StringVar(&c.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&c.remove, "remove", false, "take programs, pairs, addresses and pins out of the kernel and exit; containers lose their network, the store stays")
	f.BoolVar(&c.version, "version", false, "print the version and exit")
	return f
}

// parseConfig reads flags, then the file for every setting that no flag names.
func parseConfig(args []string) (*config, *pflag.FlagSet, error) {
	c := &config{checkHost: datapath.CheckHost}
	f := c.flags()
	if err := f.Parse(args); err != nil {
		return nil, f, err
	}
	if f.NArg() > 0 {
		return nil, f, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.file != "" {
		text, err := os.ReadFile(c.file)
		if err != nil {
			return nil, f, fmt.Errorf("read configuration: %w", err)
		}
		if err := applyFile(f, text); err != nil {
			return nil, f, fmt.Errorf("configuration %s: %w", c.file, err)
		}
	}
	return c, f, c.check()
}

// applyFile sets the flags that the file names and the command line does not.
func applyFile(f *pflag.FlagSet, text []byte) error {
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		return err
	}
	for _, key := range sortedKeys(values) {
		flag := f.Lookup(key)
		if flag == nil || !isSetting(key) {
			return fmt.Errorf("unknown key %q: the keys are %s", key, strings.Join(keys(f), ", "))
		}
		if flag.Changed {
			continue
		}
		text, err := scalar(values[key])
		if err == nil {
			err = f.Set(key, text)
		}
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

// scalar returns a YAML value in the form that a flag takes.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		var parts []string
		for _, p := range v {
			s, err := scalar(p)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("%v is neither text, number, boolean nor list of them", v)
}

// check refuses values that no part would accept.
func (c *config) check() error {
	if _, err := logrus.ParseLevel(c.logLevel); err != nil {
		return fmt.Errorf("log-level %q: use trace, debug, info, warning or error", c.logLevel)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		return fmt.Errorf("log-format %q: use text or json", c.logFormat)
	}
	if _, err := policy.ParsePublishDefault(c.publish); err != nil {
		return fmt.Errorf("publish-default %q: use any, lan or none", c.publish)
	}
	for _, d := range []struct{ name, value string }{
		{"run-dir", c.runDir}, {"plugin-dir", c.pluginDir}, {"state-dir", c.stateDir}, {"pin-dir", c.pinDir},
	} {
		if !filepath.IsAbs(d.value) {
			return fmt.Errorf("%s %q: use an absolute path", d.name, d.value)
		}
	}
	if c.policyDir != "" && !filepath.IsAbs(c.policyDir) {
		return fmt.Errorf("policy-dir %q: use an absolute path, or an empty one for no directory", c.policyDir)
	}
	if err := link.CheckPrefix(c.linkPrefix); err != nil {
		return fmt.Errorf("link-prefix: %w", err)
	}
	if c.driver == "" || strings.ContainsAny(c.driver, "/ ") {
		return fmt.Errorf("driver %q: use a name without slash or space", c.driver)
	}
	if c.pool < 0 || c.slots < 2 || c.flows < 1024 {
		return fmt.Errorf("pool must be 0 or more, slots 2 or more, flows 1024 or more")
	}
	if c.flowInterval < time.Second {
		return fmt.Errorf("flow-interval %s: use 1s or more", c.flowInterval)
	}
	if _, err := c.addressBlocks(); err != nil {
		return err
	}
	if err := errors.Join(c.observe.check(), c.hubble.check(c.runDir), c.metrics.check(), c.export.check(), c.ui.check()); err != nil {
		return err
	}
	_, err := c.masqueradePorts()
	return err
}

// openPolicyDir returns the policy directory, nil if there is to be none.
func (c *config) openPolicyDir() endpoint.PolicyDir {
	if c.policyDir == "" {
		return nil
	}
	return confdir.New(c.policyDir, confdir.Options{Extensions: []string{".yaml", ".yml", ".json"}, MaxBytes: policy.MaxDocumentBytes})
}

// addressBlocks returns the parsed blocks.
func (c *config) addressBlocks() ([]pool.Block, error) {
	var all []pool.Block
	for _, s := range c.blocks {
		b, err := pool.ParseBlock(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("address-blocks: %w", err)
		}
		all = append(all, b)
	}
	return all, nil
}

// blockNames returns the default blocks as the flag takes them.
func blockNames() []string {
	var all []string
	for _, b := range ipam.DefaultBlocks() {
		all = append(all, b.String())
	}
	return all
}

// masqueradePorts returns the range of masqueraded source ports: outside the range from which the kernel gives ports to
// the host's own sockets and to Docker's bridge, so that their flows and ours never meet.
func (c *config) masqueradePorts() ([2]uint16, error) {
	if c.masqPorts != "" {
		var ports [2]uint16
		if n, err := fmt.Sscanf(c.masqPorts, "%d-%d", &ports[0], &ports[1]); n != 2 || err != nil || ports[0] == 0 || ports[0] > ports[1] {
			return ports, fmt.Errorf("masquerade-ports %q: use FIRST-LAST, for example 61000-65535", c.masqPorts)
		}
		return ports, nil
	}
	first, last := 32768, 60999
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &first, &last)
	}
	const lowest = 16384 // below are ports that services listen on
	if 65535-last >= first-lowest {
		return [2]uint16{uint16(last + 1), 65535}, nil
	}
	return [2]uint16{lowest, uint16(first - 1)}, nil
}

// isSetting reports whether a flag is a key of the configuration file.
func isSetting(flag string) bool { return flag != "config" && flag != "version" && flag != "remove" }

func keys(f *pflag.FlagSet) []string {
	var all []string
	f.VisitAll(func(f *pflag.Flag) {
		if isSetting(f.Name) {
			all = append(all, f.Name)
		}
	})
	return all
}

func sortedKeys(m map[string]any) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	sort.Strings(all)
	return all
}
