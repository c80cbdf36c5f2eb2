package cli

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/rollcall-dns/rollcall/internal/nearest"
)

// The exit status of a command.
const (
	Done     = 0
	Failed   = 1
	Usage    = 2 // the command line is wrong; nothing was done
	NotFound = 3 // what was asked for is not there
)

// App is a command with the commands below it.
type App struct {
	Name     string // "rollcall"
	Short    string // what it is: a phrase that begins in lower case and has no final dot
	Long     string // paragraphs, separated by empty lines
	Version  string
	Commands []Command
	// Names is the command that prints what an argument SERVICE can be, or, with a SERVICE,
	// what ID can be, a line each, for completion. Empty: there is none.
	Names string
	// Common are the flags that many commands share. Help lists them after the others.
	Common []string
	// Statuses are the exit statuses, and Environment the variables, for the manual.
	Statuses, Environment []Entry
}

// builtin are the commands that every App has.
var builtin = []Command{
	{Name: "help", Args: "[COMMAND]", Short: "describe all commands, or one"},
	{Name: "version", Short: "print the version, and that of Go"},
}

// Command is one command of an App.
type Command struct {
	Name  string // "ls"; "guard release" is below "guard"
	Args  string // what follows the flags: "SERVICE [ID]"
	Short string // one phrase without a final dot
	Long  string // paragraphs, separated by empty lines
	// Min and Max are the numbers of arguments. Max -1 is no limit.
	Min, Max int
	Words    []string // that an argument can be, for completion
	// Tail: arguments after "--" are the command line of another program.
	Tail bool
	// Make declares the flags, and returns what to do once they are read.
	Make func(flags *flag.FlagSet) Run
}

// Run does what a command does.
type Run func(ctx context.Context, c Call) error

// Call is one use of a command.
type Call struct {
	Args     []string
	Tail     []string      // after "--"
	In       io.Reader     // standard input
	Out      *bufio.Writer // standard output; flushed when the command has ended
	Err      io.Writer     // standard error
	Terminal bool          // standard output is a terminal
}

// exit is an error with an exit status.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}
func (e *exit) Unwrap() error { return e.err }

// Exit is err with the exit status of the process. With a nil err nothing is printed.
func Exit(status int, err error) error { return &exit{status, err} }

// Wrong is an error of the command line.
func Wrong(format string, args ...any) error { return Exit(Usage, fmt.Errorf(format, args...)) }

// Status is the exit status for err.
func Status(err error) int {
	var e *exit
	switch {
	case err == nil:
		return Done
	case errors.As(err, &e):
		return e.status
	}
	return Failed
}

// Streams are those of a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // Out is a terminal
}

// Main runs the command that args name, and returns the exit status.
func (a *App) Main(ctx context.Context, args []string, s Streams) int {
	out := bufio.NewWriter(s.Out)
	name, err := a.run(ctx, args, out, s)
	if ferr := out.Flush(); ferr != nil && err == nil {
		err = fmt.Errorf("standard output: %w", ferr)
	}
	var e *exit
	if errors.As(err, &e) && e.err == nil {
		return e.status
	}
	if err != nil {
		fmt.Fprintf(s.Err, "%s: %v\n", name, err)
	}
	return Status(err)
}

// run returns the words that begin an error line, and the error.
func (a *App) run(ctx context.Context, args []string, out *bufio.Writer, s Streams) (string, error) {
	if len(args) == 0 {
		fmt.Fprint(s.Err, a.overview())
		return a.Name, Exit(Usage, nil)
	}
	switch strings.TrimPrefix(args[0], "-") {
	case "-help", "-h", "help", "h":
		return a.Name, a.help(out, args[1:])
	case "-version", "version":
		fmt.Fprintln(out, a.Name, a.Version)
		return a.Name, nil
	}
	cmd, rest, err := a.find(args)
	if err != nil {
		return a.Name, err
	}
	name := a.Name + " " + cmd.Name
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	run := cmd.Make(flags)
	p, err := parse(flags, rest)
	switch {
	case err != nil:
		return name, err
	case p.help:
		out.WriteString(a.page(cmd))
		return name, nil
	case p.tail != nil && !cmd.Tail:
		p.args = append(p.args, p.tail...)
		p.tail = nil
	}
	if err := count(a, cmd, p.args); err != nil {
		return name, err
	}
	return name, run(ctx, Call{Args: p.args, Tail: p.tail, In: s.In, Out: out, Err: s.Err, Terminal: s.Terminal})
}

// find returns the command with the longest name that args begin with.
func (a *App) find(args []string) (*Command, []string, error) {
	var found *Command
	words := 0
	for i := range a.Commands {
		name := strings.Fields(a.Commands[i].Name)
		if len(name) > words && len(name) <= len(args) && strings.Join(args[:len(name)], " ") == a.Commands[i].Name {
			found, words = &a.Commands[i], len(name)
		}
	}
	if found == nil && strings.HasPrefix(args[0], "-") {
		return nil, nil, Wrong("the flag %s is before the command; write %s COMMAND, and then the flags", args[0], a.Name)
	}
	if found == nil {
		return nil, nil, Wrong("unknown command %q; %s; see %s help", args[0], suggest(args[0], a.names()), a.Name)
	}
	return found, args[words:], nil
}

// names are the first words of the commands.
func (a *App) names() (names []string) {
	for _, w := range a.firsts() {
		names = append(names, w.text)
	}
	return names
}

// below are the second words of the commands below that of this name.
func (a *App) below(name string) (words []string) {
	for _, c := range a.Commands {
		if word, ok := strings.CutPrefix(c.Name, name+" "); ok {
			words = append(words, word)
		}
	}
	return words
}

// count checks the number of arguments.
func count(a *App, c *Command, args []string) error {
	usage := strings.TrimRight(fmt.Sprintf("%s %s %s", a.Name, c.Name, c.Args), " ")
	below := a.below(c.Name)
	if len(args) > 0 {
		if near, ok := nearest.Word(args[0], below); ok {
			return Wrong("unknown command %q; did you mean %s %s?", c.Name+" "+args[0], c.Name, near)
		}
	}
	switch {
	case len(args) < c.Min:
		return Wrong("an argument is missing; write %s", usage)
	case c.Max < 0 || len(args) <= c.Max:
		return nil
	case c.Max == 0 && len(below) > 0:
		return Wrong("unexpected argument %q; %s", args[0], suggest(args[0], below))
	default:
		return Wrong("unexpected argument %q; write %s", args[c.Max], usage)
	}
}
