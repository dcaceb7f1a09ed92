package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// screen is a terminal that is drawn in place. What stood on it before comes back with close.
type screen struct {
	out     io.Writer
	size    func() (columns, lines int)
	keys    <-chan byte // nil: there are none
	resized chan os.Signal
	restore func()
}

// Commands of terminals (ECMA-48, and xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // alternate screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseBelow  = "\x1b[J"
	reverse     = "\x1b[7m"
	plain       = "\x1b[0m"
)

// openScreen takes the terminal of the output, and its keys if the input is one, too.
func (a *app) openScreen() (*screen, error) {
	s := &screen{out: a.Out, size: func() (int, int) { return a.terminalSize(a.Out) }, resized: make(chan os.Signal, 1), restore: func() {}}
	if in, ok := a.In.(*os.File); ok && a.terminal(in) {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return nil, fmt.Errorf("read keys of the terminal: %w", err)
		}
		s.restore = func() { _ = term.Restore(int(in.Fd()), state) }
		keys := make(chan byte)
		s.keys = keys
		go readKeys(in, keys)
	}
	signal.Notify(s.resized, unix.SIGWINCH)
	if _, err := io.WriteString(s.out, enterScreen); err != nil {
		s.close()
		return nil, errors.Join(errors.New("draw on the terminal"), err)
	}
	return s, nil
}

// readKeys gives keys until the terminal ends; it lasts as long as the program.
func readKeys(in io.Reader, keys chan<- byte) {
	defer close(keys)
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		if err != nil {
			return
		}
		if n == 1 {
			keys <- b[0]
		}
	}
}

// close gives the terminal back as it was.
func (s *screen) close() {
	signal.Stop(s.resized)
	_, _ = io.WriteString(s.out, leaveScreen)
	s.restore()
}

// draw shows the head and as many rows as there is room for, the first of them, their heading, marked.
func (s *screen) draw(head, rows []string) {
	columns, lines := s.size()
	var b strings.Builder
	b.WriteString(topLeft)
	left := lines
	put := func(text, mark string) {
		if left--; left < 0 {
			return
		}
		b.WriteString(mark + cut(text, columns) + plain + eraseLine)
		if left > 0 {
			b.WriteString("\r\n") // in raw mode a line feed goes down only
		}
	}
	for _, h := range head {
		put(h, "")
	}
	for i, r := range rows {
		mark := ""
		if i == 0 {
			mark = reverse
		}
		put(r, mark)
	}
	b.WriteString(eraseBelow)
	_, _ = io.WriteString(s.out, b.String()) // a terminal that is gone ends the program by a signal
}

// cut leaves so many characters of a line.
func cut(s string, columns int) string {
	n := 0
	for i := range s {
		if n == columns {
			return s[:i]
		}
		n++
	}
	return s
}
