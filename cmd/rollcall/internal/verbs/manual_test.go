package verbs

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the manual and the tables of docs/command.md")

const (
	manual = "../../../../packaging/rollcall.1"
	page   = "../../../../docs/command.md"
)

// TestTheManualIsThatOfTheCommands: both are written by this test with -update, so they
// cannot say something else than help.
func TestTheManualIsThatOfTheCommands(t *testing.T) {
	compare(t, manual, app().Man())
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range tables() {
		part := regexp.MustCompile(`(?s)(<!-- table: ` + name + ` -->\n).*?(\n<!-- end -->)`)
		if !part.Match(text) {
			t.Fatalf("%s has no place for the table of %s", page, name)
		}
		text = part.ReplaceAll(text, []byte("${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}"))
	}
	compare(t, page, string(text))
}

func compare(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not that of the commands: write it by go test ./cmd/rollcall/internal/verbs -run Manual -update (%v)", path, err)
	}
}

// tables are those of docs/command.md, without the empty line at their end.
func tables() map[string]string {
	a := app()
	rows := func(head string, each func(add func(cells ...string))) string {
		lines := []string{head, strings.Repeat("|---", strings.Count(head, "|")-1) + "|"}
		each(func(cells ...string) {
			for i, c := range cells {
				cells[i] = strings.ReplaceAll(c, "|", `\|`)
			}
			lines = append(lines, "| "+strings.Join(cells, " | ")+" |")
		})
		return strings.Join(lines, "\n") + "\n"
	}
	return map[string]string{
		"commands": rows("| command | what it does |", func(add func(...string)) {
			for _, c := range a.Commands {
				add("`"+strings.TrimRight(c.Name+" "+c.Args, " ")+"`", c.Short)
			}
		}),
		"flags": rows("| flag | meaning |", func(add func(...string)) {
			set := flag.NewFlagSet("", flag.ContinueOnError)
			askFlags(set)
			for _, name := range a.Common {
				f := set.Lookup(name)
				what, text := flag.UnquoteUsage(f)
				if f.DefValue != "" && f.DefValue != "false" {
					text += ", by default " + f.DefValue
				}
				add("`"+strings.TrimRight("-"+f.Name+" "+what, " ")+"`", text)
			}
		}),
		"variables": rows("| variable | meaning |", func(add func(...string)) {
			for _, e := range a.Environment {
				add("`"+strings.ReplaceAll(e.Word, ", ", "`, `")+"`", e.Text)
			}
		}),
		"statuses": rows("| status | meaning |", func(add func(...string)) {
			for _, e := range a.Statuses {
				add(fmt.Sprint(e.Word), e.Text)
			}
		}),
	}
}

// TestEachCommandHasItsScript: what a command does is shown in testdata.
func TestEachCommandHasItsScript(t *testing.T) {
	var scripts strings.Builder
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		text, err := os.ReadFile("testdata/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	for _, c := range app().Commands {
		if !regexp.MustCompile(`(?m)^(status \d+ |start \w+ )?rollcall ` + c.Name + `\b`).MatchString(scripts.String()) {
			t.Errorf("no script uses %s", c.Name)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short is %q: write a phrase without a final dot", c.Name, c.Short)
		}
	}
}
