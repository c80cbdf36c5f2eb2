package dnsd

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Corefile is what a Corefile says: the Config of a Server, and how its program is to
// write the log.
type Corefile struct {
	Config
	Log Log
}

// Log is the directive "log".
type Log struct {
	Level  string // debug, info, warn or error; empty means info
	Format string // json or console; empty means what suits the output
}

// ReadCorefile reads the file at path. See ParseCorefile.
func ReadCorefile(path string) (Corefile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Corefile{}, fmt.Errorf("dnsd: read Corefile: %w", err)
	}
	return ParseCorefile(path, text)
}

// ParseCorefile reads the text of a Corefile. The syntax is Caddyfile's: server
// blocks, {$ENV}, import, snippets; relative paths are relative to the file. An error
// names file, line, directive and what was expected there. Config.Check, New and Reload
// check the values; their errors name the line as well.
func ParseCorefile(file string, text []byte) (Corefile, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Corefile{}, fmt.Errorf("%s:1: empty file; expected a server block such as svc:5300 { }", file)
	}
	s, err := scan(file, text)
	if err != nil {
		return Corefile{}, hide(err, s.values)
	}
	c, err := parse(file, text, s)
	return c, hide(err, s.values)
}

// parse is ParseCorefile of a text that scan has found good.
func parse(file string, text []byte, s *sources) (Corefile, error) {
	sections, err := parseSections(file, text, s.heads)
	if err != nil {
		return Corefile{}, err
	}
	if len(sections) == 0 {
		return Corefile{}, fmt.Errorf("%s:1: no server block; expected one such as svc:5300 { }", file)
	}
	var c Corefile
	process := map[string]line{}
	for _, section := range sections {
		r := &reader{
			section: section, dir: filepath.Dir(file), file: &c, seen: map[string]line{}, process: process,
			places: &places{head: section.place(), lines: map[string]string{}, values: s.values},
		}
		if err := r.read(); err != nil {
			return Corefile{}, err
		}
		r.zone.places = r.places
		c.Zones = append(c.Zones, r.zone)
	}
	return c, nil
}

// A reader turns one server block into a Zone.
type reader struct {
	section
	dir  string // of the Corefile, for relative paths
	file *Corefile
	zone Zone
	port string
	seen map[string]line
	// process holds the directives that concern the process: all blocks must agree.
	process map[string]line
	places  *places
}

// places are the lines of a server block, for errors.
type places struct {
	head   string            // of the block, as file:line
	lines  map[string]string // by the words of a setting: "lease min", or "hook token#1" for the second
	values map[string]string // of the environment variables in the Corefile, which are hidden
}

// mark notes that line l has the setting at path, or these items of it.
func (p *places) mark(l line, path string, items ...any) {
	if _, twice := p.lines[path]; !twice {
		p.lines[path] = l.place()
	}
	for _, item := range items {
		key := fmt.Sprintf("%s#%v", path, item)
		if _, twice := p.lines[key]; !twice {
			p.lines[key] = l.place()
		}
	}
}

// of is the line of an item, or else of its setting, or else of the block.
func (p *places) of(path, item string) string {
	word, _, _ := strings.Cut(path, " ")
	for _, key := range []string{path + "#" + item, path, word} {
		if place, ok := p.lines[key]; ok {
			return place
		}
	}
	return p.head
}

// read reads the block: its head, then its lines.
func (r *reader) read() error {
	for i, key := range r.keys {
		if err := r.name(i, key); err != nil {
			return err
		}
	}
	for _, l := range r.lines {
		if err := r.directive(l); err != nil {
			return err
		}
	}
	// The hosts of bind share the port in the head.
	port := r.port
	if port == "" {
		_, port, _ = net.SplitHostPort(DefaultDNS)
	}
	if len(r.zone.Bind) == 0 {
		host, _, _ := net.SplitHostPort(DefaultDNS)
		r.zone.Bind = []string{host}
	}
	for i, host := range r.zone.Bind {
		r.zone.Bind[i] = net.JoinHostPort(host, port)
	}
	return nil
}

// name reads a zone name of the head, with an optional port.
func (r *reader) name(i int, key string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: zone %q: %s", r.place(), key, fmt.Sprintf(format, args...))
	}
	if key == "}" {
		return fmt.Errorf("%s: this brace closes nothing; remove it, or is the opening one missing?", r.place())
	}
	name, port := key, ""
	if i := strings.LastIndexByte(key, ':'); i >= 0 {
		name, port = key[:i], key[i+1:]
		if port != "{" && strings.HasSuffix(port, "{") {
			return bad("expected a blank before the brace, as in svc:5300 { }")
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return bad("bad port %q; expected a number from 0 to 65535 as in svc:5300", port)
		}
		port = strconv.FormatUint(n, 10)
	}
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return bad("expected a zone name as in svc:5300 { }; an address goes inside, as in bind %v", addr)
	}
	if port == "" && name != "" && strings.Trim(name, "0123456789") == "" {
		return bad("a port follows the zone name after a colon and without a blank, as in svc:%s { }", name)
	}
	if name == "" || strings.ContainsFunc(name, notInZone) {
		return bad("expected a zone name as in svc:5300 { }")
	}
	if _, word := directives[name]; word && i > 0 && port == "" {
		return bad("%s is a directive; is the brace before it missing?", name)
	}
	if port != "" && r.port != "" && port != r.port {
		return bad("the block has port %s already; give each port a block of its own", r.port)
	}
	if port != "" {
		r.port = port
	}
	r.zone.Origins = append(r.zone.Origins, name)
	return nil
}

// notInZone says whether a zone name cannot have r. Names of other scripts are
// written as DNS has them, xn--...
func notInZone(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
}

// directive reads one line of the block by the table of directives.
func (r *reader) directive(l line) error {
	def, known := directives[l.name()]
	if !known {
		return fmt.Errorf("%s: unknown directive %q; %s", l.place(), l.name(), suggest(l.name(), slices.Sorted(maps.Keys(directives))))
	}
	if err := l.noEmptyWord(); err != nil {
		return err
	}
	if err := r.line(l, def, l.name(), r.seen); err != nil {
		return err
	}
	seen := map[string]line{}
	for _, sub := range l.braces {
		inner, known := def.inside[sub.name()]
		if !known {
			return sub.errorf("unknown inside %s; %s", l.name(), suggest(sub.name(), slices.Sorted(maps.Keys(def.inside))))
		}
		if err := r.line(sub, inner, l.name()+" "+sub.name(), seen); err != nil {
			return err
		}
	}
	return nil
}

// line reads one line but for its braces. seen are the lines before it at this level, by
// their first words.
func (r *reader) line(l line, def directive, path string, seen map[string]line) error {
	if before, twice := seen[l.name()]; twice && !def.repeats {
		return l.errorf("already set at %s", before.place())
	}
	seen[l.name()] = l
	r.places.mark(l, path)
	if l.open && def.inside == nil {
		return l.errorf("does not take a { } block")
	}
	return def.read(r, l)
}

// path makes a path of the Corefile absolute to the Corefile's folder.
func (r *reader) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(r.dir, p)
}

// Tests: corefile_test.go, directives_test.go, docs_test.go.
