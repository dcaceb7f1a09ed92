package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/sirupsen/logrus"
)

// keptMaps may not be recreated while containers run: the doors of every veth point at these very maps.
var keptMaps = []string{egressSlots, ingressSlots}

// sharedMaps are the maps that all programs use, pinned in one directory under their names.
type sharedMaps struct {
	dir string
	// version is part of the names of pins of versionedMaps.
	version string
	sizes   map[string]uint32
	log     logrus.FieldLogger

	mu   sync.RWMutex
	open map[string]*ebpf.Map
}

func openMaps(opts Options) (*sharedMaps, error) {
	s := &sharedMaps{dir: filepath.Join(opts.PinDir, "maps"), sizes: opts.MapSizes, log: opts.Log, open: map[string]*ebpf.Map{}}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create directory of pinned maps: %w; is a BPF file system mounted there?", err)
	}
	return s, nil
}

func (s *sharedMaps) get(name string) *ebpf.Map {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.open[name]
}

func (s *sharedMaps) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, m := range s.open {
		m.Close()
		delete(s.open, name)
	}
}

// use returns the map that spec describes: the open one, else the pinned one, else a new one.
func (s *sharedMaps) use(spec *ebpf.MapSpec) (*ebpf.Map, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.sizes[spec.Name]; n != 0 {
		spec.MaxEntries = n
	}
	spec.Pinning = ebpf.PinNone
	if m := s.open[spec.Name]; m != nil {
		if err := spec.Compatible(m); err != nil {
			return nil, fmt.Errorf("map %s: objects disagree: %w", spec.Name, err)
		}
		return m, nil
	}
	m, err := s.adopt(spec)
	if err != nil {
		return nil, err
	}
	if m == nil {
		if m, err = s.create(spec); err != nil {
			return nil, err
		}
	}
	s.open[spec.Name] = m
	return m, nil
}

// adopt opens the pinned map; nil if there is none, or one of another layout whose contents may be lost.
func (s *sharedMaps) adopt(spec *ebpf.MapSpec) (*ebpf.Map, error) {
	path := s.pin(spec.Name)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open pinned map %s: %w", path, err)
	}
	differs := spec.Compatible(m)
	if differs == nil {
		return m, nil
	}
	m.Close()
	if slices.Contains(keptMaps, spec.Name) {
		return nil, fmt.Errorf("adopt pinned map %s: %w: %v; stop all containers of Sluice networks, remove %s and start again",
			path, ErrMapLayout, differs, path)
	}
	s.log.WithField("map", spec.Name).Warnf("recreating pinned map of another layout, its contents are lost: %v", differs)
	return nil, nil
}

// create makes a new map and pins it in one step over whatever has its name: readers of the directory find the old map
// or the new one.
func (s *sharedMaps) create(spec *ebpf.MapSpec) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", spec.Name, err)
	}
	path := s.pin(spec.Name)
	fresh := path + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.Close()
		return nil, fmt.Errorf("pin map %s: %w", spec.Name, err)
	}
	if err = m.Pin(fresh); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("pin map %s: %w; is %s on a BPF file system?", spec.Name, err, s.dir)
	}
	return m, nil
}

// newSuffix marks pins that are about to take another's place. No map's name has a dash.
const newSuffix = "-new"

// pin is where a map is pinned.
func (s *sharedMaps) pin(name string) string {
	if name == sharedSlots {
		name += "_" + s.version
	}
	return filepath.Join(s.dir, name)
}

// pinned tells whether a name in the directory of pins is that of a map of this version.
func (s *sharedMaps) pinned(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for open := range s.open {
		if s.pin(open) == filepath.Join(s.dir, name) {
			return true
		}
	}
	return false
}

// prune removes the pins of maps that no object has any more. Shared slots of other versions stay while used, by map id,
// has them.
func (s *sharedMaps) prune(used func() (map[ebpf.MapID]bool, error)) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list pinned maps: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if s.pinned(e.Name()) {
			continue
		}
		if strings.HasPrefix(e.Name(), sharedSlots+"_") {
			switch inUse, err := s.inUse(e.Name(), used); {
			case err != nil:
				errs = append(errs, err)
				continue
			case inUse:
				continue
			}
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("remove pinned map %s: %w", e.Name(), err))
			continue
		}
		s.log.WithField("map", e.Name()).Info("removed the pin of a map that nothing uses")
	}
	return errors.Join(errs...)
}

func (s *sharedMaps) inUse(name string, used func() (map[ebpf.MapID]bool, error)) (bool, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(s.dir, name), nil)
	if err != nil {
		return false, fmt.Errorf("open pinned map %s: %w", name, err)
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return false, fmt.Errorf("inspect pinned map %s: %w", name, err)
	}
	id, _ := info.ID()
	ids, err := used()
	return ids[id], err
}

// isData tells whether a map is a data section of one object and not shared.
func isData(name string) bool { return strings.HasPrefix(name, ".") }
