// Package page reads the documents of the repository, for tests that run what they say or
// compare them with the code. Code that a test runs is after a line
//
//	<!-- ci: NAME -->
package page

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A Page is a document.
type Page struct {
	Path string // from the top of the repository, with slashes
	Text string
}

// Read reads a page, or any other file of the repository, by its path from the top.
func Read(t testing.TB, path string) Page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Top(t), filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return Page{path, string(text)}
}

// All are the documents for people: those at the top, in docs, and balancer's.
func All(t testing.TB) []Page {
	t.Helper()
	top := Top(t)
	var all []Page
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/integrations/*.md", "balancer/*.md"} {
		paths, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			path, err := filepath.Rel(top, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Read(t, filepath.ToSlash(path)))
		}
	}
	return all
}

// Top is the directory at the top of the repository. Tests run in that of their package.
func Top(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/rollcall-dns/rollcall\n") {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test does not run within the repository, whose documents it reads")
		}
		dir = filepath.Dir(dir)
	}
}

// Block returns the code after the line <!-- ci: NAME -->.
func (p Page) Block(t testing.TB, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.Text, "<!-- ci: "+name+" -->\n```")
	if !ok {
		t.Fatalf("%s has no block %s", p.Path, name)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	code, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatalf("%s: the block %s does not end", p.Path, name)
	}
	return code
}

// Anchors are what a link may name after #, by the rules of GitHub.
func (p Page) Anchors() []string {
	var all []string
	code := false
	for line := range strings.Lines(p.Text) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if heading := strings.TrimLeft(line, "#"); !code && heading != line {
			heading = strings.ToLower(strings.TrimSpace(heading))
			heading = regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(heading, "")
			all = append(all, strings.ReplaceAll(heading, " ", "-"))
		}
	}
	return all
}
