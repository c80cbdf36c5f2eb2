package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// Entry is a word with what it means, for a list in the manual.
type Entry struct{ Word, Text string }

// Man is the manual page, in the macros of man(7). It has all of help, so it cannot say
// something else.
func (a *App) Man() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Written by a test: see CONTRIBUTING.md.\n.TH %s 1 \"\" Rollcall\n", strings.ToUpper(a.Name))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(a.Name), roff(a.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIFLAGS\\fR] [\\fIARGUMENTS\\fR]\n", roff(a.Name))
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, a.Long)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range append(slices.Clone(a.Commands), builtin...) {
		fmt.Fprintf(&b, ".SS %s\n", roff(strings.TrimRight(c.Name+" "+c.Args, " ")))
		paragraphs(&b, sentence(c.Short)+"\n\n"+c.Long)
		if c.Make == nil {
			continue
		}
		own, common := a.flagsOf(&c)
		for _, f := range own {
			flagEntry(&b, f)
		}
		if len(common) > 0 {
			var names []string
			for _, f := range common {
				names = append(names, "-"+f.Name)
			}
			fmt.Fprintf(&b, ".PP\nCommon flags: %s.\n", roff(strings.Join(names, ", ")))
		}
	}
	b.WriteString(".SH COMMON FLAGS\n")
	for _, f := range a.commonFlags() {
		flagEntry(&b, f)
	}
	for _, list := range []struct {
		title   string
		entries []Entry
	}{{"EXIT STATUS", a.Statuses}, {"ENVIRONMENT", a.Environment}} {
		fmt.Fprintf(&b, ".SH %s\n", list.title)
		for _, e := range list.entries {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(e.Word), roff(sentence(e.Text)))
		}
	}
	return b.String()
}

// commonFlags are the flags of Common, from the first command that has each.
func (a *App) commonFlags() (all []*flag.Flag) {
	for _, name := range a.Common {
		for i := range a.Commands {
			set := flag.NewFlagSet("", flag.ContinueOnError)
			a.Commands[i].Make(set)
			if f := set.Lookup(name); f != nil {
				all = append(all, f)
				break
			}
		}
	}
	return all
}

// flagEntry writes a flag and what it means.
func flagEntry(b *strings.Builder, f *flag.Flag) {
	head, text := describe(f)
	name, value, _ := strings.Cut(head, " ")
	fmt.Fprintf(b, ".TP\n\\fB%s\\fR", roff(name))
	if value != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", roff(value))
	}
	fmt.Fprintf(b, "\n%s\n", roff(sentence(text)))
}

// sentence begins in upper case and ends in a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// paragraphs writes text whose paragraphs are separated by empty lines. One that is
// indented is an example, printed as it is.
func paragraphs(b *strings.Builder, text string) {
	for p := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		if p = strings.Trim(p, "\n"); p == "" {
			continue
		}
		b.WriteString(".PP\n")
		example := strings.HasPrefix(p, " ")
		if example {
			b.WriteString(".nf\n.RS\n")
		}
		for line := range strings.SplitSeq(p, "\n") {
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
		if example {
			b.WriteString(".RE\n.fi\n")
		}
	}
}

// roff is s with what roff would take for an instruction made plain.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
