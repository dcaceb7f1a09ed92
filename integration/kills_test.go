package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// killsEnv is how often random-kills kills; CI's few show that the scenario works, a hundred that the daemon does.
const killsEnv = "SLUICE_KILLS"

// randomKills makes networks and containers come and go, and kills the daemon at a random moment of it:
// random-kills NETWORK. With -engine before the network it kills the engine, every fourth time the daemon as well.
// Afterwards both run, and nothing that came in between is left for Docker.
func randomKills(s *scene, ts *testscript.TestScript, args []string) error {
	rounds, engine := 8, false
	if len(args) == 2 && args[0] == "-engine" {
		rounds, engine, args = 3, true, args[1:] // an engine takes its time
	}
	if len(args) != 1 {
		ts.Fatalf("usage: random-kills [-engine] NETWORK")
	}
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, seed))
	start := time.Now()
	if err := s.comeAndGo("kill", args[0], 0, func() error { return nil }); err != nil {
		return fmt.Errorf("without a kill: %w", err)
	}
	whole := time.Since(start)
	ts.Logf("%d kills within %v, with seed %d", rounds, whole, seed)
	for round := range rounds {
		kill := s.killDaemon
		switch {
		case engine && round%4 == 3:
			kill = s.killBoth
		case engine:
			kill = s.killEngine
		}
		delay := time.Duration(random.Int64N(int64(whole)))
		err := s.comeAndGo(fmt.Sprintf("kill-%d", round), args[0], delay, kill)
		if err == nil && engine {
			err = s.networkAgain()
		}
		if err != nil {
			return fmt.Errorf("kill %d after %v: %w", round, delay, err)
		}
	}
	return nil
}

func (s *scene) killDaemon() error {
	return errors.Join(s.host.StopDaemon(syscall.SIGKILL), s.host.StartDaemon(s.daemon...))
}

func (s *scene) killEngine() error {
	return errors.Join(s.host.StopDocker(syscall.SIGKILL), s.host.StartDocker(s.docker...))
}

func (s *scene) killBoth() error {
	return errors.Join(s.host.StopDocker(syscall.SIGKILL), s.killDaemon(), s.host.StartDocker(s.docker...))
}

// comingSubnet is that of the network that comes and goes.
const comingSubnet = "10.91.0.0/24"

// networkAgain makes a network of the subnet of one whose creation may have been broken off: that must succeed at once.
func (s *scene) networkAgain() error {
	ctx, cancel := withTimeout()
	defer cancel()
	_, err := s.host.Output(ctx, "docker", "network", "create", "-d", "sluice", "--ipam-driver", "sluice", "--subnet", comingSubnet, "again")
	if err == nil {
		_, err = s.host.Output(ctx, "docker", "network", "rm", "again")
	}
	return err
}

// comeAndGo lets a container come and go on two networks, of which one comes and goes with it, and calls kill after
// delay. That Docker's commands fail then is to be expected; that Docker cannot remove what they left is not, and
// whether anything else is left is seen at the script's end.
func (s *scene) comeAndGo(name, network string, delay time.Duration, kill func() error) error {
	ctx, cancel := withTimeout()
	defer cancel()
	const life = `
		docker network create -d sluice --ipam-driver sluice --ipv6 --subnet ` + comingSubnet + ` $0
		docker run -d --name $0 --network $1 -p 80 probe
		docker network connect $0 $0
		docker network disconnect -f $1 $0
		docker rm -f $0
		docker network rm $0`
	const remove = `
		docker rm -f $0 || ! docker inspect $0 || exit 1
		docker network rm $0 || ! docker network inspect $0`
	cmd := s.host.Command(ctx, "sh", "-c", life, name, network)
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(delay)
	err := kill()
	_ = cmd.Wait()
	_, left := s.host.Output(ctx, "sh", "-c", remove, name)
	return errors.Join(err, left)
}
