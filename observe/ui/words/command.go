package words

import (
	"strings"
)

// flags are what the keys are called on a command line; those without have none.
var flags = map[string]string{
	"verdict": "verdict", "type": "type", "protocol": "protocol", "reason": "drop-reason-desc", "pod": "pod",
	"namespace": "namespace", "service": "workload", "ip": "ip", "port": "port", "label": "label", "identity": "identity", "dns": "fqdn",
}

// Command returns the command of a tool, "sluice" or "hubble", that follows the flows that fit, and the words that no flag says.
func (f Filter) Command(tool string) (command string, left []string) {
	args := []string{tool, "observe", "--follow"}
	for _, t := range f.terms {
		option, values := t.option()
		if option == "" {
			left = append(left, t.String())
			continue
		}
		if t.not {
			args = append(args, "--not")
		}
		if len(values) == 0 {
			args = append(args, option)
		}
		for _, v := range values {
			args = append(args, option, quote(v))
		}
	}
	return strings.Join(args, " "), left
}

// option returns a term's flag, empty if it has none, and its values.
func (t term) option() (string, []string) {
	if t.key == "reply" && len(t.values) == 1 {
		if (t.values[0].text == "true") != t.not {
			return "--reply", nil
		}
		return "", nil
	}
	if t.not && len(t.values) > 1 && t.key != "" { // --not turns round one flag
		return "", nil
	}
	key := t.key
	if key == "any" {
		key = "pod"
		for _, v := range t.values {
			if _, err := parsePrefix(v.text); err == nil {
				key = "ip"
			} else if strings.HasPrefix(v.text, "@") {
				return "", nil
			}
		}
	}
	name, ok := flags[key]
	if !ok {
		return "", nil
	}
	switch t.side {
	case source:
		name = "from-" + name
	case destination:
		name = "to-" + name
	}
	var values []string
	for _, v := range t.values {
		text, ok := flagValue(key, v)
		if !ok {
			return "", nil
		}
		values = append(values, text)
	}
	return "--" + name, values
}

// flagValue is how a command line writes a value.
func flagValue(key string, v value) (string, bool) {
	switch key {
	case "verdict":
		switch v.text {
		case "allowed":
			return "FORWARDED", true
		case "denied":
			return "DROPPED", true
		}
		return strings.ToUpper(v.text), true
	case "type":
		return v.text, v.text != "audit" && v.text != "learn"
	case "reason":
		return strings.ToUpper(strings.ReplaceAll(v.text, " ", "_")), !strings.Contains(v.text, "*")
	case "pod":
		if !strings.Contains(v.text, "/") {
			return "/" + v.text, !strings.Contains(v.text, "*") // of any project
		}
	}
	return v.text, key == "dns" || !strings.Contains(v.text, "*")
}

// String returns the term as it is typed.
func (t term) String() string {
	var b strings.Builder
	if t.not {
		b.WriteByte('!')
	}
	switch {
	case t.key == "any" && t.side == source:
		b.WriteString("from:")
	case t.key == "any":
		b.WriteString("to:")
	case t.key != "":
		b.WriteString(map[side]string{source: "from-", destination: "to-"}[t.side] + t.key + ":")
	}
	for i, v := range t.values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.text)
	}
	return b.String()
}

// quote makes text one word of a shell.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
