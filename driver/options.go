package driver

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/endpoint"
	"github.com/sluice-net/sluice/service"
)

// The keys of Docker's options that concern us.
const (
	optionInternal = "com.docker.network.internal"
	optionGeneric  = "com.docker.network.generic"
	optionExposed  = "com.docker.network.endpoint.exposedports"
	optionPorts    = "com.docker.network.portmap"
	optionDNS      = "com.docker.network.endpoint.dnsservers"
	dockerPrefix   = "com.docker.network."
	// With engines from 28 on, true where one endpoint of the container is the way out for IPv4, another for IPv6.
	optionSplit = "com.docker.network.driver.private.no_proxy_6to4"
	// optionMTU is how Docker's own drivers call sluice.mtu, and many compose files.
	optionMTU = "com.docker.network.driver.mtu"
	// optionAdvertise begins the options that Docker obeys for every driver.
	optionAdvertise = "com.docker.network.advertise_addr_"
)

// The bounds of sluice.mtu: 1280 is the least that IPv6 allows (RFC 8200, 5), 68 that IPv4 does (RFC 791).
const (
	minMTU = 1280
	maxMTU = 65535
)

// networkOption is one option of docker network create -o.
type networkOption struct {
	Key, Values, Default, Help string
	set                        func(o *endpoint.NetworkOptions, value string) bool
	// label: containers may have it as a label, and so as an option of an endpoint.
	label bool
}

// networkOptions are all of them; docs/reference/network-options.md is generated from it.
var networkOptions = []networkOption{
	{"sluice.mtu", "1280 to 65535", "the uplink's", "MTU of the containers' interfaces", setMTU, false},
	{"sluice.policy", "default, always, never", "default",
		"default: a direction is closed but for its rules once a rule selects the container; always: both directions are; never: rules are not enforced",
		setPolicy, false},
	{"sluice.masquerade", "true, false", "true", "whether containers leave the host by the uplink's address",
		boolSetter(func(o *endpoint.NetworkOptions) *bool { return &o.Masquerade }), false},
	{"sluice.isolate", "true, false", "false", "whether containers of the network need an ingress rule to be reached by each other",
		boolSetter(func(o *endpoint.NetworkOptions) *bool { return &o.Isolate }), false},
	{"sluice.observe", "none, drops, flows, packets", "the daemon's", "what is told of the containers' packets; a container's label goes before it", setObserve, true},
}

func setMTU(o *endpoint.NetworkOptions, value string) bool {
	mtu, err := strconv.Atoi(value)
	o.MTU = mtu
	return err == nil && mtu >= minMTU && mtu <= maxMTU
}

func setPolicy(o *endpoint.NetworkOptions, value string) bool {
	o.Policy = endpoint.Mode(value)
	return slices.Contains([]endpoint.Mode{endpoint.PolicyDefault, endpoint.PolicyAlways, endpoint.PolicyNever}, o.Policy)
}

func setObserve(o *endpoint.NetworkOptions, value string) bool {
	o.Observe = value
	return o.Level() != 0
}

func boolSetter(field func(*endpoint.NetworkOptions) *bool) func(*endpoint.NetworkOptions, string) bool {
	return func(o *endpoint.NetworkOptions, value string) bool {
		*field(o) = value == "true"
		return value == "true" || value == "false"
	}
}

// ParseNetworkOptions reads the options of docker network create -o. An unknown one is refused, those of Docker's bridge
// too: whoever forbids something by one must not believe that it is forbidden here.
func ParseNetworkOptions(options map[string]string) (endpoint.NetworkOptions, error) {
	out := endpoint.NetworkOptions{Policy: endpoint.PolicyDefault, Masquerade: true}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		name := key
		switch {
		case strings.HasPrefix(key, optionAdvertise):
			continue
		case key == optionMTU:
			name = "sluice.mtu"
		}
		i := slices.IndexFunc(networkOptions, func(o networkOption) bool { return o.Key == name })
		if i < 0 {
			return out, fmt.Errorf("unknown option %q%s; the options are %s", key, suggest(key), strings.Join(optionNames(), "; "))
		}
		if !networkOptions[i].set(&out, options[key]) {
			return out, fmt.Errorf("option %s=%q: valid are %s", key, options[key], networkOptions[i].Values)
		}
	}
	return out, nil
}

// suggest names the option that a mistyped key is nearest to.
func suggest(key string) string {
	word := strings.TrimPrefix(strings.ToLower(key), "sluice.")
	best, at := max(2, len(word)/2)+1, ""
	for _, o := range networkOptions {
		if d := distance(word, strings.TrimPrefix(o.Key, "sluice.")); d < best {
			best, at = d, o.Key
		}
	}
	if at == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", at)
}

