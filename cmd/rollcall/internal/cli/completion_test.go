package cli

import (
	"os/exec"
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

// TestOtherShellsReadTheirCompletion: where they are installed.
func TestOtherShellsReadTheirCompletion(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			text, err := sample().Completion(shell)
			if err != nil || !strings.Contains(text, "-loud") && !strings.Contains(text, "-o loud") || !strings.Contains(text, "print all") && !strings.Contains(text, "from print' -a all") {
				t.Fatalf("%v\n%s", err, text)
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
