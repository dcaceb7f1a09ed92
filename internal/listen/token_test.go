package listen

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tokenFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	whole = "0123456789abcdef"
	part  = "fedcba9876543210"
)

func TestTokens(t *testing.T) {
	tokens, err := ReadTokens(tokenFile(t, "# who may see what\n\n"+whole+"\n  "+part+"\tshop,network:front,other  \n", 0o640))
	if err != nil {
		t.Fatal(err)
	}
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for authorization, want := range map[string]string{ // a for the namespace shop, b for the network front, c for others
		"Bearer " + whole: "abc", "bearer  " + whole: "abc", "Bearer " + part: "ab", basic("x", part): "ab", basic("", whole): "abc",
		"": "-", "Bearer": "-", "Bearer ": "-", "Bearer " + whole + "x": "-", whole: "-", "Basic !": "-", basic("x", ""): "-", "Basic " + whole: "-",
		"Digest " + whole: "-",
	} {
		got := ""
		a, err := tokens.access(authorization)
		if err != nil {
			got = "-"
			if !errors.Is(err, ErrDenied) {
				t.Errorf("%q: %v", authorization, err)
			}
		} else {
			for i, at := range [][2]string{{"shop", ""}, {"x", "front"}, {"x", "y"}} {
				if a.Sees(at[0], at[1]) {
					got += string(rune('a' + i))
				}
			}
		}
		if got != want {
			t.Errorf("%q sees %s, want %s", authorization, got, want)
		}
	}
}

func TestTokensRefuse(t *testing.T) {
	for text, want := range map[string]string{
		"": "no token", "# nothing\n": "no token", "short": "line 1: the token is shorter", "\n" + whole + " a b": "line 2: a token and",
		whole + " a,,b": "empty part", whole + " network:": "empty part",
	} {
		if _, err := ReadTokens(tokenFile(t, text, 0o600)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := ReadTokens(tokenFile(t, whole, 0o644)); err == nil || !strings.Contains(err.Error(), "everybody may read it") {
		t.Errorf("a file that everybody may read: %v", err)
	}
}

// A file that changes is read again; one that cannot be used any more lets nobody in.
func TestTokensReload(t *testing.T) {
	path := tokenFile(t, whole, 0o600)
	tokens, err := ReadTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(part)
	if _, err := tokens.access("Bearer " + whole); !errors.Is(err, ErrDenied) {
		t.Errorf("a token that was taken back: %v", err)
	}
	if _, err := tokens.access("Bearer " + part); err != nil {
		t.Errorf("a new token: %v", err)
	}
	write("short")
	if _, err := tokens.access("Bearer " + part); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("with a broken file: %v", err)
	}
}

// FuzzTokens checks that no file and no header break anything, and that only a token of the file lets in.
func FuzzTokens(f *testing.F) {
	f.Add(whole+" shop\n#x\n", "Bearer "+whole)
	f.Add(part+" network:a,b", "Basic OmZlZGNiYTk4NzY1NDMyMTA=")
	f.Fuzz(func(t *testing.T, text, authorization string) {
		token, ok := bearer(authorization)
		if ok && !strings.Contains(strings.ToLower(authorization), "basic") && !strings.Contains(authorization, token) {
			t.Errorf("%q has token %q", authorization, token)
		}
		known, err := parseTokens(text)
		if err == nil && len(known) == 0 {
			t.Errorf("%q has no token and is taken", text)
		}
	})
}