// distance is how many characters must be changed, inserted or left out to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// NetworkOptionsTable is the reference of the options in Markdown.
func NetworkOptionsTable() string {
	var b strings.Builder
	b.WriteString("| option | values | default | meaning |\n|---|---|---|---|\n")
	for _, o := range networkOptions {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Key, o.Values, o.Default, o.Help)
	}
	return b.String()
}

// optionNames lists the options with their values.
func optionNames() []string {
	var all []string
	for _, o := range networkOptions {
		all = append(all, fmt.Sprintf("%s (%s)", o.Key, o.Values))
	}
	return all
}

// genericOptions reads the -o options out of Docker's.
func genericOptions(options map[string]any) (endpoint.NetworkOptions, error) {
	generic := map[string]string{}
	values, ok := options[optionGeneric].(map[string]any)
	if options[optionGeneric] != nil && !ok {
		return endpoint.NetworkOptions{}, fmt.Errorf("%w: option %s is no object", errRequest, optionGeneric)
	}
	for key, value := range values {
		text, ok := value.(string)
		if !ok {
			return endpoint.NetworkOptions{}, fmt.Errorf("%w: option %s is no text", errRequest, key)
		}
		generic[key] = text
	}
	return ParseNetworkOptions(generic)
}

// optionPrefix begins the keys of the options that an endpoint may have: they are those of a container's labels.
const optionPrefix = "sluice."

// endpointOptions reads what docker run --network name=…,driver-opt=KEY=VALUE gives beside Docker's own options, nil if
// nothing. What the keys and values mean is decided by the use-cases.
func endpointOptions(options map[string]any) (map[string]string, error) {
	var out map[string]string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if strings.HasPrefix(key, dockerPrefix) {
			continue
		}
		if slices.ContainsFunc(networkOptions, func(o networkOption) bool { return o.Key == key && !o.label }) {
			return nil, fmt.Errorf("unknown endpoint option %q: it is one of networks, give it to docker network create -o", key)
		}
		if !strings.HasPrefix(key, optionPrefix) {
			return nil, fmt.Errorf("unknown endpoint option %q: the keys are those of the labels, %segress for example", key, optionPrefix)
		}
		value, ok := options[key].(string)
		if !ok {
			return nil, fmt.Errorf("%w: option %s is no text", errRequest, key)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, nil
}

// serverOption reads the DNS servers that docker run --dns or the engine's configuration gives.
func serverOption(options map[string]any) ([]netip.Addr, error) {
	var servers []netip.Addr
	if err := structured(options, optionDNS, &servers); err != nil {
		return nil, err
	}
	for i, a := range servers {
		servers[i] = a.WithZone("").Unmap()
	}
	return slices.DeleteFunc(servers, func(a netip.Addr) bool { return !a.IsValid() }), nil
}

// boolOption reads an option that is a boolean or its text.
func boolOption(options map[string]any, key string) (bool, error) {
	switch v := options[key].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return false, fmt.Errorf("%w: option %s is no boolean", errRequest, key)
}

// portOptions reads the exposed and the published ports.
func portOptions(options map[string]any) ([]endpoint.ExposedPort, []service.Mapping, error) {
	var exposed []struct {
		Proto service.Protocol
		Port  uint16
	}
	if err := structured(options, optionExposed, &exposed); err != nil {
		return nil, nil, err
	}
	var bindings []struct {
		Proto                       service.Protocol
		Port, HostPort, HostPortEnd uint16
		HostIP                      string
	}
	if err := structured(options, optionPorts, &bindings); err != nil {
		return nil, nil, err
	}
	var ports []endpoint.ExposedPort
	for _, e := range exposed {
		ports = append(ports, endpoint.ExposedPort{Proto: e.Proto, Port: e.Port})
	}
	var mappings []service.Mapping
	for _, b := range bindings {
		m := service.Mapping{Proto: b.Proto, Port: b.Port, HostPort: b.HostPort, HostPortEnd: b.HostPortEnd}
		if b.Port == 0 || b.HostPortEnd != 0 && b.HostPortEnd < b.HostPort {
			return nil, nil, fmt.Errorf("%w: option %s: port %s", errRequest, optionPorts, m)
		}
		if b.HostIP != "" {
			ip, err := netip.ParseAddr(b.HostIP)
			if err != nil || ip.Zone() != "" {
				return nil, nil, fmt.Errorf("%w: option %s: host address %q", errRequest, optionPorts, b.HostIP)
			}
			m.HostIP = ip.Unmap()
		}
		mappings = append(mappings, m)
	}
	return ports, mappings, nil
}

// structured reads an option whose value is an object or a list into out.
func structured(options map[string]any, key string, out any) error {
	value, ok := options[key]
	if !ok || value == nil {
		return nil
	}
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("%w: option %s: %w", errRequest, key, err)
	}
	return nil
}
