package dockerapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// callTime bounds a call to an engine that accepts connections but does not answer.
const callTime = 10 * time.Second

// ErrNotListed: the engine does not list the object (yet).
var ErrNotListed = errors.New("not listed by the engine")

// Container is a container as the engine lists it.
type Container struct {
	ID     string
	Name   string // without a slash before it
	Image  string
	Labels map[string]string // of the container, its image's included
}

// Attachment is an endpoint of a container on a network.
type Attachment struct {
	EndpointID string
	Container  Container
}

// Network is a network with the attachments of running containers.
type Network struct {
	ID, Name    string
	Attachments []Attachment
}

// Client asks one engine. It connects when it is first asked and negotiates the API version down to 1.40.
type Client struct {
	docker *client.Client
	plain  *http.Client
	driver string
}

// New makes a client of the engine at host, for the networks of a driver.
func New(host, driver string) (*Client, error) {
	docker, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, fmt.Errorf("make client of engine %s: %w", host, err)
	}
	return &Client{docker: docker, plain: plainClient(docker.Dialer()), driver: driver}, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.plain.CloseIdleConnections()
	return c.docker.Close()
}

// Version asks the engine for its version; it tells whether the engine answers.
func (c *Client) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	v, err := c.docker.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return "", fmt.Errorf("ask engine for its version: %w", err)
	}
	return v.Version, nil
}

// Attachment finds the container of an endpoint, also while its Join is under way: network inspect then knows the
// container's name, and the list its labels. ErrNotListed while the engine lists neither.
func (c *Client) Attachment(ctx context.Context, networkID, endpointID string) (string, Attachment, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	n, err := c.inspectNetwork(ctx, networkID)
	if err != nil {
		return "", Attachment{}, err
	}
	for key, e := range n.Containers {
		if e.EndpointID != endpointID && key != "ep-"+endpointID {
			continue
		}
		found, err := c.container(ctx, key, e)
		if err != nil {
			return "", Attachment{}, err
		}
		return n.Name, Attachment{EndpointID: endpointID, Container: found}, nil
	}
	return "", Attachment{}, fmt.Errorf("endpoint %.12s of network %s: %w", endpointID, n.Name, ErrNotListed)
}

// container looks a container up in the list. The key is its id, or "ep-" and the endpoint's id during a Join; its name
// is known in both cases.
func (c *Client) container(ctx context.Context, key string, e engineEndpoint) (Container, error) {
	filters := client.Filters{}.Add("name", "^/"+e.Name+"$")
	if !strings.HasPrefix(key, "ep-") {
		filters = client.Filters{}.Add("id", key)
	}
	all, err := c.containers(ctx, filters)
	if err != nil {
		return Container{}, err
	}
	for _, found := range all {
		if found.ID == key || found.Name == e.Name {
			return found, nil
		}
	}
	return Container{}, fmt.Errorf("container %s: %w", e.Name, ErrNotListed)
}

// containers lists containers, stopped ones included.
func (c *Client) containers(ctx context.Context, filters client.Filters) ([]Container, error) {
	result, err := c.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	all := make([]Container, 0, len(result.Items))
	for _, s := range result.Items {
		found := Container{ID: s.ID, Image: s.Image, Labels: s.Labels}
		for _, name := range s.Names {
			// Further names are links: /other/alias.
			if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
				found.Name = name
			}
		}
		all = append(all, found)
	}
	return all, nil
}

// Containers lists all containers, stopped ones included.
func (c *Client) Containers(ctx context.Context) ([]Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.containers(ctx, nil)
}

// Subnets lists the subnets of the networks of all drivers.
func (c *Client) Subnets(ctx context.Context) ([]netip.Prefix, error) {
	return c.subnets(ctx, func(engineNetwork) bool { return true })
}

// ForeignSubnets lists the subnets of the networks of all other drivers: they may get their addresses from our IPAM.
func (c *Client) ForeignSubnets(ctx context.Context) ([]netip.Prefix, error) {
	return c.subnets(ctx, func(n engineNetwork) bool { return n.Driver != c.driver })
}

func (c *Client) subnets(ctx context.Context, wanted func(engineNetwork) bool) ([]netip.Prefix, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	listed, err := c.listNetworks(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, n := range listed {
		if wanted(n) {
			all = append(all, n.subnets()...)
		}
	}
	return all, nil
}

// Networks lists the driver's networks with the attachments of running containers.
func (c *Client) Networks(ctx context.Context) ([]Network, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	listed, err := c.listNetworks(ctx, c.driver)
	if err != nil {
		return nil, err
	}
	containers, err := c.containers(ctx, nil)
	if err != nil {
		return nil, err
	}
	byID, byName := map[string]Container{}, map[string]Container{}
	for _, found := range containers {
		byID[found.ID], byName[found.Name] = found, found
	}
	var all []Network
	for _, summary := range listed {
		if summary.Driver != c.driver { // the filter also finds names that contain it
			continue
		}
		inspected, err := c.inspectNetwork(ctx, summary.ID)
		if err != nil {
			return nil, err
		}
		n := Network{ID: summary.ID, Name: summary.Name}
		for key, e := range inspected.Containers {
			found, ok := byID[key]
			if !ok {
				found = byName[e.Name]
			}
			n.Attachments = append(n.Attachments, Attachment{EndpointID: e.EndpointID, Container: found})
		}
		all = append(all, n)
	}
	return all, nil
}
