package dockerapi

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// inspected is what is needed of an inspected container.
type inspected struct {
	Name            string // with a slash before it
	NetworkSettings struct {
		Networks map[string]struct {
			EndpointID string
			Aliases    []string
			DNSNames   []string // engines since 25
		}
	}
}

// Domains returns the names for which the engine's DNS answers with a container's addresses, by endpoint: its own and its
// aliases on that network. It may wait as long as a request for the container is under way.
func (c *Client) Domains(ctx context.Context, containerID string) (map[string][]string, error) {
	var found inspected
	if err := c.get(ctx, "/containers/"+url.PathEscape(containerID)+"/json", &found); err != nil {
		return nil, fmt.Errorf("inspect container %.12s: %w", containerID, err)
	}
	all := map[string][]string{}
	for _, n := range found.NetworkSettings.Networks {
		names := n.DNSNames
		if len(names) == 0 {
			names = append([]string{strings.TrimPrefix(found.Name, "/")}, n.Aliases...)
		}
		if n.EndpointID != "" {
			all[n.EndpointID] = distinct(names)
		}
	}
	return all, nil
}

// distinct leaves every name once, in the order in which they came.
func distinct(names []string) []string {
	var all []string
	for _, name := range names {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
