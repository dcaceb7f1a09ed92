package dockerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxAnswer bounds what is read of one answer, bytes.
const maxAnswer = 64 << 20

// engineNetwork is what is needed of the engine's networks. They are decoded here and not by the engine's client: 20.10
// writes gateways of its own choice with a prefix length, and the client refuses the whole list for it.
type engineNetwork struct {
	ID, Name, Driver string
	Containers       map[string]engineEndpoint
	IPAM             struct{ Config []struct{ Subnet string } }
}

// engineEndpoint stands under the container's id, or under "ep-" and the endpoint's id during a Join.
type engineEndpoint struct{ Name, EndpointID string }

// subnets are those that can be read.
func (n engineNetwork) subnets() []netip.Prefix {
	var all []netip.Prefix
	for _, config := range n.IPAM.Config {
		if p, err := netip.ParsePrefix(config.Subnet); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// listNetworks lists networks without their containers, of all drivers when driver is empty.
func (c *Client) listNetworks(ctx context.Context, driver string) ([]engineNetwork, error) {
	query := url.Values{}
	if driver != "" {
		query.Set("filters", fmt.Sprintf(`{"driver":{%q:true}}`, driver))
	}
	var all []engineNetwork
	if err := c.get(ctx, "/networks?"+query.Encode(), &all); err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	return all, nil
}

// inspectNetwork returns a network with its containers.
func (c *Client) inspectNetwork(ctx context.Context, id string) (engineNetwork, error) {
	var n engineNetwork
	if err := c.get(ctx, "/networks/"+url.PathEscape(id), &n); err != nil {
		return n, fmt.Errorf("inspect network %.12s: %w", id, err)
	}
	return n, nil
}

// get asks the engine and decodes its answer.
func (c *Client) get(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.plain.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(body).Decode(answer)
	}
	var refusal struct{ Message string }
	if err := json.NewDecoder(body).Decode(&refusal); err != nil || refusal.Message == "" {
		refusal.Message = resp.Status
	}
	return fmt.Errorf("the engine says: %s", strings.TrimSpace(refusal.Message))
}

// plainClient speaks HTTP over connections made by dial.
func plainClient(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConns: 2,
	}}
}
