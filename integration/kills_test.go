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

// randomKills starts and removes containers, and kills the daemon (every fourth time the engine) at a random moment of
// it: random-kills NETWORK. With -engine before the network it kills the engine every time. Afterwards both run.
func randomKills(s *scene, ts *testscript.TestScript, args []string) error {
	rounds, engineEvery := 8, 4
	if len(args) == 2 && args[0] == "-engine" {
		rounds, engineEvery, args = 3, 1, args[1:] // an engine takes its time
	}
	if len(args) != 1 {
		ts.Fatalf("usage: random-kills [-engine] NETWORK")
	}
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	ts.Logf("%d kills with seed %d", rounds, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for round := range rounds {
		delay := time.Duration(random.IntN(400)) * time.Millisecond
		kill := s.killDaemon
		if round%engineEvery == engineEvery-1 {
			kill = s.killEngine
		}
		if err := s.killOnce(round, delay, args[0], kill); err != nil {
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

// killOnce lets one container come and go, and calls kill meanwhile. That the container's commands
// fail is to be expected; that something is left of it is not, and is seen at the script's end.
func (s *scene) killOnce(round int, delay time.Duration, network string, kill func() error) error {
	ctx, cancel := withTimeout()
	defer cancel()
	name := fmt.Sprintf("kill-%d", round)
	script := fmt.Sprintf(`docker run -d --name %s --network %s -p 0:80 probe; docker network disconnect -f %s %s; docker rm -f %s`,
		name, network, network, name, name)
	cmd := s.host.Command(ctx, "sh", "-c", script)
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(delay)
	err := kill()
	_ = cmd.Wait()
	if _, rm := s.host.Output(ctx, "sh", "-c", "docker rm -f "+name+" || ! docker inspect "+name); rm != nil {
		return errors.Join(err, rm)
	}
	return err
}
