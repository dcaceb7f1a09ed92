package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/integration/hosts"
)

// sceneKey finds the scene among a script's values.
type sceneKey struct{}

// scene is a host while a script has it.
type scene struct {
	host *hosts.Host
	// clean is the host as it was with an engine and a daemon, and nothing else.
	clean hosts.Snapshot
	// taken is what the script's snapshot command saw.
	taken *hosts.Snapshot
	// docker and daemon are the options with which they run.
	docker, daemon []string
}

// pool keeps hosts of one engine for the scripts that follow: making one costs a second or two.
type pool struct {
	engine hosts.Engine
	bin    string

	mu   sync.Mutex
	idle []*scene
}

// take gives a host that no other script uses.
func (p *pool) take() (*scene, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	return p.make()
}

func (p *pool) make() (*scene, error) {
	dir, err := os.MkdirTemp("", "sluice-")
	if err != nil {
		return nil, err
	}
	h, err := hosts.Up(dir, p.engine, p.bin)
	if err != nil {
		return nil, err
	}
	s := &scene{host: h}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return s, nil
}

// start starts the daemon and the engine, in this order as systemd does, and loads the image.
func (s *scene) start() error {
	ctx, cancel := withTimeout()
	defer cancel()
	if err := s.host.StartDaemon(); err != nil {
		return err
	}
	if err := s.host.StartDocker(); err != nil {
		return err
	}
	if err := s.host.LoadImage(ctx); err != nil {
		return err
	}
	var err error
	s.clean, err = s.host.Snapshot(ctx)
	return err
}

// give takes a host back. One whose script failed is thrown away; any other must be as it was before.
func (p *pool) give(s *scene, failed bool) error {
	if failed {
		return s.host.Close()
	}
	if err := s.tidy(); err != nil {
		return errors.Join(err, s.host.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
	return nil
}

// tidy removes what scripts may leave, and fails if then anything is left that was not there at the start.
func (s *scene) tidy() error {
	if err := s.remove(); err != nil {
		return err
	}
	return s.same(s.clean, settleTime)
}

// remove removes all containers, networks of their own, volumes and policies.
func (s *scene) remove() error {
	ctx, cancel := withTimeout()
	defer cancel()
	const remove = `
		docker ps -aq | xargs -r docker rm -f
		docker network ls -q --filter type=custom | xargs -r docker network rm
		docker volume prune -f
		sluice policy delete --all`
	if out, err := s.host.Output(ctx, "sh", "-ec", remove); err != nil {
		return fmt.Errorf("tidy: %w\n%s", err, out)
	}
	return nil
}

// same waits until the host is as it was.
func (s *scene) same(want hosts.Snapshot, within time.Duration) error {
	ctx, cancel := withTimeout()
	defer cancel()
	return hosts.Poll(within, func() error {
		got, err := s.host.Snapshot(ctx)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
		return nil
	})
}

func (p *pool) close() error {
	var all []error
	for _, s := range p.idle {
		if log := s.host.Log("sluiced.log"); strings.Contains(log, "panic: ") {
			all = append(all, fmt.Errorf("sluiced panicked:\n%s", log))
		}
		all = append(all, s.host.Close())
	}
	return errors.Join(all...)
}
