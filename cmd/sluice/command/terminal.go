package command

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal tells whether a stream is one.
func (a *app) terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalSize returns the columns and lines of the terminal that output goes to; of none, what most have.
func (a *app) terminalSize(out io.Writer) (columns, lines int) {
	if f, ok := out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}
