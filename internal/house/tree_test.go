package house

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile     = 400 // lines of a Go file: one sitting
	maxFunction = 60  // lines of a function of the product: one screen
)

// excuse is how the comment of a longer function begins the sentence with its reason.
const excuse = "It is long because"

var only = flag.String("only", "", "check only this directory, and those below it")

// TestTree walks every Go file of the repository, nested modules too.
func TestTree(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(filepath.Join(root, *only), func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "testdata"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		files++
		name, _ := filepath.Rel(root, path)
		for _, fault := range faultsOf(t, path) {
			t.Errorf("%s%s", filepath.ToSlash(name), fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("there are no Go files: the walk does not reach the tree")
	}
}

// faultsOf lists what is wrong with a Go file, each as ":LINE: what".
func faultsOf(t *testing.T, path string) []string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	if n := strings.Count(string(src), "\n"); n > maxFile {
		faults = append(faults, fmt.Sprintf(":%d: %d lines, more than %d: split the file by noun", n, n, maxFile))
	}
	faults = append(faults, words(fset, f)...)
	if !strings.HasSuffix(path, "_test.go") {
		faults = append(faults, longFunctions(fset, f)...)
		faults = append(faults, testsOf(path, string(src), f)...)
	}
	return faults
}

// longFunctions lists the functions of f that are longer than a screen and give no reason.
func longFunctions(fset *token.FileSet, f *ast.File) (faults []string) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		begin, end := fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
		doc := strings.Join(strings.Fields(fn.Doc.Text()), " ")
		if n := end - begin + 1; n > maxFunction && !strings.Contains(doc, excuse) {
			faults = append(faults, fmt.Sprintf(":%d: %s has %d lines, more than %d: split it, or say in its comment: %q", begin, fn.Name.Name, n, maxFunction, excuse+" ..."))
		}
	}
	return faults
}

// testsOf checks that the tests of a source file can be found: the test file has
// its name, or its last line names the files.
func testsOf(path, src string, f *ast.File) []string {
	command := filepath.Base(filepath.Dir(filepath.Dir(path))) == "cmd" // cmd/rollcall/main.go
	if f.Name.Name == "main" && !command || filepath.Base(path) == "doc.go" || !slices.ContainsFunc(f.Decls, isFunc) {
		return nil // a demo or a benchmark, or nothing to test
	}
	lines := strings.Split(strings.TrimRight(src, "\n"), "\n")
	last := lines[len(lines)-1]
	list, ok := strings.CutPrefix(last, "// Tests: ")
	if !ok {
		own := strings.TrimSuffix(path, ".go") + "_test.go"
		if _, err := os.Stat(own); err == nil {
			return nil
		}
		return []string{fmt.Sprintf(":%d: there is no %s: the last line must say where the tests are (// Tests: a_test.go, b_test.go.)", len(lines), filepath.Base(own))}
	}
	var faults []string
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "."), ", ") {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil || !strings.HasSuffix(name, "_test.go") {
			faults = append(faults, fmt.Sprintf(":%d: %q is no test file here", len(lines), name))
		}
	}
	return faults
}

func isFunc(d ast.Decl) bool {
	_, ok := d.(*ast.FuncDecl)
	return ok
}

// avoided are words that the comments had too many of, each with what says the
// same in plain English. The last group of a pattern is what may follow or precede
// the word without a fault.
var avoided = []struct {
	word *regexp.Regexp
	fine *regexp.Regexp // of the text around: then it is right
	say  string
}{
	{regexp.MustCompile(`(?i)\banew\b`), nil, `"again"`},
	{regexp.MustCompile(`(?i)\b(no|some|every)body\b`), nil, "the thing that does it: no client, another process, each caller"},
	{regexp.MustCompile(`(?i)\bstands?\b`), regexp.MustCompile(`(?i)\bstand(s? (for|in for)|-by|s? still)\b`), `"is"`},
	{
		regexp.MustCompile(`(?i)\bwho\b`),
		regexp.MustCompile(`(?i)\b(users?|operators?|people|persons?|readers?|humans?|engineers?|someone|anyone|somebody|authors?|teams?) who\b|\bwho (am|is) i\b|^// Who |method Who`),
		`"that" or "which": only a person is a who`,
	},
}

// words lists the comments of f that use a word to be avoided.
func words(fset *token.FileSet, f *ast.File) (faults []string) {
	for _, group := range f.Comments {
		for _, c := range group.List {
			for _, a := range avoided {
				text := c.Text
				if a.fine != nil {
					text = a.fine.ReplaceAllString(text, "")
				}
				if w := a.word.FindString(text); w != "" {
					faults = append(faults, fmt.Sprintf(":%d: %q: say %s", fset.Position(c.Pos()).Line, w, a.say))
				}
			}
		}
	}
	return faults
}
