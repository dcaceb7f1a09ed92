package datapath

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

const constantsMap = ".rodata"

// template is a compiled object, read once: its programs with the shared maps linked, and its constants.
type template struct {
	name     string
	programs map[string]*blueprint
	data     []byte              // of the constants, as compiled
	vars     map[string]variable // the constants by name
}

type variable struct{ offset, size uint32 }

// blueprint is one program of a template.
type blueprint struct {
	spec      ebpf.ProgramSpec
	lines     []fmt.Stringer  // the source line of each instruction; nil: none
	constants []int           // instructions that load the address of a constant
	functions map[string]span // by name, within spec.Instructions
}

type span struct{ start, end int }

// readTemplate reads the object and links it to the shared maps, which it creates where they do not exist. An empty
// object makes an empty template.
func readTemplate(name string, object []byte, maps *sharedMaps) (*template, error) {
	t := &template{name: name, programs: map[string]*blueprint{}, vars: map[string]variable{}}
	if len(object) == 0 {
		return t, nil // it has no programs; loading one says so
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", name, err)
	}
	linked := map[string]*ebpf.Map{}
	for mapName, m := range spec.Maps {
		switch {
		case mapName == constantsMap:
			t.data = bytes.Clone(m.Contents[0].Value.([]byte))
		case isData(mapName):
			return nil, fmt.Errorf("read object %s: section %s: programs may keep state in declared maps only", name, mapName)
		default:
			if linked[mapName], err = maps.use(m); err != nil {
				return nil, err
			}
		}
	}
	for varName, v := range spec.Variables {
		if v.SectionName == constantsMap {
			t.vars[varName] = variable{v.Offset, v.Size()}
		}
	}
	for progName, p := range spec.Programs {
		if t.programs[progName], err = newBlueprint(p, linked); err != nil {
			return nil, fmt.Errorf("read object %s: program %s: %w", name, progName, err)
		}
	}
	return t, nil
}

func newBlueprint(p *ebpf.ProgramSpec, maps map[string]*ebpf.Map) (*blueprint, error) {
	b := &blueprint{spec: *p, functions: map[string]span{}}
	insns := b.spec.Instructions
	b.lines = make([]fmt.Stringer, len(insns))
	var starts []int
	for i := range insns {
		in := &insns[i]
		b.lines[i] = in.Source()
		if btf.FuncMetadata(in) != nil {
			starts = append(starts, i)
		} else {
			*in = in.WithSource(nil)
		}
		switch ref := in.Reference(); {
		case !in.IsLoadFromMap() || ref == "":
		case ref == constantsMap:
			b.constants = append(b.constants, i)
		case maps[ref] == nil:
			return nil, fmt.Errorf("map %s is not declared", ref)
		default:
			if err := in.AssociateMap(maps[ref]); err != nil {
				return nil, fmt.Errorf("map %s: %w", ref, err)
			}
		}
	}
	for k, start := range starts {
		end := len(insns)
		if k+1 < len(starts) {
			end = starts[k+1]
		}
		b.functions[insns[start].Symbol()] = span{start, end}
	}
	return b, nil
}

// constants makes the frozen map of the constants, with values set by name.
func (t *template) constants(values map[string][]byte) (*ebpf.Map, error) {
	data := bytes.Clone(t.data)
	for name, value := range values {
		v, ok := t.vars[name]
		if !ok || int(v.size) != len(value) {
			return nil, t.lacks(fmt.Sprintf("constant %s of %d bytes", name, len(value)))
		}
		copy(data[v.offset:v.offset+v.size], value)
	}
	return frozenMap(constantsMap, data)
}

// lacks is the error of an object that is not what this package was built for.
func (t *template) lacks(what string) error {
	if len(t.programs) == 0 {
		return fmt.Errorf("object %s is not embedded; run make bpf before go build", t.name)
	}
	return fmt.Errorf("object %s has no %s", t.name, what)
}

// frozenMap makes an array of one value that nobody can change, so that the verifier takes its contents for constants.
func frozenMap(name string, data []byte) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(data)),
		MaxEntries: 1, Flags: unix.BPF_F_RDONLY_PROG,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: data}}})
	if err != nil {
		return nil, fmt.Errorf("create map %s: %w", name, err)
	}
	if name == constantsMap {
		return m, nil // NewMap has frozen it, for its name's sake
	}
	if err := m.Freeze(); err != nil {
		m.Close()
		return nil, fmt.Errorf("freeze map %s: %w", name, err)
	}
	return m, nil
}

// load loads a program with its constants and with the functions named in tables replaced by compiled policies. The kernel
// gets source lines only if it refuses the program, for its log: they are a fifth of what a load costs.
func (t *template) load(name string, constants *ebpf.Map, tables map[string]*table) (*ebpf.Program, error) {
	b := t.programs[name]
	if b == nil {
		return nil, t.lacks("program " + name)
	}
	p, err := b.load(constants, tables, false)
	if err != nil {
		p, err = b.load(constants, tables, true)
	}
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, refusal(err))
	}
	return p, nil
}

func (b *blueprint) load(constants *ebpf.Map, tables map[string]*table, lines bool) (*ebpf.Program, error) {
	insns := slices.Clone(b.spec.Instructions)
	if lines {
		for i, line := range b.lines {
			insns[i] = insns[i].WithSource(line)
		}
	}
	for _, i := range b.constants {
		if err := insns[i].AssociateMap(constants); err != nil {
			return nil, err
		}
	}
	insns, err := b.splice(insns, tables)
	if err != nil {
		return nil, err
	}
	spec := b.spec
	spec.Instructions = insns
	return ebpf.NewProgram(&spec)
}

// splice puts the compiled tables in the place of the functions of their names. A program that does not call such a
// function does not have it.
func (b *blueprint) splice(insns asm.Instructions, tables map[string]*table) (asm.Instructions, error) {
	var out asm.Instructions
	at := 0
	for _, name := range b.byPosition(tables) {
		stub := b.functions[name]
		policy, err := tables[name].instructions(insns[stub.start])
		if err != nil {
			return nil, err
		}
		out = append(append(out, insns[at:stub.start]...), policy...)
		at = stub.end
	}
	if at == 0 {
		return insns, nil
	}
	return append(out, insns[at:]...), nil
}

func (b *blueprint) byPosition(tables map[string]*table) []string {
	var names []string
	for name := range tables {
		if _, ok := b.functions[name]; ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int { return b.functions[x].start - b.functions[y].start })
	return names
}

// logLines is how much of the verifier's log an error carries.
const logLines = 12

// refusal turns a verifier's error into ErrVerifier with the end of its log.
func refusal(err error) error {
	var v *ebpf.VerifierError
	if !errors.As(err, &v) {
		return err
	}
	lines := v.Log
	if len(lines) > logLines {
		lines = lines[len(lines)-logLines:]
	}
	return fmt.Errorf("%w: %w:\n\t%s", ErrVerifier, v.Cause, strings.Join(lines, "\n\t"))
}
