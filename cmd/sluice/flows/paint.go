package flows

// paint colours words, if it is true.
type paint bool

// The colours, of a terminal's own palette.
const (
	red, green, yellow, cyan, magenta = "31", "32", "33", "36", "35"
)

func (p paint) with(colour, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

func (p paint) host(s string) string      { return p.with(cyan, s) }
func (p paint) port(s string) string      { return p.with(yellow, s) }
func (p paint) identity(s string) string  { return p.with(magenta, s) }
func (p paint) forwarded(s string) string { return p.with(green, s) }
func (p paint) dropped(s string) string   { return p.with(red, s) }
func (p paint) audit(s string) string     { return p.with(yellow, s) }
