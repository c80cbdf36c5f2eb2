package cli

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBashCompletes asks bash itself.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	text, err := sample().Completion("bash")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"app pr":            "print",
		"app print ":        "all -loud -times -every",
		"app print -l":      "-loud",
		"app print all -t":  "-times",
		"app print all al":  "",
		"app help lo":       "lost",
		"app quiet z":       "zsh",
		"app nosuch -":      "",
		"app fail -":        "",
		"app -times x pri ": "",
	} {
		words := strings.Split(line, " ")
		script := text + "\nCOMP_WORDS=('" + strings.Join(words, "' '") + "')\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_app\necho ${COMPREPLY[@]}\n"
		out, err := exec.Command(bash, "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

// TestBashCompletesByAsking: what an argument can be is asked for where it is, with the words
// that are there already.
func TestBashCompletesByAsking(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	a := sample()
	a.Names = "names"
	none := func(*flag.FlagSet) Run { return nil }
	a.Commands = append(a.Commands,
		Command{Name: "get", Args: "SERVICE [ID]", Max: 2, Make: none},
		Command{Name: "get back", Args: "[SERVICE]", Max: 1, Make: none},
		Command{Name: "put", Args: "FILE SERVICE", Max: 2, Make: none})
	text, err := a.Completion("bash")
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"app ":             "print fail lost quiet get put help version",
		"app get ":         "back (names-timeout1s)",
		"app get (":        "(names-timeout1s)",
		"app get _a._tcp ": "back (names-timeout1s_a._tcp)",
		"app get x y ":     "back",
		"app get back ":    "(names-timeout1s)",
		"app get back x ":  "",
		"app put ":         "",
		"app put f ":       "",
		"app get -":        "",
		"app nosuch ":      "",
	} {
		words := strings.Split(line, " ")
		script := text + "\napp() { local IFS=; echo \"($*)\"; }\nCOMP_WORDS=('" + strings.Join(words, "' '") + "')\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_app\necho ${COMPREPLY[@]}\n"
		out, err := exec.Command(bash, "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

// TestFishCompletes asks fish itself, where it is installed: files where a command wants one, and
// no second word that is there already.
func TestFishCompletes(t *testing.T) {
	a := sample()
	none := func(*flag.FlagSet) Run { return nil }
	a.Commands = append(a.Commands,
		Command{Name: "get", Args: "SERVICE [ID]", Max: 2, Make: none},
		Command{Name: "get back", Args: "[SERVICE]", Max: 1, Make: none},
		Command{Name: "put", Args: "FILE", Max: 1, Make: none})
	text, err := a.Completion("fish")
	if err != nil || !strings.Contains(text, "complete -c app -n '__fish_seen_subcommand_from put' -F\n") || strings.Contains(text, "from get' -F") {
		t.Fatalf("%v\n%s", err, text)
	}
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("there is no fish")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "copy"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"app pu":        "put",
		"app put ":      "copy",
		"app get b":     "back",
		"app get back ": "",
	} {
		cmd := exec.Command(fish, "-c", text+"\ncomplete -C '"+line+"'")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		word, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\t")
		if err != nil || word != want {
			t.Errorf("%q: %q, %v, want %q", line, out, err, want)
		}
	}
}

// TestOtherShellsReadTheirCompletion: where they are installed.
func TestOtherShellsReadTheirCompletion(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			a := sample()
			a.Names = "names"
			a.Commands = append(a.Commands, Command{Name: "get", Args: "SERVICE [ID]", Max: 2, Make: func(*flag.FlagSet) Run { return nil }})
			text, err := a.Completion(shell)
			if err != nil || !strings.Contains(text, "-loud") && !strings.Contains(text, "-o loud") || !strings.Contains(text, "print all") && !strings.Contains(text, "from print' -a all") {
				t.Fatalf("%v\n%s", err, text)
			}
			if n := strings.Count(text, "app names -timeout 1s 2>/dev/null"); n != 2 {
				t.Errorf("it asks %d times:\n%s", n, text)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip("there is no " + shell)
			}
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestTextIsQuotedForItsShell(t *testing.T) {
	a := sample()
	a.Commands[0].Short = `it's a: "b" \ $c`
	for shell, want := range map[string]string{"zsh": `'print:it'\''s a\: "b" \ $c'`, "fish": `-a print -d 'it\'s a: "b" \\ $c'`} {
		if text, err := a.Completion(shell); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s has no %s: %v\n%s", shell, want, err, text)
		}
	}
	if _, err := a.Completion("csh"); Status(err) != Usage {
		t.Errorf("csh: %v", err)
	}
}
