package dnsd

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// A line is one directive, or one line inside a directive's braces.
type line struct {
	file   string
	no     int
	args   []string // args[0] is the directive
	braces []line   // the lines in its braces
	open   bool     // it has braces, if only empty ones
}

func (l line) name() string { return l.args[0] }

// place is where the line is: "Corefile:12".
func (l line) place() string { return fmt.Sprintf("%s:%d", l.file, l.no) }

// errorf says what is wrong in this line: "Corefile:12: lease: bad duration".
func (l line) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", l.place(), l.name(), fmt.Errorf(format, args...))
}

// noEmptyWord refuses an empty word anywhere in the line: what it should have said is
// missing, and without it something may be open to all.
func (l line) noEmptyWord() error {
	if i := slices.Index(l.args, ""); i >= 0 {
		return l.errorf("word %d is empty", i)
	}
	for _, sub := range l.braces {
		if err := sub.noEmptyWord(); err != nil {
			return err
		}
	}
	return nil
}

// word is the line with its first word and word i only.
func (l line) word(i int) line {
	return line{file: l.file, no: l.no, args: []string{l.args[0], l.args[i]}}
}

// want refuses a line that has not n words after its first.
func (l line) want(n int, expected string) error {
	if len(l.args) != n+1 {
		return l.errorf("expected %s", expected)
	}
	return nil
}

// duration reads a time above zero. Zero would mean the default, for which the line is
// left out.
func (l line) duration(into *time.Duration) error {
	if err := l.want(1, "a duration such as 5s or 2m"); err != nil {
		return err
	}
	v, err := time.ParseDuration(l.args[1])
	if err != nil || v <= 0 {
		return l.errorf("bad duration %q; expected one such as 5s or 2m", l.args[1])
	}
	*into = v
	return nil
}

// number reads a whole number of at least 1. The rooms know the upper bounds.
func (l line) number(into *int) error {
	if err := l.want(1, "a number"); err != nil {
		return err
	}
	v, err := strconv.Atoi(l.args[1])
	if err != nil || v < 1 {
		return l.errorf("bad number %q; expected a whole number of at least 1", l.args[1])
	}
	*into = v
	return nil
}

// domain is the canonical form of a domain name, lower case with a final dot.
func (l line) domain(name string) (string, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" || name == "." {
		return "", l.errorf("bad name %q; expected a domain name such as ns1.example.", name)
	}
	return dns.CanonicalName(name), nil
}

// Tests: corefile_test.go, directives_test.go.
