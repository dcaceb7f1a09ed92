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
const killsEnv = "SLUICE_TEST_KILLS"

// randomKills starts and removes containers, and kills the daemon (every fourth time the engine) at a random moment of
// it: random-kills NETWORK. Afterwards both run.
func randomKills(s *scene, ts *testscript.TestScript, args []string) error {
	if len(args) != 1 {
		ts.Fatalf("usage: random-kills NETWORK")
	}
	rounds, err := strconv.Atoi(os.Getenv(killsEnv))
	if err != nil {
		rounds = 8
	}
	seed := uint64(time.Now().UnixNano())
	ts.Logf("%d kills with seed %d", rounds, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for round := range rounds {
		delay := time.Duration(random.IntN(400)) * time.Millisecond
		if err := s.killOnce(round, delay, args[0]); err != nil {
			return fmt.Errorf("kill %d after %v: %w", round, delay, err)
		}
	}
	return nil
}

// killOnce lets one container come and go, and kills the daemon or the engine meanwhile. That the container's commands
// fail is to be expected; that something is left of it is not, and is seen at the script's end.
func (s *scene) killOnce(round int, delay time.Duration, network string) error {
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
	var err error
	if round%4 == 3 {
		err = errors.Join(s.host.StopDocker(syscall.SIGKILL), s.host.StartDocker(s.docker...))
	} else {
		err = errors.Join(s.host.StopDaemon(syscall.SIGKILL), s.host.StartDaemon(s.daemon...))
	}
	_ = cmd.Wait()
	if _, rm := s.host.Output(ctx, "sh", "-c", "docker rm -f "+name+" || ! docker inspect "+name); rm != nil {
		return errors.Join(err, rm)
	}
	return err
}
