package cli

import (
	"bufio"
	"flag"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// help prints the overview, or the page of one command.
func (a *App) help(out *bufio.Writer, args []string) error {
	if len(args) == 0 {
		out.WriteString(a.overview())
		return nil
	}
	cmd, rest, err := a.find(args)
	if err == nil && len(rest) > 0 {
		err = Wrong("unexpected argument %q; write %s help COMMAND", rest[0], a.Name)
	}
	if err != nil {
		return err
	}
	out.WriteString(a.page(cmd))
	return nil
}

// overview lists all commands.
func (a *App) overview() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %s.\n\nUsage: %s COMMAND [FLAGS] [ARGUMENTS]\n\n", a.Name, a.Short, a.Name)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range append(slices.Clone(a.Commands), builtin...) {
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimRight(c.Name+" "+c.Args, " "), c.Short)
	}
	t.Flush()
	if len(a.Statuses) > 0 {
		b.WriteString("\nExit status:\n")
		for _, e := range a.Statuses {
			fmt.Fprintf(&b, "  %s  %s\n", e.Word, e.Text)
		}
	}
	fmt.Fprintf(&b, "\n%s help COMMAND describes one command and its flags.\n", a.Name)
	return b.String()
}

// page describes one command.
func (a *App) page(c *Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n\nUsage: %s\n", a.Name, c.Name, c.Short, a.usage(c))
	if c.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(c.Long))
	}
	own, common := a.flagsOf(c)
	for _, group := range []struct {
		title string
		flags []*flag.Flag
	}{{"Flags", own}, {"Common flags", common}} {
		if len(group.flags) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", group.title)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range group.flags {
			head, text := describe(f)
			fmt.Fprintf(t, "  %s\t%s\n", head, text)
		}
		t.Flush()
	}
	return b.String()
}

// usage is how a command is written.
func (a *App) usage(c *Command) string {
	return strings.TrimRight(fmt.Sprintf("%s %s [FLAGS] %s", a.Name, c.Name, c.Args), " ")
}

// flagsOf are the flags of a command: its own, and those that many share.
func (a *App) flagsOf(c *Command) (own, common []*flag.Flag) {
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	c.Make(set)
	set.VisitAll(func(f *flag.Flag) {
		if slices.Contains(a.Common, f.Name) {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	return own, common
}

// describe is a flag with its value, and what it means.
func describe(f *flag.Flag) (head, text string) {
	what, text := flag.UnquoteUsage(f)
	head = "-" + f.Name
	if !isBool(f) {
		head += " " + strings.ToUpper(what)
	}
	if d := f.DefValue; d != "" && d != "0" && d != "0s" && d != "false" {
		text += fmt.Sprintf(" (default %s)", d)
	}
	return head, text
}

// Tests: app_test.go.
