// Command clients builds the programs of others that scenarios drive, where they are not built yet: Hubble's clients and a
// collector of OpenTelemetry. That takes minutes of both processors, which scenarios that run meanwhile would miss.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-net/sluice/integration/hosts"
)

func main() {
	get := map[string]func() (string, error){"collector": hosts.GetCollector}
	names := append(hosts.HubbleClients(), "collector")
	for _, name := range hosts.HubbleClients() {
		get[name] = func() (string, error) { return hosts.HubbleClient(name) }
	}
	for _, name := range names {
		began := time.Now()
		path, err := get[name]()
		if err != nil {
			fmt.Fprintln(os.Stderr, "clients:", err)
			os.Exit(1)
		}
		fmt.Printf("%s, %v\n", path, time.Since(began).Round(time.Second))
	}
}
