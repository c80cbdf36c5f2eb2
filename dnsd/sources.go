package dnsd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/coredns/caddy/caddyfile"
)

// maxImports bounds how often files and snippets are imported, all in all: some
// imports of imports are a convenience, thousands are a mistake that takes hours to
// read.
const maxImports = 1000

// sources looks over a Corefile and all that it imports, before caddyfile's parser
// expands it, for what that parser does not tell: where each block begins; variables
// that are not set, which it makes empty, and those misspelled, which it leaves as they
// are; a "#" within a word, where it ends the word; quotes that are left open, where it
// goes on to the next; imports in a ring, which it follows for ever; and imports that
// match no file.
type sources struct {
	heads    map[string][]int   // lines of what stands outside braces in the Corefile, by its text
	values   map[string]string  // of the variables that are used
	snippets map[string]*source // by name
	open     []*source          // that are being looked over, the outer ones first
	imports  int
}

// A source is a file or a snippet.
type source struct {
	name    string // for people
	imports []imported
}

// An imported is one import line.
type imported struct {
	file    string // where it stands
	line    int
	pattern string
}

func (i imported) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: import: %s", i.file, i.line, fmt.Sprintf(format, args...))
}

// scan looks over the Corefile. With an error, too, what it gives holds the values of
// the variables seen so far.
func scan(file string, text []byte) (*sources, error) {
	s := &sources{heads: map[string][]int{}, values: map[string]string{}, snippets: map[string]*source{}}
	main, err := s.read(file, file, text, s.heads)
	if err != nil {
		return s, err
	}
	return s, s.follow(main)
}

// follow looks over what src imports.
func (s *sources) follow(src *source) error {
	s.open = append(s.open, src)
	defer func() { s.open = s.open[:len(s.open)-1] }()
	for _, i := range src.imports {
		if s.imports++; s.imports > maxImports {
			return i.errorf("more than %d imports in all", maxImports)
		}
		found, err := s.find(i)
		if err != nil {
			return err
		}
		for _, f := range found {
			if at := slices.IndexFunc(s.open, func(o *source) bool { return o.name == f.name }); at >= 0 {
				var ring []string
				for _, o := range append(s.open[at:len(s.open):len(s.open)], f) {
					ring = append(ring, o.name)
				}
				return i.errorf("goes round in a ring: %s", strings.Join(ring, " imports "))
			}
			if err := s.follow(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// find returns the snippet or the files that i means.
func (s *sources) find(i imported) ([]*source, error) {
	pattern := variable.ReplaceAllStringFunc(i.pattern, func(ref string) string {
		m := variable.FindStringSubmatch(ref)
		return os.Getenv(m[1] + m[2])
	})
	if snippet := s.snippets[pattern]; snippet != nil {
		return []*source{snippet}, nil
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(i.file), pattern)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, i.errorf("bad pattern %q", i.pattern)
	}
	if len(paths) == 0 {
		return nil, i.errorf("no file matches %s", i.pattern)
	}
	var found []*source
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, i.errorf("%v", err)
		}
		f, err := s.read(path, path, text, map[string][]int{})
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

// read takes the imports and snippets of one file, and the heads of its blocks.
func (s *sources) read(name, file string, text []byte, heads map[string][]int) (*source, error) {
	if no, problem := badWord(text); no > 0 {
		return nil, fmt.Errorf("%s:%d: %s", file, no, problem)
	}
	if abs, err := filepath.Abs(name); err == nil && len(s.open) > 0 {
		name = abs
	}
	whole := &source{name: name}
	into := whole
	depth := 0
	last := ""
	for d := caddyfile.NewDispenser(file, bytes.NewReader(text)); d.Next(); {
		v := d.Val()
		if err := s.variables(v); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, d.Line(), err)
		}
		switch {
		case v == "{":
			if depth++; depth == 1 && strings.HasPrefix(last, "(") && strings.HasSuffix(last, ")") {
				into = &source{name: "snippet " + last}
				s.snippets[last[1:len(last)-1]] = into
			}
		case v == "}":
			if depth--; depth == 0 {
				into = whole
			}
		case v == "import":
			i := imported{file: file, line: d.Line()}
			if d.NextArg() {
				i.pattern = d.Val()
				if err := s.variables(i.pattern); err != nil {
					return nil, fmt.Errorf("%s:%d: %w", file, d.Line(), err)
				}
				into.imports = append(into.imports, i)
			}
		case depth == 0:
			key := strings.TrimSuffix(v, ",")
			heads[key] = append(heads[key], d.Line())
		}
		last = v
	}
	return whole, nil
}

// variable is how caddyfile spells one of the environment, for Unix and Windows.
var variable = regexp.MustCompile(`\{\$([^{}]+)\}|\{%([^{}%]+)%\}`)

// misspelled is a word, or what is left of one without its variables, that was meant to
// be a variable: as a shell has it, as Caddy's next version does, or with a brace lost.
// To take it as it stands would make a secret of what everybody can read here.
var misspelled = regexp.MustCompile(`^\$\w+$|\$\{|\{[$%]|^\{+[\w.]+\}+$`)

// variables says whether all variables in a word are set: caddyfile takes the others
// for empty, and what they should have switched on stays off.
func (s *sources) variables(word string) error {
	for _, m := range variable.FindAllStringSubmatch(word, -1) {
		name := m[1] + m[2]
		switch v, set := os.LookupEnv(name); {
		case !set:
			return fmt.Errorf("the environment variable %s is not set", name)
		case v == "":
			return fmt.Errorf("the environment variable %s is empty", name)
		case variable.MatchString(v):
			return fmt.Errorf("the environment variable %s names another one", name)
		default:
			s.values[name] = v
		}
	}
	if misspelled.MatchString(variable.ReplaceAllString(word, "")) {
		return errors.New("a word looks like an environment variable and is none; write it as {$NAME}")
	}
	return nil
}

// badWord returns the first line with a word that is not what it seems: a "#" that is
// neither in double quotes nor at the beginning of a comment, or a double quote that is
// not closed on its line. 0: there is none. Words are caddyfile's.
func badWord(text []byte) (no int, problem string) {
	const (
		hash  = `a "#" within a word: put the word into double quotes, or a blank before the "#" if it begins a comment`
		quote = `a double quote is not closed on its line`
	)
	no = 1
	var word, quoted, escaped, comment bool
	for _, r := range string(text) {
		if r == '\n' {
			if quoted {
				return no, quote
			}
			no++
			comment = false
		}
		switch {
		case comment:
		case quoted:
			word = r != '"' || escaped
			quoted, escaped = word, r == '\\' && !escaped
		case unicode.IsSpace(r):
			word = false
		case r == '#' && word:
			return no, hash
		case r == '#':
			comment = true
		case r == '"' && !word:
			quoted, word = true, true
		default:
			word = true
		}
	}
	if quoted {
		return no, quote
	}
	return 0, ""
}
