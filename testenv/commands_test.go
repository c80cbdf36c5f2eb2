package testenv

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-dns/rollcall/internal/page"
)

var (
	testCommand = regexp.MustCompile("(?:cd (\\S+) && )?go test ([^`#\n]*)")
	makeCommand = regexp.MustCompile("`make ([a-z-]+)`")
	// testFlags are flags of go test, true for those that take a value.
	testFlags = map[string]bool{
		"run": true, "bench": true, "benchtime": true, "cpu": true, "count": true, "timeout": true,
		"v": false, "race": false, "benchmem": false,
	}
)

// Each command go test in a document has a package that is there, tests or benchmarks
// that its pattern finds, flags that the package has, and time enough.
func TestCommandsOfTheDocumentsWork(t *testing.T) {
	commands := 0
	for _, p := range page.All(t) {
		for _, m := range testCommand.FindAllStringSubmatch(p.Text, -1) {
			commands++
			if fault := faultOfTestCommand(t, m[1], strings.Fields(m[2])); fault != "" {
				t.Errorf("%s: %s: %s", p.Path, m[0], fault)
			}
		}
		makefile := page.Read(t, "Makefile").Text
		for _, m := range makeCommand.FindAllStringSubmatch(p.Text, -1) {
			commands++
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: the Makefile has no %s", p.Path, m[1])
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d commands were found", commands)
	}
}

func faultOfTestCommand(t *testing.T, dir string, words []string) string {
	i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ".") })
	switch {
	case i < 0:
		return "it names no package"
	case words[i] == "./...":
		return ""
	}
	files, err := filepath.Glob(filepath.Join("..", dir, words[i], "*_test.go"))
	if err != nil || len(files) == 0 {
		return "the package has no tests"
	}
	var tests strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	for i, w := range words {
		name, isFlag := strings.CutPrefix(w, "-")
		takesValue, known := testFlags[name]
		switch {
		case !isFlag:
		case !known && !regexp.MustCompile(`flag\.\w+\("`+regexp.QuoteMeta(name)+`"`).MatchString(tests.String()):
			return "the package has no flag " + name
		case known && takesValue && i+1 == len(words):
			return w + " has no value"
		case name == "run" || name == "bench":
			pattern := strings.Trim(words[i+1], "'")
			kind := map[string]string{"run": "Test", "bench": "Benchmark"}[name]
			if pattern != "^$" && !regexp.MustCompile(`(?m)^func `+kind+`\w*(`+pattern+`)`).MatchString(tests.String()) {
				return "no " + kind + " has the name " + pattern
			}
		}
		// go test ends after ten minutes by itself.
		if d, err := time.ParseDuration(w); err == nil && d >= 10*time.Minute && !slices.Contains(words, "-timeout") {
			return "it takes longer than go test waits"
		}
	}
	return ""
}
