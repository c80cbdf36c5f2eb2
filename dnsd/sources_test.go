package dnsd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns/caddy/caddyfile"
)

// files writes a folder of files and returns the path of the Corefile in it.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "Corefile")
}

func TestCorefileImportsInARingAreToldAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"itself", map[string]string{"Corefile": "svc {\n ttl 5s\n import Corefile\n}\n"}, "Corefile:3: import: the files import each other in a ring: "},
		{"itself by a pattern", map[string]string{"Corefile": "svc {\n import *\n}\n"}, "Corefile:2: import: the files import each other in a ring: "},
		{"two files", map[string]string{"Corefile": "svc {\n import a\n}\n", "a": "ttl 5s\nimport b\n", "b": "import a\n"}, "b:1: import: the files import each other in a ring: "},
		{"within a directive", map[string]string{"Corefile": "svc {\n hook 127.0.0.1:0 {\n  import a\n }\n}\n", "a": "import a\n"}, "a:1: import: the files import each other in a ring: "},
		{"a snippet", map[string]string{"Corefile": "(s) {\n import s\n}\nsvc {\n import s\n}\n"}, "Corefile:2: import: the files import each other in a ring: snippet (s) imports snippet (s)"},
		{"two snippets", map[string]string{"Corefile": "(s) {\n import t\n}\n(t) {\n import s\n}\nsvc {\n import s\n}\n"}, "Corefile:5: import: the files import each other in a ring: snippet (s) imports snippet (t) imports snippet (s)"},
		{"outside", map[string]string{"Corefile": "import Corefile\n"}, "Corefile:1: import: the files import each other in a ring: "},
		{"doubling", map[string]string{
			"Corefile": "svc {\n import a\n}\n", "a": "import b\nimport b\n", "b": "import c\nimport c\n", "c": "import d\nimport d\n",
			"d": "import e\nimport e\n", "e": "import f\nimport f\n", "f": "import g\nimport g\n", "g": "import h\nimport h\n",
			"h": "import i\nimport i\n", "i": "import j\nimport j\n", "j": "import k\nimport k\n", "k": "",
		}, "import: more than 1000 imports in all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadCorefile(files(t, tt.files))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCorefileImportsThatEndAreFollowed(t *testing.T) {
	c, err := ReadCorefile(files(t, map[string]string{
		"Corefile": "(s) {\n ttl 3s\n import a\n}\nsvc {\n hook 127.0.0.1:0\n import s\n import more*\n}\nsrv {\n import h\n import s\n}\n",
		"a":        "negative 2s\n", "more1": "nsid \"one # two\" # three\n", "h": "hook 127.0.0.1:0\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i, nsid := range []string{"one # two", ""} {
		if z := c.Zones[i]; z.TTL.Seconds() != 3 || z.Apex.NegativeTTL.Seconds() != 2 || z.DNS.NSID != nsid {
			t.Errorf("block %d: %+v", i, z)
		}
	}
}

// TestCorefileVariablesMustBeSet: a variable that is not set is an error, as a whole word,
// as a part of one, and as a zone's name.
func TestCorefileVariablesMustBeSet(t *testing.T) {
	t.Setenv("ROLLCALL_EMPTY", "")
	t.Setenv("ROLLCALL_LOOP", "{$ROLLCALL_LOOP}")
	for _, v := range []struct{ ref, want string }{
		{"{$ROLLCALL_UNSET}", "the environment variable ROLLCALL_UNSET is not set"},
		{"{%ROLLCALL_UNSET%}", "the environment variable ROLLCALL_UNSET is not set"},
		{"{$ROLLCALL_EMPTY}", "the environment variable ROLLCALL_EMPTY is empty"},
		{"{$ROLLCALL_LOOP}", "the environment variable ROLLCALL_LOOP names another one"},
	} {
		for name := range directives {
			for _, text := range []string{"  " + name + " V", "  " + name + " xV/y", "  " + name + " {\n    word V\n  }", "  " + name + " {\n    V\n  }", "  import V"} {
				text := "svc {\n" + strings.ReplaceAll(text, "V", v.ref) + "\n}\n"
				_, err := ParseCorefile("Corefile", []byte(text))
				if err == nil || !strings.HasPrefix(err.Error(), "Corefile:") || !strings.Contains(err.Error(), v.want) {
					t.Errorf("%s\ngot %v, want %s", text, err, v.want)
				}
			}
		}
		for _, text := range []string{"V {\n}\n", "V:5300 {\n}\n", "svc, V {\n}\n", "(s) {\n  ttl V\n}\nsvc {\n  import s\n}\n"} {
			_, err := ParseCorefile("Corefile", []byte(strings.ReplaceAll(text, "V", v.ref)))
			if err == nil || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%s\ngot %v, want %s", text, err, v.want)
			}
		}
		// In a comment it is no variable.
		if _, err := ParseCorefile("Corefile", []byte("svc { # "+v.ref+"\n}\n")); err != nil {
			t.Errorf("%s in a comment: %v", v.ref, err)
		}
	}
}

// FuzzBadWord: badWord finds a "#" exactly where caddyfile reads it within a word.
func FuzzBadWord(f *testing.F) {
	for _, s := range []string{"a#b", "a #b", "#a", "\"a#b\"", "\"a\\\"#\"#", "a\n#b\nc#", "a\"#b\"", "\"\"#", "\\#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, '\uFEFF') || strings.ContainsAny(text, "\r\x00") {
			t.Skip("left out or changed by the lexer")
		}
		no, _ := badWord([]byte(text))
		words := func(s string) (out []string) {
			for d := caddyfile.NewDispenser("Corefile", strings.NewReader(s)); d.Next(); {
				out = append(out, d.Val())
			}
			return out
		}
		cut := false
		plain := strings.ReplaceAll(text, "#", "\uE000")
		if !strings.ContainsAny(text, "\"") {
			for _, w := range words(plain) {
				if i := strings.Index(w, "\uE000"); i > 0 {
					cut = true
				}
				if strings.HasPrefix(w, "\uE000") {
					return // a comment: the text after it has no words
				}
			}
			if cut != (no > 0) {
				t.Errorf("%q: line %d, want a finding: %v", text, no, cut)
			}
		}
	})
}
