package cli

import (
	"flag"
	"strings"
)

// parsed is what a command line says after the name of the command.
type parsed struct {
	args []string
	tail []string // after "--"; nil: there is no "--"
	help bool
}

// parse reads flags and arguments in any order. Package flag itself would end at the
// first argument, and does not tell which flag was meant.
func parse(flags *flag.FlagSet, words []string) (p parsed, err error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if word == "--" {
			p.tail = append([]string{}, words...)
			return p, nil
		}
		name, ok := strings.CutPrefix(word, "-")
		if !ok || name == "" { // "-" alone is an argument
			p.args = append(p.args, word)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		f := flags.Lookup(name)
		switch {
		case f == nil && (name == "help" || name == "h"):
			p.help = true
			continue
		case f == nil:
			return p, Wrong("unknown flag -%s; %s", name, suggestFlag(name, flags))
		case isBool(f) && !given:
			value = "true"
		case !given && len(words) == 0:
			return p, Wrong("-%s: its value is missing", name)
		case !given:
			value, words = words[0], words[1:]
		}
		if value == "" {
			return p, Wrong("-%s: the value is empty; leave the flag out for the default", name)
		}
		if err := flags.Set(name, value); err != nil {
			what, _ := flag.UnquoteUsage(f)
			return p, Wrong("-%s: bad value %q: %s", name, value, reason(err, what))
		}
	}
	return p, nil
}

// reason is what an error of flag.Value.Set says. That of a number only says "parse
// error", so what was expected is better.
func reason(err error, what string) string {
	switch text := err.Error(); {
	case text != "parse error":
		return text
	case what == "NUMBER":
		return "expected a number"
	default:
		return "expected " + what
	}
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// suggestFlag names the flag that was probably meant.
func suggestFlag(name string, flags *flag.FlagSet) string {
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	if len(names) == 0 {
		return "this command has no flags"
	}
	return suggest("-"+name, names)
}

// Tests: app_test.go.
