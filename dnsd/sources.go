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

// maxImports bounds how often files and snippets are imported in all: a few imports of
// imports are useful, thousands are a mistake that takes hours to read.
const maxImports = 1000

// sources looks over a Corefile and all that it imports, before caddyfile's parser
// expands it. That parser does not tell where a block begins. It makes a variable that
// is not set empty, and leaves a misspelled one as it is. A "#" within a word ends the
// word, an open quote goes on to the next quote, imports in a ring are followed for
// ever, and an import that matches no file is nothing. Here these are errors.
type sources struct {
	heads    map[string][]int   // lines of the words outside braces in the Corefile
	values   map[string]string  // of the variables that are used
	snippets map[string]*source // by name
	open     []*source          // that are looked over at present, the outer ones first
	imports  int
}

// A source is a file or a snippet.
type source struct {
	name    string // for people
	imports []imported
}

// An imported is one import line.
type imported struct {
	file    string // that the line is in
	line    int
	pattern string
}

func (i imported) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: import: %s", i.file, i.line, fmt.Sprintf(format, args...))
}

// scan looks over the Corefile. With an error, too, the result has the values of the
// variables seen so far.
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
				return i.errorf("the files import each other in a ring: %s", strings.Join(ring, " imports "))
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
			if depth--; depth < 0 { // caddyfile takes it for the head of a block
				depth = 0
				heads[v] = append(heads[v], d.Line())
			}
			if depth == 0 {
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

// variable is a variable of the environment as caddyfile spells it, for Unix and
// Windows.
var variable = regexp.MustCompile(`\{\$([^{}]+)\}|\{%([^{}%]+)%\}`)

// misspelled is a word, or the rest of a word without its variables, that was meant to
// be a variable: as a shell writes it, as Caddy's next version does, or without a
// brace. Taken literally, a secret would be the text in this file.
var misspelled = regexp.MustCompile(`^\$\w+$|\$\{|\{[$%]|^\{+[\w.]+\}+$`)

// variables says whether all variables in a word are set: caddyfile makes the others
// empty, and the protection that they should have switched on stays off.
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

// badWord returns the first line with a word that caddyfile reads in another way than a
// person does: with a "#" that is neither in double quotes nor begins a comment, or with
// a double quote that is not closed on its line. 0: there is none.
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
