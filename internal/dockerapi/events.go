package dockerapi

import (
	"context"
	"time"

	"github.com/moby/moby/client"
)

// The pauses before the event stream is opened again, doubling from the first to the last.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 15 * time.Second
)

// Changes signals whenever containers or networks may have changed: at each event of interest, and after each
// reconnection, since events are lost in between. Signals that nobody has received yet are one. The channel closes when
// the context ends. Losses of the connection are told to onLoss.
func (c *Client) Changes(ctx context.Context, onLoss func(error)) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		defer close(changes)
		pause := firstPause
		for ctx.Err() == nil {
			if c.follow(ctx, changes, onLoss) {
				pause = firstPause
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
		}
	}()
	return changes
}

// follow reads one event stream to its end. It reports whether the engine was there.
func (c *Client) follow(ctx context.Context, changes chan<- struct{}, onLoss func(error)) (connected bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	filters := client.Filters{}.
		Add("type", "container", "network").
		Add("event", "create", "start", "die", "destroy", "rename", "connect", "disconnect", "remove")
	stream := c.docker.Events(ctx, client.EventsListOptions{Filters: filters})
	if _, err := c.Version(ctx); err == nil {
		connected = true
		signal(changes)
	}
	for {
		select {
		case _, ok := <-stream.Messages:
			if !ok {
				return connected
			}
			connected = true
			signal(changes)
		case err := <-stream.Err:
			if ctx.Err() == nil && connected {
				onLoss(err)
			}
			return connected
		}
	}
}

// signal leaves one signal in the channel.
func signal(changes chan<- struct{}) {
	select {
	case changes <- struct{}{}:
	default:
	}
}
