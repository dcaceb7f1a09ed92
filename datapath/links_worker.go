package datapath

import (
	"context"
	"errors"
	"time"
)

// retryAfter is how long the background rests after an error.
const retryAfter = time.Second

// kick tells the background that there may be work.
func (l *Links) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// work fills the pool and removes what was released, one pair at a time, whenever the foreground has been quiet for
// the settling time: both hold the kernel's network lock, for which the containers being started would wait.
func (l *Links) work(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			if wait := l.pause(); wait > 0 {
				timer.Reset(wait)
				break
			}
			if !l.step() {
				break
			}
			l.mu.Lock()
			close(l.turn)
			l.turn = make(chan struct{})
			l.mu.Unlock()
		}
	}
}

// pause says how long the background has to hold back. It does not while the pool is empty.
func (l *Links) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := time.Until(l.failed.Add(retryAfter)); wait > 0 {
		return wait
	}
	if len(l.ready) == 0 && l.cfg.Pool > 0 {
		return 0
	}
	return time.Until(l.touched.Add(l.cfg.Settle))
}

// step does one thing, the pool first, and reports whether there was any.
func (l *Links) step() bool {
	l.mu.Lock()
	missing := len(l.ready) < l.cfg.Pool
	l.mu.Unlock()
	var err error
	if missing {
		if err = l.fill(); errors.Is(err, ErrNoSlot) {
			missing, err = false, nil
		}
	}
	slot, released := l.nextReleased()
	if released && (!missing || err != nil) {
		err = l.remove(slot)
	}
	if err != nil {
		l.cfg.Log.WithError(err).Warn("veth pairs: trying again")
		l.mu.Lock()
		l.failed = time.Now()
		l.mu.Unlock()
	}
	return missing || released
}

// fill adds one pair to the pool.
func (l *Links) fill() error {
	slot, err := l.reserve()
	if err != nil {
		return err
	}
	p, err := l.build(l.back, slot)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.slots[slot] = slotState{stage: stagePooled, pair: p}
	l.ready = append(l.ready, slot)
	return nil
}

// nextReleased returns a slot that waits for its removal.
func (l *Links) nextReleased() (uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for slot, s := range l.slots {
		if s.stage == stageReleased {
			return slot, true
		}
	}
	return 0, false
}

// remove deletes a pair and its pins, and frees the slot. The pair goes first: its doors go with it, at no further
// cost, while to detach them one by one takes as long as the pair.
func (l *Links) remove(slot uint32) error {
	if err := l.back.host.Delete(slot); err != nil {
		return err
	}
	if err := l.back.unpin(slotPins(slot)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.slots, slot)
	return nil
}
