package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/rollcall-dns/rollcall/internal/page"
)

// testOf is the name of the test for a row of the table in docs/promises.md:
// the words of the fault, without apostrophes and what is in parentheses.
func testOf(fault string) string {
	fault = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(fault, "")
	fault = strings.ReplaceAll(fault, "'", "")
	var name strings.Builder
	name.WriteString("Test")
	for _, word := range strings.FieldsFunc(fault, func(r rune) bool { return !unicode.IsLetter(r) }) {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String()
}

// TestEachRowOfTheTableIsATest: a promise that nothing holds is taken out, or held.
func TestEachRowOfTheTableIsATest(t *testing.T) {
	promises := page.Read(t, "docs/promises.md")
	var tests strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	machines, err := filepath.Glob("../dnsd/cluster/machines/*_test.go")
	if err != nil || len(machines) == 0 {
		t.Fatal("no tests with machines: ", err)
	}
	files = append(files, machines...)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	rows := 0
	for line := range strings.Lines(promises.Text) {
		cells := strings.Split(line, " | ")
		if len(cells) != 2 || cells[0] == "| fault" {
			continue
		}
		rows++
		if name := testOf(cells[0]); !strings.Contains(tests.String(), "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("row %q has no test %s", cells[0], name)
		}
	}
	if rows < 15 {
		t.Errorf("only %d rows were found", rows)
	}
}
